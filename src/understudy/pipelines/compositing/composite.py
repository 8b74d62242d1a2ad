"""Put swapped faces into their frames: colour, mask and blend in crop space, then one paste a face.

``composite`` looks at every frame by itself, for previews and tables; ``pipelines.compositor`` does the same
for footage, with colours and masks averaged along tracks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jaxtyping import Float
from torch import Tensor

from understudy.contracts import Frame, Segmenter
from understudy.image.paste import paste_crop
from understudy.pipelines.compositing.blocks import match_blocks
from understudy.pipelines.compositing.layers import (
    FaceJob,
    FaceLayer,
    finish_faces,
    prepare_faces,
    working_size,
)
from understudy.pipelines.compositing.settings import MODES, CompositeSettings, TemporalSettings

__all__ = [
    "MODES",
    "CompositeSettings",
    "FaceJob",
    "FaceLayer",
    "TemporalSettings",
    "composite",
    "lay_over",
    "working_size",
]


def composite(
    frames: Sequence[Frame],
    jobs: Sequence[FaceJob],
    swapped: Float[Tensor, "b 3 s s"],
    masks: Float[Tensor, "b c m m"] | None,
    settings: CompositeSettings,
    coverage: float = 1.0,
    segmenter: Segmenter | None = None,
) -> list[Frame]:
    """Frames with the swapped faces in them; nothing is averaged over time.

    Several faces of one frame are each made from the untouched frame and laid over it in the order given.

    Args:
        frames: as decoded; not altered.
        jobs: one a face, in the order of ``swapped``.
        swapped: faces of the swapper, RGB in [0, 1], on its device; colour, mask and blend are done there.
        masks: the swapper's masks in [0, 1], of the new face and, as a second channel, of the old one; None
            if it has none.
        settings: colour, mask, blend, for jobs that have none of their own.
        coverage: side of the part of the unit square that ``swapped`` shows, as for
            ``Alignment.crop_matrix``.
        segmenter: that of persons, for settings that ask for it.

    Returns:
        As many frames, in the same order; one without a face is the same object. Samples that no mask reaches
        are bit-equal.
    """
    faces = prepare_faces(frames, jobs, swapped, masks, settings, coverage, segmenter)
    layers = finish_faces(faces, [face.averaged for face in faces])
    out = list(frames)
    for job, layer in zip(jobs, layers, strict=True):
        out[job.frame] = lay_over(out[job.frame], [layer])
    return out


def lay_over(frame: Frame, layers: Iterable[FaceLayer]) -> Frame:
    """The frame with layers over it, in their order; the frame itself without any."""
    plate = frame
    for layer in layers:
        frame = paste_crop(frame, layer.colors, layer.alpha, layer.matrix)
        if layer.blocks:
            frame = match_blocks(frame, plate, layer.alpha, layer.matrix, layer.blocks)
    return frame

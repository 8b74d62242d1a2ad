"""Put swapped faces into their frames: colour, mask and blend in crop space, then one paste a face.

A face is worked on at about the size that it has in its frame, so that going there and back loses nothing;
faces of several frames that have the same working size are one batch. A frame without a face is returned
as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from understudy.blends import BLENDS, Blend
from understudy.color_transfers import COLOR_TRANSFERS, ColorTransfer
from understudy.config import slot
from understudy.contracts import Face, Frame
from understudy.errors import ShapeError
from understudy.image.draw import hull_mask
from understudy.image.paste import paste_crop
from understudy.image.warp import crop_frame
from understudy.pipelines.masks import MaskSettings, StoredMask, join_masks, soften

_SIZES = (64, 96, 128, 192, 256, 320, 384, 512, 768, 1024)
"""Working sizes; few, so that faces of several frames share one."""
_AT_ONCE = 1
"""Faces in one batch on a CPU: its caches hold one, and the arithmetic waits for memory, not for calls."""


@dataclass(frozen=True, kw_only=True)
class CompositeSettings:
    """How a swapped face is put into its frame."""

    color_transfer: ColorTransfer = slot(COLOR_TRANSFERS, "reinhard")
    """How the colours of the face follow the target's."""
    mask: MaskSettings = field(default_factory=MaskSettings)
    """Where the new face goes."""
    blend: Blend = slot(BLENDS, "feather")
    """How it is laid over the old one."""
    max_size: int = 512
    """Largest working size, pixels; a face that is larger in its frame is enlarged from this."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceJob:
    """One face to be put into one of the frames of a call."""

    frame: int
    """Place of its frame in the list of frames."""
    face: Face
    """Alignment and landmarks of the target's face."""
    mask: StoredMask | None = None
    """What its face set says of where it is; None for nothing."""


def composite(
    frames: Sequence[Frame],
    jobs: Sequence[FaceJob],
    swapped: Float[Tensor, "b 3 s s"],
    masks: Float[Tensor, "b 1 m m"] | None,
    settings: CompositeSettings,
    coverage: float = 1.0,
) -> list[Frame]:
    """Frames with the swapped faces in them.

    Several faces of one frame are each made from the untouched frame and laid over it in the order given.

    Args:
        frames: as decoded; not altered.
        jobs: one a face, in the order of ``swapped``.
        swapped: faces of the swapper, RGB in [0, 1], on its device; colour, mask and blend are done there.
        masks: the swapper's masks in [0, 1]; None if it has none.
        settings: colour, mask, blend.
        coverage: side of the part of the unit square that ``swapped`` shows, as for
            ``Alignment.crop_matrix``.

    Returns:
        As many frames, in the same order; one without a face is the same object. Samples that no mask reaches
        are bit-equal.
    """
    if len(swapped) != len(jobs) or (masks is not None and len(masks) != len(jobs)):
        raise ShapeError("swapped faces and masks", f"{len(jobs)}, one a job", tuple(swapped.shape))
    sizes = [working_size(job.face.alignment.side * coverage, settings.max_size) for job in jobs]
    layers: dict[int, np.ndarray] = {}
    for chosen in _groups(sizes, len(jobs) if swapped.is_cuda else _AT_ONCE):
        size, part = sizes[chosen[0]], torch.tensor(chosen, device=swapped.device)
        made = _layers(
            frames,
            [jobs[number] for number in chosen],
            swapped[part],
            None if masks is None else _resize(masks[part], size, "bilinear"),
            size,
            settings,
            coverage,
        )
        layers.update(zip(chosen, made, strict=True))
    out = list(frames)
    for number, job in enumerate(jobs):
        colors, alpha = layers[number][:3], layers[number][3]
        matrix = job.face.alignment.crop_matrix(sizes[number], coverage)
        out[job.frame] = paste_crop(out[job.frame], colors, alpha, matrix)
    return out


def working_size(side: float, largest: int) -> int:
    """Smallest working size that is no smaller than the face in its frame, and at most ``largest``."""
    allowed = [size for size in _SIZES if size <= largest] or [largest]
    return next((size for size in allowed if size >= side), allowed[-1])


def _groups(sizes: Sequence[int], largest: int) -> Iterator[list[int]]:
    """Numbers of faces that have the same working size, no more than ``largest`` at a time."""
    for size in sorted(set(sizes)):
        chosen = [number for number, other in enumerate(sizes) if other == size]
        yield from (chosen[start : start + largest] for start in range(0, len(chosen), largest))


def _layers(
    frames: Sequence[Frame],
    jobs: Sequence[FaceJob],
    swapped: Tensor,
    learned: Tensor | None,
    size: int,
    settings: CompositeSettings,
    coverage: float,
) -> np.ndarray:
    """Colours times alpha, and alpha, of faces of one working size: ``(b, 4, s, s)``."""
    matrices = [job.face.alignment.crop_matrix(size, coverage) for job in jobs]
    pairs = list(zip(jobs, matrices, strict=True))
    crops = [crop_frame(frames[job.frame], matrix, size) for job, matrix in pairs]
    hulls = [hull_mask(job.face.points, matrix, size)[None] for job, matrix in pairs]
    base = torch.from_numpy(np.stack(crops)).to(swapped.device)
    hull = torch.from_numpy(np.stack(hulls)).to(swapped.device)
    joined = join_masks(settings.mask, hull, learned, _stored(pairs, hull, settings.mask))
    faces = _recolored(swapped, base, joined, settings.color_transfer)
    mask = soften(settings.mask, joined)
    blended = settings.blend(base, faces, mask)
    # What is laid over the frame is the blend less the part of the plate that shines through: the plate's own
    # samples then stand for it, instead of samples that went to the crop and back.
    return torch.cat([blended - (1.0 - mask) * base, mask], dim=1).cpu().numpy()


def _stored(
    pairs: Sequence[tuple[FaceJob, np.ndarray]], hull: Tensor, settings: MaskSettings
) -> Tensor | None:
    """The face set's masks of these faces; one that has none is all its hull's. None where none has one."""
    if settings.stored == "ignore" or not any(job.mask for job, _ in pairs):
        return None
    size = hull.shape[-1]
    rest = hull if settings.stored == "alone" else torch.ones_like(hull)
    rows = [
        rest[number]
        if job.mask is None
        else torch.from_numpy(job.mask.framed(settings, matrix, size))[None].to(hull)
        for number, (job, matrix) in enumerate(pairs)
    ]
    return torch.stack(rows)


def _recolored(swapped: Tensor, base: Tensor, mask: Tensor, transfer: ColorTransfer) -> Tensor:
    """The faces in the target's colours, at the working size.

    Colours are measured and moved at the swapper's own size where that is smaller: contrast is then
    compared at one sharpness, and there are fewer pixels.
    """
    size = base.shape[-1]
    own = min(size, swapped.shape[-1])
    small = _resize(base, own, "bilinear"), _resize(mask, own, "bilinear")
    return _resize(transfer(_resize(swapped, own, "bicubic"), *small), size, "bicubic")


def _resize(pictures: Tensor, size: int, mode: str) -> Tensor:
    """To the working size, filtered where it is smaller, clipped to [0, 1]; float32."""
    pictures = pictures.detach().float()
    if pictures.shape[-1] != size:
        pictures = F.interpolate(pictures, (size, size), mode=mode, antialias=True)
    return pictures.clamp(0.0, 1.0)

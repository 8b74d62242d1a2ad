"""Putting swapped faces into footage: frames in order, colours and masks averaged along each track.

A frame comes out when the frames after it, as far as the averages reach, have gone in. Nothing depends on
frames further away than that, and nothing on how frames are grouped into calls: a render that begins
``reach`` frames early gives bit-equal frames on a CPU.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from understudy.contracts import Frame, Segmenter
from understudy.errors import ConfigError
from understudy.image.temporal import REACH, Run, TrackWindow, weighted_masks, weighted_window
from understudy.pipelines.compositing.composite import lay_over
from understudy.pipelines.compositing.layers import (
    Averaged,
    FaceJob,
    FaceLayer,
    PreparedFace,
    finish_faces,
    prepare_faces,
)
from understudy.pipelines.compositing.settings import CompositeSettings

_Key = tuple[object, ...]
"""Track, which of its faces, and what its measurements are of: what differs in these is never averaged."""


@dataclass(frozen=True, eq=False)
class Composited:
    """A finished frame and what was laid over it."""

    frame: Frame
    """With the faces in it; the very frame that went in where it has none."""
    layers: tuple[FaceLayer, ...]
    """In the order in which they were laid."""


class Compositor:
    """Puts swapped faces into consecutive frames.

    Args:
        settings: colour, mask, blend, for jobs that have none of their own.
        coverage: side of the part of the unit square that swapped faces show.
        segmenter: that of persons, for settings that ask for it.
        reach: frames by which a frame is held back; None for as many as ``settings`` ask for. Give it where
            jobs with settings of their own reach further: theirs are cut to it.
    """

    def __init__(
        self,
        settings: CompositeSettings,
        coverage: float = 1.0,
        *,
        segmenter: Segmenter | None = None,
        reach: int | None = None,
    ) -> None:
        self.settings, self.coverage, self.segmenter = settings, coverage, segmenter
        self.reach = reach_of(settings) if reach is None else reach
        if not 0 <= self.reach <= REACH:
            raise ConfigError(f"reach: wanted 0 to {REACH} frames, got {self.reach}")
        self._window: TrackWindow[_Key, Averaged] = TrackWindow(self.reach)
        self._held: deque[tuple[Frame, dict[_Key, PreparedFace]]] = deque()
        self._last: int | None = None

    def push(
        self,
        frames: Sequence[Frame],
        jobs: Sequence[FaceJob],
        swapped: Float[Tensor, "b 3 s s"],
        masks: Float[Tensor, "b c m m"] | None,
    ) -> list[Frame]:
        """The next frames; gives those that are ready, in order.

        Args:
            frames: in display order; where a number is left out, averages begin anew.
            jobs: one a face; ``frame`` is its place in ``frames``.
            swapped: faces of the swapper, in the order of ``jobs``, see ``composite``.
            masks: the swapper's masks; None if it has none.
        """
        return [done.frame for done in self.push_layered(frames, jobs, swapped, masks)]

    def flush(self) -> list[Frame]:
        """The frames that are still held; the next one begins anew. For cuts, and for the end."""
        return [done.frame for done in self.flush_layered()]

    def reset(self) -> None:
        """Drop what is held: the next frame is somewhere else."""
        self._window.reset()
        self._held.clear()
        self._last = None

    def push_layered(
        self,
        frames: Sequence[Frame],
        jobs: Sequence[FaceJob],
        swapped: Float[Tensor, "b 3 s s"],
        masks: Float[Tensor, "b c m m"] | None,
    ) -> list[Composited]:
        """``push``, with the layers of every frame."""
        faces = prepare_faces(frames, jobs, swapped, masks, self.settings, self.coverage, self.segmenter)
        ready: list[tuple[Frame, list[PreparedFace], list[Averaged]]] = []
        for place, frame in enumerate(frames):
            if self._last is not None and frame.index != self._last + 1:
                ready += self._released(self._window.reset())
            self._last = frame.index
            mine = _by_key([face for face in faces if face.job.frame == place])
            self._held.append((frame, mine))
            ready += self._released(self._window.push({key: face.averaged for key, face in mine.items()}))
        return _finish(ready)

    def flush_layered(self) -> list[Composited]:
        """``flush``, with the layers of every frame."""
        self._last = None
        return _finish(self._released(self._window.reset()))

    def _released(
        self, moments: list[dict[_Key, Run[Averaged]]]
    ) -> list[tuple[Frame, list[PreparedFace], list[Averaged]]]:
        """Frames whose windows are full, with what their faces are to use."""
        out: list[tuple[Frame, list[PreparedFace], list[Averaged]]] = []
        for runs in moments:
            frame, faces = self._held.popleft()
            used = [_average(face.settings, runs[key]) for key, face in faces.items()]
            out.append((frame, list(faces.values()), used))
        return out


def reach_of(settings: CompositeSettings) -> int:
    """Frames before and after one that its composite looks at; codes are averaged before that."""
    neighbours = 1 if settings.detail.shutter else 0  # motion blur looks at the next frame
    return max(settings.temporal.reach, settings.temporal.mask, neighbours)


def _by_key(faces: Sequence[PreparedFace]) -> dict[_Key, PreparedFace]:
    """Faces of a frame by what may be averaged with each other in neighbouring frames."""
    seen: Counter[int] = Counter()
    out: dict[_Key, PreparedFace] = {}
    for face in faces:
        track = face.job.face.track
        seen[track] += 1
        kinds = (face.settings.color_transfer.name, face.settings.color_transfer_after.name)
        lines = face.averaged.before, face.averaged.after
        lengths = tuple(0 if line is None else len(line) for line in lines)
        out[(track, seen[track], *kinds, *lengths, face.averaged.masks is None)] = face
    return out


def _average(settings: CompositeSettings, run: Run[Averaged]) -> Averaged:
    """What a face is to use: the averages of what it and its neighbours measured."""
    temporal, own = settings.temporal, run.items[run.middle]
    near = run.within(temporal.reach)

    def average(lines: list[Tensor | None]) -> Tensor | None:
        known = [line for line in lines if line is not None]
        return weighted_window(known, near.middle, temporal.reach, temporal.sameness) if known else None

    out = dataclasses.replace(
        own,
        before=average([item.before for item in near.items]),
        after=average([item.after for item in near.items]),
        points_before=run.items[run.middle - 1].points if run.middle else None,
        points_after=run.items[run.middle + 1].points if run.middle + 1 < len(run.items) else None,
    )
    near = run.within(temporal.mask)
    masks = [item.masks for item in near.items if item.masks is not None]
    guides = [item.guide for item in near.items if item.guide is not None]
    if len(masks) < 2:
        return out
    smooth = weighted_masks(masks, guides, near.middle, temporal.mask, temporal.sameness)
    return dataclasses.replace(out, masks=smooth)


def _finish(ready: Sequence[tuple[Frame, list[PreparedFace], list[Averaged]]]) -> list[Composited]:
    """Blend the faces of several frames together and lay them over."""
    layers = iter(
        finish_faces(
            [face for _, faces, _ in ready for face in faces],
            [averaged for _, _, every in ready for averaged in every],
        )
    )
    out: list[Composited] = []
    for frame, faces, _ in ready:
        mine = tuple(next(layers) for _ in faces)
        out.append(Composited(lay_over(frame, mine), mine))
    return out

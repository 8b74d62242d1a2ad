"""The network's code of every face, averaged along its track before the face is drawn.

A group of frames waits here until the frames after it are encoded, as far as the averages reach; its faces
are then drawn together, as they were encoded together. Nothing depends on frames further away than that, so
a render that begins a reach early draws from the very same numbers. A code whose settings say 0 is handed on
as it came.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.contracts import Frame
from understudy.image.temporal import Run, TrackWindow, weighted_window
from understudy.pipelines.compositing.layers import FaceJob
from understudy.pipelines.swapper import Swapper

_Key = tuple[int, int]
"""Track, and which of its faces in the frame."""
_BEFORE = 4
"""Numbers of a line that stand before the code: a weight, and the mean colour of what was encoded."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceGroup:
    """Neighbouring frames whose faces go through the network together."""

    frames: list[Frame]
    """In display order."""
    jobs: list[FaceJob]
    """One a face, in the order of the frames."""
    crops: Float[Tensor, "b 3 s s"]
    """What the network is shown of them."""
    batch: int
    """Faces that go through it at a time: a frame with more of them goes in pieces."""

    def pieces(self) -> list[slice]:
        """The faces of each of these times."""
        return [slice(start, start + self.batch) for start in range(0, len(self.jobs), self.batch)]


class CodeAverager:
    """Encodes groups of faces as they go by, and gives them back with the codes to draw from.

    Args:
        swapper: whose codes they are.
        reach: frames by which a frame is held back at most, 0 to 8; how far a face's average reaches is said
            by its job's ``temporal.code``, and is cut to this.
    """

    def __init__(self, swapper: Swapper, reach: int) -> None:
        self._swapper = swapper
        self._window: TrackWindow[_Key, Tensor] = TrackWindow(reach)
        self._held: deque[FaceGroup] = deque()
        self._moments: deque[dict[_Key, Run[Tensor]]] = deque()
        self._last: int | None = None

    def push(self, group: FaceGroup) -> list[tuple[FaceGroup, Float[Tensor, "b n"]]]:
        """The next frames; gives the groups that are ready, in order. Where a number is left out is a cut."""
        lines = self._encoded(group)
        for place, frame in enumerate(group.frames):
            if self._last is not None and frame.index != self._last + 1:
                self._moments += self._window.reset()
            self._last = frame.index
            seen: Counter[int] = Counter()
            items: dict[_Key, Tensor] = {}
            for job, line in zip(group.jobs, lines, strict=True):
                if job.frame == place:
                    seen[job.face.track] += 1
                    items[job.face.track, seen[job.face.track]] = line
            self._moments += self._window.push(items)
        self._held.append(group)
        return self._ready()

    def flush(self) -> list[tuple[FaceGroup, Float[Tensor, "b n"]]]:
        """The groups that are still held; the next frame begins anew."""
        self._moments += self._window.reset()
        self._last = None
        return self._ready()

    def _encoded(self, group: FaceGroup) -> list[Tensor]:
        """What is averaged of each face, in the form that ``weighted_window`` wants."""
        if not group.jobs:
            return []
        codes = torch.cat([self._swapper.code(group.crops[piece]) for piece in group.pieces()])
        light = group.crops.mean((2, 3)).to(codes)
        return list(torch.cat([torch.ones_like(light[:, :1]), light, codes], dim=1))

    def _ready(self) -> list[tuple[FaceGroup, Tensor]]:
        """Groups of which every frame has come out of the window."""
        out: list[tuple[FaceGroup, Tensor]] = []
        while self._held and len(self._held[0].frames) <= len(self._moments):
            group = self._held.popleft()
            runs = [run for _ in group.frames for run in self._moments.popleft().values()]
            codes = [_average(job, run) for job, run in zip(group.jobs, runs, strict=True)]
            out.append((group, torch.stack(codes) if codes else torch.zeros(0, 0)))
        return out


def _average(job: FaceJob, run: Run[Tensor]) -> Tensor:
    """The code that a face is drawn from."""
    assert job.settings is not None, "a render says how each face is put in"
    temporal = job.settings.temporal
    near = run.within(temporal.code)
    return weighted_window(near.items, near.middle, temporal.code, temporal.sameness)[_BEFORE:]

"""What a render says of itself: progress while it goes on, figures at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from understudy.events import Progress, Warned
from understudy.pipelines.merging.flicker import flicker_figures
from understudy.pipelines.merging.segments import SegmentReport, frames_by_faces, stretches
from understudy.pipelines.merging.settings import STAGE

_EVERY = 0.25
"""Seconds between two reports of progress."""
_SHOWN = 8
"""Stretches of frames that a message names."""


class Clock:
    """Progress of a render, a few times a second.

    Args:
        total: frames to do, as far as is known.
        done: frames that were done before.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        self.total, self.done, self.first = total, done, done
        self.faces = 0
        self.started = self.shown = time.monotonic()

    def tick(self, frames: int, faces: int) -> Iterator[Progress]:
        """So many frames more, with so many faces."""
        self.done += frames
        self.faces += faces
        now = time.monotonic()
        if now - self.shown < _EVERY or self.done == self.first:
            return
        self.shown = now
        rate = (self.done - self.first) / (now - self.started)
        yield Progress(
            stage=STAGE,
            done=self.done,
            total=self.total,
            seconds_left=max(0.0, (self.total - self.done) / rate),
            values={"fps": rate, "faces": float(self.faces)},
        )


def summary_of(reports: Sequence[SegmentReport]) -> dict[str, Any]:
    """Figures of a whole render, as plain data."""
    counts = frames_by_faces(reports)
    return {
        "frames": sum(counts.values()),
        "frames_without_a_face": counts.get("0", 0),
        "frames_by_number_of_faces": counts,
        "without_a_face": {"frames": [list(stretch) for stretch in _without(reports)]},
        **flicker_figures(pair for report in reports for pair in report.flicker),
    }


def remarks_on(reports: Sequence[SegmentReport]) -> Iterator[Warned]:
    """What a person should look at, by frame."""
    bare = _without(reports)
    if bare:
        count = sum(last - first for first, last in bare)
        shown = ", ".join(_named(*stretch) for stretch in bare[:_SHOWN])
        more = f" and {len(bare) - _SHOWN} more" if len(bare) > _SHOWN else ""
        yield Warned(
            message=f"{count} frames have no face to swap and are as they were: {shown}{more}",
            frame=bare[0][0],
        )


def _without(reports: Sequence[SegmentReport]) -> tuple[tuple[int, int], ...]:
    """Stretches of frames without a face, those of neighbouring segments joined."""
    return stretches(
        frame for report in reports for first, last in report.without for frame in range(first, last)
    )


def _named(first: int, last: int) -> str:
    return str(first) if last == first + 1 else f"{first} to {last - 1}"

"""What a render says of itself: progress while it goes on, figures at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from understudy.events import Progress
from understudy.pipelines.merge_segments import SegmentReport, frames_by_faces, stretches
from understudy.pipelines.merge_settings import STAGE

_EVERY = 0.25
"""Seconds between two reports of progress."""


class Clock:
    """Progress of a render, a few times a second.

    Args:
        total: frames to do, as far as is known.
        done: frames that were done before.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        self.total, self.done, self.first = total, done, done
        self.started = self.shown = time.monotonic()

    def tick(self, frames: int = 1) -> Iterator[Progress]:
        """So many frames more."""
        self.done += frames
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
            values={"fps": rate},
        )


def summary_of(reports: Sequence[SegmentReport]) -> dict[str, Any]:
    """Figures of a whole render, as plain data."""
    counts = frames_by_faces(reports)
    bare = [frame for report in reports for first, last in report.without for frame in range(first, last)]
    return {
        "frames": sum(counts.values()),
        "frames_without_a_face": counts.get("0", 0),
        "frames_by_number_of_faces": counts,
        "without_a_face": {"stretches": [list(stretch) for stretch in stretches(bare)]},
    }

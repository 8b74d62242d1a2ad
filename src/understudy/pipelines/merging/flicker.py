"""How much a render flickers, measured on a sample of its frames while they go by.

A few neighbouring frames out of every ``EVERY`` are looked at, in each of them the largest face: it costs a
few hundredths of the time of a render, and it is the same sample however the work was shared out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from understudy.contracts import Face, Frame
from understudy.metrics.flicker import FlickerMeter, PairFlicker, mean_flicker

EVERY = 48
"""Frames from one window to the next."""
WINDOW = 5
"""Neighbouring frames in a window."""

Pair = tuple[float, float, float]
"""Plain data of a ``PairFlicker``: swapped, target, brightness."""


class FlickerSampler:
    """Looks at some of the frames of a segment.

    Args:
        face_of: the face to look at in the frame of a number; None without one.
    """

    def __init__(self, face_of: Callable[[int], Face | None]) -> None:
        self._face_of = face_of
        self._meter = FlickerMeter()
        self.pairs: list[Pair] = []

    def push(self, target: Frame, swapped: Frame) -> None:
        """The next frame, as it was and as it is written."""
        if target.index % EVERY >= WINDOW:
            return
        face = self._face_of(target.index)
        pair = self._meter.push(target, swapped, face) if face is not None else None
        if pair is not None:
            self.pairs.append((pair.swapped, pair.target, pair.brightness))


def flicker_figures(pairs: Iterable[Pair]) -> dict[str, Any]:
    """Means over all pairs, as plain data; empty where there was none."""
    found = mean_flicker([PairFlicker(swapped=s, target=t, brightness=b) for s, t, b in pairs])
    if math.isnan(found.flicker):
        return {}
    return {
        "flicker": round(found.flicker, 5),
        "flicker_parts": {
            "swapped": round(found.swapped, 5),
            "target": round(found.target, 5),
            "brightness": round(found.brightness, 5),
            "pairs": found.pairs,
        },
    }

"""Curves in characters: dots of braille, or one line of blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from understudy.training.dashboard import Point, thinned

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille character, four rows of two columns."""
_BLOCKS = "▁▂▃▄▅▆▇█"


class Chart(NamedTuple):
    """A drawn curve."""

    lines: list[str]
    """From the top."""
    low: float
    """Value at the bottom; not a number for an empty curve."""
    high: float
    """Value at the top."""
    logarithmic: bool
    """Equal heights are equal factors."""


def braille(curve: Sequence[Point], width: int, height: int) -> Chart:
    """A curve as ``height`` lines of ``width`` characters, eight dots each.

    The vertical axis is logarithmic where all values are positive, as losses are. What is no number is left
    out.
    """
    columns = 2 * width
    points = _numbers(curve, columns)
    values = [value for _, value in points]
    cells = [[0] * width for _ in range(height)]
    low, high = (min(values), max(values)) if values else (math.nan, math.nan)
    positive = bool(values) and low > 0
    before: tuple[int, int] | None = None
    for step, value in points:
        x = (step - points[0][0]) * (columns - 1) // max(1, points[-1][0] - points[0][0])
        here = (x, _row(value, low, high, 4 * height, positive=positive))
        for dot_x, dot_y in _line(before or here, here):
            cells[dot_y // 4][dot_x // 2] |= _DOTS[dot_y % 4][dot_x % 2]
        before = here
    return Chart(["".join(chr(0x2800 + cell) for cell in line) for line in cells], low, high, positive)


def blocks(curve: Sequence[Point], width: int) -> str:
    """A curve as one line of at most ``width`` blocks."""
    values = [value for _, value in _numbers(curve, width)]
    if not values:
        return ""
    low, high = min(values), max(values)
    if high <= low:
        return _BLOCKS[3] * len(values)
    return "".join(_BLOCKS[round((value - low) / (high - low) * (len(_BLOCKS) - 1))] for value in values)


def _numbers(curve: Sequence[Point], count: int) -> list[Point]:
    return thinned([point for point in curve if math.isfinite(point[1])], count)


def _row(value: float, low: float, high: float, rows: int, *, positive: bool) -> int:
    """Row of dots of a value, from the top."""
    if high <= low:
        return rows // 2
    if positive:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return round((high - value) / (high - low) * (rows - 1))


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Dots from one to another, both included."""
    (x0, y0), (x1, y1) = start, end
    count = max(abs(x1 - x0), abs(y1 - y0), 1)
    return [(x0 + round((x1 - x0) * i / count), y0 + round((y1 - y0) * i / count)) for i in range(count + 1)]

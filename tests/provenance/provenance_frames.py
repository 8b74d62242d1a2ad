"""Frames of noise that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from understudy.contracts import ColorTags, Frame
from understudy.video.layout import layout_of


def frames(
    count: int = 12, seed: int = 0, width: int = 160, height: int = 96, name: str = "yuv420p"
) -> Iterator[Frame]:
    """Frames of noise, mid grey on the average, 25 a second."""
    random = np.random.default_rng(seed)
    layout = layout_of(name)
    unit = 1 << (layout.depth - 8)
    dtype = np.uint8 if layout.depth == 8 else np.uint16
    small = (-(-height >> layout.shift_y), -(-width >> layout.shift_x))
    for index in range(count):
        luma = random.integers(40 * unit, 200 * unit, (height, width), dtype=dtype)
        planes = (luma, *(np.full(small, 128 * unit, dtype) for _ in range(2)))
        yield Frame(
            index=index,
            pts=index,
            time_base=Fraction(1, 25),
            planes=planes if layout.kind == "yuv" else (luma,),
            format=layout,
            color=ColorTags(),
            duration=1,
        )

"""The blocks of the plate's codec in a face that was laid over it.

Done to the frame itself after the paste: blocks lie on the frame's grid, not on a crop's.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Float32

from understudy.contracts import Frame
from understudy.image.blocking import SIDE, BlockGrid, find_blocks
from understudy.image.geometry import compose, invert
from understudy.image.paste import reach
from understudy.image.warp import Rect, chroma_matrix, uncrop

_LOOKED_AT = 512
"""Side of the part of a plane in which blocks are looked for, at most, samples."""


def match_blocks(
    frame: Frame,
    plate: Frame,
    alpha: Float32[np.ndarray, "s s"],
    matrix: Float[np.ndarray, "2 3"],
    share: float,
) -> Frame:
    """A frame whose new face is as blocky as its plate; the frame itself where the plate is not.

    Only frames of 8 bits whose planes are still those of the codec can tell (YUV and grey); samples that the
    face does not reach stay bit-equal.

    Args:
        frame: with the face.
        plate: without it.
        alpha: share of the layer that was pasted, [0, 1].
        matrix: frame pixels to pixels of the layer.
        share: 1 for as coarse as the plate.
    """
    rect = reach(frame, alpha, matrix)
    if rect is None or frame.format.kind == "rgb" or frame.format.depth != 8:
        return frame
    planes = list(frame.planes)
    for number in range(3 if frame.format.kind == "yuv" else 1):
        into, small = matrix, rect
        if number:
            into = compose(matrix, invert(chroma_matrix(frame.format)))
            small = _chroma(rect, frame)
        grid = _blocks_near(plate.planes[number], small)
        if grid is not None:
            weight = uncrop(alpha, into, small)
            planes[number] = _coded(planes[number], grid, small, weight, share)
    if all(mine is theirs for mine, theirs in zip(planes, frame.planes, strict=True)):
        return frame
    return dataclasses.replace(frame, planes=tuple(planes))


def _chroma(rect: Rect, frame: Frame) -> Rect:
    x, y = frame.format.shift_x, frame.format.shift_y
    return rect[0] >> x, rect[1] >> y, -(-rect[2] >> x), -(-rect[3] >> y)


def _blocks_near(plane: np.ndarray, rect: Rect) -> BlockGrid | None:
    """Those of the plate round a face; its own blocks count like all others."""
    starts: list[int] = []
    for first, last, limit in ((rect[0], rect[2], plane.shape[1]), (rect[1], rect[3], plane.shape[0])):
        wanted = (first + last - _LOOKED_AT) // 2
        starts.append(max(0, min(wanted, limit - _LOOKED_AT)) // SIDE * SIDE)
    x, y = starts
    return find_blocks(plane[y : y + _LOOKED_AT, x : x + _LOOKED_AT], 128.0)


def _coded(plane: np.ndarray, grid: BlockGrid, rect: Rect, weight: np.ndarray, share: float) -> np.ndarray:
    """The plane with the blocks that a face reaches coded as the grid says, as far as it reaches them."""
    x0, x1 = (_to_border(place, grid.x, up) for place, up in ((rect[0], False), (rect[2], True)))
    y0, y1 = (_to_border(place, grid.y, up) for place, up in ((rect[1], False), (rect[3], True)))
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(plane.shape[1], x1), min(plane.shape[0], y1)
    coded = grid.coded(plane[y0:y1, x0:x1], x0, y0, 128.0, share)
    coded = coded[rect[1] - y0 : rect[3] - y0, rect[0] - x0 : rect[2] - x0]
    out = plane.copy()
    part = out[rect[1] : rect[3], rect[0] : rect[2]]
    mixed = part + weight.clip(0.0, 1.0) * (coded - part)
    part[...] = np.where(weight > 0.0, np.rint(mixed).clip(0, 255), part)
    return out


def _to_border(place: int, first: int, up: bool) -> int:
    """The nearest border of blocks, not within the rectangle."""
    return first + (-(-(place - first) // SIDE) if up else (place - first) // SIDE) * SIDE

"""Chroma planes to every pixel and back, with the sample positions of MPEG-2.

A chroma sample lies horizontally on the left luma sample of its pair and vertically halfway between the two
rows (ITU-T H.273, chroma sample location type 0). Up-sampling interpolates linearly; down-sampling is the
biorthogonal partner of that filter (horizontally the low-pass of the 5/3 wavelet), so that
``downsample(upsample(c))`` is ``c`` again, edges and odd sizes included.
"""

from __future__ import annotations

import numpy as np


def _up_columns(plane: np.ndarray, width: int) -> np.ndarray:
    """Twice the columns, sample i on column 2i, edge repeated; the first ``width`` of them."""
    out = np.empty((plane.shape[0], 2 * plane.shape[1]), np.float32)
    out[:, ::2] = plane
    out[:, 1:-1:2] = 0.5 * (plane[:, :-1] + plane[:, 1:])
    out[:, -1] = plane[:, -1]
    return out[:, :width]


def _up_rows(plane: np.ndarray, height: int) -> np.ndarray:
    """Twice the rows, sample j between rows 2j and 2j + 1, edge repeated; the first ``height`` of them."""
    out = np.empty((2 * plane.shape[0], plane.shape[1]), np.float32)
    near = 0.75 * plane
    far = 0.25 * plane
    np.add(near[1:], far[:-1], out=out[2::2])
    np.add(near[:-1], far[1:], out=out[1:-1:2])
    out[0], out[-1] = plane[0], plane[-1]
    return out[:height]


def _down_columns(plane: np.ndarray) -> np.ndarray:
    """Half the columns: the 5/3 low-pass (-1, 2, 6, 2, -1) / 8 about every even one."""
    width = plane.shape[1]
    if width == 1:
        return plane
    right = plane[:, -1:]  # up-sampling repeats the last sample, so its partner does
    left = plane[:, [min(2, width - 1), 1]]  # and about the first column it is symmetric
    wide = np.concatenate([left, plane, right, right, right], axis=1)
    count = (width + 1) // 2
    part = [wide[:, k : k + 2 * count : 2][:, :count] for k in range(5)]
    return 0.75 * part[2] + 0.25 * (part[1] + part[3]) - 0.125 * (part[0] + part[4])


def _down_rows(plane: np.ndarray) -> np.ndarray:
    """Half the rows: (-1, 3, 3, -1) / 4 about the middle of every pair."""
    height = plane.shape[0]
    below = plane[-1:]
    if height % 2 and height > 1:  # half a pair at the bottom: the value that up-sampling came from
        below = 1.5 * plane[-1:] - 0.5 * plane[-2:-1]
    tall = np.concatenate([plane[:1], plane, below, below], axis=0)
    count = (height + 1) // 2
    part = [tall[k : k + 2 * count : 2][:count] for k in range(4)]
    return 0.75 * (part[1] + part[2]) - 0.25 * (part[0] + part[3])


def upsample(plane: np.ndarray, shift_x: int, shift_y: int, width: int, height: int) -> np.ndarray:
    """Chroma on every pixel of a ``width`` x ``height`` rectangle."""
    out = plane.astype(np.float32, copy=False)
    for step in reversed(range(shift_x)):  # columns first: rows are the cheaper ones to multiply
        out = _up_columns(out, -(-width >> step))
    for step in reversed(range(shift_y)):
        out = _up_rows(out, -(-height >> step))
    return out


def downsample(plane: np.ndarray, shift_x: int, shift_y: int) -> np.ndarray:
    """Chroma samples of a rectangle from a value on every pixel."""
    for _ in range(shift_y):
        plane = _down_rows(plane)
    for _ in range(shift_x):
        plane = _down_columns(plane)
    return plane

"""Motion blur: how far a face moves while the shutter is open, and the blur that this leaves.

A shutter of 360 degrees is open for the whole time from one frame to the next; film has 180.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional as F

from understudy.image.landmarks import FACE_OVAL

LONGEST = 0.25
"""Of a streak, as a fraction of the picture's side: more is a lost track, not a motion."""
_LEAST = 0.5
"""Length below which a streak is none, pixels: what landmarks tremble by."""


def streak_of_motion(
    before: Float[np.ndarray, "n d"] | None,
    now: Float[np.ndarray, "n d"],
    after: Float[np.ndarray, "n d"] | None,
    matrix: Float[np.ndarray, "2 3"],
    shutter: float,
) -> Float64[np.ndarray, "2"]:
    """Along what line a face is blurred in a crop: the way of its middle while the shutter is open.

    The middle is that of the face's outline, which expressions move least; its speed is the mean of the way
    from the frame before and that to the frame after, or the one that is known.

    Args:
        before: landmarks in the frame before, mesh, frame pixels; None where there is none.
        now: in this frame.
        after: in the next.
        matrix: frame pixels to pixels of the crop.
        shutter: degrees.

    Returns:
        x and y from the line's one end to the other, pixels of the crop; 0 where nothing is known.
    """
    middle = _middle(now)
    ways: list[Float64[np.ndarray, "2"]] = []
    if before is not None:
        ways.append(middle - _middle(before))
    if after is not None:
        ways.append(_middle(after) - middle)
    if not ways:
        return np.zeros(2)
    return matrix[:, :2] @ np.mean(ways, axis=0) * (shutter / 360.0)


def _middle(points: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "2"]:
    return np.asarray(points, np.float64)[list(FACE_OVAL), :2].mean(0)


def motion_blur(
    pictures: Float[Tensor, "b c h w"], streaks: Float[np.ndarray, "b 2"]
) -> Float[Tensor, "b c h w"]:
    """Every picture averaged along its line; beyond the border its last pixels repeat.

    Args:
        pictures: any values.
        streaks: x and y from one end of the line to the other, pixels; see ``streak_of_motion``. One that is
            shorter than half a pixel changes nothing, one longer than ``LONGEST`` is cut.
    """
    longest = LONGEST * min(pictures.shape[-2:])
    out: list[Tensor] = []
    for picture, streak in zip(pictures, streaks, strict=True):
        length = math.hypot(streak[0], streak[1])
        if length < _LEAST or not math.isfinite(length):
            out.append(picture)
            continue
        kernel = line_kernel(streak * min(1.0, longest / length))
        out.append(_averaged(picture, kernel))
    return torch.stack(out) if out else pictures


def line_kernel(streak: Float[np.ndarray, "2"] | Sequence[float]) -> Float64[np.ndarray, "k k"]:
    """Weights of the pixels that a point leaves when it moves along a line, its middle in the middle.

    The point is shared out to the four nearest pixels at every place (bilinear), which is integrated along
    the line: exactly, because between two crossings of the grid the weights are quadratic, for which
    Simpson's rule has no error.

    Args:
        streak: x and y from one end to the other, pixels.

    Returns:
        Rows and columns of an odd side, summing to 1.
    """
    x, y = float(streak[0]), float(streak[1])
    reach = math.ceil(max(abs(x), abs(y)) / 2.0 + 1e-9) + 1
    cuts = {-0.5, 0.5}
    for way in (x, y):
        if abs(way) > 1e-9:
            cuts |= {k / way for k in range(-reach, reach + 1) if abs(k / way) < 0.5}
    ends = sorted(cuts)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for first, last in itertools.pairwise(ends):
        for place, weight in ((first, 1.0), (0.5 * (first + last), 4.0), (last, 1.0)):
            _splat(kernel, place * x + reach, place * y + reach, weight * (last - first) / 6.0)
    return kernel


def _splat(kernel: Float64[np.ndarray, "k k"], x: float, y: float, weight: float) -> None:
    """A point's weight to its four neighbours, in place."""
    column, row = math.floor(x), math.floor(y)
    right, down = x - column, y - row
    for step_y, share_y in ((0, 1.0 - down), (1, down)):
        for step_x, share_x in ((0, 1.0 - right), (1, right)):
            if share_x * share_y > 0.0:
                kernel[row + step_y, column + step_x] += weight * share_x * share_y


def _averaged(picture: Float[Tensor, "c h w"], kernel: Float64[np.ndarray, "k k"]) -> Float[Tensor, "c h w"]:
    """A sum of shifted pictures: on a CPU faster than a convolution, most weights are 0."""
    reach = kernel.shape[0] // 2
    height, width = picture.shape[-2:]
    padded = F.pad(picture[None], (reach,) * 4, mode="replicate")[0]
    out = torch.zeros_like(picture)
    for row, column in zip(*np.nonzero(kernel), strict=True):
        part = padded[:, row : row + height, column : column + width]
        out.add_(part, alpha=float(kernel[row, column]))
    return out

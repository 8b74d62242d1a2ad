"""Whether a face has the colour of its neck.

No reference is needed: the median colour of the lower cheeks and that of the throat below the chin are
compared by CIEDE2000. Medians, because a beard's edge, a collar or a chain must not decide. Light from above
makes any throat darker than its face: compare with the target's own figure.

Blind spot: a tint that first brings the face nearer to its throat lowers the figure before it raises it:
rank correlation 0.32 with tints of 2 to 16 code values (ten pairs of performers,
``benchmarks/metrics.py``). It finds a face that looks like a mask, not a small error; ``metrics.color``
against a reference sees each step.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Float32

from understudy.image.draw import polygon_mask
from understudy.image.lab import rgb_to_lab
from understudy.metrics.color import delta_e_2000

_CHEEKS = ((50, 205, 207, 187, 123, 117), (280, 425, 427, 411, 352, 346))
"""Skin beside nose and mouth, right and left."""
_CHIN, _JAW = 152, (172, 397)
_BROW = 168
_FROM, _TO = 0.18, 0.42
"""Where the throat is: below the chin, in heights from the root of the nose to the chin."""
_HALF = 0.45
"""Half the throat's width, as a fraction of the jaw's."""
_FEWEST = 25.0


def face_to_neck(picture: Float32[np.ndarray, "s s 3"], points: Float[np.ndarray, "478 d"]) -> float:
    """CIEDE2000 difference of face and throat, 0 or more; NaN where the picture does not show both.

    Args:
        picture: a crop with the neck in it, RGB in [0, 1].
        points: landmarks in pixels of the crop.
    """
    side = picture.shape[0]
    marks = np.asarray(points, np.float64)[:, :2]
    cheeks = polygon_mask([marks[list(cheek)] for cheek in _CHEEKS], side)
    colors = [_median(picture, mask) for mask in (cheeks, polygon_mask([throat(marks)], side))]
    if colors[0] is None or colors[1] is None:
        return math.nan
    labs = rgb_to_lab(torch.from_numpy(np.stack([colors[0], colors[1]]))[..., None])
    return float(delta_e_2000(labs[:1], labs[1:]))


def throat(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "4 2"]:
    """Corners of the throat below the chin, in the unit of the points."""
    down = points[_CHIN] - points[_BROW]
    across = (points[_JAW[1]] - points[_JAW[0]]) * _HALF
    top, bottom = points[_CHIN] + _FROM * down, points[_CHIN] + _TO * down
    return np.stack([top - across, top + across, bottom + across, bottom - across])


def _median(picture: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    inside = picture[mask > 0.5]
    return None if len(inside) < _FEWEST else np.median(inside.astype(np.float64), axis=0)

"""Whether a result does what the target does: curves over time, and how alike they run."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from understudy.errors import ShapeError
from understudy.image.landmarks import LEFT_EYE, RIGHT_EYE

_UPPER_LIP, _LOWER_LIP = 13, 14
"""Middle of the inner edges of the lips in the mesh."""


def pearson(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> float:
    """Pearson's correlation of two curves, in [-1, 1]; NaN for fewer than two values or a curve that is flat.

    Places where either is NaN are left out.
    """
    if first.shape != second.shape:
        raise ShapeError("second curve", str(first.shape), second.shape)
    known = np.isfinite(first) & np.isfinite(second)
    a, b = (np.asarray(curve, np.float64)[known] for curve in (first, second))
    if len(a) < 2:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / scale) if scale > 1e-12 * len(a) else float("nan")


def eye_distance(points: Float[np.ndarray, "n 478 3"]) -> Float64[np.ndarray, " n"]:
    """Distance between the middles of the two eyes in three dimensions, in the unit of the points."""
    marks = np.asarray(points, np.float64)
    right, left = (marks[..., list(eye), :].mean(-2) for eye in (RIGHT_EYE, LEFT_EYE))
    return np.linalg.norm(left - right, axis=-1)


def mouth_opening(points: Float[np.ndarray, "n 478 3"]) -> Float64[np.ndarray, " n"]:
    """Gap between the inner edges of the lips, as a fraction of the eye distance."""
    marks = np.asarray(points, np.float64)
    gap = np.linalg.norm(marks[..., _LOWER_LIP, :] - marks[..., _UPPER_LIP, :], axis=-1)
    return gap / np.maximum(eye_distance(points), 1e-9)

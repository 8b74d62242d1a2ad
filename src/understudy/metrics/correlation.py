"""Whether a result does what the target does: curves over time, and how alike they run; and their ranks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from understudy.errors import ShapeError


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


def spearman(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> float:
    """Spearman's rank correlation, in [-1, 1]: Pearson's of the ranks, equal values sharing their mean rank.

    NaN for fewer than two values or one value only; places where either is NaN are left out.
    """
    if first.shape != second.shape:
        raise ShapeError("second curve", str(first.shape), second.shape)
    known = np.isfinite(first) & np.isfinite(second)
    return pearson(_ranks(first[known]), _ranks(second[known]))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[places]

"""How sure a figure is: a mean with its confidence interval and its n.

Frames of one video are no independent evidence, so the unit is the **video**: one figure for each, and the
bootstrap draws whole videos (Efron and Tibshirani 1993, "An introduction to the bootstrap", section 13.3, the
percentile interval). Draws are seeded: the same figures give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from understudy.errors import ShapeError

_RESAMPLES = 4000
_FEWEST = 3
"""Videos below which a bootstrap says nothing."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over videos; never shown without its ``n``."""

    mean: float
    """Mean of the videos' figures; NaN without one."""
    low: float
    """Lower end of the confidence interval; NaN for fewer than three videos."""
    high: float
    """Upper end."""
    n: int
    """Videos that have a figure."""

    def text(self, digits: int = 3) -> str:
        """For tables: ``0.731 [0.702, 0.755] n = 12``."""
        mean = f"{self.mean:.{digits}f}" if math.isfinite(self.mean) else "–"
        span = f" [{self.low:.{digits}f}, {self.high:.{digits}f}]" if math.isfinite(self.low) else ""
        return f"{mean}{span} n = {self.n}"


def estimate(
    videos: Sequence[float] | Float[np.ndarray, " n"], *, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Mean over videos with its bootstrap interval.

    Args:
        videos: one figure a video (the mean over its frames); NaN where a video has none.
        confidence: of the interval, in (0, 1).
        seed: of the draws.
    """
    values = np.asarray(videos, np.float64)
    values = values[np.isfinite(values)]
    count = len(values)
    mean = float(values.mean()) if count else math.nan
    if count < _FEWEST:
        return Estimate(mean=mean, low=math.nan, high=math.nan, n=count)
    draws = np.random.default_rng(seed).integers(0, count, (_RESAMPLES, count))
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(values[draws].mean(1), [tail, 100.0 - tail])
    return Estimate(mean=mean, low=float(low), high=float(high), n=count)


def paired_difference(
    first: Sequence[float] | Float[np.ndarray, " n"],
    second: Sequence[float] | Float[np.ndarray, " m"],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Mean of ``first - second`` over the same videos, with its interval; 0 outside it: the two differ.

    Raises:
        ShapeError: they do not have as many videos.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise ShapeError("second method's figures", str(a.shape), b.shape)
    return estimate(a - b, confidence=confidence, seed=seed)

"""Measured videos that are held against each other, and their paired differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from understudy import __version__
from understudy.pipelines.evaluation.findings import FORMAT
from understudy.pipelines.evaluation.scores import MEASURES, PERCENT, Measure, Score, interval, score


@dataclass(frozen=True, kw_only=True, eq=False)
class Contender:
    """One of the videos that are compared."""

    name: str
    """Short: a letter and the file's name."""
    video: Path
    """The swapped video."""
    offset: int
    """Frame of the target that pairs with its frame 0."""
    rate: float
    """Frames a second of the target."""
    columns: Mapping[str, Float64[np.ndarray, " n"]]
    """Figures frame by frame."""

    def score(self, measure: Measure) -> Score | None:
        """A figure of it; None where there is none."""
        values = self.columns.get(measure.name)
        if values is None or not np.isfinite(values).any():
            return None
        return score(measure, values, max(1, round(self.rate)))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A figure of a contender less that of the first."""

    mean: float
    """Over the frames that both have."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end."""
    n: int
    """Frames."""

    @property
    def told_apart(self) -> bool:
        """The interval does not hold 0."""
        return self.low > 0 or self.high < 0


def difference(first: Contender, other: Contender, measure: Measure) -> Difference | None:
    """Paired difference of a figure; None where they have no frame in common."""
    if measure.name not in first.columns or measure.name not in other.columns:
        return None
    both, mine, theirs = np.intersect1d(
        first.columns["frame"], other.columns["frame"], assume_unique=True, return_indices=True
    )
    values = other.columns[measure.name][theirs] - first.columns[measure.name][mine]
    known = np.isfinite(values)
    if not len(both) or not known.any():
        return None
    factor = 100.0 if measure.name in PERCENT else 1.0
    low, high = interval(values, max(1, round(first.rate)))
    return Difference(
        mean=float(values[known].mean()) * factor, low=low * factor, high=high * factor, n=int(known.sum())
    )


def plain(contenders: Sequence[Contender]) -> dict[str, Any]:
    """The comparison for JSON."""
    first = contenders[0]
    known = [measure for measure in MEASURES if any(one.score(measure) for one in contenders)]
    return {
        "format": FORMAT,
        "kind": "comparison",
        "understudy": __version__,
        "contenders": [one.name for one in contenders],
        "scores": {measure.name: [one.score(measure) for one in contenders] for measure in known},
        "differences_to_the_first": {
            measure.name: [difference(first, other, measure) for other in contenders[1:]] for measure in known
        },
    }

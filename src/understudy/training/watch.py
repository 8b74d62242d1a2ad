"""Watches the loss: smooths it, knows the best, and sees when a run falls apart."""

from __future__ import annotations

import math
from typing import Any


class LossWatch:
    """A loss smoothed over about fifty steps, and what it has been at best.

    Args:
        collapse: how many times its best the smoothed loss must reach to count as fallen apart.
    """

    def __init__(self, collapse: float) -> None:
        self.collapse = collapse
        self.count = 0
        self.sum = 0.0
        self.lowest = math.inf
        self.best_saved = math.inf

    @property
    def smooth(self) -> float:
        """The smoothed loss; infinite before the first."""
        if not self.count:
            return math.inf
        return self.sum / (1 - 0.98**self.count)

    def update(self, loss: float) -> bool:
        """Take in the loss of a step; False when the run has fallen apart."""
        if not math.isfinite(loss):
            return False
        self.count += 1
        self.sum = 0.98 * self.sum + 0.02 * loss
        if self.count < 100:
            return True
        self.lowest = min(self.lowest, self.smooth)
        return self.smooth <= self.collapse * self.lowest

    def is_best(self) -> bool:
        """True, once, when the smoothed loss is lower than at any earlier call."""
        better = self.smooth < self.best_saved
        self.best_saved = min(self.best_saved, self.smooth)
        return better

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            "count": self.count,
            "sum": self.sum,
            "lowest": self.lowest if math.isfinite(self.lowest) else None,
            "best_saved": self.best_saved if math.isfinite(self.best_saved) else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what ``state`` gave."""
        self.count, self.sum = state["count"], state["sum"]
        self.lowest = math.inf if state["lowest"] is None else state["lowest"]
        self.best_saved = math.inf if state["best_saved"] is None else state["best_saved"]

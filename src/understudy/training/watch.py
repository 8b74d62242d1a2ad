"""Sees when a run falls apart: its loss jumps or is no number, or what it draws goes blank."""

from __future__ import annotations

import math
from collections.abc import Mapping
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

    def update(self, loss: float) -> str | None:
        """Take in the loss of a step; why the run has fallen apart, None when it has not."""
        if not math.isfinite(loss):
            return "a loss is no number any more"
        self.count += 1
        self.sum = 0.98 * self.sum + 0.02 * loss
        if self.count < 100:
            return None
        self.lowest = min(self.lowest, self.smooth)
        if self.smooth <= self.collapse * self.lowest:
            return None
        return f"the loss has risen to {self.smooth:.3g}, {self.smooth / self.lowest:.1f} times its lowest"

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

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state`` gave."""
        self.count, self.sum = state["count"], state["sum"]
        self.lowest = math.inf if state["lowest"] is None else state["lowest"]
        self.best_saved = math.inf if state["best_saved"] is None else state["best_saved"]


class PulseWatch:
    """Sees when what a model draws, which had contrast, has none any more.

    A model that has not learned to draw yet is blank too: it must have lived to be dead.

    Args:
        alive: share of the truth's contrast from which the drawing counts as alive.
        dead: share below which it counts as blank.
        patience: blank drawings in a row that make it dead.
    """

    def __init__(self, alive: float = 0.2, dead: float = 0.02, patience: int = 3) -> None:
        self.alive, self.dead, self.patience = alive, dead, patience
        self.lived = False
        self.blank = 0

    def update(self, pulse: float) -> str | None:
        """Take in the contrast of a drawing over that of the truth; why the run is dead, None if it lives."""
        self.lived = self.lived or pulse >= self.alive
        self.blank = self.blank + 1 if self.lived and not pulse >= self.dead else 0
        if self.blank < self.patience:
            return None
        return f"what it draws is one flat colour ({100 * pulse:.1g} % of the contrast it should have)"

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {"lived": self.lived, "blank": self.blank}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state`` gave."""
        self.lived, self.blank = state["lived"], state["blank"]

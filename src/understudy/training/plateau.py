"""Ends a run, or a phase of it, when what is measured on faces it never saw stops getting better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from understudy.errors import ConfigError


class Plateau:
    """Counts measurements since the best one.

    Args:
        figure: name of the figure, or how its name ends.
        patience: measurements without a new best after which it is over.
        falls: whether less is better.
    """

    def __init__(self, figure: str, patience: int, *, falls: bool) -> None:
        self.figure, self.patience, self.falls = figure, patience, falls
        self.best = math.inf if falls else -math.inf
        self.without = 0

    @property
    def reached(self) -> bool:
        """True when the figure has stopped getting better."""
        return self.without >= self.patience

    def update(self, figures: Mapping[str, float]) -> bool:
        """Take in a measurement; True when it is the best so far. What is no number is none.

        Raises:
            ConfigError: the figure is not measured, or several bear the name.
        """
        value = self._find(figures)
        better = value < self.best if self.falls else value > self.best
        if better:
            self.best, self.without = value, 0
        else:
            self.without += 1
        return better

    def _find(self, figures: Mapping[str, float]) -> float:
        if self.figure in figures:
            return figures[self.figure]
        found = [name for name in figures if name.endswith(self.figure)]
        if len(found) != 1:
            raise ConfigError(
                f"loop.figure: {len(found) or 'no'} figures are called {self.figure!r}; "
                f"measured are {', '.join(figures) or 'none'}"
            )
        return figures[found[0]]

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {"best": self.best if math.isfinite(self.best) else None, "without": self.without}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state`` gave."""
        self.without = state["without"]
        if state["best"] is not None:
            self.best = state["best"]

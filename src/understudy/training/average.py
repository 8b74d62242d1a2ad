"""A running average of the weights: what a run gives away, steadier than its last step."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class AverageSettings:
    """The running average of the weights that is used for previews and merging."""

    decay: float = 0.999
    """Share of the average that is kept each step; 0 for none. It is less in the beginning."""
    every: int = 10
    """Steps between updates of the average; the decay is adapted."""


class WeightAverage:
    """Exponential moving average of a module's weights, with a short memory in the beginning.

    Polyak and Juditsky 1992; the growing memory min(decay, (1 + n) / (10 + n)) as in TensorFlow's.

    Args:
        settings: how long it remembers.
        module: whose weights; its buffers are not averaged.
    """

    def __init__(self, settings: AverageSettings, module: nn.Module) -> None:
        self.settings = settings
        self.weights = dict(module.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, from 0."""
        if (step + 1) % self.settings.every:
            return
        decay = min(self.settings.decay, (1 + step) / (10 + step)) ** self.settings.every
        together: Any = torch  # its stub lacks the operations on lists
        together._foreach_lerp_(list(self.average.values()), list(self.weights.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Generator[None, None, None]:
        """The module has the average as its weights within the block."""
        own = {name: p.data for name, p in self.weights.items()}
        try:
            for name, parameter in self.weights.items():
                parameter.data = self.average[name]
            yield
        finally:
            for name, parameter in self.weights.items():
                parameter.data = own[name]

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over a saved average."""
        for name, value in self.average.items():
            value.copy_(state[name])

"""What learns to swap.

To add one: a new file here, named as the model is named, holding one ``ModelSettings``. Nothing else
changes: the command line, the recipes and the contract tests read the registry.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from understudy.contracts import Context, CropMode
from understudy.learning import SwapModel
from understudy.registry import Plugin, Registry


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Plugin):
    """Settings of a swap model."""

    resolution: int = 96
    """Side of the square face crop that goes in, pixels."""
    crop: CropMode = "full"
    """How much of the head a crop shows."""
    coverage: float = 1.0
    """Side of the centred part of that crop that the model sees; below 1 is tighter."""

    @abstractmethod
    def build(self, context: Context) -> SwapModel:
        """Make the network, freshly initialised, on the context's device."""


MODELS: Registry[ModelSettings] = Registry("model", __name__)
ModelSettings.registry = MODELS

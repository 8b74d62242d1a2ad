"""The histogram of every RGB channel, as the target's face has it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.color_transfers import COLOR_TRANSFERS, StableTransfer
from understudy.errors import ConfigError
from understudy.image.statistics import follow_curve, quantile_curve, weighted_quantiles

_LEVELS = 256
_NODES = 513
"""Of a curve over the range; two to a code value of 8 bits."""


@COLOR_TRANSFERS.register("histogram")
@dataclass(frozen=True, kw_only=True)
class Histogram(StableTransfer):
    """The histogram of every RGB channel, as the target's face has it.

    Gonzalez and Woods, "Digital image processing", section 3.3.2: quantile to quantile, one increasing curve
    a channel. Averaged over time are the quantiles, whose average is that of the distributions in the sense
    of Wasserstein.
    """

    strength: float = 1.0
    """How far each pixel goes, from 0 (not at all) to 1."""
    threshold: float = 1.0
    """Factor on the target's quantiles, 0.5 to 1: below 1 the face becomes brighter than the target's.
    DeepFaceLab's histogram threshold divided by 255; its default of 238 is 0.933."""
    max_slope: float = 6.0
    """Steepest part of a curve, and inverted the flattest."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.strength <= 1.0:
            raise ConfigError(f"strength: wanted 0 to 1, got {self.strength}")
        if not 0.5 <= self.threshold <= 1.0:
            raise ConfigError(f"threshold: wanted 0.5 to 1, got {self.threshold}")

    def _measure(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        weights: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b k"]:
        """Quantiles of the face, then of the reference."""
        return torch.cat(
            [weighted_quantiles(picture, weights, _LEVELS).flatten(1) for picture in (face, reference)], 1
        )

    def _apply(
        self, face: Float[Tensor, "b 3 s s"], statistics: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b 3 s s"]:
        """One curve a channel."""
        start, end = statistics.view(len(statistics), 2, 3, _LEVELS).unbind(1)
        if self.threshold < 1.0:
            level = torch.arange(_LEVELS, device=face.device, dtype=face.dtype) / self.threshold
            level = level.clamp(max=_LEVELS - 1.0)
            low = level.long().clamp(max=_LEVELS - 2)
            end = torch.lerp(end[..., low], end[..., low + 1], level - low)
        curve = quantile_curve(start, end, _NODES, self.max_slope)
        return torch.lerp(face, follow_curve(face, curve), self.strength)

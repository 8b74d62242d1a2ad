"""Mean and contrast of every L*a*b* channel, as the target's face has them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.color_transfers import COLOR_TRANSFERS, StableTransfer
from understudy.image.lab import lab_to_rgb, rgb_to_lab
from understudy.image.statistics import weighted_deviation

_RANGE = 100.0
"""Of L*; statistics are kept as fractions of it."""
_SMALLEST = 1e-5
"""Standard deviation that is taken for a flat face."""


@COLOR_TRANSFERS.register("reinhard")
@dataclass(frozen=True, kw_only=True)
class Reinhard(StableTransfer):
    """Mean and contrast of every L*a*b* channel, as the target's face has them.

    Reinhard et al. 2001, "Color transfer between images", equations 10 and 11, in CIE L*a*b*.
    """

    max_gain: float = 3.0
    """Most by which contrast is raised, and lowered; keeps the noise of a flat face from being blown up."""

    def _measure(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        weights: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 12"]:
        """Means and deviations of the face, then of the reference."""
        pictures = (rgb_to_lab(face), rgb_to_lab(reference))
        return torch.cat([part for lab in pictures for part in weighted_deviation(lab, weights)], 1) / _RANGE

    def _apply(
        self, face: Float[Tensor, "b 3 s s"], statistics: Float[Tensor, "b 12"]
    ) -> Float[Tensor, "b 3 s s"]:
        """Gain and shift of every channel."""
        parts = statistics[..., None, None].split(3, dim=1)
        mean, deviation, wanted, wanted_deviation = parts
        gain = wanted_deviation.clamp(min=_SMALLEST) / deviation.clamp(min=_SMALLEST)
        gain = gain.clamp(1.0 / self.max_gain, self.max_gain)
        return lab_to_rgb((rgb_to_lab(face) - mean * _RANGE) * gain + wanted * _RANGE)

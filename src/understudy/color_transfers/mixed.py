"""Lightness by mean and contrast, colour at fixed lightness by sliced optimal transport of a* and b*."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.color_transfers import COLOR_TRANSFERS, StableTransfer
from understudy.image.lab import lab_to_rgb, rgb_to_lab
from understudy.image.statistics import weighted_deviation
from understudy.image.transport import Transport, fit_transport, turned_directions

_RANGE = 100.0
"""Of L*; statistics are kept as fractions of it."""
_CHROMA = 64.0
"""Of a* and b* to either side; the map of colours beyond goes on as it ends."""
_SMALLEST = 1e-5
"""Standard deviation that is taken for a flat face."""


@COLOR_TRANSFERS.register("mixed")
@dataclass(frozen=True, kw_only=True)
class Mixed(StableTransfer):
    """Lightness by mean and contrast, colour at fixed lightness by sliced optimal transport of a* and b*.

    In CIE L*a*b*: Reinhard et al. 2001, equations 10 and 11, for L*; Bonneel et al. 2015 in the plane of
    a* and b*, whatever the lightness of a pixel. So shading keeps its shape and skin takes the target's
    hues.
    """

    steps: int = 8
    """How often the colours are moved."""
    directions: int = 6
    """Directions that a step looks along."""
    max_gain: float = 3.0
    """Most by which contrast is raised, and lowered."""

    def _measure(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        weights: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b k"]:
        """Mean and deviation of both lightnesses, then the map of a* and b*."""
        start, end = rgb_to_lab(face), rgb_to_lab(reference)
        lightness = [p / _RANGE for lab in (start, end) for p in weighted_deviation(lab[:, :1], weights)]
        directions = turned_directions(self.steps, self.directions, 2)
        planes = (start[:, 1:].flatten(2) / _CHROMA, end[:, 1:].flatten(2) / _CHROMA, weights.flatten(2))
        chroma = fit_transport(*planes, directions, self.max_gain).packed()
        return torch.cat([*lightness, chroma], 1)

    def _apply(
        self, face: Float[Tensor, "b 3 s s"], statistics: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b 3 s s"]:
        """Gain and shift of L*, the map for a* and b*."""
        lab = rgb_to_lab(face)
        mean, deviation, wanted, wanted_deviation = statistics[:, :4, None, None].split(1, dim=1)
        gain = wanted_deviation.clamp(min=_SMALLEST) / deviation.clamp(min=_SMALLEST)
        gain = gain.clamp(1.0 / self.max_gain, self.max_gain)
        lightness = (lab[:, :1] - mean * _RANGE) * gain + wanted * _RANGE
        chroma = Transport.unpacked(statistics[:, 4:], 2)(lab[:, 1:].flatten(2) / _CHROMA, self.max_gain)
        return lab_to_rgb(torch.cat([lightness, chroma.view_as(lab[:, 1:]) * _CHROMA], 1))

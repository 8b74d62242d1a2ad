"""Focal frequency loss: errors in the spectrum, the worst frequencies first.

Jiang et al. 2021, "Focal frequency loss for image reconstruction and synthesis", equations 6 to 8: the mean
over all frequencies of w(u, v) |F(u, v)|^2, where F is the orthonormal Fourier transform of the difference of
the two pictures and w = |F|^alpha, scaled to a largest value of one for each picture and channel and taken as
a constant by the gradient. With w = 1 it would be the mean squared error (Parseval); the weight is what makes
it look for the frequencies that a network finds hard.

The difference is real, so half of its spectrum tells the other; frequencies with a twin count twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.errors import ConfigError, ShapeError
from understudy.losses import LOSSES, PictureLoss


@LOSSES.register("focal_frequency")
@dataclass(frozen=True, kw_only=True)
class FocalFrequency(PictureLoss):
    """Squared error of the spectrum, weighted towards the frequencies that are furthest off."""

    alpha: float = 1.0
    """Power of the weight; 0 for plain squares, larger for a narrower focus."""
    patches: int = 1
    """Patches along each axis, each with a spectrum of its own; must divide the side."""
    logarithm: bool = False
    """Flatten the weight by a logarithm, log(1 + w): for spectra with a few dominant frequencies."""
    over_batch: bool = False
    """Scale the weight by the largest value of the whole batch instead of each picture's and channel's."""

    def __post_init__(self) -> None:
        if self.alpha < 0:
            raise ConfigError(f"alpha: focal_frequency wants 0 or more, got {self.alpha}")
        if self.patches < 1:
            raise ConfigError(f"patches: focal_frequency wants 1 or more, got {self.patches}")

    def __call__(
        self, prediction: Float[Tensor, "b c s s"], truth: Float[Tensor, "b c s s"]
    ) -> Float[Tensor, ""]:
        """Mean over frequencies, channels, patches and pictures."""
        side = truth.shape[-1]
        if side % self.patches:
            wanted = f"(B, C, S, S) with S a multiple of {self.patches}"
            raise ShapeError("focal_frequency", wanted, tuple(truth.shape))
        part = side // self.patches
        difference = (prediction.float() - truth.float()).unfold(2, part, part).unfold(3, part, part)
        spectrum = torch.view_as_real(torch.fft.rfft2(difference, norm="ortho"))
        power = spectrum.square().sum(-1)
        return (self._focus(power.detach()) * power * _twins(part, power)).sum((-2, -1)).mean() / part**2

    def _focus(self, power: Float[Tensor, "b c m m h w"]) -> Float[Tensor, "b c m m h w"]:
        """Weights in [0, 1] from squared magnitudes, equation 7."""
        weight = power ** (self.alpha / 2)
        if self.logarithm:
            weight = torch.log1p(weight)
        largest = weight.max() if self.over_batch else weight.amax((-2, -1), keepdim=True)
        return weight / largest.clamp(min=torch.finfo(weight.dtype).tiny)


def _twins(side: int, like: Float[Tensor, "..."]) -> Float[Tensor, " w"]:
    """How often each column of a half spectrum stands in the whole one."""
    count = torch.full((side // 2 + 1,), 2.0, device=like.device)
    count[0] = 1.0
    if side % 2 == 0:
        count[-1] = 1.0
    return count

"""The target's mean colour: every pixel is moved by the difference of the two means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.color_transfers import COLOR_TRANSFERS, StableTransfer
from understudy.image.lab import linear_to_srgb, srgb_to_linear
from understudy.image.statistics import weighted_mean

_DARKEST = 1e-3
"""Mean light that is taken for none."""


@COLOR_TRANSFERS.register("mean")
@dataclass(frozen=True, kw_only=True)
class Mean(StableTransfer):
    """The target's mean colour: every pixel is moved by the difference of the two means.

    Known as average colour adjustment. With ``gain``, von Kries' rule instead (1902): a change of exposure
    or of the light's colour multiplies each channel of linear light.
    """

    change: Literal["shift", "gain"] = "shift"
    """``shift`` adds to the R'G'B' values. ``gain`` multiplies the light, as a lens or a lamp does; contrast
    then follows brightness."""
    max_gain: float = 4.0
    """Most that light is multiplied or divided by: two stops."""

    def _measure(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        weights: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 6"]:
        """Mean colour of the face, then of the reference."""
        pictures = (face, reference)
        if self.change == "gain":
            pictures = (srgb_to_linear(face), srgb_to_linear(reference))
        return torch.cat([weighted_mean(picture, weights) for picture in pictures], 1)

    def _apply(
        self, face: Float[Tensor, "b 3 s s"], statistics: Float[Tensor, "b 6"]
    ) -> Float[Tensor, "b 3 s s"]:
        """One shift or one gain a channel."""
        mean, wanted = statistics[..., None, None].split(3, dim=1)
        if self.change == "shift":
            return face + (wanted - mean)
        gain = wanted.clamp(min=_DARKEST) / mean.clamp(min=_DARKEST)
        gain = gain.clamp(1.0 / self.max_gain, self.max_gain)
        return linear_to_srgb(srgb_to_linear(face) * gain)

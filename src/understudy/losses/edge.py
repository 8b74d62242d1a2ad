"""Absolute error of the picture's edges.

The difference of gradients, as faceswap-GAN has it beside the pixels' own error, after Mathieu et al. 2016,
"Deep multi-scale video prediction beyond mean square error", equation 6. Both compare the magnitudes of
differences; here their signs count too, so that a dark line on bright skin is not as good as a bright one on
dark.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from understudy.losses import LOSSES, PictureLoss


@LOSSES.register("edge")
@dataclass(frozen=True, kw_only=True)
class Edge(PictureLoss):
    """Absolute error of the differences between neighbouring pixels: sharper outlines."""

    weight: float = 0.1
    """Factor in the sum."""

    def __call__(
        self, prediction: Float[Tensor, "b c s s"], truth: Float[Tensor, "b c s s"]
    ) -> Float[Tensor, ""]:
        """Mean over pixels, channels and pictures; the sum of the error along rows and along columns."""
        error = prediction.float() - truth.float()
        across = (error[..., 1:] - error[..., :-1]).abs().mean()
        down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
        return across + down

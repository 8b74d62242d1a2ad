"""Mean squared error."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from understudy.losses import LOSSES, PictureLoss


@LOSSES.register("mse")
@dataclass(frozen=True, kw_only=True)
class Mse(PictureLoss):
    """Mean squared error of the pixels."""

    weight: float = 10.0
    """Factor in the sum."""

    def __call__(
        self, prediction: Float[Tensor, "b c s s"], truth: Float[Tensor, "b c s s"]
    ) -> Float[Tensor, ""]:
        """Mean over pixels, channels and pictures."""
        return F.mse_loss(prediction.float(), truth.float())

"""Mean absolute error, the loss of the first deepfakes autoencoder and of faceswap-GAN."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from understudy.losses import LOSSES, PictureLoss


@LOSSES.register("l1")
@dataclass(frozen=True, kw_only=True)
class L1(PictureLoss):
    """Mean absolute error of the pixels: kinder to sharp edges than squares are."""

    weight: float = 1.0
    """Factor in the sum."""

    def __call__(
        self, prediction: Float[Tensor, "b c s s"], truth: Float[Tensor, "b c s s"]
    ) -> Float[Tensor, ""]:
        """Mean over pixels, channels and pictures."""
        return F.l1_loss(prediction.float(), truth.float())

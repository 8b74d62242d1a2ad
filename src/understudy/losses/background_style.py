"""The swap takes over what lies round the face in the footage.

DeepFaceLab's ``bg_style_power`` (reference implementation of arXiv 2005.05535): structural dissimilarity
and squared error between swap and target, both multiplied by what the softened mask leaves over, where the
mask is that of the swap times that of the reconstructed target, blurred. Its program then puts the blurred
mask of *another* picture, the source's, in that place; here it is the one that belongs to these pictures.
The gradient flows into the swap's picture and from there into the decoder only: not into the masks, not
into the code.

Too large a weight makes a run fall apart, as with ``face_style``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from understudy.learning import Outcome
from understudy.losses import LOSSES, StepLoss
from understudy.nn.similarity import dissimilarity
from understudy.nn.window import gaussian_blur


@LOSSES.register("background_style")
@dataclass(frozen=True, kw_only=True)
class BackgroundStyle(StepLoss):
    """Pulls the swap to the target outside the face."""

    weight: float = 0.2
    """Factor in the sum: a tenth of DeepFaceLab's power, so 0.2 is its usual 2."""

    def __call__(self, outcome: Outcome) -> Float[Tensor, ""]:
        """DSSIM plus mean squared error outside the face."""
        swap, target = outcome.swap, outcome.made.target
        side = swap.face.shape[-1]
        mask = (swap.mask.float() * target.mask.float()).detach()
        outside = 1 - gaussian_blur(mask, float(max(1, side // 32))).clamp(0, 1)
        drawn = swap.face.float() * outside
        wanted = outcome.batch.target.truth.float() * outside
        return dissimilarity(drawn, wanted, max(2, int(side / 11.6))) + F.mse_loss(drawn, wanted)

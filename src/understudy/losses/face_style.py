"""The swap takes over the colours of the footage: mean and spread of each channel inside the face.

The style of a picture as mean and standard deviation of its channels is that of Huang and Belongie 2017,
"Arbitrary style transfer in real-time with adaptive instance normalization", equation 13, taken of the
pictures themselves, as DeepFaceLab's ``face_style_power`` does (reference implementation of arXiv
2005.05535): the swap times its mask against the reconstructed target times its own, both blurred by an
eighth of the side, zeros outside counting. The gradient flows into the swap's picture and from there into
the decoder only: not into either mask, not into the target's face, not into the code.

Too large a weight makes a run fall apart: the cheapest way to the target's colours is the target's face.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from understudy.learning import Outcome
from understudy.losses import LOSSES, StepLoss
from understudy.nn.window import gaussian_blur

_EPSILON = 1e-5
"""Added to a variance before its root, whose slope at zero has no bound."""


@LOSSES.register("face_style")
@dataclass(frozen=True, kw_only=True)
class FaceStyle(StepLoss):
    """Pulls the swap's colour statistics inside the face to the target's."""

    weight: float = 0.1
    """Factor in the sum: DeepFaceLab's power times 100, so 0.1 is its cautious start of 0.001."""

    def __call__(self, outcome: Outcome) -> Float[Tensor, ""]:
        """Squared differences of mean and standard deviation, mean over channels and pictures."""
        swap, target = outcome.swap, outcome.made.target
        mean, spread = _style(swap.face.float() * swap.mask.detach().float())
        mean_wanted, spread_wanted = _style((target.face * target.mask).detach().float())
        return ((mean - mean_wanted).square() + (spread - spread_wanted).square()).mean()


def _style(pictures: Float[Tensor, "b c s s"]) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """Mean and standard deviation of the blurred channels."""
    blurred = gaussian_blur(pictures, float(max(1, pictures.shape[-1] // 8)))
    return blurred.mean((2, 3)), (blurred.var((2, 3), correction=0) + _EPSILON).sqrt()

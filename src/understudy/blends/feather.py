"""Alpha blend with a softened mask edge."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.blends import BLENDS, Blend
from understudy.image.filter import erode, gaussian_blur


@BLENDS.register("feather")
@dataclass(frozen=True, kw_only=True)
class Feather(Blend):
    """Alpha blend with a softened mask edge."""

    softness: float = 0.05
    """Width of the soft edge, inwards from the mask's, as a fraction of the crop side; 0 takes the mask as
    it is."""

    def __call__(
        self,
        base: Float[Tensor, "b 3 s s"],
        face: Float[Tensor, "b 3 s s"],
        mask: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 3 s s"]:
        """``base + alpha (face - base)``; alpha is nowhere above the mask.

        Of R'G'B' values: mixing light itself makes the brighter side wider, and was further from the exact
        swap at the border in every row of ``benchmarks/compositing.py`` that tried it.
        """
        radius = round(self.softness * mask.shape[-1] / 2.0)
        # what lies deeper than the radius, blurred by as much: back at the mask's edge it is 0
        inner = gaussian_blur(erode(mask, radius), radius / 2.0, radius) if radius else mask
        alpha = torch.minimum(inner, mask)
        return torch.where(alpha > 0, base.lerp(face, alpha), base)

"""Gradient-domain blend: the face keeps its detail and takes the light and colour round it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.blends import BLENDS, Blend
from understudy.image.poisson import clone

_TOLERANCE = 5e-4
"""Half a code value of a 10-bit frame; what is left is smooth."""


@BLENDS.register("poisson")
@dataclass(frozen=True, kw_only=True)
class Poisson(Blend):
    """Gradient-domain blend: the face keeps its detail and takes the light and colour round it."""

    level: float = 0.5
    """Value of the mask from which a pixel belongs to the face. The seam lies there, inside the soft edge,
    so that hair and background just outside the face do not colour it."""

    def __call__(
        self,
        base: Float[Tensor, "b 3 s s"],
        face: Float[Tensor, "b 3 s s"],
        mask: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 3 s s"]:
        """Perez, Gangnet and Blake 2003, equation 10, faded in over the upper half of the soft edge."""
        inside = mask > self.level
        solved = clone(base.float(), face.float(), inside, _TOLERANCE).clamp(0.0, 1.0).to(base.dtype)
        alpha = ((mask - self.level) / max(1.0 - self.level, 1e-6)).clamp(0.0, 1.0)
        return torch.where(inside, base.lerp(solved, alpha), base)

"""Alpha matte: the edge follows hair, hands and outlines of the frame instead of the mask's own line."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.blends import BLENDS, Blend
from understudy.errors import ConfigError
from understudy.image.filter import erode
from understudy.image.matting import guided_filter

_PIXELS_OF_A_RADIUS = 3
"""The matte's colour models are found on pictures so small that the radius is about this many pixels."""
_CERTAIN = 0.99
"""Value of the mask, drawn in by the width, from which a pixel is the face's for certain."""
_DOUBT = 1e-3
"""How much a pixel in the unknown band counts, against 1 for a known one."""


@BLENDS.register("alpha")
@dataclass(frozen=True, kw_only=True)
class Alpha(Blend):
    """Alpha matte: the edge follows hair, hands and outlines of the frame instead of the mask's own line."""

    width: float = 0.08
    """Of the band inside the mask's edge where the matte is unknown, as a fraction of the crop side."""
    smoothness: float = 0.03
    """Difference of colour in the frame, of [0, 1], below which the matte sees no edge."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.width <= 0.5:
            raise ConfigError(f"width: wanted a fraction of the crop side, 0 to 0.5, got {self.width}")
        if not 0.0 < self.smoothness <= 1.0:
            raise ConfigError(f"smoothness: wanted more than 0, at most 1, got {self.smoothness}")

    def __call__(
        self,
        base: Float[Tensor, "b 3 s s"],
        face: Float[Tensor, "b 3 s s"],
        mask: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 3 s s"]:
        """``base + alpha (face - base)``; alpha is nowhere above the mask.

        The trimap: outside the mask 0, deeper inside than ``width`` 1, the band between unknown. There the
        frame's own colours decide, by what lies beside them on either side (``image.matting``); where both
        sides look alike, an edge in the middle of the band fades.
        """
        alpha = self.matte(base.float(), mask.float()).to(mask.dtype)
        return torch.where(alpha > 0, base.lerp(face, alpha), base)

    def matte(
        self, base: Float[Tensor, "b 3 s s"], mask: Float[Tensor, "b 1 s s"]
    ) -> Float[Tensor, "b 1 s s"]:
        """How much of every pixel is the face's, in [0, 1]."""
        width = round(self.width * mask.shape[-1])
        if width < 1:
            return mask
        core = erode(mask, width)
        known = ((core > _CERTAIN) | (mask == 0)).to(mask.dtype)
        guess = erode(mask, width // 2)
        step = max(1, round(width / _PIXELS_OF_A_RADIUS))
        found = guided_filter(base, guess, width, self.smoothness**2, step, known.clamp(min=_DOUBT))
        # the middle of the face is certain, whatever its colours
        return torch.minimum(torch.maximum(found, core), mask).clamp_(min=0.0)

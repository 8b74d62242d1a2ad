"""Multi-band blend: fine detail changes at the mask's edge, light and colour over a wide way inwards."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.blends import BLENDS, Blend
from understudy.errors import ConfigError
from understudy.image.filter import erode
from understudy.image.pyramid import collapse, expand, gaussian_pyramid, laplacian_pyramid, reduce

_PIXELS_OF_A_BAND = 4.0
"""What a band needs to fade from nothing to all, in its own pixels."""

_TINY = 1e-6


@BLENDS.register("multiband")
@dataclass(frozen=True, kw_only=True)
class Multiband(Blend):
    """Multi-band blend: fine detail changes at the mask's edge, light and colour over a wide way inwards."""

    depth: float = 0.125
    """How deep the broadest band fades in, as a fraction of the crop side; twice as much is one band more.
    The larger, the more the face keeps the light of the old one."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.depth <= 0.5:
            raise ConfigError(f"depth: wanted a fraction of the crop side, 0 to 0.5, got {self.depth}")

    def __call__(
        self,
        base: Float[Tensor, "b 3 s s"],
        face: Float[Tensor, "b 3 s s"],
        mask: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 3 s s"]:
        """Burt and Adelson 1983, "A multiresolution spline with application to image mosaics", section 4.

        What is split into bands is the difference between face and base. There the paper puts the middle of
        every transition on the edge, so that half of it falls outside; here each band fades inwards only,
        because nothing may change outside the mask.
        """
        inside = mask > 0
        difference = torch.where(inside, face - base, 0.0)
        bands = laplacian_pyramid(difference, self.bands(mask.shape[-1]))
        if len(bands) > 1:
            bands[0] = _detail_inside(difference, bands[0], inside)
        for level, part in enumerate(gaussian_pyramid(mask, len(bands))):
            # one half on the edge becomes 0 there; the pixel nearest to it would still be seen outside
            bands[level] *= part if level == 0 else erode((2.0 * part - 1.0).clamp_(min=0.0), 1)
        return torch.where(inside, (base + collapse(bands)).clamp_(0.0, 1.0), base)

    def bands(self, side: int) -> int:
        """How many bands there are in a crop of that side, one at least."""
        broadest = self.depth * side / _PIXELS_OF_A_BAND
        return 1 + max(0, round(math.log2(broadest))) if broadest > 0.0 else 1


def _detail_inside(pictures: Tensor, detail: Tensor, inside: Tensor) -> Tensor:
    """The finest band against the mean of what lies inside, so that the edge itself is no detail.

    The blur takes the outside for 0; divided by the blurred inside it is a mean of the inside alone.
    """
    size = (inside.shape[-2], inside.shape[-1])
    weight = expand(reduce(inside.to(pictures.dtype)), size).clamp_(min=_TINY)
    return pictures - (pictures - detail) / weight

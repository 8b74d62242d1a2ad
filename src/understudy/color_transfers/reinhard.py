"""Mean and contrast of every L*a*b* channel, as the target's face has them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.color_transfers import COLOR_TRANSFERS, ColorTransfer
from understudy.image.lab import lab_to_rgb, rgb_to_lab

_FEWEST = 16
"""Pixels below which a mean says nothing."""
_ENOUGH = 128
"""Rows from which every second (third…) is measured of the reference: its statistics do not need more."""
_SMALLEST = 1e-3
"""Standard deviation, in units of L*, that is taken for a flat face."""


@COLOR_TRANSFERS.register("reinhard")
@dataclass(frozen=True, kw_only=True)
class Reinhard(ColorTransfer):
    """Mean and contrast of every L*a*b* channel, as the target's face has them."""

    max_gain: float = 3.0
    """Most by which contrast is raised, and lowered; keeps the noise of a flat face from being blown up."""

    def __call__(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        mask: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 3 s s"]:
        """Reinhard et al. 2001, "Color transfer between images", equations 10 and 11, in CIE L*a*b*.

        The statistics are taken inside the mask only, so what is masked out does not count.
        """
        inside = (mask > 0.5).to(torch.float32)
        enough = inside.sum((-3, -2, -1), keepdim=True) >= _FEWEST
        face_lab = rgb_to_lab(face.float())
        mean, deviation = _statistics(face_lab, inside)
        step = max(1, mask.shape[-1] // _ENOUGH)
        coarse = (..., slice(None, None, step), slice(None, None, step))
        wanted_mean, wanted_deviation = _statistics(rgb_to_lab(reference[coarse].float()), inside[coarse])
        gain = wanted_deviation.clamp(min=_SMALLEST) / deviation.clamp(min=_SMALLEST)
        gain = gain.clamp(1.0 / self.max_gain, self.max_gain)
        moved = lab_to_rgb((face_lab - mean) * gain + wanted_mean).clamp(0.0, 1.0).to(face.dtype)
        return torch.where(enough, moved, face)


def _statistics(lab: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel inside a mask, ``(b, 3, 1, 1)``."""
    count = inside.sum((-2, -1), keepdim=True).clamp(min=1.0)
    mean = (lab * inside).sum((-2, -1), keepdim=True) / count
    variance = ((lab - mean).square() * inside).sum((-2, -1), keepdim=True) / count
    return mean, variance.sqrt()

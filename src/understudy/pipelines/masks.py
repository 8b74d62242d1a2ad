"""Where the new face goes: the mask of a crop, from the landmarks' hull and the swapper's own mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from understudy.errors import ConfigError
from understudy.image.filter import dilate, erode, gaussian_blur

_LEAST = 1.0 / 255.0
"""Values below count as 0: a network's mask is never quite empty."""


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """Where the new face goes."""

    source: Literal["hull", "learned", "product", "union"] = "product"
    """``hull``: round the landmarks. ``learned``: what the swapper says. ``product``: where both agree.
    ``union``: where either does."""
    erode: float = 0.01
    """How far the mask is drawn in, as a fraction of the crop side; negative lets it out."""
    blur: float = 0.03
    """Width of its soft contour, as a fraction of the crop side."""

    def __post_init__(self) -> None:
        if not -0.5 <= self.erode <= 0.5:
            raise ConfigError(f"erode: wanted a fraction of the crop side, -0.5 to 0.5, got {self.erode}")
        if not 0.0 <= self.blur <= 0.5:
            raise ConfigError(f"blur: wanted a fraction of the crop side, 0 to 0.5, got {self.blur}")


def join_masks(
    settings: MaskSettings, hull: Float[Tensor, "b 1 s s"], learned: Float[Tensor, "b 1 s s"] | None
) -> Float[Tensor, "b 1 s s"]:
    """The mask before its contour is softened.

    Args:
        settings: which of the two count.
        hull: from the landmarks, in [0, 1].
        learned: the swapper's, in [0, 1], same size; None where the swapper has none, then only the hull
            counts.
    """
    if learned is None or settings.source == "hull":
        joined = hull
    elif settings.source == "learned":
        joined = learned
    elif settings.source == "product":
        joined = hull * learned
    else:
        joined = torch.maximum(hull, learned)
    return joined * (joined >= _LEAST)


def soften(settings: MaskSettings, mask: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """The mask drawn in and blurred; 0 along the border of the crop, whose edge must not be seen."""
    size = mask.shape[-1]
    step = round(abs(settings.erode) * size)
    mask = erode(mask, step) if settings.erode > 0 else dilate(mask, step)
    radius = round(settings.blur * size / 2.0)
    frame = min(radius + 1, (size - 1) // 2)
    mask = F.pad(mask[..., frame:-frame, frame:-frame], (frame,) * 4) if frame else mask
    return gaussian_blur(mask, radius / 2.0, radius)

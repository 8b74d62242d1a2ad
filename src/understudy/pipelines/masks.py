"""Where the new face goes: from the landmarks' hull, the swapper's own mask, and the face set's masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor
from torch.nn import functional as F

from understudy.contracts import Alignment
from understudy.errors import ConfigError
from understudy.image.filter import dilate, erode, gaussian_blur
from understudy.image.geometry import compose, invert
from understudy.image.warp import warp

_LEAST = 1.0 / 255.0
"""Values below count as 0: a network's mask is never quite empty."""


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """Where the new face goes."""

    source: Literal["hull", "learned", "product", "union"] = "product"
    """``hull``: round the landmarks. ``learned``: what the swapper says. ``product``: where both agree.
    ``union``: where either does."""
    stored: Literal["cut", "alone", "ignore"] = "cut"
    """What the masks of the target's face set do where it has some (understudy mask apply, or painted ones).
    ``cut``: what they leave out, as a hand before the face, is left out. ``alone``: only they count.
    ``ignore``: nothing."""
    erode: float = 0.01
    """How far the mask is drawn in, as a fraction of the crop side; negative lets it out."""
    blur: float = 0.03
    """Width of its soft contour, as a fraction of the crop side."""

    def __post_init__(self) -> None:
        if not -0.5 <= self.erode <= 0.5:
            raise ConfigError(f"erode: wanted a fraction of the crop side, -0.5 to 0.5, got {self.erode}")
        if not 0.0 <= self.blur <= 0.5:
            raise ConfigError(f"blur: wanted a fraction of the crop side, 0 to 0.5, got {self.blur}")


@dataclass(frozen=True, eq=False)
class StoredMask:
    """The mask that the target's face set has for a face."""

    pixels: UInt8[np.ndarray, "s s"]
    """White is face."""
    alignment: Alignment
    """What its square shows: that of the stored crop."""

    def framed(
        self, settings: MaskSettings, matrix: Float64[np.ndarray, "2 3"], size: int
    ) -> Float32[np.ndarray, "{size} {size}"]:
        """The mask in a crop of the frame, in [0, 1]; beyond its square it leaves out nothing, or all.

        Args:
            settings: alone, it has to say where the face is; otherwise only what lies before it.
            matrix: frame pixels to pixels of the crop.
            size: side of the crop.
        """
        back = compose(self.alignment.crop_matrix(self.pixels.shape[0]), invert(matrix))
        values = self.pixels.astype(np.float32) / np.float32(255.0)
        if settings.stored == "alone":
            return warp(values, back, (size, size), "zero").clip(0.0, 1.0)
        return 1.0 - warp(1.0 - values, back, (size, size), "zero").clip(0.0, 1.0)


def join_masks(
    settings: MaskSettings,
    hull: Float[Tensor, "b 1 s s"],
    learned: Float[Tensor, "b 1 s s"] | None,
    stored: Float[Tensor, "b 1 s s"] | None = None,
) -> Float[Tensor, "b 1 s s"]:
    """The mask before its contour is softened.

    Args:
        settings: which of them count.
        hull: from the landmarks, in [0, 1].
        learned: the swapper's, in [0, 1], same size; None where the swapper has none, then only the hull
            counts.
        stored: of the face set, see ``StoredMask``; None where no face has one.
    """
    if stored is not None and settings.stored == "alone":
        return stored * (stored >= _LEAST)
    if learned is None or settings.source == "hull":
        joined = hull
    elif settings.source == "learned":
        joined = learned
    elif settings.source == "product":
        joined = hull * learned
    else:
        joined = torch.maximum(hull, learned)
    if stored is not None and settings.stored == "cut":
        joined = joined * stored
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

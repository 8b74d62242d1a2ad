"""Structural dissimilarity, (1 - SSIM) / 2.

Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", equation 13,
with a Gaussian window over the places where it fits and the constants 0.01 and 0.03 for a range of one. The
window grows with the picture, as DeepFaceLab's does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.errors import ShapeError
from understudy.losses import LOSSES, PictureLoss
from understudy.nn.similarity import dissimilarity


@LOSSES.register("dssim")
@dataclass(frozen=True, kw_only=True)
class Dssim(PictureLoss):
    """Structural dissimilarity: local brightness, contrast and structure instead of single pixels."""

    weight: float = 10.0
    """Factor in the sum."""
    window: int | None = None
    """Side of the Gaussian window, pixels; None: side / 11.6, and from 256 pixels half that weight each for
    side / 11.6 and side / 23.2."""

    def __call__(
        self, prediction: Float[Tensor, "b c s s"], truth: Float[Tensor, "b c s s"]
    ) -> Float[Tensor, ""]:
        """Mean over pixels, channels and pictures, in [0, 1]."""
        side = truth.shape[-1]
        if self.window is not None:
            windows = [self.window]
        else:
            windows = [int(side / 11.6), int(side / 23.2)] if side >= 256 else [max(2, int(side / 11.6))]
        if not 1 <= max(windows) <= side:
            raise ShapeError(f"dssim with a window of {max(windows)}", "at least as many pixels", truth.shape)
        terms = [dissimilarity(prediction.float(), truth.float(), window) for window in windows]
        return torch.stack(terms).mean().clamp(min=0.0)

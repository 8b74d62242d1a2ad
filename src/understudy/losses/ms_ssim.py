"""Structural dissimilarity over several scales, 1 - MS-SSIM.

Wang, Simoncelli and Bovik 2003, "Multi-scale structural similarity for image quality assessment", equation
7 with the weights of section 3.2: contrast and structure at every scale, luminance at the coarsest, each
halving a mean of 2 x 2 pixels. The window of 11 pixels must fit into the coarsest picture, so that five
scales want 176 pixels; smaller pictures get as many as fit, with the weights of these scaled to a sum of
one.

Each scale is averaged over the picture before the scales are multiplied, as is usual, for every picture and
channel. A mean below ``FLOOR`` (structure turned upside down) counts as ``FLOOR``: a negative number has no
such power, and near zero its slope has no bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from understudy.errors import ConfigError, ShapeError
from understudy.losses import LOSSES, PictureLoss
from understudy.nn.similarity import similarity_maps

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents from the finest scale to the coarsest."""
WINDOW = 11
"""Side of the Gaussian window at every scale, pixels."""
FLOOR = 1e-3
"""Smallest mean similarity of a scale."""


@LOSSES.register("ms_ssim")
@dataclass(frozen=True, kw_only=True)
class MsSsim(PictureLoss):
    """Structural dissimilarity over several scales: fine texture and the large forms at once."""

    weight: float = 5.0
    """Factor in the sum; 5 is as much as dssim's 10, which halves what it measures."""
    scales: int = 5
    """Most scales to look at, 1 to 5; fewer where the picture is too small for them."""

    def __post_init__(self) -> None:
        if not 1 <= self.scales <= len(WEIGHTS):
            raise ConfigError(f"scales: ms_ssim wants 1 to {len(WEIGHTS)}, got {self.scales}")

    def __call__(
        self, prediction: Float[Tensor, "b c s s"], truth: Float[Tensor, "b c s s"]
    ) -> Float[Tensor, ""]:
        """Mean over channels and pictures, in [0, 1]."""
        side = truth.shape[-1]
        if side < WINDOW:
            raise ShapeError("ms_ssim", f"(B, C, S, S) with S of {WINDOW} or more", tuple(truth.shape))
        count = min(self.scales, (side // WINDOW).bit_length())
        total = sum(WEIGHTS[:count])
        prediction, truth = prediction.float(), truth.float()
        similarity = torch.ones(truth.shape[:2], device=truth.device)
        for scale in range(count):
            if scale:
                prediction, truth = F.avg_pool2d(prediction, 2), F.avg_pool2d(truth, 2)
            luminance, structure = similarity_maps(prediction, truth, WINDOW)
            last = scale == count - 1
            mean = (luminance * structure if last else structure).mean((2, 3))
            similarity = similarity * mean.clamp(min=FLOOR) ** (WEIGHTS[scale] / total)
        return (1 - similarity.mean()).clamp(min=0.0)

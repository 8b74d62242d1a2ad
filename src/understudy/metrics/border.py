"""Whether the border of a pasted face can be seen: more change across it than beside it.

No reference is needed. Along the face's outline the picture's gradient is taken in the direction of the
outline's normal: a seam is a step across the outline, while hair and wrinkles run in any direction. A ring
about the outline is compared with a ring inside and one outside of it.

Rank correlation with a hard edge of 3 to 24 code values: 0.71 (ten pairs of performers,
``benchmarks/metrics.py``). Blind spot: an edge of a few code values, where the face has edges of its own
there (fringe, beard, glasses). Blur that reaches the border is not seen (0.40).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from understudy.image.filter import dilate, erode, gaussian_blur

_FLOOR = 1.0 / 255.0
"""Change by one code value a pixel: what a ring without any texture is taken to have."""


def border_visibility(
    pictures: Float[Tensor, "b 3 h w"], mask: Float[Tensor, "b 1 h w"], width: int | None = None
) -> Float[Tensor, " b"]:
    """Change across the border over change beside it, a ratio, 0 or more; about 1 where nothing is seen.

    An untouched face has edges of its own there (jaw, hair line): compare with the target's own value.

    Args:
        pictures: crops, RGB in [0, 1].
        mask: what was pasted, in [0, 1]; its border is where it crosses 0.5. It must not touch the crop's
            edge all round.
        width: half the width of the ring, pixels; None for 1/64 of the crop's side, at least 2.

    Returns:
        ``(b,)``, float64; NaN where the mask has no border in the crop.
    """
    reach = max(2, round(pictures.shape[-1] / 64)) if width is None else width
    solid = (mask > 0.5).to(pictures.dtype)
    edge = _ring(solid, reach)
    inner = erode(solid, reach) - erode(solid, 3 * reach)
    outer = dilate(solid, 3 * reach) - dilate(solid, reach)
    across = _across(pictures, solid, reach)
    beside = (_mean(across, inner) + _mean(across, outer)) / 2.0
    return (_mean(across, edge) + _FLOOR) / (beside + _FLOOR)


def _ring(solid: Tensor, reach: int) -> Tensor:
    return dilate(solid, reach) - erode(solid, reach)


def _across(pictures: Tensor, solid: Tensor, reach: int) -> Tensor:
    """Change a pixel in the direction away from the mask, root mean square of the channels."""
    down, right = _gradient(gaussian_blur(pictures.double(), 0.7))
    # wide enough that the normal is known in all three rings
    slope_down, slope_right = _gradient(gaussian_blur(solid.double(), 2.0 * reach))
    length = (slope_down**2 + slope_right**2).sqrt().clamp(min=1e-9)
    return ((down * slope_down + right * slope_right) / length).square().mean(1, keepdim=True).sqrt()


def _gradient(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences, down and right, of the same size."""
    wide = F.pad(pictures, (1, 1, 1, 1), mode="replicate")
    return (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2.0, (
        wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]
    ) / 2.0


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    total = weights.double().sum((1, 2, 3))
    return torch.where(total > 0, (values * weights).sum((1, 2, 3)) / total, torch.nan)

"""A filter that smooths a picture but for the edges of another one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_COARSE = 8
"""Radius above which the filter works on a smaller picture, reduced so that this is left of the radius."""


def guided_filter(
    guide: Float[Tensor, "b 1 h w"], pictures: Float[Tensor, "b c h w"], radius: int, softness: float = 1e-3
) -> Float[Tensor, "b c h w"]:
    """Averages ``pictures`` over squares, except across edges of the guide.

    He, Sun and Tang 2013, "Guided image filtering", equations 4 to 8: in every square the result is a linear
    function of the guide. A large radius is worked out on reduced pictures (He and Sun 2015, "Fast guided
    filter"); what is interpolated are the functions, so edges stay sharp.

    Args:
        guide: brightness in [0, 1].
        pictures: what is smoothed; any values.
        radius: half the side of the squares, pixels.
        softness: variance of the guide below which an area counts as one surface.
    """
    height, width = guide.shape[-2:]
    step = max(1, radius // _COARSE)
    small = (max(1, height // step), max(1, width // step))
    both = torch.cat([guide, pictures], 1)
    if step > 1:
        both = F.interpolate(both, small, mode="area")
    radius = min(radius // step, min(both.shape[-2:]) - 1)
    light, values = both[:, :1], both[:, 1:]
    means = _mean(torch.cat([both, light * both], 1), radius)
    mean_light, mean_values, square, product = means.split([1, values.shape[1], 1, values.shape[1]], dim=1)
    slope = (product - mean_light * mean_values) / (square - mean_light.square() + softness)
    functions = _mean(torch.cat([slope, mean_values - slope * mean_light], 1), radius)
    if step > 1:
        functions = F.interpolate(functions, (height, width), mode="bilinear", align_corners=False)
    slope, offset = functions.chunk(2, dim=1)
    return slope * guide + offset


def _mean(pictures: Tensor, radius: int) -> Tensor:
    """Mean over squares, at the borders over what there is of them; running sums, one axis at a time."""
    for axis in (-2, -1):
        length = pictures.shape[axis]
        sums = F.pad(pictures, (0, 0, 1, 0) if axis == -2 else (1, 0)).double().cumsum(axis)
        places = torch.arange(length, device=pictures.device)
        low, high = (places - radius).clamp(min=0), (places + radius + 1).clamp(max=length)
        count = (high - low).to(pictures.dtype)
        total = sums.index_select(axis, high) - sums.index_select(axis, low)
        pictures = total.to(pictures.dtype) / (count[:, None] if axis == -2 else count)
    return pictures

"""Filters over batches of pictures and masks, on any device.

The Gaussian reflects at the borders of the picture; erosion and dilation take everything beyond it for 0, so
that a mask which is cut off by its crop shrinks away from that edge too.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def gaussian_blur(
    pictures: Float[Tensor, "b c h w"], sigma: float, radius: int | None = None
) -> Float[Tensor, "b c h w"]:
    """Gaussian blur; the border pixel is reflected about its own centre.

    Args:
        pictures: any values.
        sigma: standard deviation, pixels; 0 returns the pictures.
        radius: pixels that the kernel reaches; None for three standard deviations. At most a side less one.
    """
    height, width = pictures.shape[-2:]
    reach = min(math.ceil(3.0 * sigma) if radius is None else radius, height - 1, width - 1)
    if sigma <= 0.0 or reach < 1:
        return pictures
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(reach + 1)]
    total = weights[0] + 2.0 * sum(weights[1:])
    weights = [weight / total for weight in weights]
    down = _weighted(F.pad(pictures, (0, 0, reach, reach), mode="reflect"), weights, -2)
    return _weighted(F.pad(down, (reach, reach, 0, 0), mode="reflect"), weights, -1)


def _weighted(padded: Tensor, weights: list[float], axis: int) -> Tensor:
    """A symmetric kernel along one axis; ``weights`` from its middle outwards.

    Sums of shifted pictures: on a CPU several times as fast as a convolution of one channel.
    """
    reach = len(weights) - 1
    length = padded.shape[axis] - 2 * reach
    out = padded.narrow(axis, reach, length) * weights[0]
    for offset in range(1, reach + 1):
        pair = padded.narrow(axis, reach - offset, length) + padded.narrow(axis, reach + offset, length)
        out.add_(pair, alpha=weights[offset])
    return out


def box_blur(pictures: Float[Tensor, "b c h w"], radius: int) -> Float[Tensor, "b c h w"]:
    """Mean over a square of ``2 radius + 1`` pixels, reflected like ``gaussian_blur``."""
    if radius < 1:
        return pictures
    return F.avg_pool2d(F.pad(pictures, (radius,) * 4, mode="reflect"), 2 * radius + 1, stride=1)


def dilate(masks: Float[Tensor, "b c h w"], radius: int) -> Float[Tensor, "b c h w"]:
    """Largest value within ``radius`` pixels (a regular octagon: at most 8 % from the disc)."""
    if radius < 1:
        return masks
    diagonal = min(round(radius * (1.0 - math.sqrt(0.5))), (radius - 1) // 2)
    straight = radius - 2 * diagonal
    out = F.pad(masks, (radius,) * 4)
    for down, right, reach in ((0, 1, straight), (1, 0, straight), (1, 1, diagonal), (1, -1, diagonal)):
        out = _largest_along(out, down, right, 2 * reach)
    return out


def erode(masks: Float[Tensor, "b c h w"], radius: int) -> Float[Tensor, "b c h w"]:
    """Smallest value within ``radius`` pixels, beyond the picture 0; the reverse of ``dilate``."""
    if radius < 1:
        return masks
    framed = F.pad(1.0 - masks, (radius,) * 4, value=1.0)
    return 1.0 - dilate(framed, radius)[..., radius:-radius, radius:-radius]


def _largest_along(pictures: Tensor, down: int, right: int, steps: int) -> Tensor:
    """Largest of ``steps + 1`` pixels along a line, where they all exist; the reach doubles each time."""
    done = 0
    while done < steps:
        shift = min(done + 1, steps - done)
        height, width = pictures.shape[-2:]
        y, x = shift * down, shift * abs(right)
        first, second = slice(0, width - x), slice(x, width)
        if right < 0:
            first, second = second, first
        pictures = torch.maximum(pictures[..., : height - y, first], pictures[..., y:, second])
        done += shift
    return pictures

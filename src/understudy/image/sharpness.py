"""Sharpness: what makes a picture crisper, softer or coarser, and a measure of how soft its edges are.

Sizes are in pixels of the pictures that come in. Sharpening may leave [0, 1]; whoever stores the result
clips it.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from understudy.image.filter import box_blur, gaussian_blur

_REBLUR = 1.0
"""Standard deviation with which a picture is blurred again to see how soft it was, pixels."""
_EDGES = 0.9
"""Quantile of the gradient from which a pixel counts as an edge."""
_STRIDE = 2
"""Every second row and column tells what gradient is a strong one."""
_LUMA = (0.2126, 0.7152, 0.0722)


def sharpen(
    pictures: Float[Tensor, "b c h w"],
    gain: float,
    radius: float,
    kernel: Literal["gaussian", "box"] = "gaussian",
) -> Float[Tensor, "b c h w"]:
    """Unsharp mask, ``x + gain (x - blur(x))``.

    Jain 1989, "Fundamentals of digital image processing", section 7.4: the picture less its blurred self is
    its detail, of which more is added.

    Args:
        pictures: any values.
        gain: how much; 0 changes nothing, -1 leaves the blurred picture.
        radius: standard deviation of the blur, pixels; of a box so many pixels that it has the same one.
        kernel: what the blur is.
    """
    if gain == 0.0 or radius <= 0.0:
        return pictures
    return pictures + gain * (pictures - soften(pictures, radius, kernel))


def soften(
    pictures: Float[Tensor, "b c h w"], radius: float, kernel: Literal["gaussian", "box"] = "gaussian"
) -> Float[Tensor, "b c h w"]:
    """Blur of a given standard deviation.

    Args:
        pictures: any values.
        radius: standard deviation, pixels.
        kernel: a Gaussian; or a square of an odd number of pixels, which is linear between its neighbours in
            size, so that an amount can be changed little by little.
    """
    if radius <= 0.0:
        return pictures
    if kernel == "gaussian":
        return gaussian_blur(pictures, radius)
    # the variance of a box of 2 r + 1 pixels is r (r + 1) / 3
    most = min(pictures.shape[-2:]) - 1
    reach = min(0.5 * ((1.0 + 12.0 * radius * radius) ** 0.5 - 1.0), float(most))
    low = int(reach)
    smaller, larger = box_blur(pictures, low), box_blur(pictures, min(low + 1, most))
    return torch.lerp(smaller, larger, reach - low)


def lose_resolution(pictures: Float[Tensor, "b c h w"], share: float) -> Float[Tensor, "b c h w"]:
    """Pictures made smaller and brought back to their size, by cubic interpolation with a filter.

    Keys 1981, "Cubic convolution interpolation for digital image processing", with a = -1/2.

    Args:
        pictures: any values.
        share: of the resolution that is lost, in [0, 1]; at 1 a single pixel is left.
    """
    height, width = pictures.shape[-2:]
    small = [max(1, round(side * (1.0 - share))) for side in (height, width)]
    if small == [height, width]:
        return pictures
    for size in (small, [height, width]):
        pictures = F.interpolate(pictures, size, mode="bicubic", antialias=True)
    return pictures


def edge_softness(
    pictures: Float[Tensor, "b 3 h w"],
    mask: Float[Tensor, "b 1 h w"],
    noise: Float[Tensor, "b"] | None = None,
) -> Float[Tensor, "b"]:
    """How soft the strongest edges of a picture are: the standard deviation of their blur, pixels.

    Zhuo and Sim 2011, "Defocus map estimation from a single image", equations 4 to 6: an edge of blur s that
    is blurred again by r keeps ``s / sqrt(s² + r²)`` of its gradient, which tells s. Instead of one edge
    point the mean squares over all of them are compared, less what noise adds to them.

    Args:
        pictures: RGB in [0, 1].
        mask: where to look, in [0, 1].
        noise: deviation of the luma's noise, taken for white; None for none.

    Returns:
        Standard deviations; 0 where there is nothing to measure.
    """
    weights = torch.tensor(_LUMA, device=pictures.device, dtype=pictures.dtype)
    luma = (pictures * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)
    again = gaussian_blur(luma, _REBLUR)
    first, second = _squared_gradient(luma), _squared_gradient(again)
    inside = second * (mask > 0.5)
    some = inside[..., ::_STRIDE, ::_STRIDE].flatten(1)
    least = torch.stack([_quantile(row) for row in some]).view(-1, 1, 1, 1)
    chosen = (inside >= least) & (inside > 0.0)
    before, after = ((value * chosen).flatten(1).sum(1) for value in (first, second))
    if noise is not None:
        count = chosen.flatten(1).sum(1)
        before = before - count * noise.square() * _NOISE_OF_GRADIENT
    ratio = before / after.clamp(min=1e-12)
    soft = _REBLUR / (ratio - 1.0).clamp(min=1e-3).sqrt()
    return torch.where(after > 1e-7, soft, 0.0)


_NOISE_OF_GRADIENT = 1.0
"""Expected squared gradient of white noise of variance 1, by central differences along both axes."""


def _squared_gradient(luma: Tensor) -> Tensor:
    """By central differences, along both axes."""
    padded = F.pad(luma, (1, 1, 1, 1), mode="replicate")
    across = 0.5 * (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2])
    down = 0.5 * (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1])
    return across.square() + down.square()


def _quantile(values: Tensor) -> Tensor:
    """Of what is above 0."""
    kept = values[values > 0.0]
    if kept.numel() == 0:
        return values.new_full((), torch.inf)
    place = min(kept.numel(), int(_EDGES * kept.numel()) + 1)
    return kept.kthvalue(place).values

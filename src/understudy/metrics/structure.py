"""How near one picture is to another: PSNR and SSIM, over the whole picture or inside a mask.

Pictures are RGB in [0, 1]; a figure is returned for every picture of a batch. SSIM is that of Wang et al.
2004, "Image quality assessment: from error visibility to structural similarity": a Gaussian window of 11
pixels and standard deviation 1.5, constants 0.01 and 0.03, population variances, every channel for itself
and then the mean of the three.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.errors import ShapeError
from understudy.image.filter import gaussian_blur

_WINDOW = 11
_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03


def psnr(
    picture: Float[Tensor, "b c h w"],
    truth: Float[Tensor, "b c h w"],
    mask: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in decibels, for a peak of 1: ``-10 log10`` of the mean squared error.

    Args:
        picture: what is judged.
        truth: what it should be.
        mask: weight of every pixel, in [0, 1]; None for all alike.

    Returns:
        ``(b,)``, float64; infinite for equal pictures, NaN where the mask is empty.
    """
    squares = (picture.double() - truth.double()).square().mean(1, keepdim=True)
    return -10.0 * _mean(squares, mask).log10()


def ssim(
    picture: Float[Tensor, "b c h w"],
    truth: Float[Tensor, "b c h w"],
    mask: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Mean structural similarity, in [-1, 1], of the places where the window fits into the picture.

    Args:
        picture: what is judged.
        truth: what it should be.
        mask: weight of every place, in [0, 1]; None for all alike. A window that is centred inside the
            mask and reaches out of it counts as it is.

    Returns:
        ``(b,)``, float64; NaN where the mask is empty.

    Raises:
        ShapeError: a side is shorter than the window.
    """
    places = ssim_map(picture, truth).mean(1, keepdim=True)
    half = _WINDOW // 2
    return _mean(places, None if mask is None else mask[..., half:-half, half:-half])


def ssim_map(picture: Float[Tensor, "b c h w"], truth: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
    """Structural similarity (equation 13) at every place where the window fits; a picture less ten pixels."""
    if min(picture.shape[-2:]) < _WINDOW:
        raise ShapeError("pictures for SSIM", f"sides of at least {_WINDOW} pixels", tuple(picture.shape))
    x, y = picture.double(), truth.double()
    mean_x, mean_y, square_x, square_y, product = _windowed(torch.stack([x, y, x * x, y * y, x * y]))
    variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
    covariance = product - mean_x * mean_y
    c1, c2 = _K1**2, _K2**2
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance * (2.0 * covariance + c2) / (variance_x + variance_y + c2)


def _windowed(maps: Tensor) -> Tensor:
    """Gaussian means where the window fits."""
    half = _WINDOW // 2
    blurred = gaussian_blur(maps.flatten(0, 1), _SIGMA, half)
    return blurred[..., half:-half, half:-half].unflatten(0, maps.shape[:2])


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of ``(b, 1, h, w)`` over each picture, weighted."""
    if mask is None:
        return values.mean((-3, -2, -1))
    weights = mask.to(values.dtype)
    return (values * weights).sum((-3, -2, -1)) / weights.sum((-3, -2, -1))

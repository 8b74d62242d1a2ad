"""How near one picture is to another: PSNR, SSIM and MS-SSIM, over the whole picture or inside a mask.

Pictures are RGB in [0, 1]; a figure is returned for every picture of a batch. SSIM is that of Wang et al.
2004, "Image quality assessment: from error visibility to structural similarity": a Gaussian window of 11
pixels and standard deviation 1.5, constants 0.01 and 0.03, population variances, every channel for itself
and then the mean of the three. MS-SSIM is that of Wang, Simoncelli and Bovik 2003, "Multi-scale structural
similarity for image quality assessment", with the same window at every scale.

Against the exact swap of performers all three rank blur, shifts, pose, expression and identity at 1.00 or
better (``benchmarks/metrics.py``, ten pairs). Blind spot: against the **target's** frame they say how
much was changed, not how well: the untouched target is perfect.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from understudy.errors import ShapeError
from understudy.image.filter import gaussian_blur

_WINDOW = 11
_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents from the finest scale to the coarsest (section 3.2)."""
SMALLEST_MS_SSIM = _WINDOW << (len(_SCALES) - 1)
"""Shortest side that MS-SSIM can look at, pixels: the window fits into the coarsest scale."""


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


def ms_ssim(
    picture: Float[Tensor, "b c h w"],
    truth: Float[Tensor, "b c h w"],
    mask: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Structural similarity over five scales, in [0, 1] (equation 7).

    Each scale halves means of 2 x 2 pixels. A scale is averaged before the scales are multiplied, as is
    usual, each channel for itself; where the average is below 0 (structure turned upside down) it counts
    as 0.

    Args:
        picture: what is judged.
        truth: what it should be.
        mask: weight of every place, in [0, 1]; None for all alike.

    Returns:
        ``(b,)``, float64; NaN where the mask is empty.

    Raises:
        ShapeError: a side is shorter than 176 pixels.
    """
    if min(picture.shape[-2:]) < SMALLEST_MS_SSIM:
        wanted = f"sides of at least {SMALLEST_MS_SSIM} pixels"
        raise ShapeError("pictures for MS-SSIM", wanted, tuple(picture.shape))
    half = _WINDOW // 2
    x, y, weights = picture.double(), truth.double(), None if mask is None else mask.double()
    out = torch.ones(picture.shape[:2], dtype=torch.float64, device=picture.device)
    for scale, exponent in enumerate(_SCALES):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
            weights = None if weights is None else F.avg_pool2d(weights, 2)
        luminance, structure = _similarities(x, y)
        places = luminance * structure if scale == len(_SCALES) - 1 else structure
        inside = None if weights is None else weights[..., half:-half, half:-half]
        out = out * _mean_channels(places, inside).clamp(min=0.0) ** exponent
    return out.mean(1)


def ssim_map(picture: Float[Tensor, "b c h w"], truth: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c _ _"]:
    """Structural similarity (equation 13) at every place where the window fits; a picture less ten pixels."""
    if min(picture.shape[-2:]) < _WINDOW:
        raise ShapeError("pictures for SSIM", f"sides of at least {_WINDOW} pixels", tuple(picture.shape))
    luminance, structure = _similarities(picture.double(), truth.double())
    return luminance * structure


def _similarities(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure (equations 6 and 9 with 10), where the window fits."""
    mean_x, mean_y, square_x, square_y, product = _windowed(torch.stack([x, y, x * x, y * y, x * y]))
    variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
    covariance = product - mean_x * mean_y
    c1, c2 = _K1**2, _K2**2
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance, (2.0 * covariance + c2) / (variance_x + variance_y + c2)


def _windowed(maps: Tensor) -> Tensor:
    """Gaussian means where the window fits."""
    half = _WINDOW // 2
    if maps.device.type != "cpu":
        blurred = gaussian_blur(maps.flatten(0, 1), _SIGMA, half)
        return blurred[..., half:-half, half:-half].unflatten(0, maps.shape[:2])
    # the same to the last digits, at a fifth of the time
    planes = maps.flatten(0, 2).numpy()
    places = np.empty((len(planes), planes.shape[1] - 2 * half, planes.shape[2] - 2 * half))
    for place, plane in zip(places, planes, strict=True):
        place[:] = cv2.GaussianBlur(plane, (_WINDOW, _WINDOW), _SIGMA)[half:-half, half:-half]
    return torch.from_numpy(places).unflatten(0, maps.shape[:3])


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of ``(b, 1, h, w)`` over each picture, weighted."""
    if mask is None:
        return values.mean((-3, -2, -1))
    weights = mask.to(values.dtype)
    return (values * weights).sum((-3, -2, -1)) / weights.sum((-3, -2, -1))


def _mean_channels(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of ``(b, c, h, w)`` over each channel, weighted."""
    if mask is None:
        return values.mean((-2, -1))
    return (values * mask).sum((-2, -1)) / mask.sum((-2, -1))

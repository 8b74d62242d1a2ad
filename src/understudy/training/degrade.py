"""How a face loses what an enhancer shall give back: blur, fewer pixels, noise, JPEG, in this order.

The chain of Zhang et al. 2021, "Designing a practical degradation model for deep blind image
super-resolution", section 3, without its shuffling: a swapper's faces are soft and clean, a compressed
source's are soft and noisy, and nothing worse is asked for. What is random is drawn on the processor from a
numpy generator, so that every device sees the same faces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

from understudy.errors import ConfigError

_MODES = ("bicubic", "bilinear", "area")


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """How bad the faces are that an enhancer is shown."""

    least_blur: float = 0.2
    """Smallest standard deviation of the blur, pixels of the small face."""
    most_blur: float = 1.0
    """Largest one; in one direction it may be half as wide."""
    noise: float = 0.02
    """Largest deviation of the noise, of a range of 1; every second face has some."""
    jpeg: float = 0.3
    """Probability that the face was a JPEG."""
    least_quality: int = 40
    """Lowest quality of one, to 100."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.least_blur <= self.most_blur <= 8.0:
            raise ConfigError(
                f"blur: wanted 0 <= least_blur <= most_blur <= 8, got {self.least_blur} and {self.most_blur}"
            )
        if not 0.0 <= self.noise <= 1.0 or not 0.0 <= self.jpeg <= 1.0:
            raise ConfigError(f"noise and jpeg: wanted 0 to 1, got {self.noise} and {self.jpeg}")
        if not 1 <= self.least_quality <= 100:
            raise ConfigError(f"least_quality: wanted 1 to 100, got {self.least_quality}")


def degrade(
    pictures: Float[Tensor, "b 3 h w"], factor: int, random: np.random.Generator, settings: Degradation
) -> Float[Tensor, "b 3 h2 w2"]:
    """Faces that are so many times smaller, and worse.

    Args:
        pictures: RGB in [0, 1]; sides are multiples of the factor.
        factor: how many times smaller.
        random: what is random follows from it.
        settings: how far to go.
    """
    count = len(pictures)
    kernels = draw_kernels(count, factor, random, settings)
    small = shrink(blur_each(pictures, kernels), factor, str(random.choice(_MODES)))
    deviation = settings.noise * random.random(count) * (random.random(count) < 0.5)
    noise = (
        random.standard_normal(small.shape, np.float32) * deviation.astype(np.float32)[:, None, None, None]
    )
    small = (small + torch.from_numpy(noise).to(small)).clamp(0.0, 1.0)
    chosen = random.random(count) < settings.jpeg
    quality = random.integers(settings.least_quality, 101, count)
    rows = [
        as_jpeg(row, int(number)) if is_jpeg else row
        for row, is_jpeg, number in zip(small, chosen, quality, strict=True)
    ]
    return torch.stack(rows)


def draw_kernels(
    count: int, factor: int, random: np.random.Generator, settings: Degradation
) -> Float64[np.ndarray, "b k k"]:
    """Turned Gaussians of two widths, one a face, at the large size; each sums to 1."""
    wide = random.uniform(settings.least_blur, settings.most_blur, count) * factor
    narrow = wide * random.uniform(0.5, 1.0, count)
    angle = random.uniform(0.0, math.pi, count)
    reach = max(1, math.ceil(2.5 * settings.most_blur * factor))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    cosine, sine = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    along, across = cosine * x + sine * y, cosine * y - sine * x
    # at a width of nothing the kernel is one pixel
    exponent = (along / np.maximum(wide, 1e-3)[:, None, None]) ** 2
    exponent += (across / np.maximum(narrow, 1e-3)[:, None, None]) ** 2
    kernels = np.exp(-0.5 * exponent)
    return kernels / kernels.sum((1, 2), keepdims=True)


def blur_each(
    pictures: Float[Tensor, "b c h w"], kernels: Float64[np.ndarray, "b k k"]
) -> Float[Tensor, "b c h w"]:
    """Every picture with a kernel of its own; beyond the border the last pixels repeat."""
    count, channels, height, width = pictures.shape
    reach = kernels.shape[-1] // 2
    padded = F.pad(pictures, (reach,) * 4, mode="replicate").transpose(0, 1)
    weights = torch.from_numpy(kernels).to(pictures)[:, None]
    # channels take the place of pictures, pictures that of channels
    out = F.conv2d(padded, weights, groups=count)
    assert out.shape == (channels, count, height, width)
    return out.transpose(0, 1)


def shrink(pictures: Float[Tensor, "b c h w"], factor: int, mode: str) -> Float[Tensor, "b c h2 w2"]:
    """So many times fewer rows and columns.

    Args:
        pictures: any values.
        factor: sides are multiples of it.
        mode: ``bicubic`` and ``bilinear`` with a filter as wide as the step, or ``area``, the mean.
    """
    if mode == "area":
        return F.avg_pool2d(pictures, factor)
    size = [side // factor for side in pictures.shape[-2:]]
    return F.interpolate(pictures, size, mode=mode, antialias=True)


def as_jpeg(picture: Float[Tensor, "3 h w"], quality: int) -> Float[Tensor, "3 h w"]:
    """What is left of a picture in a JPEG."""
    rows = (picture.detach().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    bgr = np.ascontiguousarray(rows[..., ::-1])
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "an 8-bit RGB picture can be written as JPEG"
    back = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert back is not None, "what OpenCV wrote it can read"
    return torch.from_numpy(back[..., ::-1].copy()).permute(2, 0, 1).to(picture) / 255

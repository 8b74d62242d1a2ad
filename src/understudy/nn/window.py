"""Gaussian windows and separable filters written as two matrix products.

On a CPU a product with a banded matrix is several times faster than a depthwise convolution at the sizes of
face crops, forward and backward, and it is exact in the same sense.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor


@lru_cache(maxsize=32)
def band_matrix(length: int, size: int, sigma: float, padded: bool, device: torch.device) -> Tensor:
    """The matrix that filters a row of ``length`` pixels with a Gaussian window.

    Args:
        length: pixels in the row.
        size: taps of the window.
        sigma: of the Gaussian, pixels.
        padded: True keeps the length with zeros beyond the ends (odd sizes only); False keeps the places
            where the whole window fits, ``length - size + 1``.
        device: where the matrix is needed.

    Returns:
        ``(outputs, length)``, float32.
    """
    assert not padded or size % 2 == 1, "a centred window has an odd size"
    outputs, first = (length, -(size // 2)) if padded else (length - size + 1, 0)
    # made on the device, in operations that a compiler can follow
    tap = torch.arange(length, device=device) - torch.arange(outputs, device=device)[:, None] - first
    place = torch.arange(size, dtype=torch.float64, device=device) - (size - 1) / 2
    total = torch.exp(-0.5 * (place / sigma) ** 2).sum()
    weight = torch.exp(-0.5 * ((tap - (size - 1) / 2).double() / sigma) ** 2) / total
    return torch.where((tap >= 0) & (tap < size), weight, 0.0).float()


def filter_separable(x: Float[Tensor, "*b h w"], matrix: Float[Tensor, "o s"]) -> Float[Tensor, "*b o o"]:
    """Square pictures filtered along both axes by a band matrix, in single precision."""
    with torch.autocast(x.device.type, enabled=False):
        return matrix @ x.float() @ matrix.T


def soft_mask(mask: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """1 inside the mask, falling to 0 just outside: blurred by 1/32 of the side, doubled, cut at 1.

    Within it the losses of DeepFaceLab (reference implementation of arXiv 2005.05535) count.
    """
    return gaussian_blur(mask, float(max(1, mask.shape[-1] // 32))).clamp(0, 0.5) * 2


def gaussian_blur(x: Float[Tensor, "b c s s"], sigma: float) -> Float[Tensor, "b c s s"]:
    """Square pictures blurred, with zeros outside; the window reaches two sigma each way."""
    size = max(3, int(4 * sigma)) | 1
    return filter_separable(x, band_matrix(x.shape[-1], size, float(sigma), True, x.device))

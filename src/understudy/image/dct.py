"""The discrete cosine transform of a picture's blocks, differentiable and on any device.

Type II, orthonormal (Ahmed, Natarajan and Rao 1974, "Discrete Cosine Transform"): a matrix product from
either side, so that the inverse is the transpose and energy is kept.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.errors import ShapeError


@lru_cache(maxsize=8)
def dct_matrix(size: int) -> Float[Tensor, "size size"]:
    """Rows are the cosines, from the constant one up; float64."""
    place = torch.arange(size, dtype=torch.float64)
    rows = torch.cos(math.pi / size * (place + 0.5) * place[:, None]) * math.sqrt(2.0 / size)
    rows[0] *= math.sqrt(0.5)
    return rows


def block_dct(planes: Float[Tensor, "*b h w"], size: int = 8) -> Float[Tensor, "*b rows columns size size"]:
    """Coefficients of every block; the last two axes are the frequencies down and across.

    Args:
        planes: sides that ``size`` divides.
        size: side of a block.

    Raises:
        ShapeError: it does not divide them.
    """
    height, width = planes.shape[-2:]
    if height % size or width % size:
        raise ShapeError("planes", f"(…, H, W), both divisible by {size}", tuple(planes.shape))
    matrix = dct_matrix(size).to(planes)
    blocks = planes.unflatten(-1, (width // size, size)).unflatten(-3, (height // size, size))
    return matrix @ blocks.transpose(-3, -2) @ matrix.T


def inverse_block_dct(
    coefficients: Float[Tensor, "*b rows columns size size"],
) -> Float[Tensor, "*b h w"]:
    """The planes whose ``block_dct`` this is."""
    matrix = dct_matrix(coefficients.shape[-1]).to(coefficients)
    blocks = matrix.T @ coefficients @ matrix
    return blocks.transpose(-3, -2).flatten(-2, -1).flatten(-3, -2)

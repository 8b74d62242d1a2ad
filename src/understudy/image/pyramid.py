"""Pyramids: pictures at half, quarter, eighth the size, and what each size adds to the next smaller.

``halved`` is the cheapest honest reduction, for networks that see large frames in small squares. ``reduce``
and ``expand`` are those of Burt and Adelson 1983, "The Laplacian pyramid as a compact image code", equations
1 and 2 with a = 3/8 (binomial weights 1 4 6 4 1); pixels beyond the border are the border's.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F


def halved(picture: UInt8[np.ndarray, "h w 3"], times: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """Every pixel the mean of a square of ``2 ** times``; an odd last row or column is dropped each time.

    Args:
        picture: both sides at least ``2 ** times`` pixels, see ``halvings``.
        times: 0 gives the picture itself.
    """
    for _ in range(times):
        height, width = picture.shape[0] // 2, picture.shape[1] // 2
        picture = cv2.resize(
            picture[: height * 2, : width * 2], (width, height), interpolation=cv2.INTER_AREA
        )
    return picture


def halvings(shape: tuple[int, ...], reduction: float) -> int:
    """How often a picture can be halved before it is reduced by ``reduction``.

    Args:
        shape: height and width, and what follows.
        reduction: how many times smaller it may become in all.
    """
    times = 0
    while reduction >= 2 ** (times + 1) and min(shape[:2]) >= 2 ** (times + 1):
        times += 1
    return times


def reduce(pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Blurred, and every second pixel from the first on: half the size, an odd side rounded up."""
    return _reduced(_reduced(pictures, -2), -1)


def _reduced(pictures: Tensor, axis: int) -> Tensor:
    length = pictures.shape[axis]
    half = (length + 1) // 2
    beyond = 2 * half - length  # 1 for an odd side: its last kernel needs two pixels more
    margin = (2, 1 + beyond)
    padded = F.pad(pictures, (*margin, 0, 0) if axis == -1 else (0, 0, *margin), mode="replicate")
    if axis == -1:
        parts = [padded[..., first : first + 2 * half - 1 : 2] for first in range(5)]
    else:
        parts = [padded[..., first : first + 2 * half - 1 : 2, :] for first in range(5)]
    out = torch.add(parts[0], parts[4])
    out.add_(parts[1], alpha=4.0).add_(parts[3], alpha=4.0).add_(parts[2], alpha=6.0)
    return out.mul_(1.0 / 16.0)


def expand(
    pictures: Float[Tensor, "b c h2 w2"], size: tuple[int, int]
) -> Float[Tensor, "b c {size[0]} {size[1]}"]:
    """Twice the size: the new pixels between the old, both weighted as ``reduce`` weighs.

    Args:
        pictures: what ``reduce`` makes of pictures of ``size``.
        size: height and width wanted.
    """
    return _expanded(_expanded(pictures, size[1], -1), size[0], -2)


def _expanded(pictures: Tensor, length: int, axis: int) -> Tensor:
    padded = F.pad(pictures, (1, 1, 0, 0) if axis == -1 else (0, 0, 1, 1), mode="replicate")
    count = pictures.shape[axis]
    before, here, after = (padded.narrow(axis, start, count) for start in range(3))
    shape = list(pictures.shape)
    shape[axis] = length
    out = pictures.new_empty(shape)
    even, odd = (out[..., first::2] if axis == -1 else out[..., first::2, :] for first in (0, 1))
    torch.add(before, after, out=even)
    even.add_(here, alpha=6.0).mul_(1.0 / 8.0)
    pairs = odd.shape[axis]
    torch.add(here.narrow(axis, 0, pairs), after.narrow(axis, 0, pairs), out=odd)
    odd.mul_(0.5)
    return out


def gaussian_pyramid(pictures: Float[Tensor, "b c h w"], levels: int) -> list[Tensor]:
    """The pictures and their reductions, ``levels`` in all."""
    out = [pictures]
    while len(out) < levels:
        out.append(reduce(out[-1]))
    return out


def laplacian_pyramid(pictures: Float[Tensor, "b c h w"], levels: int) -> list[Tensor]:
    """What each size adds to the next smaller; the last is the smallest itself. ``collapse`` undoes it."""
    sizes = gaussian_pyramid(pictures, levels)
    out = [fine - expand(coarse, _size(fine)) for fine, coarse in itertools.pairwise(sizes)]
    return [*out, sizes[-1]]


def collapse(bands: list[Tensor]) -> Tensor:
    """The pictures of a Laplacian pyramid."""
    out = bands[-1]
    for band in reversed(bands[:-1]):
        out = expand(out, _size(band)).add_(band)
    return out


def _size(pictures: Tensor) -> tuple[int, int]:
    return pictures.shape[-2], pictures.shape[-1]

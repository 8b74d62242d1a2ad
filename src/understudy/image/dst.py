"""Poisson's equation on a rectangle, solved at once by sine transforms.

The discrete problem: ``(4 + screen) d - sum of the four neighbours = source`` at every pixel, where d is 0 on
the border *line* of the rectangle, half a pixel outside the centres of its outermost pixels (a neighbour
beyond the line is the pixel's own value with the other sign). The eigenvectors are the sines of the discrete
sine transform of type II, with the eigenvalues ``2 - 2 cos(pi k / n)`` along each axis, k from 1 to n (Strang
1999, "The discrete cosine transform", derives the cosines; the sines go alike). Type II is preferred to type
I, which has d = 0 at the centres of the pixels beyond the border, because it takes two thirds of the time.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import scipy.fftpack
import torch
from jaxtyping import Float
from torch import Tensor

from understudy.errors import ShapeError


def smooth_length(least: int) -> int:
    """Smallest number that is no less and has no prime factor above 5: a side that transforms fast."""
    return next(number for number in itertools.count(max(1, least)) if _is_smooth(number))


def _is_smooth(number: int) -> bool:
    for factor in (2, 3, 5):
        while number % factor == 0:
            number //= factor
    return number == 1


def solve_on_rectangle(source: Float[Tensor, "*b h w"], screen: float = 0.0) -> Float[Tensor, "*b h w"]:
    """The field that satisfies the equation above, exact up to rounding.

    Sides from ``smooth_length`` are solved fastest. On a CPU it is SciPy's sine transforms on one thread;
    elsewhere the picture is mirrored with the other sign, which is four times the work of Fourier transforms
    and stays on the device.

    Args:
        source: float32 or float64, at least one pixel.
        screen: how strongly the field is drawn to 0 everywhere, at least 0; it reaches about
            ``1 / sqrt(screen)`` pixels far from where the source is.

    Raises:
        ShapeError: there is no pixel.
    """
    if source.shape[-1] == 0 or source.shape[-2] == 0:
        raise ShapeError("source", "at least one pixel", tuple(source.shape))
    if source.device.type == "cpu":
        return _by_sines(source, screen)
    return _by_mirrors(source, screen)


def _by_sines(source: Tensor, screen: float) -> Tensor:
    # scipy.fftpack is the same transform as scipy.fft without its choice of backends, which costs as much as
    # a small face does where the caches are cold
    values, axes = source.detach().numpy(), (-2, -1)
    waves: np.ndarray = scipy.fftpack.dstn(values, 2, None, axes)
    waves *= _inverse_eigenvalues(values.shape[-2], values.shape[-1], screen, values.dtype.name)
    return torch.from_numpy(scipy.fftpack.idstn(waves, 2, None, axes, None, True))


@lru_cache(maxsize=16)
def _inverse_eigenvalues(height: int, width: int, screen: float, kind: str) -> np.ndarray:
    """One over the eigenvalues, and over what the two transforms multiply by."""
    down, across = (2.0 - 2.0 * np.cos(np.pi * np.arange(1, n + 1) / n) for n in (height, width))
    out = (1.0 / ((down[:, None] + across + screen) * (4 * height * width))).astype(kind)
    out.setflags(write=False)
    return out


def _by_mirrors(source: Tensor, screen: float) -> Tensor:
    height, width = source.shape[-2:]
    wide = torch.cat([source, -source.flip(-1)], -1)
    waves = torch.fft.rfft2(torch.cat([wide, -wide.flip(-2)], -2))
    down, across = (
        2.0
        - 2.0 * torch.cos(torch.pi * torch.arange(count, device=source.device, dtype=torch.float64) / side)
        for count, side in ((2 * height, height), (width + 1, width))
    )
    eigenvalues = down[:, None] + across + screen
    eigenvalues[0, 0] = 1.0  # what is mirrored with the other sign has no mean
    solved = torch.fft.irfft2(waves / eigenvalues.to(source.dtype), s=(2 * height, 2 * width))
    return solved[..., :height, :width]

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from understudy.image.pyramid import (
    collapse,
    expand,
    gaussian_pyramid,
    halved,
    halvings,
    laplacian_pyramid,
    reduce,
)

BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
sizes = pytest.mark.parametrize("size", [(32, 48), (33, 47), (7, 2), (1, 5), (1, 1)])


def test_halving_is_the_mean_of_squares():
    picture = np.random.default_rng(0).integers(0, 256, (13, 18, 3), np.uint8)
    twice = halved(picture, 2)
    assert twice.shape == (3, 4, 3)
    exact = picture[:12, :16].reshape(3, 4, 4, 4, 3).mean((1, 3))
    assert np.abs(twice - exact).max() <= 1.01  # rounded twice
    assert halved(picture, 0) is picture


def test_how_often():
    assert halvings((720, 1280, 3), 1.9) == 0
    assert halvings((720, 1280, 3), 2.0) == 1
    assert halvings((720, 1280, 3), 10.0) == 3
    assert halvings((3, 700, 3), 100.0) == 1
    assert halvings((1, 1), 100.0) == 0


@sizes
def test_reduce_is_a_binomial_blur_and_every_second_pixel(size):
    pictures = np.random.default_rng(1).random((2, 3, *size))
    blurred = pictures
    for axis in (-2, -1):
        blurred = scipy.ndimage.correlate1d(blurred, BINOMIAL, axis, mode="nearest")
    out = reduce(torch.from_numpy(pictures)).numpy()
    assert out.shape[-2:] == ((size[0] + 1) // 2, (size[1] + 1) // 2)
    assert np.abs(out - blurred[..., ::2, ::2]).max() < 1e-12


@sizes
def test_expand_puts_zeros_between_and_blurs(size):
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    small = np.random.default_rng(1).random((2, 3, *half))
    out = expand(torch.from_numpy(small), size).numpy()
    wide = small
    for axis in (-2, -1):
        padding = [(0, 0)] * 4
        padding[axis] = (2, 2)
        padded = np.pad(wide, padding, "edge")
        shape = list(padded.shape)
        shape[axis] *= 2
        spread = np.zeros(shape)
        spread[(..., slice(None, None, 2)) + (slice(None),) * (-1 - axis)] = 2.0 * padded
        blurred = scipy.ndimage.correlate1d(spread, BINOMIAL, axis, mode="constant")
        wide = np.take(blurred, range(4, 4 + size[axis]), axis)
    assert out.shape == wide.shape
    assert np.abs(out - wide).max() < 1e-12


@sizes
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_collapse_undoes_the_laplacian_pyramid(size, levels):
    pictures = torch.rand(2, 3, *size, dtype=torch.float64)
    bands = laplacian_pyramid(pictures, levels)
    assert len(bands) == levels
    assert (collapse(bands) - pictures).abs().max() < 1e-12


def test_a_flat_picture_is_in_the_last_band_only():
    *details, rest = laplacian_pyramid(torch.full((1, 1, 40, 56), 0.7), 4)
    assert all(band.abs().max() < 1e-6 for band in details)
    assert (rest - 0.7).abs().max() < 1e-6


def test_gaussian_pyramid_begins_with_the_pictures():
    pictures = torch.rand(1, 1, 20, 24)
    first, second, third = gaussian_pyramid(pictures, 3)
    assert first is pictures
    assert torch.equal(third, reduce(second))

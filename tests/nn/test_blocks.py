from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from understudy.nn.blocks import Downscale, PixelNorm, Residual, Upscale, groups_of
from understudy.nn.init import init_glorot
from understudy.nn.window import band_matrix, filter_separable, gaussian_blur, gaussian_window


def test_sizes():
    x = torch.rand(2, 6, 16, 16)
    assert Downscale(6, 10, normalized=True)(x).shape == (2, 10, 8, 8)
    assert Upscale(6, 5)(x).shape == (2, 5, 32, 32)
    assert Residual(6)(x).shape == x.shape


def test_residual_passes_its_input_when_its_weights_are_zero():
    block = Residual(3)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(1, 3, 4, 4)
    assert torch.equal(block(x), x)


def test_pixel_norm_has_mean_square_one_at_any_scale():
    x = torch.randn(4, 1000) * torch.tensor([[0.1], [1.0], [10.0], [1000.0]])
    assert PixelNorm()(x).square().mean(-1).numpy() == pytest.approx(np.ones(4), abs=1e-3)


def test_groups_divide_the_channels():
    assert [groups_of(channels) for channels in (1, 4, 12, 22, 64)] == [1, 4, 6, 2, 8]


def test_glorot_limits_and_zero_biases():
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(8, 16, 3)
    init_glorot(layer)
    limit = (6 / (8 * 9 + 16 * 9)) ** 0.5
    assert limit * 0.98 < layer.weight.abs().max() <= limit
    assert not layer.bias.any()


def test_band_matrix_filters_as_a_convolution_does():
    picture = np.random.default_rng(0).random((20, 20), np.float32)
    window = gaussian_window(7, 1.5)
    for padded, mode in ((True, "same"), (False, "valid")):
        expected = np.array([np.convolve(row, window, mode) for row in picture])
        expected = np.array([np.convolve(column, window, mode) for column in expected.T]).T
        matrix = band_matrix(20, 7, 1.5, padded, torch.device("cpu"))
        assert filter_separable(torch.from_numpy(picture), matrix).numpy() == pytest.approx(
            expected, abs=1e-6
        )


def test_blur_is_a_gaussian_with_zeros_outside():
    picture = np.random.default_rng(0).random((40, 40))
    got = gaussian_blur(torch.from_numpy(picture).float()[None, None], 3.0)[0, 0].numpy()
    expected = gaussian_filter(picture, 3.0, mode="constant", radius=6)
    assert got == pytest.approx(expected, abs=1e-6)

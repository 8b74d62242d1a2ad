from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import correlate2d

from understudy.nn.blocks import (
    Downscale,
    PixelNorm,
    Residual,
    Upscale,
    groups_of,
    shuffle_channels_last,
    x_cos_x,
)
from understudy.nn.window import band_matrix, filter_separable, gaussian_blur


def test_sizes():
    x = torch.rand(2, 6, 16, 16)
    assert Downscale(6, 10, normalized=True)(x).shape == (2, 10, 8, 8)
    assert Upscale(6, 5)(x).shape == (2, 5, 32, 32)
    assert Residual(6)(x).shape == x.shape


def convolved(layer: torch.nn.Conv2d, x: torch.Tensor) -> np.ndarray:
    """A convolution with zeros outside, by SciPy in double precision; every pixel."""
    weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    picture = x[0].double().numpy()
    filters = [
        sum(correlate2d(channel, kernel, "same") for channel, kernel in zip(picture, kernels, strict=True))
        for kernels in weight
    ]
    return np.array(filters) + bias[:, None, None]


def leaky(x: np.ndarray, slope: float) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def test_downscale_upscale_and_residual_by_scipy():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 8, 8)
    down, up, residual = Downscale(3, 4), Upscale(3, 2), Residual(3)
    expected = leaky(convolved(down.convolution, x)[:, ::2, ::2], 0.1)
    assert down(x)[0].detach().numpy() == pytest.approx(expected, abs=1e-5)
    wide = leaky(convolved(up.convolution, x), 0.1)
    got = up(x)[0].detach().numpy()
    for channel, row, column in np.ndindex(2, 2, 2):
        part = wide[4 * channel + 2 * row + column]
        assert got[channel, row::2, column::2] == pytest.approx(part, abs=1e-5)
    inside = torch.from_numpy(leaky(convolved(residual.first, x), 0.2))[None]
    expected = leaky(x[0].numpy() + convolved(residual.second, inside), 0.2)
    assert residual(x)[0].detach().numpy() == pytest.approx(expected, abs=1e-5)


def test_shuffle_with_channels_last_is_the_same_and_leaves_them_last():
    x = torch.randn(2, 12, 5, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    got, expected = shuffle_channels_last(x), torch.nn.functional.pixel_shuffle(x, 2)
    assert torch.equal(got, expected)
    assert got.is_contiguous(memory_format=torch.channels_last)
    ways = torch.randn_like(expected)
    gradients = [torch.autograd.grad(y, x, ways)[0] for y in (got, expected)]
    assert torch.equal(*gradients)
    assert gradients[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.gpu
def test_upscale_on_a_gpu_is_that_of_the_processor_with_channels_last():
    block = Upscale(8, 4, shortcut=True).double()
    x = torch.randn(2, 8, 6, 6, dtype=torch.float64)
    expected = block(x)
    block = block.to("cuda", memory_format=torch.channels_last)
    got = block(x.cuda().contiguous(memory_format=torch.channels_last))
    assert torch.allclose(got.cpu(), expected, atol=1e-12)
    assert got.is_contiguous(memory_format=torch.channels_last)


def test_x_cos_x_stands_in_every_block():
    torch.manual_seed(0)
    x = 3 * torch.randn(1, 3, 8, 8)
    down = Downscale(3, 4, activate=x_cos_x)
    inside = convolved(down.convolution, x)[:, ::2, ::2]
    assert down(x)[0].detach().numpy() == pytest.approx(inside * np.cos(inside), abs=1e-4)
    residual = Residual(3, activate=x_cos_x)
    torch.nn.init.zeros_(residual.second.weight)
    torch.nn.init.zeros_(residual.second.bias)
    assert torch.allclose(residual(x), x * x.cos())


def test_blocks_leave_their_input_alone():
    x = torch.randn(1, 4, 8, 8)
    before = x.clone()
    for block in (Downscale(4, 4, normalized=True), Upscale(4, 4, shortcut=True), Residual(4)):
        block(x)
        assert torch.equal(x, before)


def test_shortcuts_carry_the_picture_when_the_kernels_are_zero():
    x = torch.rand(1, 2, 6, 6)
    down, up = Downscale(2, 2, shortcut=True), Upscale(2, 2, shortcut=True)
    for block in (down, up):
        for parameter in block.parameters():
            torch.nn.init.zeros_(parameter)
        block.shortcut.weight.data[:, :, 0, 0] = torch.eye(2)
    means = x[0].numpy().reshape(2, 3, 2, 3, 2).mean((2, 4))
    assert down(x)[0].detach().numpy() == pytest.approx(means, abs=1e-6)
    assert up(x)[0].detach().numpy() == pytest.approx(np.kron(x[0].numpy(), np.ones((1, 2, 2))), abs=1e-6)
    assert Downscale(2, 2, shortcut=True)(torch.rand(1, 2, 5, 7)).shape == (1, 2, 3, 4)


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


def test_band_matrix_filters_as_a_convolution_does():
    picture = np.random.default_rng(0).random((20, 20), np.float32)
    window = np.exp(-0.5 * ((np.arange(7) - 3) / 1.5) ** 2)
    window /= window.sum()
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

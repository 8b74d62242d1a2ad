from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from understudy.nn.init import init_convolution_aware, init_glorot, init_weights, orthogonal_kernels


def spectra_of(weight: torch.Tensor) -> np.ndarray:
    """Fourier transforms of a convolution's kernels, flat, by filter and channel."""
    kernels = weight.detach().double().numpy()
    return np.fft.fft2(kernels).reshape(*kernels.shape[:2], -1)


def aware(layer: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    init_convolution_aware(layer)
    return layer


def test_glorot_limits_and_zero_biases():
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 16, 3)
    init_glorot(layer)
    limit = (6 / (8 * 9 + 16 * 9)) ** 0.5
    assert limit * 0.98 < layer.weight.abs().max() <= limit
    assert not layer.bias.any()


@pytest.mark.parametrize(("channels", "side"), [(3, 5), (9, 3), (20, 3), (60, 5)])
def test_spectra_within_a_filter_are_orthogonal(channels, side):
    weight = aware(nn.Conv2d(channels, 7, side)).weight
    spectra, run = spectra_of(weight), min(channels, side**2)
    # Parseval: a kernel of norm sqrt(2 / channels) has side² times that square in an unnormalised transform
    size = 2 / channels * side**2
    for first in range(0, channels, run):
        block = spectra[:, first : first + run]
        gram = block @ block.conj().transpose(0, 2, 1)
        assert np.allclose(gram, size * np.eye(block.shape[1]), atol=1e-5 * size)


def test_spectra_are_not_those_of_symmetric_kernels():
    spectra = spectra_of(aware(nn.Conv2d(64, 64, 3)).weight)
    # of a spectrum's nine real numbers five are real parts and four imaginary ones, all of one size
    assert np.mean(spectra.imag**2) / np.mean(np.abs(spectra) ** 2) == pytest.approx(4 / 9, rel=0.02)


@pytest.mark.parametrize(("channels", "side"), [(3, 5), (64, 3), (65, 3)])
def test_variance_is_hes(channels, side):
    weight = aware(nn.Conv2d(channels, 256, side)).weight
    assert float(weight.detach().square().mean()) == pytest.approx(2 / (channels * side**2), rel=1e-5)
    assert abs(float(weight.detach().mean())) < 4 * (2 / (channels * side**2) / weight.numel()) ** 0.5


def test_a_signal_keeps_its_size_through_a_layer_and_its_rectifier():
    layer = aware(nn.Conv2d(32, 512, 3, padding=1, padding_mode="circular"))
    x = torch.relu(torch.randn(4, 32, 16, 16, generator=torch.Generator().manual_seed(1)))
    y = torch.relu(layer(x))
    assert float(y.detach().square().mean() / x.square().mean()) == pytest.approx(1.0, rel=0.1)


def test_bases_are_drawn_from_all_directions_alike():
    torch.manual_seed(0)
    first = orthogonal_kernels(torch.empty(20000, 1, 3, 3)).flatten(1)
    second_moments = (first.T @ first / len(first)).numpy()
    assert second_moments == pytest.approx(np.eye(9) * 2 / 9, abs=0.01)
    assert first.mean(0).numpy() == pytest.approx(np.zeros(9), abs=0.015)


def test_what_has_no_spectrum_starts_as_with_glorot():
    net = nn.Sequential(nn.Conv2d(8, 16, 1), nn.Flatten(), nn.Linear(64, 32), nn.GroupNorm(2, 32))
    aware(net)
    for layer, fans in ((net[0], 24), (net[2], 96)):
        limit = (6 / fans) ** 0.5
        assert limit * 0.9 < layer.weight.abs().max() <= limit
        assert not layer.bias.any()
    assert torch.equal(net[3].weight, torch.ones(32))


def test_kinds_of_convolution():
    assert aware(nn.Conv2d(12, 24, 3, groups=4)).weight.square().mean().item() == pytest.approx(2 / 27)
    assert aware(nn.Conv2d(4, 6, (1, 5), bias=False)).weight.square().mean().item() == pytest.approx(2 / 20)
    assert aware(nn.Conv2d(4, 6, 3, dtype=torch.float64)).weight.dtype == torch.float64
    with torch.device("meta"):
        aware(nn.Conv2d(30, 6, 3))


def test_the_seed_decides_and_the_name_chooses():
    layers = [nn.Conv2d(20, 6, 3) for _ in range(3)]
    for layer, how in zip(layers, ("aware", "aware", "glorot"), strict=True):
        torch.manual_seed(5)
        init_weights(layer, how)
    assert torch.equal(layers[0].weight, layers[1].weight)
    assert not torch.equal(layers[0].weight, layers[2].weight)
    torch.manual_seed(6)
    init_weights(layers[1], "aware")
    assert not torch.equal(layers[0].weight, layers[1].weight)

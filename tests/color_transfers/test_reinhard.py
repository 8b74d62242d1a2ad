from __future__ import annotations

import torch

from understudy.color_transfers.reinhard import Reinhard
from understudy.image.filter import gaussian_blur
from understudy.image.lab import lab_to_rgb, rgb_to_lab

SIZE = 64


def picture(seed: int, mean: tuple[float, float, float], spread: float) -> torch.Tensor:
    noise = gaussian_blur(torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)), 2.0)
    return torch.tensor(mean).view(1, 3, 1, 1) + noise * spread


def inside() -> torch.Tensor:
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., 16:48, 20:44] = 1
    return mask


def test_mean_and_deviation_become_the_references():
    face, reference = picture(1, (0.6, 0.45, 0.4), 0.3), picture(2, (0.4, 0.35, 0.35), 0.4)
    out = Reinhard()(face, reference, inside())
    where = inside()[0, 0] > 0
    got, wanted = (rgb_to_lab(p)[0][:, where] for p in (out, reference))
    assert (got.mean(-1) - wanted.mean(-1)).abs().max() < 0.05
    assert (got.std(-1) / wanted.std(-1) - 1).abs().max() < 0.01


def test_gain_is_bounded():
    face, reference = picture(1, (0.5, 0.5, 0.5), 1e-3), picture(2, (0.5, 0.5, 0.5), 0.8)
    out = Reinhard(max_gain=2.0)(face, reference, inside())
    where = inside()[0, 0] > 0
    before, after = (rgb_to_lab(p)[0][:, where].std(-1) for p in (face, out))
    assert (after / before - 2.0).abs().max() < 0.05


def test_too_few_pixels_change_nothing():
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., 10:13, 10:13] = 1
    face = picture(1, (0.6, 0.5, 0.4), 0.2)
    assert torch.equal(Reinhard()(face, picture(2, (0.2, 0.5, 0.8), 0.2), mask), face)


def test_lab_of_known_colours():
    """CIE L*a*b* of sRGB primaries and grey, D65, from Lindbloom's calculator."""
    rgb = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0.5, 0.5, 0.5], [0, 0, 0]])
    colors = [[53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    expected = torch.tensor([*colors, [100, 0, 0], [53.39, 0, 0], [0, 0, 0]])
    assert (rgb_to_lab(rgb.T[None])[0].T - expected).abs().max() < 0.05


def test_lab_and_back():
    rgb = torch.rand(2, 3, 17, 9, generator=torch.Generator().manual_seed(0))
    assert (lab_to_rgb(rgb_to_lab(rgb)) - rgb).abs().max() < 1e-5
    double = rgb.double()
    assert (lab_to_rgb(rgb_to_lab(double)) - double).abs().max() < 1e-8

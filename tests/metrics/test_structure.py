from __future__ import annotations

import numpy as np
import pytest
import torch

from understudy.errors import ShapeError
from understudy.metrics.structure import psnr, ssim


def ssim_by_hand(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Wang et al. 2004, equation 13, window by window in float64."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    out = np.empty((x.shape[0] - 10, x.shape[1] - 10))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            out[i, j] = ((2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)) / (
                (mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)
            )
    return out


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    truth = torch.rand(2, 3, 24, 30, generator=generator)
    return (truth + 0.1 * torch.randn(truth.shape, generator=generator)).clamp(0, 1), truth


def test_ssim_is_the_formula(pair):
    got = ssim(*pair)
    for item in range(2):
        planes = [ssim_by_hand(*(p[item, k].double().numpy() for p in pair)).mean() for k in range(3)]
        assert float(got[item]) == pytest.approx(np.mean(planes), abs=1e-9)


def test_ssim_inside_a_mask_is_the_weighted_mean(pair):
    mask = torch.rand(2, 1, 24, 30, generator=torch.Generator().manual_seed(5))
    got = ssim(*pair, mask)
    for item in range(2):
        maps = [ssim_by_hand(*(p[item, k].double().numpy() for p in pair)) for k in range(3)]
        weights = mask[item, 0, 5:-5, 5:-5].double().numpy()
        expected = (np.mean(maps, axis=0) * weights).sum() / weights.sum()
        assert float(got[item]) == pytest.approx(expected, abs=1e-9)


def test_psnr_is_the_formula(pair):
    picture, truth = (p.double().numpy() for p in pair)
    expected = [10 * np.log10(1 / ((picture[i] - truth[i]) ** 2).mean()) for i in range(2)]
    assert psnr(*pair).numpy() == pytest.approx(expected, abs=1e-9)


def test_psnr_inside_a_mask_sees_nothing_else(pair):
    picture, truth = pair
    mask = torch.zeros(2, 1, 24, 30)
    mask[..., 5:15, 5:20] = 1
    expected = psnr(picture[..., 5:15, 5:20], truth[..., 5:15, 5:20])
    assert psnr(torch.where(mask > 0, picture, torch.ones(())), truth, mask).numpy() == pytest.approx(
        expected.numpy(), abs=1e-9
    )


def test_known_values():
    black = torch.zeros(1, 3, 16, 16)
    assert float(psnr(black + 0.1, black)) == pytest.approx(20.0, abs=1e-5)
    assert float(psnr(black, black)) == float("inf")
    assert float(ssim(black + 0.3, black + 0.3)) == pytest.approx(1.0, abs=1e-12)
    assert float(ssim(black + 1.0, black)) == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-6)


def test_an_empty_mask_is_no_figure(pair):
    empty = torch.zeros(2, 1, 24, 30)
    assert psnr(*pair, empty).isnan().all()
    assert ssim(*pair, empty).isnan().all()


def test_too_small_for_the_window():
    with pytest.raises(ShapeError, match="at least 11"):
        ssim(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))

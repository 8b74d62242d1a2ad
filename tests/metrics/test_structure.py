from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from understudy.errors import ShapeError
from understudy.metrics.structure import ms_ssim, psnr, ssim


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


# ------------------------------------------------------------------------------------------------ other tools


@pytest.fixture(scope="module")
def large() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    truth = torch.rand(1, 2, 12, 12, generator=generator, dtype=torch.float64)
    truth = torch.nn.functional.interpolate(truth, (180, 192), mode="bicubic").clamp(0, 1)
    return (truth + 0.06 * torch.randn(truth.shape, generator=generator)).clamp(0, 1), truth


def scales_by_hand(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Wang et al. 2003, equation 7, one channel, with SciPy's Gaussian."""

    def mean(a: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(a, 1.5, truncate=3.5)[5:-5, 5:-5]

    def half(a: np.ndarray) -> np.ndarray:
        return (
            a[: a.shape[0] // 2 * 2, : a.shape[1] // 2 * 2]
            .reshape(a.shape[0] // 2, 2, a.shape[1] // 2, 2)
            .mean((1, 3))
        )

    out = 1.0
    for scale, power in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if scale:
            x, y, weights = half(x), half(y), half(weights)
        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        places = (2 * cov + 9e-4) / (vx + vy + 9e-4)
        if scale == 4:
            places = places * (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
        w = weights[5:-5, 5:-5]
        out *= ((places * w).sum() / w.sum()) ** power
    return out


def test_ssim_is_that_of_scikit_image(large):
    picture, truth = (p[0].permute(1, 2, 0).numpy() for p in large)
    expected = structural_similarity(
        picture, truth, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0,
        channel_axis=-1,
    )  # fmt: skip
    assert float(ssim(*large)) == pytest.approx(expected, abs=1e-9)
    assert float(psnr(*large)) == pytest.approx(peak_signal_noise_ratio(truth, picture, data_range=1.0))


def test_ms_ssim_is_the_formula(large):
    mask = torch.rand(1, 1, 180, 192, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    for weights in (None, mask):
        flat = np.ones((180, 192)) if weights is None else weights[0, 0].numpy()
        expected = np.mean([scales_by_hand(*(p[0, k].numpy() for p in large), flat) for k in range(2)])
        assert float(ms_ssim(*large, weights)) == pytest.approx(expected, abs=1e-9)


def test_ms_ssim_of_known_pictures(large):
    truth = large[1]
    assert float(ms_ssim(truth, truth)) == pytest.approx(1.0, abs=1e-12)
    assert float(ms_ssim(1.0 - truth, truth)) == 0.0
    with pytest.raises(ShapeError, match="at least 176"):
        ms_ssim(truth[..., :175], truth[..., :175])


@pytest.mark.gpu
def test_a_gpu_gives_the_same(pair):
    there = [p.cuda() for p in pair]
    assert ssim(*there).cpu().numpy() == pytest.approx(ssim(*pair).numpy(), abs=1e-9)

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from understudy.errors import ShapeError
from understudy.losses import LOSSES


def pictures(side: int = 48, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(2, 3, side, side, generator=generator)
    return (truth * 0.7 + 0.2 * torch.rand(2, 3, side, side, generator=generator)).clamp(0, 1), truth


def dssim_by_formula(x: torch.Tensor, y: torch.Tensor, window: int) -> float:
    """Wang et al. 2004, equation 13, in float64, with SciPy's filters."""
    place = np.arange(window) - (window - 1) / 2
    taps = np.exp(-(place**2) / (2 * 1.5**2))
    taps /= taps.sum()

    def mean(z: np.ndarray) -> np.ndarray:
        for axis in (-2, -1):
            z = correlate1d(z, taps, axis=axis, mode="constant", origin=0)
        low = window // 2
        high = z.shape[-1] - (window - 1 - low)
        return z[..., low:high, low:high]

    a, b = x.numpy().astype(np.float64), y.numpy().astype(np.float64)
    ma, mb = mean(a), mean(b)
    va, vb, cab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    ssim = (2 * ma * mb + c1) * (2 * cab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return float((1 - ssim.mean()) / 2)


@pytest.mark.parametrize("name", LOSSES.names())
def test_contract_zero_for_equal_pictures_and_positive_otherwise(name):
    loss = LOSSES[name]()
    prediction, truth = pictures()
    assert loss(truth, truth).item() == 0.0
    assert loss(prediction, truth).item() > 1e-3
    assert loss(prediction, truth).shape == ()
    assert loss(prediction.bfloat16(), truth).dtype == torch.float32


@pytest.mark.parametrize("name", LOSSES.names())
def test_contract_descent_leads_to_the_truth(name):
    loss = LOSSES[name]()
    prediction, truth = pictures()
    prediction.requires_grad_()
    loss(prediction, truth).backward()
    assert torch.isfinite(prediction.grad).all()
    stepped = prediction.detach() - 1e-2 * prediction.grad / prediction.grad.abs().max()
    assert loss(stepped, truth) < loss(prediction.detach(), truth)


@pytest.mark.parametrize("window", [1, 7, 8, 11])
def test_dssim_against_the_formula(window):
    prediction, truth = pictures()
    got = LOSSES["dssim"](window=window)(prediction, truth).item()
    assert got == pytest.approx(dssim_by_formula(prediction, truth, window), abs=2e-6)


def test_dssim_windows_follow_the_size():
    for side, windows in ((48, [4]), (96, [8]), (128, [11]), (256, [22, 11])):
        prediction, truth = pictures(side)
        expected = np.mean([dssim_by_formula(prediction, truth, window) for window in windows])
        assert LOSSES["dssim"]()(prediction, truth).item() == pytest.approx(expected, abs=2e-6)


def test_dssim_window_larger_than_the_picture_is_refused():
    with pytest.raises(ShapeError, match="window of 64"):
        LOSSES["dssim"](window=64)(*pictures())


def test_dssim_stays_in_single_precision_under_autocast():
    prediction, truth = pictures()
    plain = LOSSES["dssim"]()(prediction, truth)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(LOSSES["dssim"]()(prediction, truth), plain)


def test_mse_against_the_formula():
    prediction, truth = pictures()
    expected = ((prediction.double() - truth.double()) ** 2).mean().item()
    assert LOSSES["mse"]()(prediction, truth).item() == pytest.approx(expected, rel=1e-5)

"""Each colour transfer by its own criterion: what of the target's colours the result has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from drawn_colors import (
    moments,
    points,
    skin,
    sliced_distance,
    soft_mask,
    target,
    weights,
)
from understudy.color_transfers import COLOR_TRANSFERS
from understudy.color_transfers.histogram import Histogram
from understudy.color_transfers.idt import IterativeDistributionTransfer
from understudy.color_transfers.linear import Linear
from understudy.color_transfers.mean import Mean
from understudy.color_transfers.mixed import Mixed
from understudy.color_transfers.mkl import MongeKantorovich
from understudy.color_transfers.reinhard import Reinhard
from understudy.color_transfers.sot import SlicedTransport
from understudy.errors import ConfigError
from understudy.image.lab import linear_to_srgb, rgb_to_lab, srgb_to_linear

CODE = 1.0 / 255.0


def recolored(transfer) -> torch.Tensor:
    out = transfer(skin(), target(), soft_mask())
    inside = (soft_mask() > 0).expand_as(out)
    assert 0 < out[inside].min() < out[inside].max() < 1  # or clipping would spoil the comparison
    return out


def test_reinhard_has_the_targets_means_and_deviations_in_lab():
    labs = [rgb_to_lab(picture.double()) for picture in (recolored(Reinhard()), target())]
    (mean, covariance), (wanted, wanted_covariance) = (moments(lab) for lab in labs)
    np.testing.assert_allclose(mean, wanted, atol=2e-3)
    np.testing.assert_allclose(np.diag(covariance), np.diag(wanted_covariance), rtol=1e-3)


def test_mean_has_the_targets_mean():
    np.testing.assert_allclose(moments(recolored(Mean()))[0], moments(target())[0], atol=1e-5)


def test_mean_of_light_has_the_targets_mean_light():
    out = recolored(Mean(change="gain"))
    light, wanted = (srgb_to_linear(picture.double()) for picture in (out, target()))
    np.testing.assert_allclose(moments(light)[0], moments(wanted)[0], atol=1e-5)


def test_mean_of_light_undoes_exposure_and_colour_temperature():
    """The same face under another lamp, one stop darker: exactly what von Kries' rule describes."""
    gain = torch.tensor([0.6, 0.5, 0.35]).view(1, 3, 1, 1)
    darker = linear_to_srgb(srgb_to_linear(skin()) * gain)
    assert (Mean(change="gain")(skin(), darker, soft_mask()) - darker).abs().max() < 1e-4


@pytest.mark.parametrize("transfer", [Linear(max_gain=9.0), Linear(root="cholesky"), MongeKantorovich()])
def test_linear_maps_have_the_targets_mean_and_covariance(transfer):
    (mean, covariance), (wanted, wanted_covariance) = (moments(p) for p in (recolored(transfer), target()))
    np.testing.assert_allclose(mean, wanted, atol=1e-5)
    np.testing.assert_allclose(covariance, wanted_covariance, atol=2e-6)


def test_monge_kantorovich_moves_colours_least():
    moved = {}
    for transfer in (MongeKantorovich(), Linear(max_gain=9.0), Linear(root="cholesky")):
        steps = ((recolored(transfer) - skin()).square().sum(1, keepdim=True) * soft_mask()).sum()
        moved[transfer] = float(steps)
    least = moved.pop(MongeKantorovich())
    assert all(least < other for other in moved.values())


@pytest.mark.parametrize("transfer", [Linear(max_gain=9.0), Linear(root="cholesky"), MongeKantorovich()])
def test_linear_maps_are_numpys(transfer):
    """The whole formula in numpy and float64, from pixels to pixels."""
    (mean, a), (wanted, b) = moments(skin()), moments(target())

    def root(matrix: np.ndarray, power: float) -> np.ndarray:
        values, vectors = np.linalg.eigh(matrix)
        return (vectors * values**power) @ vectors.T

    if isinstance(transfer, MongeKantorovich):
        linear = root(a, -0.5) @ root(root(a, 0.5) @ b @ root(a, 0.5), 0.5) @ root(a, -0.5)
    elif transfer.root == "pca":
        linear = root(b, 0.5) @ root(a, -0.5)
    else:
        linear = np.linalg.cholesky(b) @ np.linalg.inv(np.linalg.cholesky(a))
    expected = linear @ (points(skin()) - mean[:, None]) + wanted[:, None]
    np.testing.assert_allclose(points(recolored(transfer)), expected.clip(0, 1), atol=1e-4)


def test_histogram_has_the_targets_distribution_in_every_channel():
    out = points(recolored(Histogram()))
    for channel in range(3):
        first, second = points(skin())[channel], points(target())[channel]
        before = wasserstein_distance(first, second, weights(), weights())
        after = wasserstein_distance(out[channel], second, weights(), weights())
        assert after < 0.03 * before
        levels = np.linspace(0.02, 0.98, 25)
        found, wanted = (_quantiles(values, levels) for values in (out[channel], second))
        assert np.abs(found - wanted).max() < CODE


def test_histogram_goes_as_far_as_its_strength():
    face, half = skin(), recolored(Histogram(strength=0.5))
    assert torch.allclose(half, (face + recolored(Histogram())) / 2, atol=1e-6)
    assert torch.equal(Histogram(strength=0.0)(face, target(), soft_mask()), face)


def test_histograms_threshold_is_a_factor_on_the_targets_quantiles():
    """By numpy: the value whose quantile, times the factor, is that of the face's pixel."""
    factor = 238.0 / 255.0
    out = points(recolored(Histogram(threshold=factor)))
    for channel in range(3):
        levels = np.linspace(0.05, 0.9, 20)
        places = _quantiles(points(skin())[channel], levels)
        wanted = _quantiles(points(target())[channel], np.minimum(levels / factor, 1.0))
        order = np.argsort(points(skin())[channel])
        found = np.interp(places, points(skin())[channel][order], out[channel][order])
        assert np.abs(found - wanted).max() < 1.5 * CODE


def _quantiles(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    order = np.argsort(values)
    share = weights()[order]
    return np.interp(levels, (np.cumsum(share) - share / 2) / share.sum(), values[order])


@pytest.mark.parametrize("wrong", [{"strength": 1.2}, {"threshold": 0.3}])
def test_histogram_checks_its_settings(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Histogram(**wrong)


@pytest.mark.parametrize("transfer", [IterativeDistributionTransfer(), SlicedTransport()])
def test_distribution_transfers_bring_the_sliced_distance_down(transfer):
    out = recolored(transfer)
    before, after = (sliced_distance(picture, target()) for picture in (skin(), out))
    assert after < 0.1 * before
    linear = sliced_distance(recolored(MongeKantorovich()), target())
    assert after < linear  # it does more than the linear map that it begins with


@pytest.mark.parametrize("transfer", [IterativeDistributionTransfer(), SlicedTransport()])
def test_distribution_transfers_find_another_light(transfer):
    """The same face through a curve, which no linear map describes: nearly that picture."""
    wanted = skin() ** 2.2 * 0.7 + 0.1
    out = transfer(skin(), wanted, soft_mask())
    inside = (soft_mask() > 0.05).expand_as(out)
    assert (out - wanted)[inside].abs().mean() < 1.5 * CODE
    linear = MongeKantorovich()(skin(), wanted, soft_mask())
    assert (out - wanted)[inside].abs().mean() < (linear - wanted)[inside].abs().mean()


@pytest.mark.parametrize("transfer", [IterativeDistributionTransfer, SlicedTransport])
def test_distribution_transfers_do_not_stain_for_highlights(transfer):
    """A target whose skin shines in spots: a face that does not shine gets no spots beyond ``departure``."""
    shining = torch.where(torch.arange(skin().shape[-1]) % 16 == 0, torch.tensor(1.0), 0.25 * target())
    linear = MongeKantorovich(max_gain=2.0)(skin(), shining, soft_mask())
    far, near = (transfer(departure=most)(skin(), shining, soft_mask()) for most in (1.0, 0.05))
    assert (far - linear).norm(dim=1).max() > 0.1
    assert (near - linear).norm(dim=1).max() <= 0.05 + 1e-3
    assert torch.allclose(transfer(departure=0.0)(skin(), shining, soft_mask()), linear, atol=1e-3)
    with pytest.raises(ConfigError, match="departure"):
        transfer(departure=-0.1)


def test_sot_does_not_invent_texture():
    """The finest detail grows no more than the contrast does: no blotches out of grain."""
    out = recolored(SlicedTransport())
    fine = [(p[..., 1:] - p[..., :-1])[soft_mask().expand_as(p)[..., 1:] > 0].std() for p in (skin(), out)]
    coarse = [p[soft_mask().expand_as(p) > 0].std() for p in (skin(), out)]
    assert fine[1] / fine[0] < 1.5 * coarse[1] / coarse[0]


def test_sots_smoothing_evens_the_change():
    face = skin()
    changes = [recolored(SlicedTransport(smoothing=s)) - face for s in (0.0, 0.08)]
    rough = [(c[..., 1:] - c[..., :-1]).square().mean() for c in changes]
    assert rough[1] < 0.7 * rough[0]
    np.testing.assert_allclose(moments(face + changes[1])[0], moments(target())[0], atol=3 * CODE)


def test_mixed_has_lightness_by_moments_and_chroma_by_distribution():
    labs = [rgb_to_lab(picture.double()) for picture in (skin(), recolored(Mixed()), target())]
    (_, _), (mean, covariance), (wanted, wanted_covariance) = (moments(lab) for lab in labs)
    assert abs(mean[0] - wanted[0]) < 2e-3
    assert abs(covariance[0, 0] / wanted_covariance[0, 0] - 1) < 1e-3
    start, out, end = (points(lab)[1:] for lab in labs)
    angles = np.arange(8) * np.pi / 8 + 0.1
    lines = np.stack([np.cos(angles), np.sin(angles)], 1)
    before, after = (
        np.mean([wasserstein_distance(line @ cloud, line @ end, weights(), weights()) for line in lines])
        for cloud in (start, out)
    )
    assert after < 0.1 * before


@pytest.mark.parametrize(
    "name", [n for n in COLOR_TRANSFERS.names() if n not in ("none", "histogram", "mean")]
)
def test_gain_is_bounded(name):
    """A nearly flat face does not get the contrast of the target at the price of its grain."""
    flat = 0.5 + (skin() - 0.5) * 0.02
    out = COLOR_TRANSFERS[name](max_gain=2.0)(flat, target(), soft_mask())
    free = COLOR_TRANSFERS[name](max_gain=50.0)(flat, target(), soft_mask())
    inside = (soft_mask() > 0.5).expand_as(out)
    grain = [(p[..., 1:] - p[..., :-1])[inside[..., 1:]].std() for p in (flat, out, free)]
    assert grain[1] < 0.5 * grain[2]

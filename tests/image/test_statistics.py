"""Weighted statistics beside numpy in float64."""

from __future__ import annotations

import numpy as np
import torch

from understudy.image.statistics import (
    follow_curve,
    quantile_curve,
    weighted_covariance,
    weighted_deviation,
    weighted_mean,
    weighted_quantiles,
)

SIZE = 48


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(2, 3, SIZE, SIZE, generator=generator) ** 2 * 0.8 + 0.1
    return values, torch.rand(2, 1, SIZE, SIZE, generator=generator)


def test_moments():
    values, weights = drawn(1)
    mean, deviation = weighted_deviation(values, weights)
    both, covariance = weighted_covariance(values.flatten(2), weights.flatten(2))
    for item in range(2):
        points = values[item].flatten(1).double().numpy()
        share = weights[item].flatten().double().numpy()
        expected = np.average(points, axis=1, weights=share)
        matrix = np.cov(points, aweights=share, ddof=0)
        for found in (mean, both, weighted_mean(values, weights)):
            np.testing.assert_allclose(found[item], expected, atol=1e-6)
        np.testing.assert_allclose(covariance[item], matrix, atol=1e-7)
        np.testing.assert_allclose(deviation[item], np.sqrt(np.diag(matrix)), atol=1e-6)


def test_moments_without_any_weight_are_finite():
    values, weights = drawn(1)
    for found in (*weighted_deviation(values, weights * 0), weighted_quantiles(values, weights * 0, 8)):
        assert torch.isfinite(found).all()


def test_quantiles_are_numpys():
    values, weights = drawn(2)
    levels = 32
    found = weighted_quantiles(values, (weights > 0.5).float(), levels)
    wanted = (np.arange(levels) + 0.5) / levels
    for item in range(2):
        inside = (weights[item, 0] > 0.5).numpy()
        for channel in range(3):
            points = values[item, channel].double().numpy()[inside]
            expected = np.quantile(points, wanted, method="hazen")
            assert np.abs(found[item, channel].numpy() - expected).max() < 2.5e-3


def test_a_weight_is_a_number_of_pixels():
    values, _ = drawn(3)
    once = torch.ones(2, 1, SIZE, SIZE)
    thrice = torch.cat([once[..., :24], 3.0 * once[..., 24:]], -1)
    repeated = torch.cat([values, values[..., 24:], values[..., 24:]], -1)
    found = weighted_quantiles(values, thrice * 0.3, 64)
    expected = weighted_quantiles(repeated, torch.ones(2, 1, SIZE, 96), 64)
    assert (found - expected).abs().max() < 1.1 / 1024  # one bin, where the level falls between two


def test_curve_is_the_transport_between_quantiles():
    values, weights = drawn(4)
    start = weighted_quantiles(values, weights, 256)
    end = start**1.5 * 0.7 + 0.2  # increasing, so this is the map itself
    curve = quantile_curve(start, end, 257, max_slope=6.0)
    out = follow_curve(values, curve)
    expected = values**1.5 * 0.7 + 0.2
    assert (out - expected).abs().max() < 4e-3


def test_curve_of_equal_quantiles_is_the_diagonal():
    start = weighted_quantiles(*drawn(5), 64)
    curve = quantile_curve(start, start.clone(), 129, max_slope=6.0)
    assert (curve - torch.linspace(0, 1, 129)).abs().max() < 1e-6


def test_curve_is_not_steeper_than_allowed():
    """Grain of a flat face is not blown up to the contrast of the other; its middle goes where it should."""
    start = torch.linspace(0.49, 0.51, 64).expand(1, 1, 64)
    end = torch.linspace(0.1, 0.9, 64).expand(1, 1, 64)
    curve = quantile_curve(start, end, 513, max_slope=4.0)
    assert curve.diff().max() * 512 < 4.001
    assert curve.diff().min() * 512 > 0.249
    assert abs(float(follow_curve(torch.full((1, 1, 1, 1), 0.5), curve)) - 0.5) < 0.02


def test_curve_of_a_flat_channel():
    """All quantiles tie: the one value goes to the median of the other."""
    end = torch.linspace(0.2, 0.6, 64).expand(1, 1, 64)
    curve = quantile_curve(torch.full((1, 1, 64), 0.5), end, 513, max_slope=6.0)
    assert abs(float(follow_curve(torch.full((1, 1, 1, 1), 0.5), curve)) - 0.4) < 0.01


def test_follow_curve_is_linear_between_nodes():
    curve = torch.tensor([[[0.0, 0.5, 0.2]]])
    values = torch.tensor([[[[0.0, 0.25, 0.5, 0.75, 1.0, 1.5]]]])
    assert torch.allclose(follow_curve(values, curve).flatten(), torch.tensor([0, 0.25, 0.5, 0.35, 0.2, 0.2]))

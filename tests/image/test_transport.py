"""Maps between clouds of colours beside SciPy and plain numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance

from understudy.image.transport import (
    Transport,
    carry,
    fit_transport,
    half_sphere,
    matched_roots,
    monge_kantorovich,
    move,
    rotations,
    symmetric_power,
    turned_directions,
)


def covariances(seed: int, dimensions: int = 3) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    factors = generator.standard_normal((4, dimensions, dimensions)) * [0.25, 0.1, 0.04][:dimensions]
    return torch.from_numpy(factors @ factors.transpose(0, 2, 1) + 1e-4 * np.eye(dimensions)).float()


def test_monge_kantorovich_is_the_formula():
    start, end = covariances(1), covariances(2)
    found = monge_kantorovich(start, end, 1e6)
    for item in range(4):
        a, b = start[item].double().numpy(), end[item].double().numpy()
        root = sqrtm(a).real
        back = np.linalg.inv(root)
        expected = back @ sqrtm(root @ b @ root).real @ back
        np.testing.assert_allclose(found[item], expected, rtol=1e-5, atol=1e-6)
        linear = found[item].numpy()
        np.testing.assert_allclose(linear @ a @ linear.T, b, atol=1e-7)
        np.testing.assert_allclose(found[item], found[item].T, atol=1e-9)


@pytest.mark.parametrize("root", ["pca", "cholesky"])
def test_matched_roots_carry_the_covariance(root):
    start, end = covariances(3), covariances(4)
    found = matched_roots(start, end, 1e6, root)
    np.testing.assert_allclose(found @ start.double() @ found.mT, end.double(), atol=1e-7)
    a, b = start[0].double().numpy(), end[0].double().numpy()
    if root == "pca":
        expected = sqrtm(b).real @ np.linalg.inv(sqrtm(a).real)
    else:
        expected = np.linalg.cholesky(b) @ np.linalg.inv(np.linalg.cholesky(a))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)


def test_gain_is_bounded_in_every_direction():
    start, end = covariances(5) * 1e-3, covariances(6)
    for linear in (
        monge_kantorovich(start, end, 2.0),
        matched_roots(start, end, 2.0, "pca"),
        matched_roots(end, start, 2.0, "cholesky"),
    ):
        gains = torch.linalg.svdvals(linear)
        assert gains.max() < 2.0 + 1e-9
        assert gains.min() > 0.5 - 1e-9


def test_flat_clouds_have_a_map():
    flat = torch.zeros(1, 3, 3)
    assert torch.allclose(monge_kantorovich(flat, flat, 3.0), torch.eye(3).double())
    assert torch.isfinite(matched_roots(flat, covariances(1)[:1], 3.0, "cholesky")).all()
    assert torch.isfinite(symmetric_power(flat, -0.5)).all()


def test_directions_are_units_and_always_the_same():
    for made in (rotations(6), turned_directions(6, 5), turned_directions(6, 5, 2)):
        np.testing.assert_allclose(np.linalg.norm(made, axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose(
        rotations(6) @ rotations(6).transpose(0, 2, 1), np.tile(np.eye(3), (6, 1, 1)), atol=1e-12
    )
    rotations.cache_clear()
    first = rotations(6).copy()
    rotations.cache_clear()
    np.testing.assert_array_equal(rotations(6), first)
    # evenly: the mean of the outer products is a multiple of the identity
    lines = half_sphere(64)
    np.testing.assert_allclose(lines.T @ lines / 64, np.eye(3) / 3, atol=0.02)


def cloud(seed: int, count: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(1, 3, count, generator=generator)
    mix = torch.randn(1, 3, 3, generator=generator) * 0.15
    return mix @ (base + 0.3 * base**2), torch.rand(1, 1, count, generator=generator)


def distance(first, first_mass, second, second_mass) -> float:
    """Sliced Wasserstein-1 distance along directions of its own, by SciPy."""
    lines = np.random.default_rng(9).standard_normal((30, 3))
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    a, b = (points[0].double().numpy() for points in (first, second))
    u, v = (mass[0, 0].double().numpy() for mass in (first_mass, second_mass))
    return float(np.mean([wasserstein_distance(line @ a, line @ b, u, v) for line in lines]))


@pytest.mark.parametrize("directions", [rotations(16), turned_directions(8, 8)], ids=["idt", "sot"])
def test_carry_brings_one_distribution_to_another(directions):
    (start, mass), (end, end_mass) = cloud(1), cloud(2, 300)
    before = distance(start, mass, end, end_mass)
    moved = carry(start, mass, end, end_mass, directions)
    assert distance(moved, mass, end, end_mass) < 0.1 * before


def test_carry_along_the_axes_is_quantile_to_quantile():
    """Independent channels, one round: numpy's interpolation of the distribution functions."""
    (start, _), (end, _) = cloud(3, 2000), cloud(4, 2000)
    even = torch.full((1, 1, 2000), 1 / 2000)
    moved = carry(start, even, end, even, rotations(1))
    for channel in range(3):
        a, b = start[0, channel].double().numpy(), end[0, channel].double().numpy()
        expected = np.empty(2000)
        expected[np.argsort(a)] = np.sort(b)
        error = np.abs(moved[0, channel].numpy() - expected)
        inner = np.abs(np.argsort(np.argsort(a)) / 2000 - 0.5) < 0.45
        assert error[inner].max() < 0.15 * b.std()
        assert np.sqrt((error[inner] ** 2).mean()) < 0.03 * b.std()


def test_carry_moves_nothing_when_nothing_differs():
    start, mass = cloud(5)
    turned = start.flip(-1), mass.flip(-1)
    assert (carry(start, mass, *turned, rotations(8)) - start).abs().max() < 1e-5


def test_points_without_mass_change_nothing():
    (start, mass), (end, end_mass) = cloud(6), cloud(7)
    expected = carry(start, mass, end, end_mass, turned_directions(3, 4))
    filled = torch.cat([start, torch.full((1, 3, 50), 5.0)], -1), torch.cat([mass, torch.zeros(1, 1, 50)], -1)
    other = (
        torch.cat([torch.full((1, 3, 70), -3.0), end], -1),
        torch.cat([torch.zeros(1, 1, 70), end_mass], -1),
    )
    found = carry(*filled, *other, turned_directions(3, 4))
    assert (found[..., :400] - expected).abs().max() < 1e-5


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_fitted_map_is_kept_in_a_line(dimensions):
    start, weights = cloud(8, 3000)
    start = (start[:, :dimensions] * 0.5).clamp(-0.9, 0.9)
    bent = start * 0.8 + 0.15 * start**2 - 0.1
    fitted = fit_transport(start, bent, weights, turned_directions(6, 6, dimensions), 3.0)
    again = Transport.unpacked(fitted.packed(), dimensions)
    moved = again(start, 3.0)
    assert torch.equal(moved, fitted(start, 3.0))
    if dimensions == 3:
        assert distance(moved, weights, bent, weights) < 0.1 * distance(start, weights, bent, weights)


def test_move_is_affine():
    points, linear = cloud(9)[0], covariances(7)[:1]
    start, end = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[0.5, 0.4, 0.2]])
    expected = linear @ (points - start[..., None]) + end[..., None]
    assert (move(points, linear.double(), start, end) - expected).abs().max() < 1e-5

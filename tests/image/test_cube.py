"""Tables beside SciPy's interpolation and plain sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from understudy.image.cube import densest, fit_table, gather_cells, read_table


def points(count: int, dimensions: int, spread: float = 0.9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return (torch.rand(2, dimensions, count, generator=generator) * 2 - 1) * spread


@pytest.mark.parametrize("dimensions", [2, 3])
def test_read_is_scipys_interpolation(dimensions):
    cells = 8
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(2, 3, *(cells,) * dimensions, generator=generator)
    places = points(200, dimensions, spread=1.2)
    found = read_table(table, places)
    nodes = (np.arange(cells) + 0.5) / cells * 2 - 1
    for item in range(2):
        values = np.moveaxis(table[item].double().numpy(), 0, -1)
        expected = RegularGridInterpolator((nodes,) * dimensions, values)(
            places[item].T.double().numpy().clip(nodes[0], nodes[-1])
        )
        np.testing.assert_allclose(found[item].T, expected, atol=1e-5)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_smooth_function_is_fitted(dimensions):
    places = points(4000, dimensions)

    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 0] * 0.5 - x[:, 1] * 0.2 + 0.1, torch.sin(2 * x[:, 1])], 1)

    table = fit_table(places, function(places), torch.full((2, 1, 4000), 1 / 4000), 8)
    other = points(500, dimensions, spread=0.7)
    error = read_table(table, other) - function(other)
    assert error.abs().max() < 0.05
    assert error.square().mean().sqrt() < 0.01


def test_where_there_is_no_data_it_goes_on():
    """One point: its value everywhere. None: zero."""
    place = torch.tensor([[[0.3], [-0.2], [0.9]]])
    value = torch.tensor([[[0.7], [-0.4]]])
    table = fit_table(place, value, torch.ones(1, 1, 1), 8)
    assert (read_table(table, points(50, 3)[:1]) - value).abs().max() < 1e-4
    assert fit_table(place, value, torch.zeros(1, 1, 1), 8).abs().max() == 0


def test_points_without_mass_do_not_count():
    places, mass = points(300, 3), torch.ones(2, 1, 300)
    mass[..., 150:] = 0
    values = places[:, :2].clone()
    expected = fit_table(places, values, mass, 8)
    values[..., 150:] = 99.0
    assert torch.equal(fit_table(places, values, mass, 8), expected)


def test_cells_hold_means_and_shares():
    cells = 4
    places = points(500, 2, spread=1.1)
    weights = torch.rand(2, 1, 500, generator=torch.Generator().manual_seed(1))
    means, mass = gather_cells(places, weights, cells)
    assert (mass.sum(-1) - 1).abs().max() < 1e-4
    for item in range(2):
        where, share = places[item].double().numpy(), weights[item, 0].double().numpy()
        cell = np.clip(np.floor((where + 1) / 2 * cells), 0, cells - 1).astype(int)
        number = cell[0] * cells + cell[1]
        for index in range(cells**2):
            chosen = number == index
            assert abs(mass[item, 0, index] - share[chosen].sum() / share.sum()) < 1e-4
            expected = np.average(where[:, chosen], axis=1, weights=share[chosen])
            assert np.abs(means[item, :, index].numpy() - expected).max() < 1e-4


def test_densest_keeps_the_heaviest():
    mass = torch.tensor([[[0.1, 0.0, 0.5, 0.4, 0.0]]])
    places = torch.arange(5.0).expand(1, 2, 5)
    kept, share = densest(places, mass, 2)
    assert sorted(kept[0, 0].tolist()) == [2, 3]
    assert densest(places, mass, 4)[1].shape[-1] == 3
    assert float(share.sum()) == pytest.approx(0.9)

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab

from understudy.metrics.color import color_difference, delta_e_2000

SHARMA = np.array(
    [
        (50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425),
        (50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615),
        (50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412),
        (50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000),
        (50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000),
        (50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000),
        (50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669),
        (50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669),
        (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792),
        (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792),
        (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195),
        (50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195),
        (50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045),
        (50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045),
        (50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461),
        (50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065),
        (50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492),
        (50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977),
        (50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030),
        (50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535),
        (50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000),
        (50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000),
        (50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000),
        (50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000),
        (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
        (63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630),
        (61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731),
        (35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645),
        (22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373),
        (36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146),
        (90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441),
        (90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381),
        (6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377),
        (2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082),
    ]
)
"""Sharma et al. 2005, table 1: two colours and their difference."""


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    truth = torch.rand(2, 3, 9, 11, generator=generator, dtype=torch.float64)
    return (truth + 0.1 * torch.randn(truth.shape, generator=generator)).clamp(0, 1), truth


def test_published_pairs():
    table = torch.from_numpy(SHARMA)
    got = delta_e_2000(table[:, :3], table[:, 3:6])
    assert got.numpy() == pytest.approx(SHARMA[:, 6], abs=5.1e-5)


def test_the_order_does_not_matter():
    table = torch.from_numpy(SHARMA)
    assert delta_e_2000(table[:, 3:6], table[:, :3]).numpy() == pytest.approx(SHARMA[:, 6], abs=5.1e-5)


def test_pictures_agree_with_scikit_image(pair):
    labs = [rgb2lab(p.permute(0, 2, 3, 1).numpy()) for p in pair]
    expected = deltaE_ciede2000(*labs).mean((1, 2))
    assert color_difference(*pair).numpy() == pytest.approx(expected, rel=2e-3)  # its matrix has 6 digits


def test_inside_a_mask_it_sees_nothing_else(pair):
    picture, truth = pair
    mask = torch.zeros(2, 1, 9, 11)
    mask[..., 2:5, 3:9] = 1.0
    expected = color_difference(picture[..., 2:5, 3:9], truth[..., 2:5, 3:9])
    assert color_difference(picture, truth, mask).numpy() == pytest.approx(expected.numpy(), abs=1e-9)


def test_single_precision_is_good_enough(pair):
    single = color_difference(*(p.float() for p in pair))
    assert single.numpy() == pytest.approx(color_difference(*pair).numpy(), abs=1e-3)


def test_black_and_white():
    black = torch.zeros(1, 3, 4, 4)
    assert float(color_difference(black, black + 1.0)) == pytest.approx(100.0, abs=1e-3)
    assert float(color_difference(black + 0.4, black + 0.4)) == 0.0


def test_an_empty_mask_is_no_figure(pair):
    assert color_difference(*pair, torch.zeros(2, 1, 9, 11)).isnan().all()

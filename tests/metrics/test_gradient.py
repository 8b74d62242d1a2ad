from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from understudy.errors import ShapeError
from understudy.metrics.gradient import gradient_deviation

PREWITT = np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]]) / 3


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    truth = torch.rand(2, 3, 24, 30, generator=generator, dtype=torch.float64)
    return (truth + 0.1 * torch.randn(truth.shape, generator=generator)).clamp(0, 1), truth


def by_hand(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Xue et al. 2014 in 8-bit values, with SciPy's convolution."""
    maps = []
    for picture in (x, y):
        luma = 255 * (0.299 * picture[0] + 0.587 * picture[1] + 0.114 * picture[2])
        small = convolve2d(luma, np.full((2, 2), 0.25), "valid")[::2, ::2]
        maps.append(np.hypot(convolve2d(small, PREWITT, "valid"), convolve2d(small, PREWITT.T, "valid")))
    similarity = (2 * maps[0] * maps[1] + 170) / (maps[0] ** 2 + maps[1] ** 2 + 170)
    weights = convolve2d(weights, np.full((2, 2), 0.25), "valid")[::2, ::2][1:-1, 1:-1]
    mean = (similarity * weights).sum() / weights.sum()
    return float(np.sqrt((weights * (similarity - mean) ** 2).sum() / weights.sum()))


def test_it_is_the_formula(pair):
    mask = torch.rand(2, 1, 24, 30, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for weights in (None, mask):
        got = gradient_deviation(*pair, weights)
        for item in range(2):
            flat = np.ones((24, 30)) if weights is None else weights[item, 0].numpy()
            expected = by_hand(*(p[item].numpy() for p in pair), flat)
            assert float(got[item]) == pytest.approx(expected, abs=1e-12)


def test_equal_pictures_and_empty_masks(pair):
    assert gradient_deviation(pair[1], pair[1]).tolist() == [0.0, 0.0]
    assert gradient_deviation(*pair, torch.zeros(2, 1, 24, 30)).isnan().all()


def test_too_small():
    with pytest.raises(ShapeError, match="at least 8"):
        gradient_deviation(torch.zeros(1, 3, 6, 20), torch.zeros(1, 3, 6, 20))

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from understudy.errors import ShapeError
from understudy.metrics.correlation import pearson, spearman


def test_pearson_is_numpys():
    generator = np.random.default_rng(0)
    a, b = generator.random(50), generator.random(50)
    assert pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-12)
    assert pearson(a, 3 - 2 * a) == pytest.approx(-1.0)


def test_pearson_leaves_unknown_frames_out():
    a = np.array([0.0, 1.0, np.nan, 3.0, 9.0])
    b = np.array([0.0, 2.0, 7.0, 6.0, np.nan])
    assert pearson(a, b) == pytest.approx(1.0)


def test_pearson_of_a_flat_curve_is_no_figure():
    assert math.isnan(pearson(np.full(9, 0.1), np.arange(9.0)))
    assert math.isnan(pearson(np.zeros(1), np.zeros(1)))
    with pytest.raises(ShapeError):
        pearson(np.zeros(3), np.zeros(4))


def test_spearman_is_scipys_with_ties_too():
    random = np.random.default_rng(1)
    a, b = random.random(40), random.integers(0, 5, 40).astype(float)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert spearman(a, np.exp(9 * a)) == pytest.approx(1.0)
    assert spearman(np.array([1.0, np.nan, 3.0]), np.array([2.0, 0.0, 1.0])) == pytest.approx(-1.0)
    assert math.isnan(spearman(np.ones(4), np.arange(4.0)))
    with pytest.raises(ShapeError):
        spearman(np.zeros(3), np.zeros(4))

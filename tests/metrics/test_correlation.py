from __future__ import annotations

import math

import numpy as np
import pytest

from understudy.errors import ShapeError
from understudy.metrics.correlation import pearson


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

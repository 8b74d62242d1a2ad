from __future__ import annotations

import math

import numpy as np
import pytest

from understudy.errors import ShapeError
from understudy.image.landmarks import LEFT_EYE, RIGHT_EYE
from understudy.metrics.correlation import eye_distance, mouth_opening, pearson


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


def face(gap: float, scale: float = 1.0, yaw: float = 0.0) -> np.ndarray:
    points = np.zeros((478, 3))
    points[list(RIGHT_EYE), 0], points[list(LEFT_EYE), 0] = -1.0, 1.0
    points[13], points[14] = (0, 1.0, 0), (0, 1.0 + gap, 0)
    c, s = math.cos(yaw), math.sin(yaw)
    return scale * points @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T


def test_mouth_opening_in_eye_distances():
    assert eye_distance(face(0.0, 3.0)[None]) == pytest.approx([6.0])
    # whatever the size and the turn
    assert mouth_opening(face(0.5, 40.0, 0.8)[None]) == pytest.approx([0.25]), (
        "whatever the size and the turn"
    )
    assert mouth_opening(np.stack([face(0.0), face(1.0)])) == pytest.approx([0.0, 0.5])

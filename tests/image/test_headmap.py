from __future__ import annotations

import numpy as np
import pytest

from drawn_sets import points_of
from understudy.errors import ShapeError
from understudy.image.headmap import RIGID, HeadMap, fit_space_similarity


def turned(yaw: float, pitch: float = 0.0) -> np.ndarray:
    """The mesh at rest, in units about as large as the square from brows to mouth."""
    return (points_of(yaw, pitch).astype(np.float64) - (160, 120, 0)) / 100.0


def test_similarity_of_space_by_hand():
    random = np.random.default_rng(0)
    points = random.standard_normal((20, 3))
    turn = np.linalg.qr(random.standard_normal((3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    linear, shift = fit_space_similarity(points, 1.7 * points @ turn.T + (1.0, -2.0, 3.0))
    np.testing.assert_allclose(linear, 1.7 * turn, atol=1e-9)
    np.testing.assert_allclose(shift, (1.0, -2.0, 3.0), atol=1e-9)


@pytest.mark.parametrize(("first", "second"), [(0.0, 25.0), (-15.0, 10.0), (20.0, 20.0)])
def test_skin_goes_where_the_skin_is(first, second):
    """Rigid landmarks that lie near the surface are carried on to themselves."""
    points, others = turned(first), turned(second)
    carry = HeadMap(points, others, 0.0)
    eyes = [33, 133, 362, 263, 168]
    apart = np.abs(carry(points[eyes, :2]) - others[eyes, :2])
    assert apart.max() < 0.08  # the inner corners lie deeper than a smooth surface


def test_what_stands_off_moves_further():
    """The bridge of glasses, before the root of the nose, by rotation of a point of space."""
    front, side = turned(0.0), turned(30.0)
    middle = front[[33, 263], :2].mean(0, keepdims=True)
    (found,) = HeadMap(front, side, 0.14)(middle)
    (flat,) = HeadMap(front, side, 0.0)(middle)
    assert abs(found[0] - flat[0]) == pytest.approx(0.14 * np.sin(np.radians(30.0)), rel=0.05)


def test_back_undoes_it():
    carry = HeadMap(turned(-10.0, 5.0), turned(20.0, -5.0), 0.14)
    places = np.stack(np.meshgrid(np.linspace(-0.6, 0.6, 9), np.linspace(-0.5, 0.5, 9)), -1).reshape(-1, 2)
    np.testing.assert_allclose(carry.back(carry(places)), places, atol=0.01)
    same = HeadMap(turned(0.0), turned(0.0), 0.14)
    np.testing.assert_allclose(same.back(places), places, atol=1e-6)


def test_heads_that_turn_away_give_numbers():
    carry = HeadMap(turned(0.0), turned(89.0), 0.14)
    assert np.isfinite(carry.back(np.random.default_rng(0).uniform(-3, 4, (50, 2)))).all()


def test_other_shapes_are_refused():
    with pytest.raises(ShapeError, match="478"):
        HeadMap(np.zeros((68, 3)), np.zeros((68, 3)), 0.1)
    assert max(RIGID) < 468

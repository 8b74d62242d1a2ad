from __future__ import annotations

import math

import numpy as np
import pytest

from understudy.image.expression import (
    EXPRESSION,
    expression_of_points,
    eye_distance,
    mirrored,
    mouth_opening,
)
from understudy.image.landmarks import LEFT_EYE, RIGHT_EYE
from understudy.performers.expression import Expression
from understudy.performers.performer import Performer
from understudy.performers.renderer import render
from understudy.performers.scene import Scene
from understudy.performers.state import State


def face(gap: float, scale: float = 1.0, yaw: float = 0.0) -> np.ndarray:
    points = np.zeros((478, 3))
    points[list(RIGHT_EYE), 0], points[list(LEFT_EYE), 0] = -1.0, 1.0
    points[13], points[14] = (0, 1.0, 0), (0, 1.0 + gap, 0)
    c, s = math.cos(yaw), math.sin(yaw)
    return scale * points @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T


def test_mouth_opening_in_eye_distances():
    assert eye_distance(face(0.0, 3.0)[None]) == pytest.approx([6.0])
    # whatever the size and the turn
    assert mouth_opening(face(0.5, 40.0, 0.8)[None]) == pytest.approx([0.25])
    assert mouth_opening(np.stack([face(0.0), face(1.0)])) == pytest.approx([0.0, 0.5])


def test_the_mirror_of_the_numbers_is_the_number_of_the_mirror():
    """Points mirrored in x, with the two sides' names exchanged."""
    pairs = [(61, 291), (159, 386), (145, 374), (105, 334), (33, 263), (133, 362), (468, 473)]
    left_loop = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
    pairs += list(zip(RIGHT_EYE, left_loop, strict=True))
    points = np.random.default_rng(0).normal(size=(3, 478, 3)) * 0.1 + face(0.3)
    other = points * np.array([-1.0, 1.0, 1.0])
    seen = other.copy()
    for right, left in pairs:
        seen[:, right], seen[:, left] = other[:, left], other[:, right]
    known = [EXPRESSION.index(name) for name in EXPRESSION if name not in ("pitch", "yaw")]
    got, expected = expression_of_points(seen), mirrored(expression_of_points(points))
    assert got[:, known] == pytest.approx(expected[:, known], abs=1e-9)
    assert mirrored(mirrored(got)) == pytest.approx(got)


@pytest.mark.parametrize(
    ("worn", "number", "more"),
    [
        ({"jaw": 0.8}, "mouth_opening", True),
        ({"smile": 1.0}, "smile", True),
        ({"smile": 1.0}, "mouth_width", True),
        ({"pucker": 1.0}, "mouth_width", False),
        ({"lid_right": 1.0}, "lid_right", False),
        ({"lid_left": 1.0}, "lid_left", False),
        ({"brow_raise": 1.0}, "brow_right", True),
        ({"gaze_x": 1.0}, "gaze_side", True),
        ({"gaze_y": -1.0}, "gaze_up", True),
    ],
)
def test_a_performers_expression_moves_its_number_most(worn, number, more):
    performer, scene = Performer.from_seed(3), Scene()
    rest, other = (
        expression_of_points(render(performer, State(expression=Expression(**what)), scene, 64).points[None])[
            0
        ]
        for what in ({}, worn)
    )
    change = (other - rest)[EXPRESSION.index(number)]
    assert (change > 0.03) if more else (change < -0.03), dict(zip(EXPRESSION, other - rest, strict=True))

"""Pose, expression, gaze, lids, landmarks and their jitter, on performers' exact meshes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from understudy.image.landmarks import MESH_TO_68
from understudy.metrics.expression import (
    expression_error,
    gaze_directions,
    gaze_error,
    lid_closure,
    lid_error,
    mouth_error,
)
from understudy.metrics.landmarks import landmark_error, landmark_jitter
from understudy.metrics.pose import pose_error, poses_of
from understudy.performers.expression import Expression
from understudy.performers.geometry import pose_body
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.state import State


def mesh(seed: int, *states: State) -> np.ndarray:
    """Exact landmarks in centimetres, (n, 478, 3)."""
    person = Performer.from_seed(seed)
    return np.stack([pose_body(person.shape, person.build, state).points for state in states])


def wearing(**values: float) -> State:
    return State(expression=Expression(**values))


@pytest.fixture(scope="module")
def states() -> list[State]:
    motion = Motion.from_seed(5301)
    return [motion.state(0.4 * number) for number in range(30)]


def eyes_apart(points: np.ndarray) -> np.ndarray:
    """Distance of the means of the two lid lines, by the 16 numbers of each in the published mesh."""
    right = [33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7]
    left = [362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382]
    return np.linalg.norm(points[:, left].mean(1) - points[:, right].mean(1), axis=1)


# ------------------------------------------------------------------------------------------------ landmarks


def test_landmarks_moved_by_a_tenth_of_the_eye_distance(states):
    points = mesh(5301, *states[:3])
    unit = eyes_apart(points)
    moved = points.copy()
    moved[..., 0] += 0.1 * unit[:, None] * 0.6
    moved[..., 1] += 0.1 * unit[:, None] * 0.8
    moved[..., 2] += 50.0  # depth has no part in it
    assert landmark_error(moved, points) == pytest.approx([0.1] * 3)
    assert landmark_error(10 * moved, 10 * points) == pytest.approx([0.1] * 3), "size has no part in it"


def test_jitter_is_the_deviation_of_the_noise():
    random = np.random.default_rng(0)
    still = (
        np.repeat(mesh(5301, State()), 60, axis=0) + np.arange(60)[:, None, None] * 0.3
    )  # an even movement
    noisy = still.copy()
    noisy[:, MESH_TO_68, :2] += random.normal(0.0, 0.05, (60, 68, 2))
    unit = float(eyes_apart(still[:1])[0])
    frames = np.arange(60)
    got = landmark_jitter(noisy, frames)
    assert math.isnan(got[0])
    assert math.isnan(got[-1])
    assert np.nanmean(got) == pytest.approx(0.05 / unit, rel=0.03)
    assert np.nanmax(landmark_jitter(still, frames)) < 1e-9


def test_jitter_does_not_reach_over_gaps():
    points = np.repeat(mesh(5301, State()), 6, axis=0)
    got = landmark_jitter(points, np.array([0, 1, 2, 5, 6, 7]))
    assert np.isfinite(got).tolist() == [False, True, False, False, True, False]
    assert np.isnan(landmark_jitter(points[:2], np.arange(2))).all()


# ------------------------------------------------------------------------------------------------ pose


def test_pose_of_a_turned_head_is_its_angle():
    points = mesh(5301, State())
    start = poses_of(points)
    turned = points @ Rotation.from_euler("y", -20.0, degrees=True).as_matrix().T
    nodded = points @ Rotation.from_euler("x", 10.0, degrees=True).as_matrix().T
    rolled = points @ Rotation.from_euler("z", 7.0, degrees=True).as_matrix().T
    # a face that is not upright at rest mixes the angles a little
    for moved, angle in ((turned, 20.0), (nodded, 10.0), (rolled, 7.0)):
        assert pose_error(poses_of(moved), start) == pytest.approx([angle], abs=0.6)


def test_pose_error_is_euclidean_and_goes_the_short_way():
    first = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 179.0]])
    second = np.array([[0.0, 0.0, 12.0], [0.0, 0.0, -179.0]])
    assert pose_error(first, second) == pytest.approx([13.0, 2.0])


# ------------------------------------------------------------------------------------------------ expression


def test_another_person_who_does_the_same_is_near(states):
    points, other = mesh(5301, *states), mesh(5302, *states)
    strangers = mesh(5302, *[Motion.from_seed(5303).state(0.4 * number) for number in range(30)])
    same, unlike = expression_error(other, points).mean(), expression_error(strangers, points).mean()
    assert expression_error(points, points).max() == 0.0
    assert same < 0.3 * unlike
    assert 0.8 < unlike < 2.0


def test_pose_has_no_part_in_expression(states):
    points = mesh(5301, *states)
    turned = points @ Rotation.from_euler("xyz", (6, 15, 4), degrees=True).as_matrix().T * 3.0 + 40.0
    assert expression_error(turned, points).max() < 1e-6
    assert mouth_error(turned, points).max() < 1e-6
    assert gaze_error(turned, points).max() < 1e-4
    assert lid_error(turned, points).max() < 1e-6


def test_mouth_error_is_the_gap_over_the_eye_distance():
    shut, wide = mesh(5301, wearing()), mesh(5301, wearing(jaw=0.8))
    gaps = [float(np.linalg.norm(m[0, 13] - m[0, 14]) / eyes_apart(m)[0]) for m in (shut, wide)]
    assert mouth_error(wide, shut) == pytest.approx([gaps[1] - gaps[0]])
    assert gaps[1] > 0.2


def test_gaze_is_the_eyes_own_angle():
    # performers turn their eyes by 28 degrees to a side for gaze_x = 1
    for amount in (-1.0, -0.5, 0.5, 1.0):
        ahead, aside = mesh(5301, wearing()), mesh(5301, wearing(gaze_x=amount))
        assert gaze_error(aside, ahead) == pytest.approx([28.0 * abs(amount)], rel=0.15)
        assert np.sign(gaze_directions(aside)[0, 0] - gaze_directions(ahead)[0, 0]) == np.sign(amount)
    up = gaze_directions(mesh(5301, wearing(gaze_y=-0.6))) - gaze_directions(mesh(5301, wearing()))
    assert up[0, 1] > 0.1
    assert np.linalg.norm(gaze_directions(mesh(5301, wearing(gaze_x=1.0))), axis=1) == pytest.approx([1.0])


def test_lids_shut_in_proportion():
    amounts = (0.0, 0.0, 0.0, 0.5, 1.0)
    points = mesh(5301, *[wearing(lid_right=amount) for amount in amounts])
    closure = lid_closure(points)
    assert closure[:4, 0] == pytest.approx([0, 0, 0, 0.5], abs=0.06)
    assert closure[4, 0] > 0.7, "the lids meet in the picture; over the eyeball they stay apart"
    assert closure[:, 1] == pytest.approx([0] * 5, abs=1e-6)
    open_eyes = mesh(5301, *[State()] * 5)
    assert lid_error(points, open_eyes) == pytest.approx(closure.mean(1), abs=1e-6)


def test_nothing_to_look_at():
    none = np.zeros((0, 478, 3))
    assert len(poses_of(none)) == len(landmark_error(none, none)) == len(lid_closure(none)) == 0

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from drawn_face import BACKGROUND, EYE_DISTANCE, PLACES, draw_face
from understudy.contracts import Context, Detection, Region
from understudy.image.geometry import to_opencv, transform_points
from understudy.landmarkers.facemesh import (
    LEFT_EYE_REFINED,
    RIGHT_EYE_REFINED,
    FaceMesh,
    _cut,
    region_matrix,
)
from understudy.weights import WeightStore

REGION = Region(center=(256.0, 270.0), side=400.0)
MESH = {"nose_tip": 4, "right_mouth_corner": 61, "left_mouth_corner": 291, "chin": 152}


def built(**settings):
    store = WeightStore()
    list(store.fetch(FaceMesh.weights))
    return FaceMesh(**settings).build(Context(device=torch.device("cpu"), weights=store))


@pytest.fixture(scope="module")
def landmarker():
    return built()


@pytest.fixture(scope="module")
def points(landmarker):
    (found,) = landmarker(draw_face(), [REGION])
    assert found.presence > 0.9
    return found.points


def apart(one, other):
    """Mean distance of points in the picture plane, in eye distances."""
    return float(np.linalg.norm(one[:, :2] - other[:, :2], axis=1).mean()) / EYE_DISTANCE


def test_points_lie_on_the_drawn_features(points):
    assert points.shape == (478, 3)
    assert math.dist(points[468, :2], PLACES["right_iris"]) < 0.03 * EYE_DISTANCE
    assert math.dist(points[473, :2], PLACES["left_iris"]) < 0.03 * EYE_DISTANCE
    for name, index in MESH.items():
        assert math.dist(points[index, :2], PLACES[name]) < 0.15 * EYE_DISTANCE, name


def test_depth_has_the_unit_of_the_picture_and_its_sign(points):
    nose, ears = points[4, 2], points[[234, 454], 2].mean()
    assert nose < points[[61, 291], 2].mean() < ears
    assert 0.5 < (ears - nose) / EYE_DISTANCE < 2.5


def test_irises_are_circles_round_their_centres(points):
    for center in (468, 473):
        radii = np.linalg.norm(points[center + 1 : center + 5, :2] - points[center, :2], axis=1)
        assert 7 < radii.mean() < 13  # drawn with 10
        assert np.ptp(radii) < 0.35 * radii.mean()


def test_nothing_is_no_face(landmarker):
    (found,) = landmarker(np.full((300, 300, 3), 120, np.uint8), [Region(center=(150.0, 150.0), side=200.0)])
    assert found.presence < 0.5


@pytest.mark.parametrize("angle", [-150, -40, 30, 90])
def test_a_turned_region_finds_the_same_points(landmarker, points, angle):
    radians = math.radians(angle)
    linear = np.array([[math.cos(radians), -math.sin(radians)], [math.sin(radians), math.cos(radians)]])
    matrix = np.column_stack([linear, np.array([300.0, 300.0]) - linear @ np.array(REGION.center)])
    picture = cv2.warpAffine(draw_face(), to_opencv(matrix), (600, 600), borderMode=cv2.BORDER_REPLICATE)
    (found,) = landmarker(picture, [Region(center=(300.0, 300.0), side=400.0, angle=radians)])
    assert apart(found.points, transform_points(matrix, points)) < 0.02


def test_mirrored_pictures_give_mirrored_eyes(landmarker, points):
    picture = np.ascontiguousarray(draw_face()[:, ::-1])
    (found,) = landmarker(picture, [Region(center=(256.0, 270.0), side=400.0)])
    back = found.points.copy()
    back[:, 0] = 512 - back[:, 0]
    assert apart(back[list(LEFT_EYE_REFINED)], points[list(RIGHT_EYE_REFINED)]) < 0.03
    assert apart(back[[473]], points[[468]]) < 0.03


def test_a_large_picture_gives_the_same_points(landmarker, points):
    """Reduction by more than two goes through averaging; the points must not move."""
    large = cv2.resize(draw_face(), (2048, 2048), interpolation=cv2.INTER_CUBIC)
    (found,) = landmarker(large, [Region(center=(1024.0, 1080.0), side=1600.0)])
    assert apart(found.points / 4, points) < 0.01


def test_region_of_its_own_points_is_stable(landmarker, points):
    region = landmarker.region_of_points(points)
    (found,) = landmarker(draw_face(), [region])
    again = landmarker.region_of_points(found.points)
    assert math.dist(region.center, again.center) < 0.03 * region.side
    assert 0.95 < region.side / again.side < 1.05
    assert abs(region.angle) < 0.05


def test_region_of_points_turns_with_the_face(landmarker, points):
    angle = 0.6
    linear = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned = points.copy()
    turned[:, :2] = points[:, :2] @ linear.T
    upright, region = (
        landmarker.region_of_points(points),
        landmarker.region_of_points(turned.astype(np.float32)),
    )
    assert math.isclose(region.angle - upright.angle, angle, abs_tol=1e-3)
    assert math.isclose(region.side, upright.side, rel_tol=1e-3)
    np.testing.assert_allclose(region.center, linear @ np.array(upright.center), atol=0.1)


def test_region_of_a_detection(landmarker):
    box = np.array([100.0, 120.0, 200.0, 240.0])
    eyes = np.array([[120.0, 160.0], [170.0, 210.0]])
    region = landmarker.region_of_detection(Detection(box=box, score=0.9, keypoints=eyes))
    assert region.center == (150.0, 180.0)
    assert region.side == 180.0
    assert math.isclose(region.angle, math.pi / 4)
    bare = landmarker.region_of_detection(Detection(box=box, score=0.9, keypoints=np.empty((0, 2))))
    assert bare.angle == 0.0


def test_looking_again_mends_a_poor_region(points):
    region = Region(center=(290.0, 240.0), side=560.0, angle=0.35)
    once = built(look_again=False)(draw_face(), [region])[0].points
    twice = built()(draw_face(), [region])[0].points
    assert apart(twice, points) < 0.6 * apart(once, points)


def test_without_refinement_only_the_eyes_differ(points):
    plain = built(refine_eyes=False)(draw_face(), [REGION])[0].points
    refined = {*RIGHT_EYE_REFINED, *LEFT_EYE_REFINED, *range(468, 478)}
    same = [index for index in range(478) if index not in refined]
    np.testing.assert_array_equal(plain[same], points[same])
    assert not np.allclose(plain[sorted(refined)], points[sorted(refined)])
    np.testing.assert_array_equal(plain[list(RIGHT_EYE_REFINED), 2], points[list(RIGHT_EYE_REFINED), 2])


def test_the_eye_tables_are_mirror_images_without_repeats():
    assert len(set(RIGHT_EYE_REFINED)) == len(set(LEFT_EYE_REFINED)) == 71
    assert not {*RIGHT_EYE_REFINED} & {*LEFT_EYE_REFINED}


@pytest.mark.parametrize(("x", "y"), [(256, 0), (-256, 0), (0, 270)])
def test_a_face_that_leaves_is_followed_while_half_of_it_is_seen(landmarker, points, x, y):
    """Also where the network, shown the border's streaks, is no longer sure of it."""
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    picture = cv2.warpAffine(draw_face(), matrix, (512, 512), borderValue=BACKGROUND)
    moved = points + np.array([x, y, 0], np.float32)
    region = landmarker.region_of_points(moved)
    (found,) = landmarker(picture, [region])
    assert found.presence > 0.9
    assert apart(found.points, moved) < 0.25
    gone = cv2.warpAffine(
        draw_face(), matrix * [[1, 1, 1.4], [1, 1, 1.4]], (512, 512), borderValue=BACKGROUND
    )
    assert landmarker(gone, [region])[0].presence < 0.1


def test_a_region_partly_outside_is_cut_and_continued():
    """The border goes on; the part inside lies where the matrix says, reduced or not."""
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[:, 200:] = 255
    for side, size in ((400.0, 192), (400.0, 400), (1200.0, 192)):
        region = Region(center=(200.0, 0.0), side=side)
        cut = _cut(picture, region_matrix(region, size), size)
        edge = float((cut[size // 2, :, 0] < 0.5).sum())
        assert abs(edge - size / 2) <= 1
        assert cut[0, -1, 0] == 1.0
        assert cut[-1, 0, 0] == 0.0


@pytest.mark.parametrize("side", [300.0, 700.0])
def test_beyond_the_edge_lies_the_mirror_image(side):
    ramp = np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (200, 1, 3))
    region = Region(center=(200.0, 100.0), side=side)
    cut = _cut(ramp, region_matrix(region, 100), 100, mirrored=True)[50, :, 0] * 255
    place = (np.arange(100) + 0.5) * side / 100 + 200 - side / 2  # in the picture, to its right edge and on
    expected = np.where(place < 200, place, 400 - place) - 0.5
    seen = (expected > 5) & (expected < 195)
    np.testing.assert_allclose(cut[seen], expected[seen], atol=2.5)

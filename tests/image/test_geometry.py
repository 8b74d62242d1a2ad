from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from understudy.errors import ShapeError
from understudy.image import geometry, landmarks
from understudy.image.geometry import TEMPLATE_51
from understudy.image.landmarks import MESH_TO_68

# DeepFaceLab's own alignment function was run on the 68 points that ``golden_points`` makes, for a crop of
# 256 pixels. Its template lies 0.009873 to the left of ours.
OFFSET = 0.009873
GOLDEN = {
    "half": [[1.236385, 0.331288, -475.152385], [-0.331288, 1.236385, -190.720167]],
    "mid_full": [[1.038177, 0.278179, -378.459693], [-0.278179, 1.038177, -139.625414]],
    "full": [[0.774376, 0.207493, -249.767957], [-0.207493, 0.774376, -71.621636]],
    "whole": [[0.580089, 0.155434, -154.988057], [-0.155434, 0.580089, -13.129907]],
    "head": [[0.414908, 0.111174, -74.407013], [-0.111174, 0.414908, 63.997767]],
}


def golden_points() -> np.ndarray:
    angle = np.pi - np.pi * np.arange(17) / 16
    jaw = np.column_stack([0.49 + 0.56 * np.cos(angle), 0.30 + 0.86 * np.sin(angle)])
    points = np.concatenate([jaw, TEMPLATE_51 - [OFFSET, 0.0]])
    turn = math.radians(15)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return 200.0 * points @ rotation.T + [320.0, 240.0]


def rotation_of(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rolled, pitched up, turned to the picture's right, in that order (x right, y down, z away)."""
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    lift = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    lean = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return turn @ lift @ lean


def mesh_head() -> np.ndarray:
    """A mesh whose rigid points lie as in the mean head, the others anywhere."""
    mesh = np.random.default_rng(0).uniform(-1, 1, (478, 3))
    mesh[geometry._HEAD_POINTS] = geometry._HEAD_PLACES
    return mesh


def as_3x3(matrix: np.ndarray) -> np.ndarray:
    return np.concatenate([matrix, [[0.0, 0.0, 1.0]]])


@pytest.mark.parametrize("mode", GOLDEN)
def test_alignment_equals_the_golden_one_but_for_the_centred_template(mode: str) -> None:
    ours = geometry.align(golden_points(), mode).crop_matrix(256)
    side = {"half": 1.0, "mid_full": 1.19092, "full": 1.59662, "whole": 2.13137, "head": 2.9799}[mode]
    want = np.array(GOLDEN[mode])
    want[0, 2] += 256 * OFFSET / side
    np.testing.assert_allclose(ours[:, :2], want[:, :2], atol=2e-5)
    np.testing.assert_allclose(ours[:, 2], want[:, 2], atol=0.005)


def test_template_is_symmetric() -> None:
    brows = TEMPLATE_51[:10]
    np.testing.assert_allclose(brows[:, 0] + brows[::-1, 0], 1.0, atol=2e-5)
    eyes = TEMPLATE_51[19:31]
    assert eyes[:, 0].mean() == pytest.approx(0.5, abs=1e-5)


def test_fit_similarity_finds_a_known_one() -> None:
    points = np.random.default_rng(1).normal(size=(9, 2))
    known = np.array([[1.2, -0.7, 31.0], [0.7, 1.2, -12.0]])
    np.testing.assert_allclose(
        geometry.fit_similarity(points, geometry.transform_points(known, points)), known
    )


def test_fit_similarity_never_mirrors() -> None:
    points = np.random.default_rng(2).normal(size=(9, 2))
    assert np.linalg.det(geometry.fit_similarity(points, points * [-1, 1])[:, :2]) > 0


def test_fit_similarity_refuses_other_counts() -> None:
    with pytest.raises(ShapeError, match=r"wanted shape .*got"):
        geometry.fit_similarity(np.zeros((5, 2)), np.zeros((6, 2)))


def test_align_takes_meshes_with_and_without_irises() -> None:
    mesh = np.random.default_rng(3).normal(size=(478, 3)).astype(np.float32) * 50
    mesh[MESH_TO_68, :2] = golden_points()
    both = [geometry.align(mesh, "head").matrix, geometry.align(mesh[:468], "head").matrix]
    np.testing.assert_array_equal(*both)


def test_head_crop_moves_towards_the_back_of_a_turned_head() -> None:
    points = golden_points()
    straight = geometry.align(points, "head").matrix
    turned = points.copy()
    turned[:17] += (
        200 * 0.3 * np.array([np.cos(np.radians(15)), np.sin(np.radians(15))])
    )  # jaw seen to the right
    centre = geometry.transform_points(
        geometry.align(turned, "head").matrix, geometry.invert(straight) @ [0.5, 0.5, 1]
    )
    assert centre[0] < 0.47
    assert centre[1] == pytest.approx(0.5, abs=1e-9)


def test_invert_and_compose() -> None:
    first = np.array([[1.2, -0.7, 31.0], [0.7, 1.2, -12.0]])
    second = np.array([[0.3, 0.1, -5.0], [-0.1, 0.3, 8.0]])
    np.testing.assert_allclose(geometry.compose(geometry.invert(first), first), np.eye(3)[:2], atol=1e-12)
    np.testing.assert_allclose(as_3x3(geometry.compose(second, first)), as_3x3(second) @ as_3x3(first))
    batch = np.stack([first, second])
    np.testing.assert_allclose(geometry.invert(batch)[1], geometry.invert(second))
    np.testing.assert_allclose(geometry.compose(batch, batch[::-1])[0], geometry.compose(first, second))


def test_transform_scales_depth() -> None:
    matrix = np.array([[0.0, -2.0, 1.0], [2.0, 0.0, 2.0]])
    np.testing.assert_allclose(
        geometry.transform_points(matrix, np.array([[1.0, 1.0, 3.0]])), [[-1.0, 4.0, 6.0]]
    )


def test_opencv_convention() -> None:
    halve = np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    # the outer corner stays; so the first centre, 0 for OpenCV, comes from 0.5 (between the first two
    # centres)
    np.testing.assert_allclose(geometry.to_opencv(halve)[:, 2], [-0.25, -0.25])
    np.testing.assert_allclose(geometry.invert(geometry.to_opencv(halve)) @ [0, 0, 1], [0.5, 0.5])


def test_grid_warps_where_the_matrix_says() -> None:
    height, width = 40, 60
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    picture = torch.stack([columns, rows])[None].double()  # every pixel holds where its centre is
    matrix = np.array([[0.9, -0.3, 1.0], [0.3, 0.9, -9.0]])
    theta = torch.from_numpy(geometry.to_grid(matrix, (16, 24), (height, width)))[None]
    out = F.grid_sample(
        picture, F.affine_grid(theta, [1, 2, 16, 24], align_corners=False), align_corners=False
    )[0]
    back = geometry.invert(matrix)
    for row, column in ((5, 8), (8, 12), (12, 20)):
        want = geometry.transform_points(back, np.array([column + 0.5, row + 0.5]))
        np.testing.assert_allclose(out[:, row, column].numpy(), want, atol=1e-9)


@pytest.mark.parametrize("yaw", [-60, -20, 0, 35, 60])
@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (25, 10), (-30, -40)])
def test_pose_of_a_turned_head(yaw: float, pitch: float, roll: float) -> None:
    points = mesh_head() @ rotation_of(yaw, pitch, roll).T * 37.0 + [300, 200, 0]
    np.testing.assert_allclose(geometry.pose_of_points(points), (yaw, pitch, roll), atol=1e-6)


def test_pose_signs() -> None:
    nose = np.array([0.0, 0.0, -1.0])
    assert (rotation_of(30, 0, 0) @ nose)[0] > 0  # right
    assert (rotation_of(0, 30, 0) @ nose)[1] < 0  # up
    assert (rotation_of(0, 0, 30) @ np.array([1.0, 0, 0]))[1] > 0  # the person's left side sinks: clockwise


def test_pose_of_other_people_who_speak() -> None:
    generator = np.random.default_rng(5)
    for yaw, pitch, roll in ((0, 0, 0), (60, 10, -15), (-45, -20, 30)):
        mesh = mesh_head() * [1.06, 0.95, 1.0]
        mesh += generator.normal(size=mesh.shape) * 0.2  # centimetres
        mesh[152] += [0.0, 3.0, 1.0]
        points = mesh @ rotation_of(yaw, pitch, roll).T
        np.testing.assert_allclose(geometry.pose_of_points(points), (yaw, pitch, roll), atol=3.0)


def test_the_mean_head_is_symmetric() -> None:
    places = dict(zip(geometry._HEAD_POINTS.tolist(), geometry._HEAD_PLACES, strict=True))
    for right, left in landmarks.SYMMETRIC_PAIRS.tolist():
        if right in places:
            np.testing.assert_array_equal(places[right], places[left] * [-1, 1, 1])


def test_box_of_points() -> None:
    np.testing.assert_array_equal(geometry.box_of_points(np.array([[3.0, 9.0], [1.0, 10.0]])), [1, 9, 3, 10])

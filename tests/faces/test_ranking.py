from __future__ import annotations

import cv2
import numpy as np
import pytest

from understudy.faces.ranking import duplicates, look_of, sharpness, spread
from understudy.image import geometry
from understudy.image.landmarks import MESH_TO_68


def test_sharpness_falls_with_blur_and_looks_only_at_the_face() -> None:
    generator = np.random.default_rng(0)
    picture = np.full((96, 96, 3), 128, np.uint8)
    picture[24:72, 24:72] += generator.integers(0, 100, (48, 48, 1), np.uint8)
    mask = np.zeros((96, 96), np.float32)
    mask[20:76, 20:76] = 1.0
    values = [sharpness(cv2.GaussianBlur(picture, (0, 0), blur), mask) for blur in (0.5, 1.0, 2.0)]
    assert values[0] > values[1] > values[2] > 0
    outside = picture.copy()
    outside[:12] = generator.integers(0, 255, (12, 96, 3), np.uint8)
    assert sharpness(outside, mask) == sharpness(picture, mask)
    assert sharpness(picture, np.zeros((96, 96), np.float32)) == 0.0


def face(**moved: tuple[float, float]) -> np.ndarray:
    """The template as a mesh of a head; ``p66=(0, 0.1)`` moves point 66 of the 68."""
    mesh = np.random.default_rng(1).uniform(-4, 4, (478, 3))
    mesh[geometry._HEAD_POINTS] = geometry._HEAD_PLACES
    marks = (geometry.TEMPLATE_51 - [0.5, 0.3]) * 10
    for name, shift in moved.items():
        marks[int(name[1:]) - 17] += np.array(shift) * 10
    flat = mesh[MESH_TO_68[17:]]
    flat[:, :2] = marks
    mesh[MESH_TO_68[17:]] = flat
    return mesh.astype(np.float32)


def test_looks_tell_pose_and_expression() -> None:
    rest = look_of(face())
    np.testing.assert_allclose(look_of(face() * 7 + [30, 50, 0]), rest, atol=1e-4)
    opened = look_of(face(p65=(0, 0.1), p66=(0, 0.1), p67=(0, 0.1)))
    assert opened[2] - rest[2] > 1.0
    shut = look_of(face(p37=(0, 0.05), p38=(0, 0.05)))
    assert rest[4] - shut[4] > 1.0
    assert shut[5] == pytest.approx(rest[5], abs=0.2)
    raised = look_of(face(p22=(0, -0.06), p23=(0, -0.06), p24=(0, -0.06), p25=(0, -0.06), p26=(0, -0.06)))
    assert raised[7] - rest[7] > 0.5


def test_spread_takes_the_best_and_then_the_most_unlike() -> None:
    looks = np.zeros((6, 8))
    looks[:, 0] = [0.0, 0.1, 0.2, 3.0, 3.1, -5.0]
    assert spread(looks, 3, np.array([9.0, 1, 1, 1, 2, 1])) == [0, 5, 4]
    assert sorted(spread(looks, 99)) == list(range(6))
    assert spread(looks, 0) == spread(np.zeros((0, 8)), 3) == []
    assert len(set(spread(np.zeros((5, 8)), 4))) == 4


def test_duplicates_keep_the_better_one() -> None:
    generator = np.random.default_rng(2)
    apart = generator.uniform(-3, 3, (40, 8)) * np.array([1, 1, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3])
    again = apart[:15] + generator.normal(size=(15, 8)) * 0.01
    worth = np.concatenate([np.full(40, 5.0), np.where(np.arange(15) < 5, 9.0, 1.0)])
    gone = duplicates(np.concatenate([apart, again]), worth)
    assert gone == [0, 1, 2, 3, 4, *range(45, 55)]

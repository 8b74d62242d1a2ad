from __future__ import annotations

import numpy as np
import pytest

from understudy.errors import ShapeError
from understudy.image import landmarks

LOOPS = [
    landmarks.FACE_OVAL,
    landmarks.RIGHT_EYE,
    landmarks.LEFT_EYE,
    landmarks.LIPS_OUTER,
    landmarks.LIPS_INNER,
    landmarks.RIGHT_BROW,
    landmarks.LEFT_BROW,
]


@pytest.mark.parametrize("loop", LOOPS)
def test_loops_visit_points_of_the_mesh_once(loop: tuple[int, ...]) -> None:
    assert len(set(loop)) == len(loop)
    assert 0 <= min(loop) <= max(loop) < landmarks.MESH_POINTS


def test_counts() -> None:
    assert [len(loop) for loop in LOOPS] == [36, 16, 16, 20, 20, 10, 10]
    assert len(set(landmarks.MESH_TO_68.tolist())) == 68
    assert len(np.unique(landmarks.SYMMETRIC_PAIRS)) == landmarks.SYMMETRIC_PAIRS.size


def test_the_68_lie_on_the_loops() -> None:
    table = landmarks.MESH_TO_68
    assert set(table[landmarks.RIGHT_EYE_68]) <= set(landmarks.RIGHT_EYE)
    assert set(table[landmarks.LEFT_EYE_68]) <= set(landmarks.LEFT_EYE)
    assert set(table[landmarks.LIPS_OUTER_68]) <= set(landmarks.LIPS_OUTER)
    assert set(table[landmarks.LIPS_INNER_68]) <= set(landmarks.LIPS_INNER)


@pytest.mark.parametrize("count", [468, 478])
def test_points68_of_a_mesh(count: int) -> None:
    mesh = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    out = landmarks.points68(mesh)
    assert out.shape == (68, 2)
    np.testing.assert_array_equal(out[8], mesh[152, :2])


def test_points68_passes_68_and_refuses_others() -> None:
    marks = np.zeros((68, 2))
    np.testing.assert_array_equal(landmarks.points68(marks), marks)
    with pytest.raises(ShapeError, match="468"):
        landmarks.points68(np.zeros((5, 2)))

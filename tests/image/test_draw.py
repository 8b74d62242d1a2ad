from __future__ import annotations

import math

import numpy as np
import pytest

from understudy.image import draw, geometry
from understudy.image.landmarks import FACE_OVAL, LEFT_EYE, LIPS_OUTER, RIGHT_EYE

UNIT = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def ellipse(center: tuple[float, float], radius: tuple[float, float], count: int) -> np.ndarray:
    """Clockwise as seen, from the top."""
    angle = np.arange(count) * 2 * math.pi / count
    return np.column_stack([center[0] + radius[0] * np.sin(angle), center[1] - radius[1] * np.cos(angle)])


def mesh() -> np.ndarray:
    points = np.full((478, 3), 64.0, np.float32)
    points[list(FACE_OVAL), :2] = ellipse((64, 64), (40, 50), 36)
    points[list(RIGHT_EYE), :2] = ellipse((48, 54), (7, 3), 16)
    points[list(LEFT_EYE), :2] = ellipse((80, 54), (7, 3), 16)
    points[list(LIPS_OUTER), :2] = ellipse((64, 90), (12, 5), 20)
    return points


def area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("offset", [0.0, 0.13, 0.5, 0.77])
def test_mask_has_the_polygons_area_and_centre(size: int, offset: float) -> None:
    polygon = ellipse((size / 2 + offset, size / 2 - offset), (size * 0.31, size * 0.4), 36)
    mask = draw.polygon_mask([polygon], size)
    circumference = 2 * math.pi * size * 0.36
    assert abs(mask.sum() - area(polygon)) / circumference < 0.03  # as a shift of the whole edge, pixels
    grid = np.arange(size) + 0.5
    assert (mask.sum(0) @ grid) / mask.sum() == pytest.approx(size / 2 + offset, abs=0.05)
    assert (mask.sum(1) @ grid) / mask.sum() == pytest.approx(size / 2 - offset, abs=0.05)
    assert mask.min() == 0.0
    assert mask.max() == 1.0


def test_edges_are_soft() -> None:
    square = np.array([[2.5, 2.5], [7.5, 2.5], [7.5, 7.5], [2.5, 7.5]])
    mask = draw.polygon_mask([square], 10)
    assert mask[5, 5] == 1.0
    assert mask[5, 0] == 0.0
    assert mask[5, 2] == pytest.approx(0.5, abs=0.13)
    assert mask[5, 7] == pytest.approx(0.5, abs=0.13)


def test_polygons_turn_either_way_and_may_leave_the_picture() -> None:
    polygon = ellipse((10, 20), (30, 30), 36)
    np.testing.assert_array_equal(draw.polygon_mask([polygon], 32), draw.polygon_mask([polygon[::-1]], 32))
    assert draw.polygon_mask([polygon + 1e9], 32).max() == 0.0


def test_hull_mask_follows_the_matrix() -> None:
    crop = np.array([[0.5, 0.0, 10.0], [0.0, 0.5, -3.0]])
    mask = draw.hull_mask(mesh(), crop, 64)
    polygon = geometry.transform_points(crop, mesh()[list(FACE_OVAL), :2])
    assert mask.sum() == pytest.approx(area(polygon), rel=0.01)
    assert mask[29, 42] == 1.0  # the middle, 0.5 * 64 + 10 and 0.5 * 64 - 3
    assert mask[29, 20] == 0.0


def test_forehead_stretches_upwards_only() -> None:
    plain, high = draw.hull_mask(mesh(), UNIT, 128), draw.hull_mask(mesh(), UNIT, 128, forehead=0.2)
    np.testing.assert_array_equal(plain[60:], high[60:])
    assert high[8:14, 64].sum() - plain[8:14, 64].sum() == pytest.approx(6.0, abs=0.2)  # 14 up to 6.0
    assert high[:5].max() == 0.0


def test_hull_of_68_points_covers_brows_and_jaw() -> None:
    angle = np.pi - np.pi * np.arange(17) / 16
    jaw = np.column_stack([0.5 + 0.56 * np.cos(angle), 0.30 + 0.86 * np.sin(angle)])
    marks = np.concatenate([jaw, geometry.TEMPLATE_51])
    crop = geometry.align(marks, "full").crop_matrix(128)
    mask = draw.hull_mask(marks, crop, 128)
    inside = np.floor(geometry.transform_points(crop, marks[18:68])).astype(int)
    assert mask[inside[:, 1], inside[:, 0]].min() > 0.9
    assert 0.2 < mask.mean() < 0.6


def test_features_mask() -> None:
    both = draw.features_mask(mesh(), UNIT, 128)
    eyes = draw.features_mask(mesh(), UNIT, 128, mouth=False)
    for x, y in ((48, 54), (80, 54)):
        assert both[y, x] == eyes[y, x] == 1.0
    assert both[90, 64] == 1.0
    assert eyes[90, 64] == 0.0
    assert both[70, 64] == 0.0
    tight = draw.features_mask(mesh(), UNIT, 128, mouth=False, grow=0.0)
    assert tight.sum() == pytest.approx(2 * math.pi * 7 * 3, rel=0.06)
    assert draw.features_mask(mesh(), UNIT, 128, eyes=False, mouth=False).max() == 0.0


def test_landmarks_are_drawn_into_a_copy() -> None:
    picture = np.zeros((128, 128, 3), np.uint8)
    out = draw.draw_landmarks(picture, mesh())
    assert picture.max() == 0
    assert out[14, 64].max() > 100  # top of the oval
    assert out[100, 5].max() == 0


def test_sheet_places_pictures_and_labels() -> None:
    red = np.full((40, 60, 3), (255, 0, 0), np.uint8)
    blue = np.full((40, 60, 3), (0, 0, 255), np.uint8)
    plain = draw.sheet([[red, blue], [blue, red], [red]], gap=2)
    assert plain.shape == (3 * 42 + 2, 2 * 62 + 2, 3)
    np.testing.assert_array_equal(plain[3:41, 3:61], red[1:39, 1:59])
    np.testing.assert_array_equal(plain[44:84, 64:124], red)
    named = draw.sheet([[red, blue]], columns=["source", "result"], labels=["0001"])
    assert named.shape[0] > 48
    assert named.shape[1] > 132
    assert named[:10].max() > 100
    assert draw.sheet([]).shape[2] == 3

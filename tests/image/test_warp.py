from __future__ import annotations

import math

import numpy as np
import pytest

from understudy.errors import ShapeError
from understudy.image.geometry import compose, invert, transform_points
from understudy.image.warp import crop, uncrop


def framing(scale: float, angle: float, center: tuple[float, float], size: int) -> np.ndarray:
    """Frame pixels to a crop of that size, turned round and centred on a point."""
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[c, -s], [s, c]])
    return np.column_stack([linear, np.array([size / 2, size / 2]) - linear @ np.array(center)])


def blob(size: tuple[int, int], x: float, y: float, sigma: float) -> np.ndarray:
    yy, xx = np.mgrid[: size[0], : size[1]] + 0.5
    return np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2)).astype(np.float32)


def centroid(picture: np.ndarray) -> np.ndarray:
    yy, xx = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    return np.array([(picture * xx).sum(), (picture * yy).sum()]) / picture.sum()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("angle", [0.0, 0.4])
@pytest.mark.parametrize("ratio", [2.0, 3.0, 5.0, 6.5])
def test_checkerboard_reduced_is_grey(kind, angle, ratio):
    top = 1.0 if kind is np.float32 else np.iinfo(kind).max
    board = ((np.add.outer(np.arange(400), np.arange(400)) % 2) * top).astype(kind)
    out = crop(board, framing(1 / ratio, angle, (200, 200), 40), 40)
    assert out.dtype == kind
    assert np.abs(out / top - 0.5).max() < 0.02


def test_one_to_one_is_exact():
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    shift = np.array([[1.0, 0.0, -7.0], [0.0, 1.0, -5.0]])
    assert np.array_equal(crop(picture, shift, 32), picture[5:37, 7:39])
    back = uncrop(picture[5:37, 7:39], shift, (0, 0, 60, 50))
    assert np.array_equal(back[5:37, 7:39], picture[5:37, 7:39])
    assert back[:5].max() == 0
    assert back[:, 39:].max() == 0


def test_halving_averages_the_right_pixels():
    """A corner convention that is off by half a pixel would mix neighbours."""
    cells = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    smooth = np.kron(cells, np.ones((8, 8), np.float32))
    out = crop(smooth, np.array([[0.125, 0.0, 0.0], [0.0, 0.125, 0.0]]), 40)
    assert np.corrcoef(out.ravel(), cells.ravel())[0, 1] > 0.9
    shifted = crop(smooth, np.array([[0.125, 0.0, 0.5], [0.0, 0.125, 0.0]]), 40)
    assert np.corrcoef(shifted.ravel(), cells.ravel())[0, 1] < 0.8


@pytest.mark.parametrize("seed", range(12))
def test_landmark_survives_crop_and_inverse(seed):
    generator = np.random.default_rng(seed)
    ratio = float(np.exp(generator.uniform(-0.9, 1.7)))
    center = generator.uniform(295, 305, 2)
    matrix = framing(1 / ratio, generator.uniform(-3, 3), tuple(center), 96)
    point = transform_points(invert(matrix), generator.uniform(40, 56, (1, 2)))[0]
    picture = blob((600, 600), *point, sigma=max(2.0, 1.4 * ratio))
    square = crop(picture, matrix, 96)
    assert np.abs(centroid(square) - transform_points(matrix, point[None])[0]).max() < 0.05
    back = uncrop(square, matrix, (100, 102, 500, 498))
    assert np.abs(centroid(back) + np.array([100, 102]) - point).max() < 0.05


def test_beyond_the_frame_the_last_pixels_repeat():
    picture = np.tile(np.arange(64, dtype=np.uint8)[:, None] * 4, (1, 64))
    out = crop(picture, framing(1.0, 0.0, (0, 32), 32), 32)
    assert np.array_equal(out[:, :16], np.repeat(out[:, 16:17], 16, axis=1))
    outside = crop(picture, framing(0.2, 0.3, (-900, 32), 32), 32)
    assert outside.shape == (32, 32)


def test_shape_is_kept_for_one_channel():
    picture = np.zeros((30, 30, 1), np.float32)
    assert crop(picture, framing(0.5, 0.1, (15, 15), 8), 8).shape == (8, 8, 1)
    assert crop(picture[..., 0], framing(0.5, 0.1, (15, 15), 8), 8).shape == (8, 8)


def test_enlarged_and_reduced_again():
    yy, xx = np.mgrid[:120, :120]
    picture = (0.5 + 0.4 * np.sin(xx / 7) * np.cos(yy / 9)).astype(np.float32)
    matrix = compose(framing(1.8, 0.2, (60, 60), 128), np.eye(2, 3))
    back = uncrop(crop(picture, matrix, 128), matrix, (40, 40, 80, 80))
    assert np.abs(back - picture[40:80, 40:80]).max() < 0.02


def test_an_empty_picture_is_refused():
    with pytest.raises(ShapeError, match="picture"):
        crop(np.zeros((0, 5), np.uint8), np.eye(2, 3), 8)

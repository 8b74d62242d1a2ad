from __future__ import annotations

import cv2
import numpy as np
import pytest
import scipy.ndimage

from understudy.image.panning import Panning, rolled

SIDE = 128


@pytest.fixture(scope="module")
def picture():
    """Detail of every size, 320 pixels wide, and coarser than a pixel of the square."""
    random = np.random.default_rng(0)
    layers = [30 / 2**n * cv2.resize(random.normal(size=(10 * 2**n,) * 2), (320, 320)) for n in range(5)]
    return (110 + cv2.GaussianBlur(sum(layers), (0, 0), 1.0)).astype(np.float32)


def view(picture, left, top):
    """What a camera sees that looks so far to the right and down; cubic splines, not our interpolation."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    return scipy.ndimage.map_coordinates(picture, [rows + top, columns + left], order=3).astype(np.float32)


@pytest.mark.parametrize("speed", [(0.13, 0.04), (-1.7, 0.9), (6.0, -2.5)])
def test_it_follows_a_pan_over_many_anchors(picture, speed):
    random = np.random.default_rng(1)
    panning = Panning()
    for index in range(30):
        way = (index * speed[0], index * speed[1])
        square = view(picture, 90 + way[0] * (1 if speed[0] < 3 else 0.4), 90 + way[1])
        shift = panning.follow(square + random.normal(size=square.shape).astype(np.float32))
        if speed[0] < 3:
            np.testing.assert_allclose(shift, (-way[0], -way[1]), atol=0.12 if index > 4 else 0.6)
        else:
            np.testing.assert_allclose(shift, (-0.4 * way[0], -way[1]), atol=0.2)


def test_a_camera_that_stands_still_gives_exactly_nothing(picture):
    random = np.random.default_rng(2)
    panning = Panning()
    for index in range(20):
        square = view(picture, 90, 90)
        wide = 40
        square[40:100, 10 + index : 10 + index + wide] = view(picture, 10, 10)[40:100, :wide]  # who walks by
        noisy = square + 1.5 * random.normal(size=square.shape).astype(np.float32)
        assert panning.follow(noisy) == (0.0, 0.0)
        assert not panning.moves


def test_it_stops_where_the_camera_stops(picture):
    panning = Panning()
    for index in range(10):
        panning.follow(view(picture, 90 + index, 90))
    assert panning.moves
    rest = [panning.follow(view(picture, 99, 90)) for _ in range(10)]
    np.testing.assert_allclose(rest, np.tile((-9.0, 0.0), (10, 1)), atol=0.05)


def test_who_walks_by_is_not_the_camera(picture):
    panning = Panning()
    for index in range(16):
        square = view(picture, 90 + 0.5 * index, 90)
        square[30:110, 70 - 2 * index : 110 - 2 * index] = view(picture, 10, 150)[30:110, :40]
        shift = panning.follow(square)
    np.testing.assert_allclose(shift, (-7.5, 0.0), atol=0.2)


def test_nothing_to_see_is_no_movement():
    panning = Panning()
    for level in (10.0, 20.0, 200.0):
        assert panning.follow(np.full((SIDE, SIDE), level, np.float32)) == (0.0, 0.0)


def test_rolling_goes_round(picture):
    square = view(picture, 50, 50)
    np.testing.assert_array_equal(rolled(square, (3.0, -5.0)), np.roll(square, (-5, 3), (0, 1)))
    wave = np.sin(2 * np.pi * 3 * np.arange(SIDE) / SIDE).astype(np.float32)
    moved = np.sin(2 * np.pi * 3 * (np.arange(SIDE) - 0.37) / SIDE)
    # OpenCV places samples to a 32nd of a pixel
    got = rolled(np.tile(wave, (SIDE, 1)), (0.37, 0.0))
    np.testing.assert_allclose(got, np.tile(moved, (SIDE, 1)), atol=2 * np.pi * 3 / SIDE / 32)

from __future__ import annotations

import itertools
import math
import threading

import cv2
import numpy as np
import pytest
import torch

from drawn_face import BACKGROUND, EYE_DISTANCE, PLACES, draw_face, pasted
from understudy.contracts import Context
from understudy.detectors.blazeface import BlazeFace, _starts, anchor_centers
from understudy.errors import ConfigError
from understudy.weights import WeightStore


def built(**settings):
    store = WeightStore()
    list(store.fetch(BlazeFace.weights))
    return BlazeFace(**settings).build(Context(device=torch.device("cpu"), weights=store))


@pytest.fixture(scope="module")
def detector():
    return built()


def test_anchors_are_those_of_the_networks():
    near = anchor_centers(128, (8, 8, 16, 16, 16, 16, 16, 16))
    assert near.shape == (896, 2)
    np.testing.assert_allclose(near[:4], [[0.03125, 0.03125]] * 2 + [[0.09375, 0.03125]] * 2)
    np.testing.assert_allclose(near[512:518], [[0.0625, 0.0625]] * 6)
    np.testing.assert_allclose(near[-1], [0.9375, 0.9375])
    far = anchor_centers(192, (4,))
    assert far.shape == (2304, 2)
    np.testing.assert_allclose(far[48], [0.5 / 48, 1.5 / 48])


@pytest.mark.parametrize("one", [{"far": False}, {"near": False}])
def test_keypoints_lie_on_the_drawn_features(one):
    (found,) = built(**one)(draw_face())
    for index, name in enumerate(["right_iris", "left_iris", "nose_tip", "mouth"]):
        assert math.dist(found.keypoints[index], PLACES[name]) < 0.2 * EYE_DISTANCE, name
    assert found.keypoints[4][0] < PLACES["right_iris"][0]  # the ears are outside
    assert found.keypoints[5][0] > PLACES["left_iris"][0]


def test_a_wide_picture_is_not_distorted(detector):
    frame = pasted(draw_face(), 300, (700, 100), (500, 1000))
    (found,) = detector(frame)
    for index, name in enumerate(["right_iris", "left_iris"]):
        x, y = PLACES[name]
        expected = 700 + x * 300 / 512, 100 + y * 300 / 512
        assert math.dist(found.keypoints[index], expected) < 0.25 * EYE_DISTANCE * 300 / 512


@pytest.mark.parametrize("place", [(20, 20), (560, 250), (655, 300), (1100, 560)])
def test_a_small_face_in_a_large_frame(detector, place):
    side = 130  # a face of about 60 pixels
    frame = pasted(draw_face(), side, place, (720, 1280))
    found = detector(frame)
    centers = [(item.box[:2] + item.box[2:]) / 2 for item in found]
    expected = (place[0] + side / 2, place[1] + side * 0.57)
    assert [center for center in centers if math.dist(center, expected) < 15]
    assert len(found) == 1
    assert 45 < found[0].box[2] - found[0].box[0] < 80


def test_without_tiles_it_is_missed():
    frame = pasted(draw_face(), 80, (560, 250), (720, 1280))
    assert built(smallest=0.5, rotated=False)(frame) == []
    assert len(built()(frame)) == 1


def shifted(picture, x, y, shape):
    """The picture in a plain frame, moved so far that a part of it may lie outside."""
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return cv2.warpAffine(
        picture, matrix, shape[::-1], borderMode=cv2.BORDER_CONSTANT, borderValue=BACKGROUND
    )


@pytest.mark.parametrize(
    ("x", "y", "shape"),
    [(256, 0, (512, 512)), (-256, 0, (512, 512)), (0, 256, (512, 512)), (0, -262, (512, 512)),
     (1030, 150, (720, 1280)), (-250, 150, (720, 1280))],
)  # fmt: skip
def test_a_face_that_the_edge_cuts_in_half(detector, x, y, shape):
    (found,) = detector(shifted(draw_face(), x, y, shape))
    for index, name in enumerate(["right_iris", "left_iris"]):  # also of the eye that is not in the picture
        expected = PLACES[name][0] + x, PLACES[name][1] + y
        assert math.dist(found.keypoints[index], expected) < 0.4 * EYE_DISTANCE, name


@pytest.mark.parametrize("x", [-125, 125, 480, 512])
def test_the_mirror_image_beyond_the_edge_is_no_face(detector, x):
    """A whole face beside the edge is one face; hair that has nearly left is none."""
    found = detector(shifted(draw_face(), x, 0, (512, 512)))
    assert len(found) == (abs(x) < 200)
    for item in found:
        assert math.dist(item.keypoints[0], (PLACES["right_iris"][0] + x, PLACES["right_iris"][1])) < 30


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_pictures(detector, turns):
    picture = np.ascontiguousarray(np.rot90(draw_face(), turns))
    (found,) = detector(picture)
    across = found.keypoints[1] - found.keypoints[0]
    angle = math.degrees(math.atan2(across[1], across[0]))
    assert abs(math.remainder(angle + 90 * turns, 360)) < 12
    flipped = cv2.rotate(
        picture, [cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE][turns - 1]
    )
    np.testing.assert_array_equal(flipped, draw_face())
    x, y = PLACES["nose_tip"]
    expected = {1: (y, 512 - x), 2: (512 - x, 512 - y), 3: (512 - y, x)}[turns]
    assert math.dist(found.keypoints[2], expected) < 0.2 * EYE_DISTANCE


def test_threads_agree(detector):
    picture = draw_face()
    alone = detector(picture)
    results = [None] * 3

    def work(index):
        results[index] = detector(picture)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result[0].box, alone[0].box)


def test_tiles_cover_the_length_and_overlap():
    for length in (300, 720, 1280, 3840):
        starts = _starts(length, 500)
        assert starts[0] == 0
        assert starts[-1] + 500 >= length
        assert all(b - a <= 350 for a, b in itertools.pairwise(starts))


def test_both_networks_off_is_refused():
    with pytest.raises(ConfigError, match="near and far"):
        built(near=False, far=False)

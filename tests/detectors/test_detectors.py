"""What every detector promises, over all registered names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from drawn_face import PLACES, draw_face
from understudy.contracts import Context
from understudy.detectors import DETECTORS
from understudy.weights import WeightStore


@pytest.fixture(scope="module", params=DETECTORS.names())
def detector(request):
    settings = DETECTORS[request.param]()
    store = WeightStore()
    list(store.fetch(settings.weights))
    return settings.build(Context(device=torch.device("cpu"), weights=store))


def test_finds_a_drawn_face(detector):
    found = detector(draw_face())
    assert len(found) == 1
    x0, y0, x1, y1 = found[0].box
    for name in ("right_iris", "left_iris", "mouth"):
        x, y = PLACES[name]
        assert x0 < x < x1
        assert y0 < y < y1
    assert 120 < x1 - x0 < 300
    assert 0.5 <= found[0].score <= 1


def test_finds_nothing_in_nothing(detector):
    assert detector(np.full((240, 320, 3), 128, np.uint8)) == []


def test_does_not_change_the_picture(detector):
    picture = draw_face()
    before = picture.copy()
    detector(picture)
    np.testing.assert_array_equal(picture, before)


def test_two_faces_best_first(detector):
    face = draw_face()
    both = np.concatenate([face, np.ascontiguousarray(face[:, ::-1])], 1)
    found = detector(both)
    assert len(found) == 2
    assert found[0].score >= found[1].score
    centers = sorted(float(item.box[0] + item.box[2]) / 2 for item in found)
    assert abs(centers[0] - 256) < 30
    assert abs(centers[1] - 768) < 30


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (700, 3), (16, 16)])
def test_odd_pictures(detector, shape):
    assert detector(np.full((*shape, 3), 90, np.uint8)) == []


def test_views_that_are_not_contiguous(detector):
    wide = np.concatenate([draw_face(), draw_face()], 1)
    assert len(detector(wide[:, :512])) == 1

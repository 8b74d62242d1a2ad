"""What every embedder promises, and dlib's own crop."""

from __future__ import annotations

import cv2
import dlib
import numpy as np
import pytest
import torch

from drawn_face import draw_face
from understudy.contracts import Context, Region
from understudy.embedders import EMBEDDERS
from understudy.errors import ShapeError
from understudy.image.geometry import to_opencv
from understudy.image.landmarks import points68
from understudy.landmarkers.facemesh import FaceMesh
from understudy.weights import WeightStore


@pytest.fixture(scope="module")
def context():
    store = WeightStore()
    list(store.fetch())
    return Context(device=torch.device("cpu"), weights=store)


@pytest.fixture(scope="module", params=EMBEDDERS.names())
def embedder(request, context):
    return EMBEDDERS[request.param]().build(context)


@pytest.fixture(scope="module")
def landmarker(context):
    return FaceMesh().build(context)


def crop(embedder, landmarker, picture, region):
    (found,) = landmarker(picture, [region])
    matrix = embedder.crop_matrix(found.points)
    size = (embedder.side, embedder.side)
    chip = cv2.warpAffine(picture, to_opencv(matrix), size, flags=cv2.INTER_LINEAR)
    return torch.from_numpy(chip).permute(2, 0, 1)[None].float() / 255


REGION = Region(center=(256.0, 270.0), side=400.0)


def test_shape_and_repeatability(embedder):
    crops = torch.rand(3, 3, embedder.side, embedder.side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        vectors = embedder(crops)
        assert vectors.shape == (3, embedder.dimension)
        torch.testing.assert_close(embedder(crops), vectors)


def test_gradient_reaches_the_crop(embedder):
    crops = torch.rand(1, 3, embedder.side, embedder.side).requires_grad_()
    embedder(crops).sum().backward()
    assert crops.grad is not None
    assert float(crops.grad.abs().sum()) > 0


def test_moving_and_turning_the_face_keeps_the_vector(embedder, landmarker):
    face = draw_face()
    matrix = cv2.getRotationMatrix2D((256, 270), 25, 0.7)
    matrix[:, 2] += (40, 20)
    moved = cv2.warpAffine(face, matrix, (640, 560), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_AREA)
    center = matrix @ (256, 270, 1)
    there = Region(center=(float(center[0]), float(center[1])), side=280.0)
    with torch.no_grad():
        first = embedder(crop(embedder, landmarker, face, REGION))
        second = embedder(crop(embedder, landmarker, moved, there))
    assert float((first - second).norm()) < 0.5 * embedder.same_person


def test_wrong_size_is_named(embedder):
    with pytest.raises((ShapeError, TypeError)):
        embedder(torch.rand(1, 3, embedder.side + 2, embedder.side))
    with pytest.raises(ShapeError, match=str(embedder.side)):
        embedder(torch.rand(1, 3, embedder.side // 2, embedder.side // 2))


def test_dlibs_crop(context, landmarker):
    """Our matrix and dlib's own chip show the same picture, to a tenth of a pixel."""
    embedder = EMBEDDERS["dlib"]().build(context)
    face = draw_face()
    (found,) = landmarker(face, [REGION])
    # dlib takes whole pixels, named by their centres
    whole = np.round(found.points - 0.5)
    marks = points68(whole)
    parts = [dlib.point(int(x), int(y)) for x, y in marks]
    low, high = marks.min(0), marks.max(0)
    box = dlib.rectangle(int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    theirs = dlib.get_face_chip(face, dlib.full_object_detection(box, parts), 150, 0.25)
    matrix = embedder.crop_matrix(whole + np.float32(0.5))
    ours = cv2.warpAffine(face, to_opencv(matrix), (150, 150), flags=cv2.INTER_LINEAR)
    gray = [cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY).astype(np.float64) for chip in (ours, theirs)]
    shift, _ = cv2.phaseCorrelate(gray[0], gray[1])
    assert np.hypot(*shift) < 0.15
    assert np.abs(gray[0] - gray[1]).mean() < 1.5

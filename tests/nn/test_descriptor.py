from __future__ import annotations

import cv2
import dlib
import numpy as np
import pytest
import torch

from drawn_face import draw_face
from understudy.errors import WeightsError
from understudy.nn.descriptor import DescriptorNetwork, read_dlib
from understudy.weights import WeightStore


@pytest.fixture(scope="module")
def file():
    store = WeightStore()
    list(store.fetch(["dlib_face_recognition"]))
    return store.path("dlib_face_recognition")


@pytest.fixture(scope="module")
def network(file):
    return read_dlib(file.read_bytes())


def pictures():
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (12, 12, 3), np.uint8)
    return [
        cv2.resize(draw_face(), (150, 150), interpolation=cv2.INTER_AREA),
        cv2.resize(noise, (150, 150), interpolation=cv2.INTER_CUBIC),
        np.zeros((150, 150, 3), np.uint8),
    ]


def as_batch(chips):
    return torch.from_numpy(np.stack(chips)).permute(0, 3, 1, 2).float() / 255


def test_equals_dlib(file, network):
    reference = dlib.face_recognition_model_v1(str(file))
    chips = pictures()
    expected = np.array([reference.compute_face_descriptor(chip) for chip in chips])
    with torch.no_grad():
        ours = network(as_batch(chips)).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    assert np.linalg.norm(expected[0] - expected[1]) > 0.3  # the test could tell them apart


def test_a_batch_is_its_faces(network):
    batch = as_batch(pictures())
    with torch.no_grad():
        together = network(batch)
        alone = torch.cat([network(picture[None]) for picture in batch])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_gradient_reaches_the_picture_and_not_the_weights(network):
    batch = as_batch(pictures()[:1]).requires_grad_()
    network(batch).square().sum().backward()
    assert batch.grad is not None
    assert torch.isfinite(batch.grad).all()
    assert (batch.grad[0].abs().sum((1, 2)) > 0).all()
    assert all(not weight.requires_grad and weight.grad is None for weight in network.parameters())


def test_has_29_convolutions_and_22_million_bytes(network):
    assert sum(isinstance(module, torch.nn.Conv2d) for module in network.modules()) == 29
    assert 5.5e6 < sum(weight.numel() for weight in network.parameters()) < 5.65e6
    assert isinstance(network, DescriptorNetwork)


@pytest.mark.parametrize("cut", [0, 1, 100, 19_000, 22_000_000])
def test_a_cut_file_is_refused(file, cut):
    with pytest.raises(WeightsError, match="face_recognition_resnet_model_v1"):
        read_dlib(file.read_bytes()[:cut])


def test_another_file_is_refused():
    with pytest.raises(WeightsError):
        read_dlib(b"\x01\x01\x01\x03abc" + bytes(100))

"""What a viewer notices without a reference: sharpness, the border, the neck, unswapped frames."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.color import deltaE_ciede2000, rgb2lab

from understudy.metrics.border import border_visibility
from understudy.metrics.neck import face_to_neck, throat
from understudy.metrics.sharpness import relative_sharpness
from understudy.metrics.unswapped import count_unswapped, is_unswapped
from understudy.performers.draw import Drawn

SIDE = 96


def disc(radius: float) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)


def batch(*planes: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.atleast_3d(p).transpose(2, 0, 1) for p in planes])).float()


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(3).normal(0.5, 0.1, (SIDE, SIDE, 3)).astype(np.float32)


# ------------------------------------------------------------------------------------------------ sharpness


def test_sharpness_is_the_deviation_of_the_laplacian(noise):
    face, around = disc(20), disc(44) - disc(26)
    luma = noise.astype(np.float64) @ [0.299, 0.587, 0.114]
    laplacian = ndimage.laplace(luma)[1:-1, 1:-1]

    def deviation(weights: np.ndarray) -> float:
        w = weights[1:-1, 1:-1].astype(np.float64)
        mean = np.average(laplacian, weights=w)
        return math.sqrt(np.average((laplacian - mean) ** 2, weights=w))

    got = relative_sharpness(batch(noise), batch(face), batch(around))
    assert float(got) == pytest.approx(deviation(face) / deviation(around), rel=1e-6)


def test_a_blurred_face_is_softer_than_its_surroundings(noise):
    face, around = disc(20), disc(44) - disc(26)
    values = []
    for sigma in (0.5, 1.0, 2.0):
        soft = cv2.GaussianBlur(noise, (0, 0), sigma)
        picture = noise + disc(24)[..., None] * (soft - noise)
        values.append(float(relative_sharpness(batch(picture), batch(face), batch(around))))
    assert 1.0 > values[0] > values[1] > values[2]
    assert math.isnan(float(relative_sharpness(batch(noise), batch(face * 0), batch(around))))


# ------------------------------------------------------------------------------------------------ border


def test_the_border_of_a_step_stands_out(noise):
    mask = disc(25)
    even = np.full((SIDE, SIDE, 3), 0.5, np.float32)
    assert float(border_visibility(batch(even), batch(mask))) == pytest.approx(1.0)
    step = even + 0.2 * (mask > 0.5)[..., None].astype(np.float32)
    # the same with the disc's true radius and normal
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    away = np.hypot(x, y)
    down, right = np.gradient(ndimage.gaussian_filter(step[..., 0].astype(np.float64), 0.7))
    change = np.abs(down * y + right * x) / away
    across, inner, outer = (
        change[(away > low) & (away < high)].mean() for low, high in ((23, 27), (19, 23), (27, 31))
    )
    expected = (across + 1 / 255) / ((inner + outer) / 2 + 1 / 255)
    assert expected > 8
    assert float(border_visibility(batch(step), batch(mask), 2)) == pytest.approx(
        expected, rel=0.2
    )  # rings of pixels


def test_a_stronger_seam_is_seen_more_and_a_soft_one_less(noise):
    mask = disc(25)
    soft = cv2.GaussianBlur(mask, (0, 0), 4)

    def seen(weight: np.ndarray, amount: float) -> float:
        return float(border_visibility(batch(noise * 0.3 + amount * weight[..., None]), batch(mask)))

    steps = [seen(mask, amount) for amount in (0.0, 0.05, 0.1, 0.2)]
    assert steps == sorted(steps)
    assert steps[0] == pytest.approx(1.0, abs=0.1)
    assert seen(soft, 0.2) < 0.4 * steps[-1]


def test_without_a_border_there_is_no_figure(noise):
    assert border_visibility(batch(noise), batch(disc(25) * 0)).isnan().all()


# ------------------------------------------------------------------------------------------------ neck


def test_face_and_neck_of_known_colors():
    points = np.zeros((478, 2))
    points[168], points[152], points[172], points[397] = (60, 30), (60, 75), (40, 68), (80, 68)
    for cheek, x in (((50, 205, 207, 187, 123, 117), 45), ((280, 425, 427, 411, 352, 346), 75)):
        for number, index in enumerate(cheek):
            angle = 2 * math.pi * number / 6
            points[index] = x + 6 * math.cos(angle), 60 + 6 * math.sin(angle)
    face, neck = (0.8, 0.6, 0.5), (0.6, 0.45, 0.4)
    picture = np.empty((120, 120, 3), np.float32)
    picture[:78], picture[78:] = face, neck
    expected = float(deltaE_ciede2000(rgb2lab([face]), rgb2lab([neck]))[0])
    assert face_to_neck(picture, points) == pytest.approx(expected, rel=1e-3)
    assert throat(points)[:, 1] == pytest.approx([83.1, 83.1, 93.9, 93.9])
    assert math.isnan(face_to_neck(picture[:80, :80], points)), "the throat lies beyond the picture"


def test_a_tinted_face_is_further_from_its_neck(drawn: list[Drawn]):
    frame = drawn[0].frame
    matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -10.0]])
    assert frame.picture.shape == (160, 160, 3)
    points = frame.points[:, :2] @ matrix[:, :2].T
    plain = face_to_neck(frame.picture, points)
    tinted = frame.picture + frame.face_mask[..., None] * np.array([0.12, -0.05, -0.08], np.float32)
    assert face_to_neck(tinted.clip(0, 1), points) > plain + 3


# ------------------------------------------------------------------------------------------------ not swapped


def test_frames_without_a_swap_are_counted(drawn: list[Drawn]):
    random = np.random.default_rng(0)
    results, targets, masks = [], [], []
    for one in drawn[:4]:
        assert one.swap is not None
        picture = one.swap.picture if one.index % 2 == 0 else one.frame.picture
        results.append((picture + random.normal(0, 0.01, picture.shape)).astype(np.float32))
        targets.append(one.frame.picture)
        masks.append(one.frame.face_mask)
    flags = is_unswapped(batch(*results), batch(*targets), batch(*masks))
    assert flags.tolist() == [False, True, False, True]
    assert count_unswapped(flags) == 2

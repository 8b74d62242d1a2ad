from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from understudy.contracts import Frame
from understudy.errors import ConfigError
from understudy.image.warp import crop
from understudy.metrics.flicker import FlickerMeter, flicker_of_pair, mean_flicker

SIDE = 64


def texture(seed: int) -> np.ndarray:
    """A smooth picture with something to hold on to, (64, 64, 3)."""
    noise = np.random.default_rng(seed).random((SIDE, SIDE, 3)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0.1, 0.9, cv2.NORM_MINMAX)


def moved(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    return crop(picture, np.array([[1.0, 0.0, x], [0.0, 1.0, y]]), SIDE)


def chw(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


@pytest.fixture(scope="module")
def inside() -> np.ndarray:
    out = np.zeros((SIDE, SIDE), np.float32)
    cv2.circle(out, (32, 32), 22, 1.0, -1)
    return out


def test_what_stands_still_does_not_flicker(inside):
    plate, face = chw(texture(1)), chw(texture(2))
    pair = flicker_of_pair((plate, plate), (face, face), inside, inside)
    assert pair is not None
    assert (pair.swapped, pair.target, pair.brightness) == (0.0, 0.0, 0.0)


def test_a_jump_in_brightness_is_its_size(inside):
    plate, face = chw(texture(1)), chw(texture(2))
    pair = flicker_of_pair((plate, plate), (face, face + np.float32(0.05)), inside, inside)
    assert pair is not None
    assert pair.flicker == pytest.approx(0.05, abs=1e-6)
    assert pair.brightness == pytest.approx(0.05, abs=1e-6)


def test_light_that_changes_for_both_is_no_flicker(inside):
    plate, face = chw(texture(1)), chw(texture(2))
    pair = flicker_of_pair((plate, plate + np.float32(0.05)), (face, face + np.float32(0.05)), inside, inside)
    assert pair is not None
    assert pair.target == pytest.approx(0.05, abs=0.005)
    assert pair.flicker == pytest.approx(0.0, abs=1e-3)
    assert pair.brightness == pytest.approx(0.0, abs=1e-3)


def test_a_face_that_moves_with_the_target_is_steady(inside):
    plate, face = texture(1), texture(2)
    follows = flicker_of_pair(
        (chw(plate), chw(moved(plate, 2.0, 1.0))), (chw(face), chw(moved(face, 2.0, 1.0))), inside, inside
    )
    stays = flicker_of_pair((chw(plate), chw(moved(plate, 2.0, 1.0))), (chw(face), chw(face)), inside, inside)
    assert follows is not None
    assert stays is not None
    assert follows.swapped < 0.01
    assert stays.swapped > 5 * follows.swapped


def test_noise_of_its_own_is_flicker_in_proportion(inside):
    plate, face = chw(texture(1)), chw(texture(2))
    random = np.random.default_rng(3)
    noises = [random.normal(0.0, 0.02, face.shape).astype(np.float32) for _ in range(2)]
    pair = flicker_of_pair((plate, plate), (face + noises[0], face + noises[1]), inside, inside)
    assert pair is not None
    # the mean of the absolute value of a normal variable of deviation 0.02 sqrt(2)
    assert pair.flicker == pytest.approx(0.02 * math.sqrt(2) * math.sqrt(2 / math.pi), rel=0.03)


def test_too_little_of_a_face_is_no_figure(inside):
    plate = chw(texture(1))
    assert flicker_of_pair((plate, plate), (plate, plate), inside, np.zeros_like(inside)) is None


# ------------------------------------------------------------------------------------------------ the meter


def with_jumps(frame: Frame, amount: int) -> Frame:
    """Every second frame brighter."""
    shift = amount if frame.index % 2 else 0
    planes = tuple(np.clip(plane.astype(int) + shift, 0, 255).astype(np.uint8) for plane in frame.planes)
    return Frame(
        index=frame.index,
        pts=frame.pts,
        time_base=frame.time_base,
        planes=planes,
        format=frame.format,
        color=frame.color,
    )


def test_the_meter_ranks_performers(clip):
    results = []
    for amount in (None, 0, 3, 10):
        meter = FlickerMeter(64)
        for target, exact, face in clip:
            meter.push(target, target if amount is None else with_jumps(exact, amount), face)
        results.append(meter.result())
    assert [one.pairs for one in results] == [4] * 4
    untouched, exact, little, much = results
    assert untouched.flicker == untouched.brightness == 0.0
    assert exact.flicker < little.flicker < much.flicker
    assert exact.brightness < 0.002
    assert much.brightness == pytest.approx(10 / 255, abs=0.002)


def test_cuts_gaps_and_other_tracks_are_not_compared(clip):
    meter = FlickerMeter(64)
    assert meter.push(*clip[0]) is None
    assert meter.push(*clip[2]) is None, "a frame is missing between"
    assert meter.push(*clip[3]) is not None
    meter.reset()
    assert meter.push(*clip[4]) is None, "a cut"
    assert meter.result().pairs == 1


def test_without_a_pair_there_is_no_figure():
    nothing = mean_flicker([])
    assert nothing.pairs == 0
    assert math.isnan(nothing.flicker)


def test_too_small_for_the_flow():
    with pytest.raises(ConfigError, match="at least 32"):
        FlickerMeter(16)

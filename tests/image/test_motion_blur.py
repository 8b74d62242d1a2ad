from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from understudy.image.landmarks import FACE_OVAL
from understudy.image.motion_blur import LONGEST, line_kernel, motion_blur, streak_of_motion


def dense(streak, steps=20001):
    """The same integral by brute force."""
    x, y = streak
    reach = math.ceil(max(abs(x), abs(y)) / 2 + 1e-9) + 1
    places = (np.arange(steps) + 0.5) / steps - 0.5
    axis = np.arange(-reach, reach + 1)
    hats = [np.clip(1 - np.abs(axis[:, None] - places * way), 0, None) for way in (y, x)]
    return hats[0] @ hats[1].T / steps


@pytest.mark.parametrize("streak", [(4, 0), (0, -7), (3.3, 2.2), (-5.1, 6.4), (0.4, 0.7), (12.0, 12.0)])
def test_kernel_is_the_integral_along_the_line(streak):
    kernel = line_kernel(streak)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(kernel, dense(streak), atol=2e-8)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)  # the middle stays where it is


def test_kernel_has_the_variance_of_its_line():
    kernel = line_kernel((8.0, -6.0))
    axis = np.arange(len(kernel)) - len(kernel) // 2
    along = (0.8 * axis[None, :] - 0.6 * axis[:, None]) ** 2
    across = (0.6 * axis[None, :] + 0.8 * axis[:, None]) ** 2
    # a line of length l has l²/12; sharing out to neighbours adds at most a quarter along each axis
    assert (kernel * along).sum() == pytest.approx(100 / 12, abs=0.25)
    assert (kernel * across).sum() < 0.25


def test_blur_is_scipys_correlation():
    random = np.random.default_rng(0)
    pictures = random.random((3, 2, 30, 26)).astype(np.float32)
    streaks = np.array([[5.5, 2.0], [0.1, 0.2], [-2.0, 3.0]])
    out = motion_blur(torch.from_numpy(pictures), streaks).numpy()
    assert np.array_equal(out[1], pictures[1])  # half a pixel is no motion
    for item in (0, 2):
        for channel in range(2):
            wanted = ndimage.correlate(
                pictures[item, channel].astype(np.float64), line_kernel(streaks[item]), mode="nearest"
            )
            np.testing.assert_allclose(out[item, channel], wanted, atol=1e-5)


def test_a_lost_track_is_no_motion():
    picture = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    cut = motion_blur(picture, np.array([[LONGEST * 40, 0.0]]))
    torch.testing.assert_close(motion_blur(picture, np.array([[4000.0, 0.0]])), cut)
    assert torch.equal(motion_blur(picture, np.array([[np.nan, 0.0]])), picture)


def test_streak_is_half_the_way_at_180_degrees():
    random = np.random.default_rng(1)
    now = random.uniform(0, 100, (478, 3)).astype(np.float32)
    before, after = now.copy(), now.copy()
    before[:, :2] -= (6, 2)
    after[:, :2] += (10, -2)
    inner = [k for k in range(468) if k not in FACE_OVAL]
    after[inner] += 30  # what an expression moves does not count
    turned = np.array([[0.0, -2.0, 7.0], [2.0, 0.0, 1.0]])  # a quarter turn, twice the size
    streak = streak_of_motion(before, now, after, turned, 180.0)
    np.testing.assert_allclose(streak, [0.0, 2.0 * 8.0 / 2], atol=1e-4)
    np.testing.assert_allclose(streak_of_motion(None, now, after, turned, 90.0), [1.0, 5.0], atol=1e-4)
    np.testing.assert_allclose(streak_of_motion(before, now, None, turned, 90.0), [-1.0, 3.0], atol=1e-4)
    assert not streak_of_motion(None, now, None, turned, 180.0).any()


def test_no_pictures():
    assert motion_blur(torch.zeros(0, 3, 8, 8), np.zeros((0, 2))).shape == (0, 3, 8, 8)

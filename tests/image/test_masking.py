from __future__ import annotations

import dataclasses
from fractions import Fraction

import cv2
import numpy as np
import pytest

from understudy.contracts import ColorTags, Frame
from understudy.image.masking import HIGHEST, add_to_luma, small_luma, tolerance
from understudy.video.layout import layout_of

NAMES = ("yuv420p", "yuv422p10le", "yuv444p16le", "gray", "gray16le", "rgb24", "rgba64le")


def plain(name: str, signal: float, width: int = 96, height: int = 64) -> Frame:
    """A frame of one grey; ``signal`` from 0 (black) to 1."""
    layout = layout_of(name)
    full = layout.kind == "rgb"
    unit = 1 << (layout.depth - 8)
    code = round(signal * ((1 << layout.depth) - 1)) if full else round((16 + 219 * signal) * unit)
    dtype = np.uint8 if layout.depth == 8 else np.uint16
    if full:
        planes = (np.full((height, width, 4 if layout.alpha else 3), code, dtype),)
    else:
        planes = (np.full((height, width), code, dtype),)
        if layout.kind == "yuv":
            shape = (height >> layout.shift_y, width >> layout.shift_x)
            planes += tuple(np.full(shape, 128 * unit, dtype) for _ in range(2))
    color = ColorTags(matrix="rgb" if full else "bt709", full_range=full)
    return Frame(index=0, pts=0, time_base=Fraction(1, 25), planes=planes, format=layout, color=color)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(32, 32), (128, 16), (200, 160)])
def test_luma_is_the_same_in_every_layout(name, size):
    small = small_luma(plain(name, 0.5), *size)
    assert small.shape == (size[1], size[0])
    np.testing.assert_allclose(small, 219 * 0.5, atol=0.6)


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_luma_is_as_large_in_every_layout(name):
    frame = plain(name, 0.4)
    change = np.zeros((16, 16), np.float32)
    change[4:12, 4:12] = 10.0
    out = add_to_luma(frame, change)
    moved = small_luma(out, 96, 64) - small_luma(frame, 96, 64)
    assert moved[32, 48] == pytest.approx(10.0, abs=0.6)
    assert moved[0, 0] == pytest.approx(0.0, abs=0.6)
    for before, after in zip(frame.planes[1:], out.planes[1:], strict=True):
        assert after is before
    if frame.format.alpha:
        np.testing.assert_array_equal(out.planes[0][..., 3], frame.planes[0][..., 3])


@pytest.mark.parametrize("name", NAMES)
def test_nothing_leaves_the_range_of_the_samples(name):
    frame = plain(name, 1.0)
    white = dataclasses.replace(
        frame, planes=(np.full_like(frame.planes[0], (1 << frame.format.depth) - 1), *frame.planes[1:])
    )
    out = add_to_luma(white, np.full((8, 8), 50.0, np.float32))
    assert out.planes[0].max() == (1 << frame.format.depth) - 1
    assert out.planes[0].dtype == frame.planes[0].dtype


def bumps(peak: float, side: int = 32) -> np.ndarray:
    """A smooth change, as the mark's is."""
    noise = np.random.default_rng(1).standard_normal((side, side)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 0.9)
    return smooth * np.float32(peak / np.abs(smooth).max())


@pytest.mark.parametrize(("name", "unit"), [("yuv420p", 1.0), ("yuv422p10le", 4.0), ("gray16le", 256.0)])
@pytest.mark.parametrize("peak", [1.0, 4.0, 25.0])
def test_a_change_is_stretched_as_with_floats(name, unit, peak):
    frame = plain(name, 0.5, 160, 90)
    before = frame.planes[0].astype(np.float64)
    change = bumps(peak)
    wanted = cv2.resize(change.astype(np.float64), (160, 90), interpolation=cv2.INTER_CUBIC) * unit
    off = add_to_luma(frame, change).planes[0] - before - wanted
    step = peak / 67 * unit
    assert np.abs(off).max() <= 0.5 + 1.5 * step  # a sample's rounding, and half a step each of two others
    assert abs(off.mean()) < 0.05 + 0.05 * step


def test_nothing_overshoots_what_eight_bits_hold():
    frame = plain("gray16le", 0.5, 200, 200)
    change = np.kron(np.where(np.indices((8, 8)).sum(0) % 2, 3.0, -3.0), np.ones((2, 2))).astype(np.float32)
    wanted = cv2.resize(change.astype(np.float64), (200, 200), interpolation=cv2.INTER_CUBIC) * 256.0
    assert np.abs(wanted).max() > 1.2 * 256.0 * 3.0
    off = add_to_luma(frame, change).planes[0] - frame.planes[0].astype(np.float64) - wanted
    assert np.abs(off).max() <= 0.5 + 1.5 * 256.0 * 3.0 / 67


@pytest.mark.parametrize("name", NAMES)
def test_no_change_changes_nothing(name):
    frame = plain(name, 0.3)
    nothing = np.zeros((8, 8), np.float32)
    np.testing.assert_array_equal(add_to_luma(frame, nothing).planes[0], frame.planes[0])


@pytest.mark.parametrize(("wide", "high"), [(1920, 1080), (1280, 720), (1920, 800), (998, 540), (512, 512)])
def test_a_small_picture_is_the_mean_of_what_it_covers(wide, high):
    x, y = np.meshgrid((np.arange(wide) + 0.5) / wide, (np.arange(high) + 0.5) / high)
    picture = 126 + 60 * np.sin(9 * x) * np.cos(7 * y) + 20 * x
    grey = plain("gray", 0.5, wide, high)
    small = small_luma(dataclasses.replace(grey, planes=(np.rint(picture).astype(np.uint8),)), 256, 256)
    x, y = np.meshgrid((np.arange(256) + 0.5) / 256, (np.arange(256) + 0.5) / 256)
    wanted = 126 + 60 * np.sin(9 * x) * np.cos(7 * y) + 20 * x - 16  # smooth: its mean is its middle
    np.testing.assert_allclose(small, wanted, atol=1.0)
    assert abs((small - wanted).mean()) < 0.3


def test_grain_is_averaged_over_all_of_a_small_pixel():
    noise = np.random.default_rng(2).normal(126, 20, (1080, 1920))
    frame = dataclasses.replace(
        plain("gray", 0.5, 1920, 1080), planes=(np.rint(noise).clip(0, 255).astype(np.uint8),)
    )
    covered = 1920 / 256 * 1080 / 256
    assert small_luma(frame, 256, 256).std() == pytest.approx(20 / covered**0.5, rel=0.15)


def test_detail_hides_more_and_black_and_white_hide_nothing():
    fine = np.full((256, 256), 110.0, np.float32)
    fine[:, 128:] += np.random.default_rng(0).normal(0, 12, (256, 128))
    fine[:40], fine[-40:] = 0.0, 219.0
    out = tolerance(fine)
    assert out.shape == (128, 128)
    assert out[50:80, 80:110].mean() > 1.5 * out[50:80, 10:50].mean()
    assert out.max() <= HIGHEST
    assert out[:18].max() == 0.0
    assert out[-18:].max() == pytest.approx(0.0, abs=1e-3)


def test_the_quieter_side_of_an_edge_stays_quiet():
    fine = np.full((256, 256), 110.0, np.float32)
    fine[:, 128:] += np.random.default_rng(0).normal(0, 12, (256, 128))
    out = tolerance(fine)
    assert out[:, :61].max() < 1.25 * out[:, :40].max()

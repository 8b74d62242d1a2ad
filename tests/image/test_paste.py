from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.image.color import rect_to_rgb, rgb_to_rect
from understudy.image.geometry import compose, invert, transform_points
from understudy.image.paste import paste_crop, reach
from understudy.image.warp import chroma_matrix, crop, crop_frame

FORMATS = [
    PixelFormat(name="yuv420p", kind="yuv", depth=8, shift_x=1, shift_y=1),
    PixelFormat(name="yuv420p10le", kind="yuv", depth=10, shift_x=1, shift_y=1),
    PixelFormat(name="yuv422p10le", kind="yuv", depth=10, shift_x=1, shift_y=0),
    PixelFormat(name="yuv444p12le", kind="yuv", depth=12),
    PixelFormat(name="rgb24", kind="rgb", depth=8),
    PixelFormat(name="rgb48le", kind="rgb", depth=16),
    PixelFormat(name="gray10le", kind="gray", depth=10),
]
formats = pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
WIDTH, HEIGHT = 203, 151


def colors_at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A smooth picture as a function of the place, (…, 3)."""
    waves = [0.5 + 0.3 * np.sin(x / (17 + 5 * k) + y / (29 - 4 * k) + k) for k in range(3)]
    return np.stack(waves, -1)


def frame_of(format: PixelFormat, matrix: str = "bt709", full_range: bool = False) -> Frame:
    yy, xx = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rgb = colors_at(xx, yy).astype(np.float32)
    if format.kind == "gray":
        rgb = np.repeat(rgb[..., :1], 3, axis=2)
    color = ColorTags(matrix=matrix if format.kind == "yuv" else "rgb", full_range=full_range)
    planes = rgb_to_rect(format, color, rgb)
    return Frame(index=0, pts=0, time_base=Fraction(1, 25), planes=planes, format=format, color=color)


def framing(scale: float, angle: float, size: int = 64) -> np.ndarray:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[c, -s], [s, c]])
    return np.column_stack([linear, size / 2 - linear @ np.array([101.3, 75.2])])


def truth(matrix: np.ndarray, size: int, gray: bool) -> np.ndarray:
    yy, xx = np.mgrid[:size, :size] + 0.5
    places = transform_points(invert(matrix), np.stack([xx, yy], -1))
    rgb = colors_at(places[..., 0], places[..., 1])
    return np.moveaxis(np.repeat(rgb[..., :1], 3, axis=2) if gray else rgb, -1, 0)


@formats
@pytest.mark.parametrize(("scale", "angle"), [(0.9, 0.3), (1.6, -0.7), (0.62, 2.0)])
def test_a_crop_shows_the_picture_that_the_frame_stands_for(format, scale, angle):
    """Against the picture before it became samples: chroma a quarter pixel aside would show."""
    matrix = framing(scale, angle)
    out = crop_frame(frame_of(format), matrix, 64)
    assert out.shape == (3, 64, 64)
    error = out - truth(matrix, 64, format.kind == "gray")
    assert np.abs(error).max() < (0.012 if format.depth == 8 else 0.006)
    assert np.abs(error.mean(axis=(1, 2))).max() < 1e-3


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("full_range", [False, True])
def test_matrix_and_range_are_the_frames(matrix, full_range):
    frame = frame_of(FORMATS[1], matrix, full_range)
    out = crop_frame(frame, framing(1.0, 0.0), 64)
    assert np.abs(out - truth(framing(1.0, 0.0), 64, False)).max() < 0.01


def test_it_agrees_with_the_way_through_rgb():
    frame, matrix = frame_of(FORMATS[1]), framing(0.8, 0.4)
    rgb = rect_to_rgb(frame, 20, 10, 180, 140)
    through = crop(rgb, compose(matrix, np.array([[1.0, 0, 20], [0, 1.0, 10]])), 64)
    assert np.abs(crop_frame(frame, matrix, 64) - np.moveaxis(through, -1, 0)).max() < 0.01


def soft_disc(size: int) -> np.ndarray:
    yy, xx = np.mgrid[:size, :size] + 0.5
    return np.clip((size * 0.35 - np.hypot(yy - size / 2, xx - size / 2)) / 4, 0, 1).astype(np.float32)


@formats
@pytest.mark.parametrize("scale", [0.9, 1.7])
def test_a_crop_of_the_frame_pasted_is_the_frame(format, scale):
    frame, matrix = frame_of(format), framing(scale, 0.3, 96)
    alpha = soft_disc(96)
    out = paste_crop(frame, crop_frame(frame, matrix, 96) * alpha, alpha, matrix)
    for before, after in zip(frame.planes, out.planes, strict=True):
        assert after.dtype == before.dtype
        difference = np.abs(before.astype(float) - after)
        assert difference.max() <= max(2.0, 0.008 * (1 << format.depth))


@formats
def test_what_the_mask_does_not_reach_is_bit_equal(format):
    frame, matrix = frame_of(format), framing(0.9, 0.3, 96)
    alpha = soft_disc(96)
    layer = np.stack([alpha * level for level in (0.9, 0.1, 0.8)])
    rect = reach(frame, alpha, matrix)
    assert rect is not None
    x0, y0, x1, y1 = rect
    assert x0 > 0
    assert y0 > 0
    assert x1 < WIDTH
    assert y1 < HEIGHT
    out = paste_crop(frame, layer, alpha, matrix)
    for number, (before, after) in enumerate(zip(frame.planes, out.planes, strict=True)):
        chroma = number > 0
        sx, sy = (format.shift_x, format.shift_y) if chroma else (0, 0)
        outside = np.ones(before.shape[:2], bool)
        outside[y0 >> sy : -(-y1 >> sy), x0 >> sx : -(-x1 >> sx)] = False
        assert np.array_equal(before[outside], after[outside])
        assert not np.array_equal(before, after)
    # the rectangle is not the whole story: its corners lie outside the disc
    assert np.array_equal(frame.planes[0][y0 : y0 + 8, x0 : x0 + 8], out.planes[0][y0 : y0 + 8, x0 : x0 + 8])


@formats
def test_the_color_that_was_asked_for_arrives(format):
    frame, matrix = frame_of(format), framing(0.6, 0.2, 96)
    alpha = soft_disc(96)
    rgb = (0.5, 0.5, 0.5) if format.kind == "gray" else (0.7, 0.3, 0.5)
    out = paste_crop(frame, np.stack([alpha * level for level in rgb]), alpha, matrix)
    middle = rect_to_rgb(out, 90, 66, 110, 86)
    assert np.abs(middle - rgb).max() < (0.006 if format.depth == 8 else 0.0015)


def test_nothing_to_paste_is_the_same_frame():
    frame, layer = frame_of(FORMATS[0]), np.ones((3, 32, 32), np.float32)
    assert paste_crop(frame, layer, np.zeros((32, 32), np.float32), framing(1.0, 0.0, 32)) is frame
    far = framing(1.0, 0.0, 32) + np.array([[0, 0, 9000.0], [0, 0, 0]])
    assert paste_crop(frame, layer, np.ones((32, 32), np.float32), far) is frame


@pytest.mark.parametrize("format", FORMATS[:3], ids=lambda format: format.name)
def test_chroma_samples_lie_where_mpeg_puts_them(format):
    """On the left luma sample of the pair, halfway between the rows."""
    step_x, step_y = 1 << format.shift_x, 1 << format.shift_y
    luma_places = np.array([[0.5, step_y / 2], [0.5 + 4 * step_x, step_y / 2 + 3 * step_y]])
    expected = np.array([[0.5, 0.5], [4.5, 3.5]])
    assert transform_points(chroma_matrix(format), luma_places) == pytest.approx(expected)

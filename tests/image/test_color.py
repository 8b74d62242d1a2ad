from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.errors import ShapeError
from understudy.image import chroma, color

FORMATS = [
    PixelFormat(name="yuv420p", kind="yuv", depth=8, shift_x=1, shift_y=1),
    PixelFormat(name="yuv422p", kind="yuv", depth=8, shift_x=1),
    PixelFormat(name="yuv444p", kind="yuv", depth=8),
    PixelFormat(name="yuv440p", kind="yuv", depth=8, shift_y=1),
    PixelFormat(name="yuv411p", kind="yuv", depth=8, shift_x=2),
    PixelFormat(name="yuv420p10le", kind="yuv", depth=10, shift_x=1, shift_y=1),
    PixelFormat(name="yuv422p12le", kind="yuv", depth=12, shift_x=1),
    PixelFormat(name="yuv420p16le", kind="yuv", depth=16, shift_x=1, shift_y=1),
    PixelFormat(name="yuva420p", kind="yuv", depth=8, shift_x=1, shift_y=1, alpha=True),
    PixelFormat(name="rgb24", kind="rgb", depth=8),
    PixelFormat(name="rgba", kind="rgb", depth=8, alpha=True),
    PixelFormat(name="rgb48le", kind="rgb", depth=16),
    PixelFormat(name="gray", kind="gray", depth=8),
    PixelFormat(name="gray16le", kind="gray", depth=16),
]
TAGS = [
    ColorTags(matrix=matrix, full_range=full)  # type: ignore[arg-type]
    for matrix in ("bt601", "bt709", "bt2020")
    for full in (False, True)
]


def frame_of(format: PixelFormat, tags: ColorTags, planes: tuple[np.ndarray, ...]) -> Frame:
    return Frame(index=0, pts=0, time_base=Fraction(1, 25), planes=planes, format=format, color=tags)


def noise(format: PixelFormat, tags: ColorTags, width: int = 37, height: int = 29, seed: int = 0) -> Frame:
    """A frame of random code values: every value, in or out of gamut."""
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if format.depth == 8 else np.uint16
    top = 1 << format.depth
    if format.kind == "rgb":
        return frame_of(format, tags, (rng.integers(0, top, (height, width, 3 + format.alpha), dtype),))
    planes = [rng.integers(0, top, (height, width), dtype)]
    if format.kind == "yuv":
        small = (-(-height >> format.shift_y), -(-width >> format.shift_x))
        planes += [rng.integers(0, top, small, dtype) for _ in range(2)]
        if format.alpha:
            planes.append(rng.integers(0, top, (height, width), dtype))
    return frame_of(format, tags, tuple(planes))


def smooth(width: int, height: int) -> np.ndarray:
    """A slowly varying picture well inside the gamut."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    waves = [0.5 + 0.18 * np.sin(x / 23 + k) * np.cos(y / 31 - k) for k in range(3)]
    return np.stack(waves, axis=-1).astype(np.float32)


def test_known_code_values() -> None:
    """Primaries of BT.709 in 8-bit limited range and BT.601 in full range, from the standards' tables."""
    yuv444 = FORMATS[2]
    red, white = np.array([[[1, 0, 0]]], np.float32), np.ones((1, 1, 3), np.float32)

    def code(rgb: np.ndarray, tags: ColorTags, format: PixelFormat = yuv444) -> list[int]:
        return [int(plane[0, 0]) for plane in color.rgb_to_rect(format, tags, rgb)]

    assert code(red, ColorTags(matrix="bt709")) == [63, 102, 240]
    assert code(red, ColorTags(matrix="bt601")) == [81, 90, 240]
    assert code(red, ColorTags(matrix="bt601", full_range=True)) == [76, 85, 255]
    assert code(white, ColorTags(matrix="bt2020")) == [235, 128, 128]
    ten = PixelFormat(name="yuv444p10le", kind="yuv", depth=10)
    assert code(red, ColorTags(matrix="bt709"), ten) == [250, 409, 960]
    assert code(white, ColorTags(matrix="bt709", full_range=True), ten) == [1023, 512, 512]


@pytest.mark.parametrize("tags", TAGS, ids=lambda t: f"{t.matrix}-{'full' if t.full_range else 'limited'}")
@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f.name)
def test_round_trip_of_smooth_content(format: PixelFormat, tags: ColorTags) -> None:
    if format.kind == "rgb":
        tags = ColorTags(matrix="rgb", full_range=True)
    rgb = smooth(64, 48)
    if format.kind == "gray":
        rgb = np.repeat(rgb[..., :1], 3, axis=2)
    planes = color.rgb_to_rect(format, tags, rgb)
    back = color.rect_to_rgb(frame_of(format, tags, planes), 0, 0, 64, 48)
    again = color.rgb_to_rect(format, tags, back)
    for before, after in zip(planes, again, strict=True):
        assert np.abs(before.astype(int) - after.astype(int)).max() <= 1
    step = 1.0 / (219 << (format.depth - 8))
    error = np.abs(back - rgb)[4:-4, 4:-4]  # at the edges chroma is held, not continued
    assert error.max() < 2.5 * step + (0.002 if format.shift_x or format.shift_y else 0.0)


@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f.name)
def test_paste_after_crop_returns_the_frame(format: PixelFormat) -> None:
    """Even for noise with colours that RGB cannot hold, and up to odd edges."""
    frame = noise(format, ColorTags(matrix="rgb" if format.kind == "rgb" else "bt709"))
    for x0, y0, x1, y1 in [(8, 4, 24, 20), (0, 0, 37, 29), (20, 16, 37, 29), (0, 0, 4, 4)]:
        rgb = color.rect_to_rgb(frame, x0, y0, x1, y1)
        assert rgb.shape == (y1 - y0, x1 - x0, 3)
        assert rgb.dtype == np.float32
        assert 0.0 <= rgb.min() <= rgb.max() <= 1.0
        pasted = color.paste_rect(frame, x0, y0, rgb)
        for before, after in zip(frame.planes, pasted.planes, strict=True):
            assert after is not before
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f.name)
def test_paste_paints_inside_and_nothing_outside(format: PixelFormat) -> None:
    tags = ColorTags(matrix="rgb" if format.kind == "rgb" else "bt601")
    frame = noise(format, tags, 40, 32)
    rgb = np.full((16, 24, 3), (0.5, 0.5, 0.5) if format.kind == "gray" else (0.8, 0.3, 0.4), np.float32)
    before = [plane.copy() for plane in frame.planes]
    out = color.paste_rect(frame, 8, 4, rgb)
    for old, plane, new in zip(before, frame.planes, out.planes, strict=True):
        np.testing.assert_array_equal(old, plane)  # the plate is untouched
        factor_y, factor_x = frame.height // plane.shape[0], frame.width // plane.shape[1]
        outside = np.ones(plane.shape[:2], bool)
        outside[4 // factor_y : 20 // factor_y, 8 // factor_x : 32 // factor_x] = False
        np.testing.assert_array_equal(plane[outside], new[outside])
    # away from the edge, where the plate's chroma reaches in (two chroma samples)
    edge = 2 << format.shift_x
    inner = color.rect_to_rgb(out, 8 + edge, 8, 32 - edge, 16)
    assert np.abs(inner - rgb[0, 0]).max() < 0.012
    if format.alpha:
        alpha = -1 if format.kind == "yuv" else 0
        channel = (slice(None), slice(None), 3) if format.kind == "rgb" else slice(None)
        np.testing.assert_array_equal(frame.planes[alpha][channel], out.planes[alpha][channel])


def test_paste_leaves_no_ghost_of_the_plate() -> None:
    """What is painted does not depend on the plate below it."""
    format, tags = FORMATS[0], ColorTags()
    rgb = smooth(32, 32)
    first = color.paste_rect(noise(format, tags, 64, 64, seed=1), 16, 16, rgb)
    second = color.paste_rect(noise(format, tags, 64, 64, seed=2), 16, 16, rgb)
    for plane, other in zip(first.planes, second.planes, strict=True):
        scale = 64 // plane.shape[0]
        part = slice(16 // scale + 2, 48 // scale - 2)
        assert np.abs(plane[part, part].astype(int) - other[part, part].astype(int)).max() <= 1


def test_chroma_is_left_sited() -> None:
    """A chroma ramp comes back centred on even columns, halfway between rows."""
    format, tags = FORMATS[0], ColorTags(full_range=True)
    ramp = np.tile(np.arange(64, 64 + 32, dtype=np.uint8), (32, 1))
    luma = np.full((64, 64), 128, np.uint8)
    for planes, axis, expected in [
        ((luma, np.full_like(ramp, 128), ramp), 1, np.arange(8, 56) / 2),
        ((luma, np.full_like(ramp, 128), ramp.T.copy()), 0, (np.arange(8, 56) - 0.5) / 2),
    ]:
        rgb = color.rect_to_rgb(frame_of(format, tags, planes), 0, 0, 64, 64)
        red = np.moveaxis(rgb[..., 0], axis, 0)[8:56, 20]
        samples = (red * 255 - 128) / (2 * (1 - 0.2126)) + 128 - 64
        np.testing.assert_allclose(samples, expected, atol=1e-3)


@pytest.mark.parametrize("size", [(16, 16), (17, 15), (2, 2), (1, 1), (5, 8)])
def test_down_is_the_partner_of_up(size: tuple[int, int]) -> None:
    width, height = size
    plane = np.random.default_rng(3).random((-(-height // 2), -(-width // 2)), dtype=np.float32)
    up = chroma.upsample(plane, 1, 1, width, height)
    np.testing.assert_allclose(chroma.downsample(up, 1, 1), plane, atol=1e-6)


def test_rectangle_must_fit_and_be_even() -> None:
    frame = noise(FORMATS[0], ColorTags())
    for rectangle in [(1, 0, 9, 8), (0, 0, 8, 7), (0, 0, 38, 8), (-2, 0, 4, 4), (8, 8, 8, 12)]:
        with pytest.raises(ShapeError, match="rectangle"):
            color.rect_to_rgb(frame, *rectangle)
    assert color.rect_to_rgb(noise(FORMATS[2], ColorTags()), 1, 3, 4, 8).shape == (5, 3, 3)


@pytest.mark.parametrize("tags", TAGS, ids=lambda t: f"{t.matrix}-{'full' if t.full_range else 'limited'}")
@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f.name)
def test_frame_to_rgb8_agrees_with_the_exact_way(format: PixelFormat, tags: ColorTags) -> None:
    if format.kind == "rgb":
        tags = ColorTags(matrix="rgb", full_range=True)
    rgb = smooth(160, 120)
    frame = frame_of(format, tags, color.rgb_to_rect(format, tags, rgb))
    exact = color.rect_to_rgb(frame, 0, 0, 160, 120)
    full = color.frame_to_rgb8(frame)
    assert full.dtype == np.uint8
    assert full.shape == (120, 160, 3)
    assert np.abs(full / 255.0 - exact).max() < 0.02
    half = color.frame_to_rgb8(frame, max_side=80)
    assert half.shape == (60, 80, 3)
    wanted = exact.reshape(60, 2, 80, 2, 3).mean(axis=(1, 3))
    assert np.abs(half / 255.0 - wanted).max() < 0.02
    assert color.frame_to_rgb8(frame, max_side=1000).shape == (120, 160, 3)


def test_frame_to_rgb8_averages_what_it_shrinks() -> None:
    """A one-pixel checkerboard becomes grey, not moiré."""
    format = FORMATS[0]
    luma = ((np.indices((200, 200)).sum(axis=0) % 2) * 219 + 16).astype(np.uint8)
    neutral = np.full((100, 100), 128, np.uint8)
    frame = frame_of(format, ColorTags(), (luma, neutral, neutral))
    small = color.frame_to_rgb8(frame, max_side=40).astype(float) / 255
    assert np.abs(small - 0.5).max() < 0.025  # five pixels a side: one of 25 is over


def test_matrix_matters() -> None:
    """The three matrices give visibly different colours: none can be mistaken for another in these tests."""
    frame = noise(FORMATS[2], ColorTags(matrix="bt601"), seed=5)
    pictures = [
        color.rect_to_rgb(replace(frame, color=ColorTags(matrix=m)), 0, 0, 37, 29)  # type: ignore[arg-type]
        for m in ("bt601", "bt709", "bt2020")
    ]
    assert np.abs(pictures[0] - pictures[1]).max() > 0.1
    assert np.abs(pictures[1] - pictures[2]).max() > 0.05

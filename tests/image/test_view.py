from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.errors import ConfigError
from understudy.image.color import frame_to_rgb8, paste_rect, rect_to_rgb, rgb_to_rect
from understudy.image.geometry import invert
from understudy.image.paste import paste_crop, reach
from understudy.image.view import Plate, View, float_format, linear_light, srgb
from understudy.image.warp import crop_frame, warp

LINEAR = ColorTags(matrix="rgb", full_range=True, transfer=8)
VIEWS = [
    View(),
    View(exposure=-2.0),
    View(curve="srgb", exposure=1.5),
    View(curve="linear"),
]


def scene(half: bool = True, alpha: bool = False, view: View | None = None, height: int = 80) -> Plate:
    """Light from 0.001 to 60, in a smooth picture with a few stray extremes."""
    y, x = np.mgrid[:height, :96].astype(np.float64)
    light = 2.0 ** (-10 + 16 * x / 96)
    rgb = np.stack([light, light * (0.6 + 0.4 * np.cos(y / 9)), light * 0.5], -1)
    rgb[3, 4], rgb[5, 6] = -0.02, 900.0
    planes = rgb.astype(np.float16 if half else np.float32)
    if alpha:
        cover = np.broadcast_to((y / (height - 1))[..., None], (height, 96, 1)).astype(planes.dtype)
        planes = np.concatenate([planes * cover, cover], axis=2)
    return Plate(
        index=0,
        pts=0,
        time_base=Fraction(1, 24),
        planes=(planes,),
        format=float_format(planes.shape[2], half),
        color=LINEAR,
        view=view or View(),
        premultiplied=alpha,
    )


def framing(scale: float, angle: float, size: int, center: tuple[float, float]) -> np.ndarray:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[c, -s], [s, c]])
    return np.column_stack([linear, size / 2 - linear @ np.array(center)])


def acescct(x: float) -> float:
    """Academy S-2016-001, written from the text."""
    return 10.5402377416545 * x + 0.0729055341958355 if x <= 0.0078125 else (math.log2(x) + 9.72) / 17.52


@pytest.mark.parametrize("light", [-0.01, 0.0, 0.001, 0.0078125, 0.18, 1.0, 16.0, 222.0])
def test_the_log_is_acescct(light):
    rgb = np.full((1, 1, 3), light, np.float32)
    assert View().show(rgb)[0, 0, 0] == pytest.approx(acescct(light), abs=2e-6)
    assert View(exposure=2.0).show(rgb)[0, 0, 0] == pytest.approx(acescct(light * 4), abs=2e-6)


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_a_view_is_undone(view):
    light = np.concatenate([-np.geomspace(1e-4, 1, 50), np.geomspace(1e-6, 2000, 500)]).astype(np.float32)
    rgb = np.repeat(light, 3).reshape(-1, 1, 3)
    back = view.undo(view.show(rgb))
    np.testing.assert_allclose(back, rgb, rtol=1e-5, atol=2e-7)


def test_what_is_no_number_does_not_spread():
    rgb = np.array([[[np.nan, np.inf, 0.5]]], np.float32)
    seen = View().show(rgb)
    assert np.isfinite(seen).all()
    assert seen[0, 0, 2] == pytest.approx(acescct(0.5), abs=1e-6)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="stops"):
        View(exposure=50)


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("alpha", [True, False])
def test_paste_after_crop_gives_the_plate_and_outside_not_a_bit_moves(half, alpha):
    plate = scene(half, alpha)
    matrix, size = framing(1.0, 0.0, 48, (40.0, 40.0)), 48
    crop = crop_frame(plate, matrix, size)
    cover = np.zeros((size, size), np.float32)
    cover[10:-10, 10:-10] = 1.0
    cover[12:-12, 12:-12] = 0.5
    out = paste_crop(plate, crop * cover, cover, matrix)
    rect = reach(plate, cover, matrix)
    assert rect is not None
    x0, y0, x1, y1 = rect
    outside = np.ones((80, 96), bool)
    outside[y0:y1, x0:x1] = False
    before, after = plate.planes[0], out.planes[0]
    np.testing.assert_array_equal(after[outside], before[outside])
    rgb, came = before[..., :3].astype(np.float64), after[..., :3].astype(np.float64)
    np.testing.assert_allclose(came, rgb, rtol=2e-3 if half else 2e-5, atol=1e-4 if half else 2e-6)
    if alpha:
        np.testing.assert_array_equal(after[..., 3], before[..., 3])


def test_highlights_come_through_above_one():
    """What the network changed by half a stop is half a stop brighter, at 0.1 and at 30 alike."""
    plate = scene(half=False)
    matrix, size = framing(1.0, 0.0, 64, (60.0, 40.0)), 64
    crop = crop_frame(plate, matrix, size) + 0.5 / 17.52
    cover = np.zeros((size, size), np.float32)
    cover[8:-8, 8:-8] = 1.0
    out = paste_crop(plate, crop * cover, cover, matrix)
    inside = (slice(24, 56), slice(44, 76))
    ratio = out.planes[0][inside] / plate.planes[0][inside]
    assert plate.planes[0][inside].max() > 2.0
    np.testing.assert_allclose(ratio, 2.0**0.5, rtol=2e-3)


def test_the_number_of_levels_is_the_plates():
    """Through crop and paste a ramp keeps as many levels as a half float has there: no 8-bit step."""
    ramp = np.linspace(0.18, 4.0, 2048, dtype=np.float32).reshape(32, 64, 1).astype(np.float16)
    plate = Plate(
        index=0,
        pts=0,
        time_base=Fraction(1, 24),
        planes=(np.repeat(ramp, 3, axis=2),),
        format=float_format(3, True),
        color=LINEAR,
    )
    matrix = framing(1.0, 0.0, 64, (32.0, 16.0))
    alpha = np.ones((64, 64), np.float32)
    out = paste_crop(plate, crop_frame(plate, matrix, 64), alpha, matrix)
    levels = len(np.unique(out.planes[0][2:-2, 2:-2, 0]))
    assert levels >= 0.95 * len(np.unique(ramp[2:-2, 2:-2]))
    assert levels > 1300


@pytest.mark.parametrize("scale", [0.4, 1.7])
def test_a_crop_is_the_warp_of_what_is_seen(scale):
    """The part that is looked at is wide enough: the same as looking at the whole frame first."""
    plate, size = scene(half=False), 40
    matrix = framing(scale, 0.4, size, (30.0, 44.0))
    seen = plate.view.show(plate.planes[0])
    whole = warp(seen, invert(matrix), (size, size), "replicate")
    np.testing.assert_allclose(
        crop_frame(plate, matrix, size), np.clip(np.moveaxis(whole, -1, 0), 0, 1), atol=1e-6
    )


def test_rectangles_go_through_the_view():
    plate = scene()
    rgb = rect_to_rgb(plate, 8, 8, 40, 40)
    assert rgb.max() <= 1.0
    np.testing.assert_array_equal(paste_rect(plate, 8, 8, rgb).planes[0], plate.planes[0])
    rgb[4:8, 4:8] = acescct(3.0)
    out = paste_rect(plate, 8, 8, rgb)
    np.testing.assert_allclose(out.planes[0][12:16, 12:16].astype(float), 3.0, rtol=1e-3)
    assert (out.planes[0] != plate.planes[0]).any(axis=2).sum() == 16


def test_detectors_see_the_view():
    seen = frame_to_rgb8(scene(), 48)
    assert seen.shape == (40, 48, 3)
    assert seen.dtype == np.uint8
    assert 20 < seen[:, :8].mean() < 80 < seen[:, -8:].mean() < 220


def test_a_video_frame_can_have_a_view_too():
    """Log footage in 10-bit video: what is painted is taken back to its codes, the rest keeps its bits."""
    format = PixelFormat(name="yuv422p10le", kind="yuv", depth=10, shift_x=1)
    y, x = np.mgrid[:48, :64].astype(np.float32)
    rgb = np.stack([0.2 + x / 120, 0.3 + y / 100, 0.5 + 0 * x], -1).astype(np.float32)
    color = ColorTags(matrix="bt709")
    plain = Frame(
        index=0,
        pts=0,
        time_base=Fraction(1, 24),
        planes=rgb_to_rect(format, color, rgb),
        format=format,
        color=color,
    )
    plate = Plate(
        **{name: getattr(plain, name) for name in plain.__dataclass_fields__},
        view=View(curve="srgb", exposure=-1.0),
    )
    matrix, size = framing(1.0, 0.0, 32, (32.0, 24.0)), 32
    crop = crop_frame(plate, matrix, size)
    wanted = srgb(crop_frame(plain, matrix, size) * np.float32(0.5))
    np.testing.assert_allclose(crop, wanted, atol=2e-3)
    cover = np.zeros((size, size), np.float32)
    cover[8:-8, 8:-8] = 1.0
    out = paste_crop(plate, crop * cover, cover, matrix)
    assert isinstance(out, Plate)
    for before, after in zip(plain.planes, out.planes, strict=True):
        assert np.abs(before.astype(int) - after).max() <= 2
        assert (before == after).mean() > 0.8


@pytest.mark.parametrize(
    ("transfer", "signal", "light"),
    [
        (1, 0.5, ((0.5 + 0.099) / 1.099) ** (1 / 0.45)),
        (1, 0.05, 0.05 / 4.5),
        (13, 0.5, 0.21404114),
        (8, 0.5, 0.5),
        (16, 0.58068888, 203 / 203),  # BT.2408, table 1: HDR reference white at 58 %
        (18, 0.75, 0.26496256),  # BT.2408, table 1: 75 % HLG
        (18, 0.5, 1 / 12),
    ],
)
def test_linear_light_of_video(transfer, signal, light):
    out = linear_light(np.full((1, 1, 3), signal, np.float32), transfer)
    assert out[0, 0, 0] == pytest.approx(light, rel=3e-4)

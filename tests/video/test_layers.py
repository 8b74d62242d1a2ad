from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from understudy.contracts import ColorTags, Face, Frame, PixelFormat
from understudy.errors import VideoError
from understudy.image.color import raw_rect, rgb_to_rect
from understudy.image.geometry import align
from understudy.image.paste import paste_crop
from understudy.image.view import Plate, View, float_format
from understudy.image.warp import crop_frame
from understudy.video.exr import read_exr
from understudy.video.info import VideoInfo
from understudy.video.layers import LayersWriter, read_frame, recomposite
from understudy.video.layout import rgb_format, yuv_format

oiio = pytest.importorskip("OpenImageIO")
WIDTH, HEIGHT, SIZE = 96, 72, 40


@dataclass(frozen=True)
class Layer:
    face: Face
    colors: np.ndarray
    alpha: np.ndarray
    matrix: np.ndarray


def framing(angle: float, center: tuple[float, float], scale: float = 0.9) -> np.ndarray:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[c, -s], [s, c]])
    return np.column_stack([linear, SIZE / 2 - linear @ np.array(center)])


def layer(frame: Frame, track: int, center: tuple[float, float]) -> Layer:
    """A face that is a brighter, redder plate, with a soft mask."""
    matrix = framing(0.4, center)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    alpha = np.clip(1.6 - np.hypot(x - SIZE / 2, y - SIZE / 2) / 10, 0, 1).astype(np.float32)
    painted = np.clip(crop_frame(frame, matrix, SIZE) * 0.9 + np.array([0.1, 0.05, 0.0])[:, None, None], 0, 1)
    points = np.random.default_rng(track).random((478, 3)).astype(np.float32)
    face = Face(
        frame=frame.index,
        time=0.0,
        index=track,
        track=track,
        box=np.array([0.0, 0.0, 9.0, 9.0]),
        presence=1.0,
        points=points,
        alignment=align(points, "whole"),
    )
    return Layer(face, (painted * alpha).astype(np.float32), alpha, matrix)


def rgb() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 50.0
    return np.stack(
        [0.3 + 0.2 * np.sin(3 * x), 0.4 + 0.2 * np.cos(4 * y), 0.3 + 0.2 * np.sin(2 * (x + y))], -1
    )


def plate(kind: str) -> Frame:
    colors = rgb().astype(np.float32)
    common = {"index": 3, "pts": 3, "time_base": Fraction(1, 24)}
    if kind.startswith("scene"):
        samples = colors**2 * 30
        if kind == "scene with alpha":
            alpha = np.linspace(0, 1, WIDTH, dtype=np.float32)[None, :, None].repeat(HEIGHT, 0)
            samples = np.concatenate([samples * alpha, alpha], axis=2)
        return Plate(
            **common,
            planes=(samples.astype(np.float32),),
            format=float_format(samples.shape[2], half=False),
            color=ColorTags(matrix="rgb", full_range=True, transfer=8),
            view=View(exposure=-1.0),
            premultiplied=True,
            name="shot.1004.exr",
        )
    format: PixelFormat = rgb_format(16, False) if kind == "rgb" else yuv_format(10, 1, 1)
    color = ColorTags(matrix="rgb" if kind == "rgb" else "bt709", full_range=kind == "rgb")
    return Frame(**common, planes=rgb_to_rect(format, color, colors), format=format, color=color)


def info(frame: Frame) -> VideoInfo:
    return VideoInfo(
        path=Path("shot"),
        kind="images",
        width=WIDTH,
        height=HEIGHT,
        format=frame.format,
        stored_format=frame.format.name,
        color=frame.color,
        frames=1,
        frames_exact=True,
        rate=Fraction(24),
        time_base=Fraction(1, 24),
        duration=1 / 24,
        codec="exr",
        container="images",
        pixel_aspect=Fraction(2),
    )


def write(frame: Frame, folder: Path, half: bool = False) -> tuple[Frame, list[Layer]]:
    """The rendered frame, and its two layers, which overlap."""
    first = layer(frame, 0, (36.0, 36.0))
    layers = [first, layer(paste_crop(frame, first.colors, first.alpha, first.matrix), 2, (54.0, 30.0))]
    rendered = frame
    for item in layers:
        rendered = paste_crop(rendered, item.colors, item.alpha, item.matrix)
    with LayersWriter(folder, info(frame), half=half) as writer:
        writer.write(frame, layers)
    return rendered, layers


@pytest.mark.parametrize("kind", ["scene", "scene with alpha"])
def test_plate_and_layers_are_the_rendered_frame_to_float_precision(tmp_path: Path, kind: str) -> None:
    frame = plate(kind)
    rendered, _ = write(frame, tmp_path)
    wanted = rendered.planes[0][..., :3]
    assert np.abs(wanted - frame.planes[0][..., :3]).max() > 0.5
    np.testing.assert_allclose(recomposite(frame, tmp_path), wanted, rtol=2e-6, atol=2e-6)


def test_half_is_enough_for_three_digits(tmp_path: Path) -> None:
    frame = plate("scene")
    rendered, _ = write(frame, tmp_path, half=True)
    np.testing.assert_allclose(recomposite(frame, tmp_path), rendered.planes[0], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("kind", "step"), [("rgb", 65535), ("yuv", 876)])
def test_of_a_video_to_the_rounding_of_its_samples(tmp_path: Path, kind: str, step: int) -> None:
    frame = plate(kind)
    rendered, _ = write(frame, tmp_path)
    came, wanted = recomposite(frame, tmp_path), raw_rect(rendered, 0, 0, WIDTH, HEIGHT)
    if kind == "yuv":  # chroma lives on fewer samples: the luma is what can be compared
        came, wanted = (values @ np.array([0.2126, 0.7152, 0.0722]) for values in (came, wanted))
    assert np.abs(came - wanted).max() <= 1.01 / step


def test_files_and_numbers(tmp_path: Path) -> None:
    _, layers = write(plate("scene"), tmp_path)
    record = read_frame(tmp_path, 1004)  # the number in the plate's name
    assert (record["frame"], record["number"], record["name"]) == (3, 1004, "shot.1004.exr")
    assert [face["track"] for face in record["faces"]] == [0, 2]
    assert record["faces"][1]["files"]["patch"] == "patch/track02/patch.1004.exr"
    about = json.loads((tmp_path / "layers.json").read_text())
    assert (about["width"], about["rate"], about["pixel_aspect"]) == (WIDTH, "24", "2")
    for face, item in zip(record["faces"], layers, strict=True):
        np.testing.assert_allclose(face["frame_to_crop"][:2], item.matrix)
        product = np.array(face["frame_to_crop"]) @ np.array(face["crop_to_frame"])
        np.testing.assert_allclose(product, np.eye(3), atol=1e-12)
        spec = read_exr(tmp_path / face["files"]["patch"])[2].specs[0]
        x0, y0, x1, y1 = face["rect"]
        assert (spec.x, spec.y, spec.width, spec.height) == (x0, y0, x1 - x0, y1 - y0)
        assert (spec.full_width, spec.full_height) == (WIDTH, HEIGHT)
        assert spec.get_float_attribute("PixelAspectRatio") == 2.0
    write(plate("yuv"), tmp_path / "video")
    assert read_frame(tmp_path / "video", 1004)["name"] == ""  # frame 3 of a video, from 1001
    with pytest.raises(VideoError, match="no layers of frame 7"):
        read_frame(tmp_path, 7)


def test_a_frame_without_faces(tmp_path: Path) -> None:
    frame = plate("yuv")
    with LayersWriter(tmp_path, info(frame)) as writer:
        writer.write(frame, [])
    assert read_frame(tmp_path, 1004)["faces"] == []
    np.testing.assert_array_equal(recomposite(frame, tmp_path), raw_rect(frame, 0, 0, WIDTH, HEIGHT))


def test_the_map_brings_the_square_into_place(tmp_path: Path) -> None:
    """As an STMap node does it: the crop looked up at u, v (upwards) is the patch."""
    frame = plate("rgb")
    _, layers = write(frame, tmp_path)
    face = read_frame(tmp_path, 1004)["faces"][0]
    parts = {kind: read_exr(tmp_path / name)[2].parts[0] for kind, name in face["files"].items()}
    assert str(read_exr(tmp_path / face["files"]["uv"])[2].specs[0].format) == "float"
    u, v, inside = (parts["uv"][..., k].astype(np.float64) for k in (0, 1, 3))
    crop = parts["crop"].astype(np.float64)
    np.testing.assert_allclose(crop[..., 3], layers[0].alpha)
    x, y = u * SIZE - 0.5, (1.0 - v) * SIZE - 0.5  # place among the pixels' centres
    x0, y0 = np.clip(np.floor(x), 0, SIZE - 2).astype(int), np.clip(np.floor(y), 0, SIZE - 2).astype(int)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    looked = (crop[y0, x0] * (1 - fx) + crop[y0, x0 + 1] * fx) * (1 - fy)
    looked += (crop[y0 + 1, x0] * (1 - fx) + crop[y0 + 1, x0 + 1] * fx) * fy
    deep = inside.astype(bool) & (np.hypot(u - 0.5, v - 0.5) < 0.4)
    assert deep.sum() > 300
    # linear here, cubic there: a hundredth at the mask's bends; a pixel aside would be a tenth
    assert np.abs(looked - parts["patch"])[deep].max() < 0.015
    beside = np.roll(looked, 1, axis=1)
    assert np.abs(beside - parts["patch"])[deep].max() > 0.06


def test_the_crop_of_a_plate_is_linear(tmp_path: Path) -> None:
    frame = plate("scene")
    _, layers = write(frame, tmp_path)
    face = read_frame(tmp_path, 1004)["faces"][0]
    crop = read_exr(tmp_path / face["files"]["crop"])[2].parts[0]
    solid = layers[0].alpha == 1.0
    assert solid.sum() > 50
    seen = np.moveaxis(layers[0].colors, 0, -1)[solid]
    wanted = np.exp2(seen.astype(np.float64) * 17.52 - 9.72) * 2.0  # ACEScct and a stop, undone
    np.testing.assert_allclose(crop[solid][:, :3], wanted, rtol=1e-4)

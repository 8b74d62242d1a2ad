from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from understudy.contracts import Frame
from understudy.errors import OutputError, VideoError
from understudy.image.paste import paste_crop
from understudy.image.view import Plate, View
from understudy.image.warp import crop_frame
from understudy.video.exr import read_exr
from understudy.video.layout import rgb_format
from understudy.video.probe import probe
from understudy.video.stills import RGB, StillsReader, StillsWriter

oiio = pytest.importorskip("OpenImageIO")


def save(
    path: Path,
    pixels: np.ndarray,
    *,
    names: tuple[str, ...] = (),
    kinds: tuple[str, ...] = (),
    window: tuple[int, int] = (0, 0),
    display: tuple[int, int, int, int] | None = None,
    attributes: dict | None = None,
    parts: int = 1,
) -> None:
    """By OpenImageIO itself and not by the code under test."""
    height, width, channels = pixels.shape
    spec = oiio.ImageSpec(width, height, channels, kinds[0] if kinds else "half")
    if names:
        spec.channelnames = names
    if kinds:
        spec.channelformats = kinds
    spec.x, spec.y = window
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = display or (0, 0, width, height)
    for key, value in (attributes or {}).items():
        spec.attribute(key, *value) if isinstance(value, tuple) else spec.attribute(key, value)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), (spec,) * parts)
    for number in range(parts):
        if number:
            assert output.open(str(path), spec, "AppendSubimage")
        assert output.write_image(pixels + np.float32(number))
    output.close()


def light(seed: int = 0, channels: int = 3, height: int = 40, width: int = 56) -> np.ndarray:
    """Half floats up to 40, below 0 here and there."""
    rng = np.random.default_rng(seed)
    values = rng.random((height, width, channels)) ** 4 * 40 - 0.01
    return values.astype(np.float16).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def spec_of(path: Path, part: int = 0):
    opened = oiio.ImageInput.open(str(path))
    assert opened.seek_subimage(part, 0)
    return opened.spec()


def channels_of(path: Path, part: int = 0) -> np.ndarray:
    opened = oiio.ImageInput.open(str(path))
    assert opened.seek_subimage(part, 0)
    return opened.read_image(part, 0, 0, opened.spec().nchannels, "float")


def copy(source: Path, target: Path, **more) -> list[Frame]:
    with StillsReader(source, **more) as reader, StillsWriter(target) as writer:
        frames = list(reader)
        for frame in frames:
            writer.write(frame)
    return frames


@pytest.mark.parametrize("kind", ["half", "float"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_in_and_out_bit_by_bit(folder: Path, tmp_path: Path, kind: str, channels: int) -> None:
    given = [light(n, channels) for n in range(3)]
    if kind == "float":
        given = [values + np.float32(1e-4) for values in given]
    names = ("Y",) if channels == 1 else ()
    for number, pixels in enumerate(given):
        save(folder / f"shot_v2.{1001 + number}.exr", pixels, kinds=(kind,) * channels, names=names)
    frames = copy(folder, tmp_path / "out")
    assert [frame.name for frame in frames] == [f"shot_v2.{n}.exr" for n in (1001, 1002, 1003)]
    assert all(frame.planes[0].dtype == (np.float16 if kind == "half" else np.float32) for frame in frames)
    for frame, pixels in zip(frames, given, strict=True):
        came = channels_of(tmp_path / "out" / frame.name)
        np.testing.assert_array_equal(came.reshape(pixels.shape), pixels)
        assert str(spec_of(tmp_path / "out" / frame.name).format) == kind


def test_windows_aspect_rate_and_attributes_are_kept(folder: Path, tmp_path: Path) -> None:
    attributes = {
        "PixelAspectRatio": 2.0,
        "FramesPerSecond": (oiio.TypeDesc("rational"), (24000, 1001)),
        "chromaticities": (
            oiio.TypeDesc("float[8]"),
            (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329),
        ),
        "smpte:TimeCode": (oiio.TypeDesc("timecode"), (0x01020304, 0)),
        "camera/lens": "40 mm",
        "compression": "piz",
    }
    save(
        folder / "a.1001.exr",
        light(),
        window=(-4, 6),
        display=(0, 0, 48, 64),
        attributes=attributes,
    )
    info = probe(folder)
    assert (info.pixel_aspect, info.rate) == (2, Fraction(24000, 1001))
    assert (info.width, info.height) == (56, 64)  # both windows, from column -4
    copy(folder, tmp_path / "out")
    before, after = spec_of(folder / "a.1001.exr"), spec_of(tmp_path / "out" / "a.1001.exr")
    for name in ("x", "y", "width", "height", "full_x", "full_y", "full_width", "full_height"):
        assert getattr(after, name) == getattr(before, name)
    kept = {item.name: item.value for item in after.extra_attribs}
    for item in before.extra_attribs:
        assert kept[item.name] == item.value
    np.testing.assert_array_equal(channels_of(tmp_path / "out" / "a.1001.exr"), light())


def test_other_channels_and_parts_are_carried(folder: Path, tmp_path: Path) -> None:
    pixels = light(channels=6)
    names = ("Z", "R", "G", "B", "A", "motion.x")
    kinds = ("float", "half", "half", "half", "half", "half")
    pixels[..., 0] = np.random.default_rng(5).random((40, 56)).astype(np.float32) * 1000
    save(folder / "a.1.exr", pixels, names=names, kinds=kinds, parts=2)
    (frame,) = copy(folder, tmp_path / "out")
    colors = read_exr(tmp_path / "out" / "a.1.exr")[0]
    assert set(spec_of(tmp_path / "out" / "a.1.exr").channelnames) == set(names)
    np.testing.assert_array_equal(colors, frame.planes[0])
    before, after = folder / "a.1.exr", tmp_path / "out" / "a.1.exr"
    for part in (0, 1):
        order = [spec_of(after, part).channelnames.index(name) for name in spec_of(before, part).channelnames]
        np.testing.assert_array_equal(channels_of(after, part)[..., order], channels_of(before, part))
        assert {str(kind) for kind in spec_of(after, part).channelformats} == {"half", "float"}


def test_a_lossy_plate_is_stored_without_loss(folder: Path, tmp_path: Path) -> None:
    save(folder / "a.1.exr", light(), attributes={"compression": "dwaa:45"})
    (frame,) = copy(folder, tmp_path / "out")
    np.testing.assert_array_equal(read_exr(tmp_path / "out" / "a.1.exr")[0], frame.planes[0])


def test_a_painted_plate_keeps_every_other_bit(folder: Path, tmp_path: Path) -> None:
    """Decode, crop, paste, encode: inside to half precision, highlights too; outside to the bit."""
    pixels = light(channels=4)
    pixels[..., 3] = np.linspace(0.5, 1.0, 56, dtype=np.float16)
    save(folder / "a.1001.exr", pixels, window=(3, 3), display=(0, 0, 64, 48))
    matrix = np.array([[1.0, 0.0, -14.0], [0.0, 1.0, -10.0]])
    alpha = np.zeros((24, 24), np.float32)
    alpha[6:18, 6:18] = 1.0
    with StillsReader(folder) as reader, StillsWriter(tmp_path / "out") as writer:
        for frame in reader:
            crop = crop_frame(frame, matrix, 24)
            writer.write(paste_crop(frame, (crop + np.float32(1 / 17.52)) * alpha, alpha, matrix))
    before, after = channels_of(folder / "a.1001.exr"), channels_of(tmp_path / "out" / "a.1001.exr")
    assert before.shape == after.shape  # the data window did not have to grow
    changed = (before != after).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) >= (10, 20, 14, 24)
    assert changed.sum() >= 0.9 * 144
    assert changed.sum() <= 18 * 18
    np.testing.assert_array_equal(after[..., 3], before[..., 3])  # one stop, but not in alpha
    painted = (slice(15, 23), slice(19, 27))
    bright = (before[painted][..., :3] > 0.05) & (before[painted][..., :3] < 50)
    assert (before[painted][bright[..., 0]] > 4).any()
    ratio = (after[painted][..., :3] / before[painted][..., :3])[bright]
    np.testing.assert_allclose(ratio, 2.0, rtol=0.004)


def test_the_data_window_grows_for_a_face_beside_it(folder: Path, tmp_path: Path) -> None:
    save(folder / "a.1.exr", light(height=20, width=20), window=(20, 10), display=(0, 0, 64, 48))
    with StillsReader(folder) as reader, StillsWriter(tmp_path / "out") as writer:
        for frame in reader:
            samples = frame.planes[0].copy()
            samples[40, 60] = 1.0
            writer.write(type(frame)(**{**vars(frame), "planes": (samples,)}))
    spec = spec_of(tmp_path / "out" / "a.1.exr")
    assert (spec.x, spec.y, spec.width, spec.height) == (0, 0, 64, 48)
    np.testing.assert_array_equal(
        channels_of(tmp_path / "out" / "a.1.exr")[10:30, 20:40], light(0, 3, 20, 20)
    )


def test_windows_that_change_in_a_sequence(folder: Path, tmp_path: Path) -> None:
    save(folder / "a.1.exr", light(), window=(2, 2), display=(0, 0, 64, 48))
    save(folder / "a.2.exr", light(1, height=10, width=12), window=(30, 20), display=(0, 0, 64, 48))
    frames = copy(folder, tmp_path / "out")
    assert [(frame.width, frame.height) for frame in frames] == [(64, 48), (64, 48)]
    assert spec_of(tmp_path / "out" / "a.2.exr").x == 30
    save(folder / "a.3.exr", light(2, height=100, width=120), window=(-30, -20), display=(0, 0, 64, 48))
    with StillsReader(folder) as reader:
        assert len(list(reader)) == 2
        assert reader.damage is not None
        assert "data window (-30, -20, 120 × 100)" in reader.damage.message


def test_missing_frames_are_named(folder: Path) -> None:
    for number in (1001, 1003, 1007, 1008):
        save(folder / f"plate.{number}.exr", light())
    with pytest.raises(VideoError, match=r"4 frames are missing between 1001 and 1008: 1002, 1004 to 1006"):
        probe(folder)
    (folder / "plate.1007.exr").unlink()
    (folder / "plate.1008.exr").unlink()
    with pytest.raises(VideoError, match="frame 1002 is missing between 1001 and 1003"):
        StillsReader(folder)
    with StillsReader(folder, missing="skip") as reader:
        assert [frame.name for frame in reader] == ["plate.1001.exr", "plate.1003.exr"]


def test_a_sequence_by_its_name(folder: Path) -> None:
    for name in ("a.1001.exr", "a.1002.exr", "b.1001.exr", "a.txt"):
        (folder / name).write_bytes(b"")
        if name.endswith("exr"):
            save(folder / name, light())
    with pytest.raises(VideoError, match=r"several sequences.*in/a\.####\.exr.*in/b\.####\.exr"):
        probe(folder)
    for name in ("a.####.exr", "a.%04d.exr"):
        with StillsReader(folder / name) as reader:
            assert [frame.name for frame in reader] == ["a.1001.exr", "a.1002.exr"]
    with pytest.raises(VideoError, match=r"no file c\.1001\.exr"):
        probe(folder / "c.####.exr")


def test_unreadable_files(folder: Path) -> None:
    file = folder / "a.1.exr"
    file.write_bytes(b"")
    with pytest.raises(VideoError, match=r"a\.1\.exr: this is no EXR, or it is damaged"):
        probe(folder)
    file.write_bytes(b"not a picture")
    with pytest.raises(VideoError, match="this is no EXR"):
        probe(file)
    for number in (1, 2, 3):
        save(folder / f"a.{number}.exr", light())
    whole = (folder / "a.2.exr").read_bytes()
    (folder / "a.2.exr").write_bytes(whole[: len(whole) // 2])
    with StillsReader(folder) as reader:
        assert [frame.name for frame in reader] == ["a.1.exr"]
        assert reader.damage is not None
        assert "a.2.exr" in reader.damage.message
    save(file, light(channels=2), names=("u", "v"))
    with pytest.raises(VideoError, match="wanted channels R, G and B"):
        probe(file)


def test_without_the_plugin(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(folder / "a.1.exr", light())
    frame = next(StillsReader(folder).frames())
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    with pytest.raises(VideoError, match=r"pip install 'understudy\[exr\]'"):
        probe(folder)
    with pytest.raises(OutputError, match=r"pip install 'understudy\[exr\]'"):
        StillsWriter(tmp_path / "out", suffix=".exr")
    writer = StillsWriter(tmp_path / "out")
    with pytest.raises(OutputError, match=r"pip install 'understudy\[exr\]'"), writer:
        writer.write(frame)
    assert list((tmp_path / "out").iterdir()) == []


def test_video_becomes_linear_light_and_says_its_mark(tmp_path: Path) -> None:
    codes = np.linspace(0, 65535, 56, dtype=np.uint16)
    picture = np.repeat(np.tile(codes, (40, 1))[..., None], 3, axis=2)
    frame = Frame(
        index=0, pts=0, time_base=Fraction(1, 25), planes=(picture,), format=rgb_format(16, False), color=RGB
    )
    with StillsWriter(
        tmp_path / "out", suffix=".exr", first_number=1001, metadata={"comment": "made by a model"}
    ) as writer:
        writer.write(frame)
    spec = spec_of(tmp_path / "out" / "001001.exr")
    assert spec.get_string_attribute("comment") == "made by a model"
    signal = codes / 65535.0
    wanted = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(
        channels_of(tmp_path / "out" / "001001.exr")[7, :, 1], wanted, rtol=1e-3, atol=1e-6
    )


def test_plates_as_png_are_what_the_view_shows_and_it_is_named(folder: Path, tmp_path: Path) -> None:
    save(folder / "a.1.exr", light())
    with (
        StillsReader(folder, view=View(curve="srgb")) as reader,
        StillsWriter(tmp_path / "out", suffix=".png") as writer,
    ):
        for frame in reader:
            assert isinstance(frame, Plate)
            writer.write(frame)
    assert "view srgb" in writer.warnings[0].message
    out = next(StillsReader(tmp_path / "out").frames()).planes[0]
    assert out.dtype == np.uint16
    linear = np.clip(light().astype(np.float64), 0, 1)
    wanted = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(out / 65535, wanted, atol=2e-5)


def test_an_error_of_a_worker_arrives(folder: Path, tmp_path: Path) -> None:
    save(folder / "a.1.exr", light())
    frame = next(StillsReader(folder).frames())
    writer = StillsWriter(tmp_path / "out", workers=2)
    (tmp_path / "out").rmdir()
    writer.write(frame)
    with pytest.raises(OutputError, match="out"):
        writer.close()

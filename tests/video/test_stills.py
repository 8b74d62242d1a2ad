from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from understudy.contracts import Frame
from understudy.errors import VideoError
from understudy.image.color import rect_to_rgb
from understudy.video.probe import probe
from understudy.video.reader import VideoReader
from understudy.video.stills import StillsReader, StillsWriter, image_files
from understudy.video.writer import VideoWriter

MakeVideo = Callable[..., Path]


def picture(seed: int, depth: int = 8, channels: int = 3) -> np.ndarray:
    """RGB, (24, 32, channels) or (24, 32)."""
    shape = (24, 32, channels) if channels > 1 else (24, 32)
    return np.random.default_rng(seed).integers(0, 1 << depth, shape, np.uint8 if depth == 8 else np.uint16)


def save(path: Path, samples: np.ndarray) -> None:
    if samples.ndim == 3:
        samples = samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    assert cv2.imwrite(str(path), np.ascontiguousarray(samples))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def read(path: Path) -> list[Frame]:
    with StillsReader(path) as reader:
        return list(reader)


def test_natural_order_and_names(folder: Path) -> None:
    for name in ("10.png", "2.png", "Take 1b.png", "take 1a.png", "1.png"):
        save(folder / name, picture(0))
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    frames = read(folder)
    assert [frame.name for frame in frames] == ["1.png", "2.png", "10.png", "take 1a.png", "Take 1b.png"]
    assert [(frame.index, frame.pts, frame.time_base) for frame in frames][4] == (4, 4, Fraction(1, 25))


@pytest.mark.parametrize(
    ("suffix", "depth", "channels"),
    [
        (".png", 8, 3),
        (".png", 16, 3),
        (".png", 8, 4),
        (".png", 16, 4),
        (".png", 8, 1),
        (".png", 16, 1),
        (".tif", 8, 3),
        (".tiff", 16, 3),
        (".bmp", 8, 3),
    ],
)
def test_in_and_out_bit_by_bit(folder: Path, tmp_path: Path, suffix: str, depth: int, channels: int) -> None:
    given = [picture(number, depth, channels) for number in range(3)]
    for number, samples in enumerate(given):
        save(folder / f"shot.{number:04d}{suffix}", samples)
    info = probe(folder)
    assert (info.kind, info.frames, info.width, info.height) == ("images", 3, 32, 24)
    assert (info.format.depth, info.format.alpha) == (depth, channels == 4)
    frames = read(folder)
    with StillsWriter(tmp_path / "out") as writer:
        for frame, samples in zip(frames, given, strict=True):
            np.testing.assert_array_equal(frame.planes[0], samples)
            writer.write(frame)
    assert not writer.warnings
    assert [file.name for file in image_files(tmp_path / "out")] == [frame.name for frame in frames]
    for frame, samples in zip(read(tmp_path / "out"), given, strict=True):
        assert frame.format.depth == depth
        np.testing.assert_array_equal(frame.planes[0], samples)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_images(folder: Path, tmp_path: Path, suffix: str) -> None:
    smooth = np.full((24, 32, 3), (180, 90, 60), np.uint8)
    save(folder / f"1{suffix}", smooth)
    frame = read(folder)[0]
    assert np.abs(frame.planes[0].astype(int) - smooth).max() < 6
    with StillsWriter(tmp_path / "out") as writer:
        writer.write(frame)
    assert np.abs(read(tmp_path / "out")[0].planes[0].astype(int) - smooth).max() < 8


def test_jpeg_is_turned_as_its_camera_says(folder: Path) -> None:
    samples = np.zeros((16, 32, 3), np.uint8)
    samples[:, :16] = 255
    done, data = cv2.imencode(".jpg", samples)
    assert done
    # an Exif block that says: orientation 6, turn clockwise
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    block = b"Exif\x00\x00" + tiff
    exif = b"\xff\xe1" + (len(block) + 2).to_bytes(2) + block
    content = data.tobytes()
    (folder / "1.jpg").write_bytes(content[:2] + exif + content[2:])
    frame = read(folder)[0]
    assert (frame.width, frame.height) == (16, 32)
    assert frame.planes[0][:12].min() > 240
    assert frame.planes[0][20:].max() < 15


def test_parts(folder: Path) -> None:
    for number in range(6):
        save(folder / f"{number}.png", picture(number))
    with StillsReader(folder) as reader:
        assert [frame.index for frame in reader.frames(2, 4)] == [2, 3]
        assert [frame.index for frame in reader.frames(5)] == [5]


def test_one_image_is_a_folder_of_one(folder: Path) -> None:
    save(folder / "a.png", picture(1))
    save(folder / "b.png", picture(2))
    assert [frame.name for frame in read(folder / "b.png")] == ["b.png"]
    assert probe(folder / "b.png").frames == 1


def test_damaged_image(folder: Path) -> None:
    for number in range(4):
        save(folder / f"{number}.png", picture(number))
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:40])
    with StillsReader(folder) as reader:
        assert [frame.name for frame in reader] == ["0.png", "1.png"]
        assert reader.damage is not None
        assert reader.damage.frame == 2
        assert "2.png" in reader.damage.message
    with StillsReader(folder, tolerate_damage=True) as reader:
        assert [frame.index for frame in reader] == [0, 1, 3]
        assert reader.damage is None
        assert [event.frame for event in reader.warnings] == [2]


def test_what_is_no_sequence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no image in this folder"):
        probe(folder)
    (folder / "1.png").write_bytes(b"")
    with pytest.raises(VideoError, match=r"1\.png: this is no image"):
        probe(folder)
    (folder / "1.png").write_bytes(b"not a picture at all")
    with pytest.raises(VideoError, match=r"1\.png: this is no image"):
        probe(folder)
    with pytest.raises(VideoError, match="no such file"):
        probe(tmp_path / "nowhere" / "x.png")
    cv2.imwrite(str(folder / "1.tif"), np.zeros((4, 4, 3), np.float32))
    (folder / "1.png").unlink()
    with pytest.raises(VideoError, match="float32"):
        probe(folder)


def test_sizes_must_agree(folder: Path) -> None:
    save(folder / "1.png", picture(0))
    save(folder / "2.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(VideoError, match=r"2\.png: 8 × 8"):
        read(folder)


def test_video_to_images(make_video: MakeVideo, tmp_path: Path) -> None:
    for name, pixels, depth in [("a.mkv", "yuv420p", 8), ("b.mkv", "yuv422p10le", 16)]:
        path = make_video(name, pixels=pixels, count=3)
        with VideoReader(path) as reader, StillsWriter(tmp_path / name[0]) as writer:
            frames = list(reader)
            for frame in frames:
                writer.write(frame)
        out = read(tmp_path / name[0])
        assert [frame.name for frame in out] == ["000000.png", "000001.png", "000002.png"]
        assert out[0].format.depth == depth
        exact = rect_to_rgb(frames[1], 0, 0, 64, 48)
        assert np.abs(out[1].planes[0] / ((1 << depth) - 1) - exact).max() <= 0.51 / ((1 << depth) - 1)


def test_bits_that_are_lost_are_named(make_video: MakeVideo, tmp_path: Path) -> None:
    with (
        VideoReader(make_video(pixels="yuv420p10le")) as reader,
        StillsWriter(tmp_path / "o", suffix=".jpg") as writer,
    ):
        for frame in reader:
            writer.write(frame)
    assert len(writer.warnings) == 1
    assert "10-bit" in writer.warnings[0].message
    assert len(image_files(tmp_path / "o")) == 8


def test_images_to_video(folder: Path, tmp_path: Path) -> None:
    for number in range(5):
        save(folder / f"{number}.png", np.full((24, 32, 3), 40 * number + 20, np.uint8))
    with (
        StillsReader(folder, rate=Fraction(24)) as reader,
        VideoWriter(tmp_path / "o.mp4", like=reader.info) as writer,
    ):
        for frame in reader:
            writer.write(frame)
    info = probe(tmp_path / "o.mp4")
    assert (info.frames, info.rate, info.color.matrix, info.color.guessed) == (5, 24, "bt709", False)
    with VideoReader(tmp_path / "o.mp4") as reader:
        for number, frame in enumerate(reader):
            assert np.abs(rect_to_rgb(frame, 0, 0, 32, 24) * 255 - (40 * number + 20)).max() < 4

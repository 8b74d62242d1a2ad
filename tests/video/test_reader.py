from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from understudy.contracts import Frame
from understudy.errors import VideoError
from understudy.video.reader import VideoReader, open_reader
from understudy.video.stills import StillsReader

VFR = (0, 1001, 2002, 5000, 5100, 9000, 9050, 12000)
MakeVideo = Callable[..., Path]
LOSSLESS = {"libx264": {"qp": "0"}, "libx265": {"x265-params": "lossless=1:log-level=none"}}


def noise(picture: av.VideoFrame, seed: int) -> None:
    """Large frames: every one of them takes many bytes."""
    rng = np.random.default_rng(seed)
    for plane in picture.planes:
        memory = np.frombuffer(plane, np.uint8)
        memory[...] = rng.integers(0, 256, memory.shape, np.uint8)


def read(path: Path) -> list[Frame]:
    with VideoReader(path) as reader:
        return list(reader)


def assert_same(one: list[Frame], other: list[Frame]) -> None:
    assert [(frame.index, frame.pts) for frame in one] == [(frame.index, frame.pts) for frame in other]
    for frame, twin in zip(one, other, strict=True):
        for plane, copy in zip(frame.planes, twin.planes, strict=True):
            np.testing.assert_array_equal(plane, copy)


@pytest.mark.parametrize("name", ["v.mp4", "v.mov"])
def test_time_stamps_to_the_tick(make_video: MakeVideo, name: str) -> None:
    frames = read(make_video(name, pts=VFR, options={"bf": "2", "preset": "fast"}))
    assert [frame.pts for frame in frames] == list(VFR)
    assert [frame.index for frame in frames] == list(range(8))
    assert {frame.time_base for frame in frames} == {Fraction(1, 30000)}
    assert [frame.duration for frame in frames] == [1001, 1001, 2998, 100, 3900, 50, 2950, 777]


@pytest.mark.parametrize("name", ["v.mkv", "v.webm"])
def test_time_stamps_to_the_millisecond(make_video: MakeVideo, name: str) -> None:
    frames = read(make_video(name, pts=VFR))
    assert [frame.pts for frame in frames] == [round(stamp / 30) for stamp in VFR]


def test_late_start(make_video: MakeVideo) -> None:
    assert [
        frame.pts
        for frame in read(make_video(pts=[stamp + 1001 for stamp in VFR], muxer={"movie_timescale": "30000"}))
    ] == [stamp + 1001 for stamp in VFR]


def samples_of(picture: av.VideoFrame) -> list[np.ndarray]:
    """Planes without padding; RGB as one array in that order."""
    name = picture.format.name
    dtype = np.uint8 if picture.format.components[0].bits == 8 else np.uint16
    planes = [np.frombuffer(plane, dtype).reshape(plane.height, -1) for plane in picture.planes]
    if name.startswith("gbr"):
        return [np.stack([planes[number][:, : picture.width] for number in (2, 0, 1)], axis=2)]
    if picture.format.is_rgb:
        channels = 3 if name == "rgb48le" else 4
        pixels = planes[0][:, : picture.width * channels].reshape(picture.height, picture.width, channels)
        return [pixels[..., {"bgra": [2, 1, 0, 3], "bgr0": [2, 1, 0], "rgb48le": [0, 1, 2]}[name]]]
    return [samples[:, : plane.width] for samples, plane in zip(planes, picture.planes, strict=True)]


@pytest.mark.parametrize(
    ("pixels", "codec", "name"),
    [
        ("yuv420p", "libx264", "v.mp4"),
        ("yuv422p", "libx264", "v.mp4"),
        ("yuv444p", "libx264", "v.mp4"),
        ("gray", "ffv1", "v.mkv"),
        ("yuv420p10le", "libx264", "v.mp4"),
        ("yuv422p10le", "libx264", "v.mkv"),
        ("yuv444p12le", "libx265", "v.mp4"),
        ("gbrp", "libx265", "v.mp4"),
        ("gbrp10le", "libx265", "v.mp4"),
        ("yuv420p16le", "ffv1", "v.mkv"),
        ("yuva444p16le", "ffv1", "v.mkv"),
        ("gray16le", "ffv1", "v.mkv"),
        ("bgra", "ffv1", "v.mkv"),
        ("bgr0", "ffv1", "v.mkv"),
        ("rgb48le", "ffv1", "v.mkv"),
        ("yuv411p", "ffv1", "v.mkv"),
        ("yuv440p", "ffv1", "v.mkv"),
    ],
)
def test_planes_as_decoded(make_video: MakeVideo, pixels: str, codec: str, name: str) -> None:
    """Bit-equal to what FFmpeg was given, odd widths and line padding included."""
    size = (70, 46) if "42" in pixels and codec != "ffv1" else (71, 45)
    given: list[av.VideoFrame] = []

    def paint(picture: av.VideoFrame, seed: int) -> None:
        rng = np.random.default_rng(seed)
        depth = picture.format.components[0].bits
        for plane in picture.planes:
            memory = np.frombuffer(plane, np.uint8 if depth == 8 else np.uint16)
            memory[...] = rng.integers(0, 1 << depth, memory.shape, memory.dtype)
        given.append(picture)

    frames = read(
        make_video(name, pixels=pixels, codec=codec, size=size, options=LOSSLESS.get(codec), paint=paint)
    )
    assert len(frames) == len(given)
    for frame, picture in zip(frames, given, strict=True):
        assert frame.format.depth == picture.format.components[0].bits
        wanted = samples_of(picture)
        assert len(frame.planes) == len(wanted)
        for plane, samples in zip(frame.planes, wanted, strict=True):
            assert plane.flags.c_contiguous
            assert plane.flags.owndata or plane.base is not None
            np.testing.assert_array_equal(plane, samples)


def test_full_range_is_kept(make_video: MakeVideo) -> None:
    frame = read(make_video(tags={"color_range": 2}))[0]
    assert frame.color.full_range
    assert frame.format.name == "yuv420p"
    jpeg = read(
        make_video("v.avi", codec="mjpeg", pixels="yuvj420p", time_base=Fraction(1, 30), pts=range(4))
    )[0]
    assert jpeg.color.full_range
    assert jpeg.format.name == "yuv420p"


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        ("nv12", "yuv420p"),
        ("p010le", "yuv420p10le"),
        ("yuyv422", "yuv422p"),
        ("pal8", "rgba"),
        ("rgb565le", "rgb24"),
        ("uyvy422", "yuv422p"),
        ("bgr24", "rgb24"),
    ],
)
def test_other_layouts_are_repacked(stored: str, wanted: str) -> None:
    from understudy.video.layout import planes_of

    rng = np.random.default_rng(0)
    picture = av.VideoFrame(16, 8, stored)
    for plane in picture.planes:
        memory = np.frombuffer(plane, np.uint8)
        memory[...] = rng.integers(0, 256, memory.shape, np.uint8)
    planes, layout = planes_of(picture)
    assert layout.name == wanted
    luma = np.frombuffer(picture.planes[0], np.uint8 if stored != "p010le" else np.uint16).reshape(8, -1)
    if stored == "nv12":
        both = np.frombuffer(picture.planes[1], np.uint8).reshape(4, -1)
        for plane, samples in zip(planes, [luma[:, :16], both[:, 0:16:2], both[:, 1:16:2]], strict=True):
            np.testing.assert_array_equal(plane, samples)
    elif stored == "p010le":
        np.testing.assert_array_equal(planes[0], luma[:, :16] >> 6)
    elif stored == "yuyv422":
        np.testing.assert_array_equal(planes[0], luma[:, 0:32:2])
        np.testing.assert_array_equal(planes[1], luma[:, 1:32:4])
    elif stored == "uyvy422":
        np.testing.assert_array_equal(planes[0], luma[:, 1:32:2])
    elif stored == "pal8":
        palette = np.frombuffer(picture.planes[1], np.uint8).reshape(256, 4)[luma[:, :16]]
        np.testing.assert_array_equal(planes[0], palette[..., [2, 1, 0, 3]])
    elif stored == "bgr24":
        np.testing.assert_array_equal(planes[0], luma[:, :48].reshape(8, 16, 3)[..., ::-1])


def test_floating_point_samples_are_refused() -> None:
    from understudy.video.layout import layout_of

    with pytest.raises(VideoError, match="gbrpf32le"):
        layout_of("gbrpf32le")


def corner(picture: av.VideoFrame, seed: int) -> None:
    """A bright block in the stored picture's top left, a half-bright one in its top right."""
    for plane, (dark, mid, bright) in zip(
        picture.planes, [(30, 120, 220), (128, 128, 60), (128, 128, 60)], strict=True
    ):
        memory = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        memory[...] = dark
        memory[: plane.height // 4, : plane.width // 4] = bright
        memory[: plane.height // 4, plane.width * 3 // 4 : plane.width] = mid


@pytest.mark.parametrize(
    ("rotation", "flip", "bright", "mid"),
    [
        # where the stored top-left and top-right corners are shown, as (bottom, right)
        (0, False, (0, 0), (0, 1)),
        (-90, False, (0, 1), (1, 1)),  # a phone held upright: turned clockwise
        (90, False, (1, 0), (0, 0)),
        (180, False, (1, 1), (1, 0)),
        (0, True, (0, 1), (0, 0)),
    ],
)
def test_rotation_is_applied_to_planes(make_video: MakeVideo, rotation, flip, bright, mid) -> None:
    path = make_video(rotation=rotation, flip=flip, paint=corner, options={"qp": "0"}, pixels="yuv420p")
    frame = read(path)[0]
    turned = abs(rotation) == 90
    assert (frame.width, frame.height) == ((48, 64) if turned else (64, 48))

    def at(plane: np.ndarray, place: tuple[int, int]) -> int:
        return int(plane[-2 if place[0] else 1, -2 if place[1] else 1])

    assert at(frame.planes[0], bright) == 220
    assert at(frame.planes[0], mid) == 120
    assert at(frame.planes[1], bright) == 60
    assert all(plane.flags.c_contiguous for plane in frame.planes)


def test_rotated_422_is_440(make_video: MakeVideo) -> None:
    frame = read(make_video(rotation=90, pixels="yuv422p"))[0]
    assert (frame.format.name, frame.format.shift_x, frame.format.shift_y) == ("yuv440p", 0, 1)
    assert [plane.shape for plane in frame.planes] == [(64, 48), (32, 48), (32, 48)]


# ------------------------------------------------------------------------------------------------ parts


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.webm", "v.ts"])
def test_part_of_a_file(make_video: MakeVideo, name: str) -> None:
    """Exact at every entry point: near, far, at a key frame, before one, at the last frame."""
    options = (
        {"x264-params": "keyint=25:bframes=3:open-gop=1", "preset": "fast"}
        if name != "v.webm"
        else {"g": "25"}
    )
    path = make_video(
        name, count=120, options=options, time_base=Fraction(1, 90000), pts=range(3000, 363000, 3000)
    )
    whole = read(path)
    assert len(whole) == 120
    with VideoReader(path) as reader:
        for start, stop in [
            (0, 5),
            (3, None),
            (60, 70),
            (74, 77),
            (75, 76),
            (99, None),
            (119, None),
            (120, None),
            (5, 5),
        ]:
            assert_same(list(reader.frames(start, stop)), whole[start:stop])
        assert_same(list(reader), whole)  # and again from the start
        assert not reader.warnings


def test_uneven_time_after_a_seek(make_video: MakeVideo) -> None:
    stamps = np.cumsum(np.random.default_rng(4).integers(500, 2000, 100)).tolist()
    path = make_video(
        pts=stamps,
        options={"x264-params": "keyint=20:bframes=2", "preset": "fast"},
        muxer={"movie_timescale": "30000"},
    )
    whole = read(path)
    assert [frame.pts for frame in whole] == stamps
    with VideoReader(path) as reader:
        assert_same(list(reader.frames(63)), whole[63:])


def test_seek_does_not_decode_from_the_start(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    from understudy.video import decoding

    path = make_video(count=200, options={"x264-params": "keyint=20"})
    decoded = 0
    original = decoding.DecoderPass._count

    def count(self, picture) -> None:
        nonlocal decoded
        decoded += 1
        original(self, picture)

    monkeypatch.setattr(decoding.DecoderPass, "_count", count)
    with VideoReader(path) as reader:
        assert [frame.index for frame in reader.frames(190)] == list(range(190, 200))
    assert decoded <= 41


def test_reader_that_is_left_early_closes_its_file(make_video: MakeVideo) -> None:
    with VideoReader(make_video(count=30)) as reader:
        frames = reader.frames()
        next(frames)
    with pytest.raises(StopIteration):
        next(frames)


# ----------------------------------------------------------------------------------------------- damage


@pytest.fixture
def sliced(make_video: MakeVideo) -> Callable[[str], Path]:
    """60 frames of 10 to a group, all of about the same size."""

    def make(name: str) -> Path:
        options = {"x264-params": "keyint=10:bframes=2", "preset": "fast"}
        muxer = {"movflags": "faststart"} if name.endswith("mp4") else {}
        return make_video(
            name, count=60, options=options if not name.endswith("webm") else {}, muxer=muxer, paint=noise
        )

    return make


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.webm"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.97])
@pytest.mark.parametrize("threads", [0, 1])
def test_truncated_file_gives_the_frames_before_the_damage(
    sliced, name: str, part: float, threads: int
) -> None:
    path = sliced(name)
    whole = read(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    heard = []
    with VideoReader(path, threads=threads, on_warning=heard.append) as reader:
        frames = list(reader)
        assert 60 * part * 0.6 < len(frames) < 60
        assert_same(frames, whole[: len(frames)])
        assert reader.damage is not None
        assert reader.damage.frame == len(frames)
        assert f"frame {len(frames)}" in reader.damage.message
        assert heard == [reader.damage] == reader.warnings


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize(("name", "codec"), [("v.mp4", "libx264"), ("v.mkv", "libx264"), ("v.mkv", "ffv1")])
def test_garbage_in_the_middle(make_video: MakeVideo, name: str, codec: str, threads: int) -> None:
    path = make_video(name, codec=codec, count=60, options={"g": "10"}, paint=noise)
    whole = read(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = np.random.default_rng(1).bytes(4000)
    path.write_bytes(content)
    with VideoReader(path, threads=threads) as reader:
        frames = list(reader)
        assert 20 <= len(frames) <= 31
        assert_same(frames, whole[: len(frames)])  # not one picture with garbage
        assert reader.damage is not None
        assert reader.damage.frame == len(frames)


def test_tolerated_damage_is_named(make_video: MakeVideo) -> None:
    path = make_video(count=60, options={"g": "10"}, paint=noise)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = np.random.default_rng(1).bytes(400)
    path.write_bytes(content)
    with VideoReader(path, tolerate_damage=True) as reader:
        frames = list(reader)
        assert len(frames) + sum("cannot be decoded" in event.message for event in reader.warnings) >= 60
        assert reader.warnings
        assert all(20 <= (event.frame or 0) <= 40 for event in reader.warnings)
        assert reader.damage is None or len(frames) < 60


def test_nothing_left_is_an_error(make_video: MakeVideo) -> None:
    path = make_video(count=10, muxer={"movflags": "faststart"}, paint=noise)
    with av.open(path) as container:
        first = container.streams.video[0].index_entries[0]
        keep = first.pos + first.size // 2
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(VideoError, match=r"first frame|not one frame"), VideoReader(path) as reader:
        list(reader)


def test_long_last_picture_is_no_damage(make_video: MakeVideo) -> None:
    def still(picture: av.VideoFrame, seed: int) -> None:
        for plane in picture.planes:
            np.frombuffer(plane, np.uint8)[...] = 128

    path = make_video("v.mkv", count=5, paint=still, pts=[0, 1000, 2000, 3000, 4000], sound=["aac"])
    with VideoReader(path) as reader:
        assert len(list(reader)) == 5
        assert reader.damage is None


def test_size_that_changes_is_an_error(make_video: MakeVideo) -> None:
    one, two = make_video("a.h264", count=5), make_video("b.h264", count=5, size=(96, 64))
    one.write_bytes(one.read_bytes() + two.read_bytes())
    with pytest.raises(VideoError, match="96 × 64 pixels"), VideoReader(one) as reader:
        list(reader)


def test_open_reader_chooses(make_video: MakeVideo, tmp_path: Path) -> None:
    import cv2

    assert isinstance(open_reader(make_video()), VideoReader)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "1.png"), np.zeros((4, 4, 3), np.uint8))
    assert isinstance(open_reader(tmp_path / "images"), StillsReader)
    assert isinstance(open_reader(tmp_path / "images" / "1.png"), StillsReader)

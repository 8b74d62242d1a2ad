"""Codecs by name: what comes back out of each, and what each refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.errors import ConfigError, OutputError
from understudy.image.color import rect_to_rgb, rgb_to_rect
from understudy.image.paste import paste_crop, reach
from understudy.image.view import Plate, float_format
from understudy.image.warp import crop_frame
from understudy.video.codecs import CODECS
from understudy.video.convert import converted, on_displayed
from understudy.video.encoding import Encoding
from understudy.video.join import join_parts
from understudy.video.layout import gray_format, rgb_format, yuv_format
from understudy.video.probe import probe
from understudy.video.reader import VideoReader
from understudy.video.writer import VideoWriter, check_output

MakeVideo = Callable[..., Path]
WIDTH, HEIGHT = 256, 144  # DNxHR takes nothing smaller


def ramp(format: PixelFormat, color: ColorTags | None = None, seed: int = 0, width: int = WIDTH) -> Frame:
    """Smooth, dark to bright, in three colours."""
    y, x = np.mgrid[:HEIGHT, :width].astype(np.float32)
    rgb = np.stack([0.1 + 0.7 * x / width, 0.2 + 0.5 * y / HEIGHT, 0.6 - 0.3 * x / width], -1)
    rgb += 0.02 * np.sin(seed + y / 9)[..., None].astype(np.float32)
    color = color or ColorTags(
        matrix="rgb" if format.kind == "rgb" else "bt709",
        full_range=format.kind == "rgb",
        primaries=1,
        transfer=1,
        space=0 if format.kind == "rgb" else 1,
    )
    planes = rgb_to_rect(format, color, rgb.astype(np.float32))
    return Frame(
        index=seed,
        pts=seed * 1001,
        time_base=Fraction(1, 24000),
        planes=planes,
        format=format,
        color=color,
        duration=1001,
    )


def write(path: Path, frames: list[Frame], encoding: Encoding) -> VideoWriter:
    with VideoWriter(path, encoding=encoding) as writer:
        for frame in frames:
            writer.write(frame)
    return writer


def read(path: Path) -> list[Frame]:
    with VideoReader(path) as reader:
        frames = list(reader)
        assert not reader.warnings
        return frames


@pytest.mark.parametrize(
    ("codec", "suffix", "source", "stored", "error"),
    [
        ("h264", ".mp4", "yuv420p", "yuv420p", 3),
        ("h264", ".mov", "yuv422p10le", "yuv422p10le", 12),
        ("h265", ".mp4", "yuv420p", "yuv420p", 3),
        ("h265", ".mkv", "yuv420p10le", "yuv420p10le", 24),
        ("av1", ".webm", "yuv420p10le", "yuv420p10le", 10),
        ("av1", ".mp4", "yuv422p10le", "yuv420p10le", 10),
        ("vp9", ".webm", "yuv420p", "yuv420p", 4),
        ("ffv1", ".mkv", "yuv422p10le", "yuv422p10le", 0),
        ("prores-proxy", ".mov", "yuv422p10le", "yuv422p10le", 16),
        ("prores", ".mov", "yuv422p10le", "yuv422p10le", 8),
        ("prores-hq", ".mov", "yuv420p", "yuv422p10le", 6),
        ("prores-hq", ".mov", "yuv444p10le", "yuv422p10le", 6),
        ("prores-4444", ".mov", "yuv444p10le", "yuv444p12le", 20),
        ("dnxhr-lb", ".mov", "yuv422p10le", "yuv422p", 6),
        ("dnxhr-hqx", ".mov", "yuv422p10le", "yuv422p10le", 6),
        ("dnxhr-444", ".mov", "yuv444p10le", "yuv444p10le", 6),
    ],
)
def test_by_name(tmp_path: Path, codec: str, suffix: str, source: str, stored: str, error: int) -> None:
    format = next(item for item in FORMATS if item.name == source)
    frames = [ramp(format, seed=n) for n in range(3)]
    path = tmp_path / f"out{suffix}"
    write(path, frames, Encoding(codec=codec))
    info = probe(path)
    assert info.codec == {"h265": "hevc"}.get(codec, codec.split("-")[0].replace("dnxhr", "dnxhd"))
    assert info.format.name == stored
    assert (info.color.space, info.color.primaries, info.color.transfer) == (1, 1, 1)
    out = read(path)
    assert [round(frame.time * 24000 / 1001) for frame in out] == [0, 1, 2]
    for before, after in zip(frames, out, strict=True):
        wanted = converted(before, info.format, before.color)
        for plane, came in zip(wanted.planes, after.planes, strict=True):
            assert np.abs(plane[4:-4, 4:-4].astype(int) - came[4:-4, 4:-4]).max() <= error


FORMATS = [yuv_format(8, 1, 1), yuv_format(10, 1, 1), yuv_format(10, 1, 0), yuv_format(10, 0, 0)]


def test_every_name_can_be_written(tmp_path: Path) -> None:
    for name, codec in CODECS.items():
        suffix = {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv", "webm": ".webm"}[codec.containers[0]]
        write(
            tmp_path / f"{name}{suffix}",
            [ramp(yuv_format(10, 1, 0))],
            Encoding(codec=name, preset="ultrafast"),
        )
        assert probe(tmp_path / f"{name}{suffix}").frames == 1


@pytest.mark.parametrize(
    ("codec", "suffix", "words"),
    [
        ("prores-hq", ".mp4", r"prores-hq goes into \.mov or \.mkv, not into \.mp4"),
        ("dnxhr-hqx", ".webm", r"dnxhr-hqx goes into \.mov, not into \.webm"),
        ("ffv1", ".mov", r"ffv1 goes into \.mkv"),
        ("vp9", ".mov", r"vp9 goes into \.webm"),
        ("HEVC", ".webm", r"h265 goes into \.mp4 or \.mov or \.mkv"),
    ],
)
def test_wrong_containers_are_named(
    make_video: MakeVideo, tmp_path: Path, codec: str, suffix: str, words: str
) -> None:
    with pytest.raises(OutputError, match=words):
        check_output(
            tmp_path / f"out{suffix}", probe(make_video(size=(WIDTH, HEIGHT))), Encoding(codec=codec)
        )


def test_settings_that_do_not_fit_are_named(make_video: MakeVideo, tmp_path: Path) -> None:
    info = probe(make_video(size=(WIDTH, HEIGHT)))
    with pytest.raises(ConfigError, match="lossless: prores-hq always loses something"):
        check_output(tmp_path / "o.mov", info, Encoding(codec="prores-hq", lossless=True))
    with pytest.raises(ConfigError, match="quality: dnxhr-hq has one quality"):
        check_output(tmp_path / "o.mov", info, Encoding(codec="dnxhr-hq", quality=20))
    with pytest.raises(ConfigError, match="always understood: h264, h265"):
        check_output(tmp_path / "o.mov", info, Encoding(codec="prorez"))
    with pytest.raises(OutputError, match="dnxhd in mov cannot take 64 × 48"):
        check_output(tmp_path / "o.mov", probe(make_video("s.mp4")), Encoding(codec="dnxhr-hq"))
    with pytest.raises(ConfigError, match=r"it takes yuv422p10le$"):
        check_output(tmp_path / "o.mov", info, Encoding(codec="prores-hq", pixel_format="yuv444p10le"))


def test_what_a_codec_loses_is_named(tmp_path: Path) -> None:
    writer = write(tmp_path / "a.mp4", [ramp(yuv_format(10, 0, 0))], Encoding(codec="av1"))
    assert "chroma is stored as 4:2:0" in writer.warnings[0].message
    writer = write(tmp_path / "b.mov", [ramp(yuv_format(10, 1, 0))], Encoding(codec="dnxhr-sq"))
    assert "10 bits are stored as 8" in writer.warnings[0].message
    writer = write(tmp_path / "c.mov", [ramp(yuv_format(8, 1, 1))], Encoding(codec="prores-hq"))
    assert writer.warnings == []  # more room than it needs


# ------------------------------------------------------------------------------------------- tags and alpha


def prores_tags(path: Path) -> list[tuple[int, int, int]]:
    """Primaries, transfer, matrix of every frame's own header (SMPTE RDD 36, section 5.1)."""
    with av.open(path) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert all(packet[4:8] == b"icpf" for packet in packets)
    return [tuple(packet[8 + 14 : 8 + 17]) for packet in packets]


@pytest.mark.parametrize(("primaries", "transfer", "space"), [(1, 1, 1), (9, 16, 9), (9, 18, 9)])
def test_prores_has_its_tags_on_every_frame(
    tmp_path: Path, primaries: int, transfer: int, space: int
) -> None:
    matrix = "bt709" if space == 1 else "bt2020"
    color = ColorTags(matrix=matrix, primaries=primaries, transfer=transfer, space=space)
    frames = [ramp(yuv_format(10, 1, 0), color, n) for n in range(3)]
    write(tmp_path / "out.mov", frames, Encoding(codec="prores-hq"))
    assert prores_tags(tmp_path / "out.mov") == [(primaries, transfer, space)] * 3


def test_dnxhr_of_bt601_keeps_its_colours(tmp_path: Path) -> None:
    """DNxHR knows two matrices, and BT.601's is neither: the samples are converted, and it is said."""
    color = ColorTags(matrix="bt601", space=6, primaries=6, transfer=6)
    frame = ramp(yuv_format(10, 1, 0), color)
    writer = write(tmp_path / "out.mov", [frame], Encoding(codec="dnxhr-hqx"))
    assert "BT.601" in writer.warnings[0].message
    (out,) = read(tmp_path / "out.mov")
    assert (out.color.matrix, out.color.space) == ("bt709", 1)
    before, after = (rect_to_rgb(item, 0, 0, WIDTH, HEIGHT)[8:-8, 8:-8] for item in (frame, out))
    assert np.abs(before - after).max() < 0.015


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("auto", ".mp4"),
        ("h265", ".mov"),
        ("h265", ".mkv"),
        ("av1", ".mp4"),
        ("av1", ".webm"),
        ("prores-4444", ".mov"),
        ("dnxhr-hqx", ".mov"),
        ("ffv1", ".mkv"),
    ],
)
@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_tags_are_kept(tmp_path: Path, codec: str, suffix: str, transfer: int) -> None:
    color = ColorTags(matrix="bt2020", primaries=9, transfer=transfer, space=9)
    write(
        tmp_path / f"out{suffix}",
        [ramp(yuv_format(10, 1, 1), color)],
        Encoding(codec=codec, preset="ultrafast"),
    )
    info = probe(tmp_path / f"out{suffix}")
    assert info.color == color
    assert info.format.depth >= 10


HDR10 = "master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50):max-cll=1000,400"


def test_hdr10_metadata_are_kept_by_h265_and_missed_elsewhere(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(
        "hdr.mp4",
        codec="libx265",
        pixels="yuv420p10le",
        size=(WIDTH, HEIGHT),
        options={"x265-params": f"log-level=none:{HDR10}:hdr10=1", "preset": "ultrafast"},
        tags={"colorspace": 9, "color_primaries": 9, "color_trc": 16},
        count=3,
    )
    info = probe(path)
    assert ":".join(f"{key}={value}" for key, value in info.light.items()) == HDR10
    with (
        VideoReader(path) as reader,
        VideoWriter(
            tmp_path / "o.mov", like=reader.info, encoding=Encoding(codec="h265", preset="ultrafast")
        ) as writer,
    ):
        for frame in reader:
            writer.write(frame)
    assert probe(tmp_path / "o.mov").light == info.light
    assert any(
        "HDR10 metadata" in line for line in check_output(tmp_path / "o.mp4", info, Encoding(codec="av1"))
    )
    assert check_output(tmp_path / "p.mp4", info, Encoding(codec="h265")) == []


@pytest.mark.parametrize(
    ("codec", "suffix", "format", "error"),
    [
        ("prores-4444", ".mov", yuv_format(10, 0, 0, alpha=True), 0.002),
        ("prores-4444", ".mov", rgb_format(16, alpha=True), 0.002),
        ("ffv1", ".mkv", rgb_format(16, alpha=True), 0),
        ("ffv1", ".mkv", yuv_format(10, 1, 0, alpha=True), 0),
        ("auto", ".mkv", yuv_format(8, 1, 1, alpha=True), 0.004),
        ("vp9", ".webm", yuv_format(8, 1, 1, alpha=True), 0.02),
    ],
)
def test_alpha_is_kept(tmp_path: Path, codec: str, suffix: str, format: PixelFormat, error: float) -> None:
    frame = ramp(format)
    top = (1 << format.depth) - 1
    cover = np.tile(np.linspace(0, top, WIDTH), (HEIGHT, 1)).astype(frame.planes[0].dtype)
    if format.kind == "rgb":
        frame.planes[0][..., 3] = cover
    else:
        frame = replace(frame, planes=(*frame.planes[:3], cover))
    write(tmp_path / f"o{suffix}", [frame], Encoding(codec=codec))
    (out,) = read(tmp_path / f"o{suffix}")
    came = out.planes[0][..., 3] if out.format.kind == "rgb" else out.planes[3]
    assert out.format.alpha
    assert np.abs(came / ((1 << out.format.depth) - 1) - cover / top).max() <= error


# ---------------------------------------------------------------------------------------- no 8-bit step


@pytest.mark.parametrize(
    ("codec", "suffix", "shift"), [("ffv1", ".mkv", 1), ("h264", ".mp4", 1), ("prores-4444", ".mov", 0)]
)
def test_a_gradient_keeps_its_levels_all_the_way(tmp_path: Path, codec: str, suffix: str, shift: int) -> None:
    """Ten bits in a file, decoded, cropped, pasted, encoded and decoded again: no level is missing."""
    format = yuv_format(10, shift, shift)
    luma = np.repeat(np.linspace(200, 800, WIDTH * 4).reshape(4, WIDTH), HEIGHT // 4, axis=0)
    flat = np.full((HEIGHT >> shift, WIDTH >> shift), 512, np.uint16)
    source = replace(ramp(format), planes=(np.rint(luma).astype(np.uint16), flat, flat.copy()))
    write(tmp_path / "plate.mkv", [source], Encoding(codec="ffv1"))
    (plate,) = read(tmp_path / "plate.mkv")
    matrix, alpha = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), np.ones((WIDTH, WIDTH), np.float32)
    pasted = paste_crop(plate, crop_frame(plate, matrix, WIDTH), alpha, matrix)
    encoding = Encoding(codec=codec, lossless=codec == "h264")
    write(tmp_path / f"out{suffix}", [pasted], encoding)
    (out,) = read(tmp_path / f"out{suffix}")
    levels = np.unique(np.rint(out.planes[0] / (1 << (out.format.depth - 10))).astype(int))
    wanted = np.unique(source.planes[0])
    assert len(wanted) == 601
    assert len(levels) >= (0.99 if codec == "prores-4444" else 1.0) * len(wanted)  # in 8 bits there are 151
    assert np.abs(pasted.planes[0].astype(int) - source.planes[0]).max() <= 1


@pytest.mark.parametrize("format", [yuv_format(10, 1, 0), yuv_format(10, 1, 1), rgb_format(16, alpha=False)])
@pytest.mark.parametrize("joined", [False, True])
def test_outside_the_pasted_rectangle_a_lossless_file_is_the_plate(
    tmp_path: Path, format: PixelFormat, joined: bool
) -> None:
    plates = [ramp(format, seed=n) for n in range(4)]
    alpha = np.zeros((48, 48), np.float32)
    alpha[8:-8, 8:-8] = 1.0
    c, s = 0.8 * np.cos(0.3), 0.8 * np.sin(0.3)
    matrix = np.array([[c, -s, -60.0], [s, c, -50.0]])
    color = np.broadcast_to(np.float32([0.9, 0.2, 0.1])[:, None, None], (3, 48, 48)) * alpha
    pasted = [paste_crop(plate, color.astype(np.float32), alpha, matrix) for plate in plates]
    encoding = Encoding(lossless=True, codec="ffv1")
    output = tmp_path / "out.mkv"
    if joined:
        parts = [tmp_path / "0.mkv", tmp_path / "1.mkv"]
        for number, part in enumerate(parts):
            write(part, pasted[2 * number : 2 * number + 2], encoding)
        join_parts(parts, output)
    else:
        write(output, pasted, encoding)
    rect = reach(plates[0], alpha, matrix)
    assert rect is not None
    x0, y0, x1, y1 = rect
    assert x1 - x0 < 100
    assert y1 - y0 < 100
    for plate, out in zip(plates, read(output), strict=True):
        for number, (before, after) in enumerate(zip(plate.planes, out.planes, strict=True)):
            shift = (format.shift_x, format.shift_y) if number else (0, 0)
            outside = np.ones(before.shape[:2], bool)
            outside[y0 >> shift[1] : y1 >> shift[1], x0 >> shift[0] : x1 >> shift[0]] = False
            np.testing.assert_array_equal(before[outside], after[outside])
            assert (before != after).any()


def test_joined_parts_are_the_frames_of_one_file(tmp_path: Path) -> None:
    """Closed groups of pictures: for every codec, two parts joined decode to what the parts hold."""
    for name, codec in CODECS.items():
        if name in (
            "prores-proxy",
            "prores-lt",
            "prores",
            "prores-4444xq",
            "dnxhr-lb",
            "dnxhr-sq",
            "dnxhr-hq",
        ):
            continue  # the same encoder as another
        suffix = {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv", "webm": ".webm"}[codec.containers[0]]
        frames = [ramp(yuv_format(8, 1, 1), seed=n) for n in range(6)]
        parts = [tmp_path / f"{name}{n}{suffix}" for n in range(2)]
        for number, part in enumerate(parts):
            write(part, frames[3 * number : 3 * number + 3], Encoding(codec=name, preset="ultrafast"))
        output = tmp_path / f"{name}{suffix}"
        join_parts(parts, output)
        alone = [frame for part in parts for frame in read(part)]
        together = read(output)
        assert len(together) == 6
        assert tag_of(output) == tag_of(parts[0])
        assert (probe(output).format, probe(output).color) == (probe(parts[0]).format, probe(parts[0]).color)
        for before, after in zip(alone, together, strict=True):
            np.testing.assert_array_equal(before.planes[0], after.planes[0])


def tag_of(path: Path) -> str:
    """The four letters by which a player knows the codec and its profile."""
    with av.open(path) as container:
        return container.streams.video[0].codec_context.codec_tag


def test_one_and_two_frames_of_h265(tmp_path: Path) -> None:
    """Fewer than the encoder reorders: a last segment can be that short."""
    for count in (1, 2, 3):
        frames = [ramp(yuv_format(8, 1, 1), seed=n) for n in range(count)]
        write(tmp_path / f"{count}.mp4", frames, Encoding(codec="h265", preset="ultrafast"))
        assert [round(frame.time * 24000 / 1001) for frame in read(tmp_path / f"{count}.mp4")] == [
            *range(count)
        ]
        assert tag_of(tmp_path / f"{count}.mp4") == "hvc1"


# ------------------------------------------------------------------------------------------ conversions


def test_scene_linear_light_goes_into_a_video_as_it_is_seen(tmp_path: Path) -> None:
    light = np.full((HEIGHT, WIDTH, 3), 0.18, np.float16)
    light[:, 128:] = 4.0
    plate = Plate(
        index=0,
        pts=0,
        time_base=Fraction(1, 24),
        planes=(light,),
        format=float_format(3, half=True),
        color=ColorTags(matrix="rgb", full_range=True, transfer=8),
    )
    write(tmp_path / "o.mov", [plate], Encoding(codec="prores-hq"))
    (out,) = read(tmp_path / "o.mov")
    gray, bright = ((np.log2(value) + 9.72) / 17.52 for value in (0.18, 4.0))  # ACEScct
    assert out.planes[0][70, 60] == pytest.approx(64 + 876 * gray, abs=2)
    assert out.planes[0][70, 200] == pytest.approx(64 + 876 * bright, abs=2)


def test_a_label_on_a_plate_is_painted_through_its_view() -> None:
    """What draws on integer samples draws on floats too; the rest of the plate keeps its bits."""
    light = np.geomspace(0.5, 50, HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3).astype(np.float16)
    light[:40] *= np.float16(0.1)
    plate = Plate(
        index=0,
        pts=0,
        time_base=Fraction(1, 24),
        planes=(light,),
        format=float_format(3, half=True),
        color=ColorTags(matrix="rgb", full_range=True, transfer=8),
    )

    def label(frame: Frame) -> Frame:
        assert (frame.format.name, frame.planes[0].dtype) == ("rgb48le", np.uint16)
        samples = frame.planes[0].copy()
        samples[10:20, 30:50] = 65535
        return replace(frame, planes=(samples,))

    out = on_displayed(plate, label)
    assert isinstance(out, Plate)
    np.testing.assert_allclose(out.planes[0][10:20, 30:50].astype(float), 1.0, rtol=2e-3)  # white paper
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[10:20, 30:50] = False
    np.testing.assert_array_equal(out.planes[0][outside], light[outside])
    assert on_displayed(plate, lambda frame: frame) is plate
    video = ramp(yuv_format(10, 1, 1))
    assert on_displayed(video, lambda frame: frame) is video


@pytest.mark.parametrize("full", [True, False])
def test_fewer_bits_and_less_chroma_are_rounded_in_place(full: bool) -> None:
    color = ColorTags(matrix="bt709", full_range=full)
    deep = ramp(yuv_format(16, 0, 0), color)
    small = converted(deep, yuv_format(10, 1, 0), color)
    scale = 1023 / 65535 if full else 1 / 64
    np.testing.assert_array_equal(small.planes[0], np.rint(deep.planes[0] * scale))
    inner = (slice(8, -8), slice(8, -8))
    # chroma lies on the even columns of this straight ramp
    assert np.abs(small.planes[1][inner] - (deep.planes[1] * scale)[:, ::2][inner]).max() <= 0.75
    again = converted(small, yuv_format(16, 0, 0), color)
    assert np.abs(again.planes[1].astype(int) - deep.planes[1])[inner].max() <= 60


def test_gray_becomes_gray_in_colour() -> None:
    frame = Frame(
        index=0,
        pts=0,
        time_base=Fraction(1, 25),
        planes=(np.full((8, 8), 77, np.uint8),),
        format=gray_format(8),
        color=ColorTags(),
    )
    out = converted(frame, yuv_format(10, 1, 1), frame.color)
    assert [int(plane[0, 0]) for plane in out.planes] == [308, 512, 512]

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.errors import ConfigError, OutputError, VideoError
from understudy.image.color import paste_rect, rect_to_rgb
from understudy.video.encoding import Encoding
from understudy.video.layout import gray_format, rgb_format, yuv_format
from understudy.video.probe import probe
from understudy.video.reader import VideoReader
from understudy.video.stills import StillsWriter
from understudy.video.writer import VideoWriter, check_output, open_writer

VFR = (0, 1001, 2002, 5000, 5100, 9000, 9050, 12000)
MakeVideo = Callable[..., Path]


def sound_packets(path: Path, track: int = 0) -> list[tuple[bytes, float]]:
    """Content and time of every sound packet."""
    with av.open(path) as container:
        stream = container.streams.audio[track]
        return [
            (bytes(packet), float(packet.pts * packet.time_base))
            for packet in container.demux(stream)
            if packet.pts is not None
        ]


def read(path: Path) -> list[Frame]:
    with VideoReader(path) as reader:
        frames = list(reader)
        assert not reader.warnings
        return frames


def rewrite(
    path: Path, output: Path, encoding: Encoding | None = None, *, sound: bool = True, **more
) -> VideoWriter:
    """As the merge station does it: every frame of a file into another."""
    with (
        VideoReader(path) as reader,
        VideoWriter(
            output, like=reader.info, encoding=encoding, sound_from=path if sound else None, **more
        ) as writer,
    ):
        for frame in reader:
            writer.write(frame)
    assert writer.written == len(read(output))
    return writer


def noise(
    format: PixelFormat, index: int, size: tuple[int, int] = (48, 32), color: ColorTags | None = None
) -> Frame:
    """Random samples: nothing but a lossless encoder keeps them."""
    rng = np.random.default_rng(index)
    width, height = size
    dtype = np.uint8 if format.depth == 8 else np.uint16
    top = 1 << format.depth
    if format.kind == "rgb":
        planes = [rng.integers(0, top, (height, width, 3 + format.alpha), dtype)]
    else:
        planes = [rng.integers(0, top, (height, width), dtype)]
    if format.kind == "yuv":
        small = (-(-height >> format.shift_y), -(-width >> format.shift_x))
        planes += [rng.integers(0, top, small, dtype) for _ in range(2)]
        planes += [rng.integers(0, top, (height, width), dtype)] if format.alpha else []
    color = color or ColorTags(
        matrix="rgb" if format.kind == "rgb" else "bt709", full_range=format.kind == "rgb"
    )
    return Frame(
        index=index,
        pts=index * 40,
        time_base=Fraction(1, 1000),
        planes=tuple(planes),
        format=format,
        color=color,
        duration=40,
    )


def write(path: Path, frames: list[Frame], encoding: Encoding | None = None) -> VideoWriter:
    with VideoWriter(path, encoding=encoding) as writer:
        for frame in frames:
            writer.write(frame)
    return writer


# ---------------------------------------------------------------------------------------------- time, sound


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v"])
@pytest.mark.parametrize("shift", [0, 1001, 90_001])
def test_uneven_time_is_kept_to_the_tick(
    make_video: MakeVideo, tmp_path: Path, suffix: str, shift: int
) -> None:
    stamps = [stamp + shift for stamp in VFR]
    path = make_video(pts=stamps, sound=["aac"], muxer={"movie_timescale": "240000"})
    rewrite(path, tmp_path / f"out{suffix}", Encoding(preset="fast"))
    out = read(tmp_path / f"out{suffix}")
    assert [frame.pts * frame.time_base for frame in out] == [Fraction(stamp, 30000) for stamp in stamps]
    lengths = [frame.duration * frame.time_base for frame in out]
    assert lengths == [Fraction(ticks, 30000) for ticks in (1001, 1001, 2998, 100, 3900, 50, 2950, 777)]


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_uneven_time_is_kept_to_the_millisecond(make_video: MakeVideo, tmp_path: Path, suffix: str) -> None:
    path = make_video("v.mp4", pts=VFR, sound=["libopus"])
    rewrite(path, tmp_path / f"out{suffix}")
    assert [frame.pts for frame in read(tmp_path / f"out{suffix}")] == [round(stamp / 30) for stamp in VFR]


@pytest.mark.parametrize(
    ("source", "codec", "suffix"),
    [
        ("v.mp4", "aac", ".mp4"),
        ("v.mp4", "aac", ".mov"),
        ("v.mp4", "aac", ".mkv"),
        ("v.mov", "pcm_s16le", ".mov"),
        ("v.mov", "pcm_s16le", ".mp4"),
        ("v.mov", "pcm_s16le", ".mkv"),
        ("v.mkv", "aac", ".mp4"),
        ("v.mkv", "aac", ".mkv"),
        ("v.mkv", "ac3", ".mp4"),
        ("v.mkv", "flac", ".mkv"),
        ("v.mkv", "libmp3lame", ".mov"),
        ("v.mkv", "libopus", ".mp4"),
        ("v.mkv", "libopus", ".webm"),
        ("v.webm", "libopus", ".webm"),
        ("v.webm", "libopus", ".mkv"),
    ],
)
def test_sound_is_copied_bit_by_bit_and_in_time(
    make_video: MakeVideo, tmp_path: Path, source: str, codec: str, suffix: str
) -> None:
    path = make_video(source, sound=[codec], count=20)
    output = tmp_path / f"out{suffix}"
    rewrite(path, output)
    before, after = sound_packets(path), sound_packets(output)
    assert [content for content, _ in after] == [content for content, _ in before]
    rounding = 0.0 if suffix in (".mp4", ".mov") and source[-4:] in (".mp4", ".mov") else 0.0011
    drift = np.array([time for _, time in after]) - np.array([time for _, time in before])
    assert np.abs(drift).max() <= rounding
    assert before[0][1] == pytest.approx(after[0][1], abs=rounding)
    if codec == "aac":
        assert after[0][1] < -0.02  # the priming still lies before zero
    pictures = [frame.time for frame in read(output)]
    np.testing.assert_allclose(pictures, [frame.time for frame in read(path)], atol=0.00051)


def test_sound_that_starts_late_still_does(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("v.mov", sound=["pcm_s16le"], count=30)
    late = tmp_path / "late.mov"
    with av.open(path) as source, av.open(late, "w", container_options={"movie_timescale": "240000"}) as out:
        copies = {
            stream.index: out.add_stream_from_template(stream, opaque=True) for stream in source.streams
        }
        for packet in source.demux():
            if packet.dts is not None:
                if packet.stream.type == "audio":
                    packet.pts += 7001
                    packet.dts += 7001
                packet.stream = copies[packet.stream_index]
                out.mux(packet)
    assert sound_packets(late)[0][1] == pytest.approx(7001 / 48000, abs=1e-9)
    for suffix, rounding in [(".mov", 1e-9), (".mp4", 1e-9), (".mkv", 0.00051)]:
        rewrite(late, tmp_path / f"out{suffix}")
        assert sound_packets(tmp_path / f"out{suffix}")[0][1] == pytest.approx(7001 / 48000, abs=rounding)


def test_milliseconds_of_matroska_do_not_stay_in_mp4(make_video: MakeVideo, tmp_path: Path) -> None:
    rewrite(make_video("v.mkv", sound=["aac"], count=20), tmp_path / "out.mp4")
    with av.open(tmp_path / "out.mp4") as container:
        stamps = [
            packet.pts for packet in container.demux(container.streams.audio[0]) if packet.pts is not None
        ]
    assert set(np.diff(stamps)) == {1024}


def test_every_sound_track_is_copied(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("v.mkv", sound=["aac", "libopus"])
    rewrite(path, tmp_path / "out.mkv")
    info = probe(tmp_path / "out.mkv")
    assert [track.codec for track in info.sound] == ["aac", "opus"]
    for track in (0, 1):
        assert [p for p, _ in sound_packets(path, track)] == [
            p for p, _ in sound_packets(tmp_path / "out.mkv", track)
        ]


def test_sound_and_pictures_are_interleaved(make_video: MakeVideo, tmp_path: Path) -> None:
    """A player never has to look more than a second ahead."""
    stamps = [number * 1000 for number in range(120)]
    rewrite(make_video(pts=stamps, sound=["aac"]), tmp_path / "out.mp4")
    latest = {"video": -1.0, "audio": -1.0}
    with av.open(tmp_path / "out.mp4") as container:
        packets = [
            (packet.pos, packet.stream.type, float(packet.dts * packet.time_base))
            for packet in container.demux()
            if packet.pts is not None
        ]
        end = min(float(stream.duration * stream.time_base) for stream in container.streams)
    for _, kind, time in sorted(packets):
        latest[kind] = time
        if max(latest.values()) < end:
            assert abs(latest["video"] - latest["audio"]) < 1.1


def test_no_sound_where_none_is_wanted(make_video: MakeVideo, tmp_path: Path) -> None:
    rewrite(make_video(sound=["aac"]), tmp_path / "out.mp4", sound=False)
    assert probe(tmp_path / "out.mp4").sound == ()


# ------------------------------------------------------------------------------------------ samples and tags


@pytest.mark.parametrize(
    ("suffix", "format"),
    [
        (".mp4", yuv_format(8, 1, 1)),
        (".mov", yuv_format(8, 1, 0)),
        (".mp4", yuv_format(8, 0, 0)),
        (".mp4", yuv_format(10, 1, 1)),
        (".mp4", yuv_format(10, 1, 0)),
        (".mp4", yuv_format(12, 0, 0)),
        (".mp4", rgb_format(8, alpha=False)),
        (".mp4", rgb_format(10, alpha=False)),
        (".webm", yuv_format(8, 1, 1)),
        (".webm", yuv_format(8, 0, 0)),
        (".mkv", yuv_format(8, 1, 1)),
        (".mkv", yuv_format(8, 2, 0)),
        (".mkv", yuv_format(8, 0, 1)),
        (".mkv", yuv_format(10, 1, 0)),
        (".mkv", yuv_format(16, 1, 1)),
        (".mkv", yuv_format(16, 0, 0, alpha=True)),
        (".mkv", yuv_format(8, 1, 1, alpha=True)),
        (".mkv", rgb_format(8, alpha=False)),
        (".mkv", rgb_format(8, alpha=True)),
        (".mkv", rgb_format(10, alpha=False)),
        (".mkv", rgb_format(16, alpha=False)),
        (".mkv", rgb_format(16, alpha=True)),
        (".mkv", gray_format(8)),
        (".mkv", gray_format(16)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_lossless_is_bit_exact(tmp_path: Path, suffix: str, format: PixelFormat) -> None:
    path = tmp_path / f"out{suffix}"
    frames = [noise(format, number) for number in range(6)]
    writer = write(path, frames, Encoding(lossless=True, preset="ultrafast"))
    assert not writer.warnings
    out = read(path)
    assert [frame.time for frame in out] == pytest.approx([frame.time for frame in frames])
    for before, after in zip(frames, out, strict=True):
        assert after.format == format
        for plane, copy in zip(before.planes, after.planes, strict=True):
            np.testing.assert_array_equal(plane, copy)


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_odd_sizes_are_kept(tmp_path: Path, suffix: str) -> None:
    frames = [noise(yuv_format(8, 1, 1), number, size=(47, 33)) for number in range(3)]
    write(tmp_path / f"out{suffix}", frames, Encoding(lossless=True))
    for before, after in zip(frames, read(tmp_path / f"out{suffix}"), strict=True):
        assert [plane.shape for plane in after.planes] == [(33, 47), (17, 24), (17, 24)]
        np.testing.assert_array_equal(before.planes[0], after.planes[0])


def test_odd_size_in_h264_becomes_444_and_says_so(tmp_path: Path) -> None:
    frames = [noise(yuv_format(8, 1, 1), number, size=(47, 33)) for number in range(3)]
    writer = write(tmp_path / "out.mp4", frames, Encoding(quality=0))
    assert "yuv444p" in writer.warnings[0].message
    out = read(tmp_path / "out.mp4")
    assert (out[0].width, out[0].height) == (47, 33)
    # chroma of the same place: even columns of 4:4:4 are the samples of 4:2:0, between two rows
    middle = (out[0].planes[1][0::2, 0::2].astype(int)[:16] + out[0].planes[1][1::2, 0::2]) / 2
    assert np.abs(middle[2:-2] - np.round(middle[2:-2])).max() <= 0.5


def test_ten_bits_stay_ten_bits(make_video: MakeVideo, tmp_path: Path) -> None:
    for suffix, codec in [(".mp4", "h264"), (".mkv", "h264"), (".webm", None)]:
        rewrite(
            make_video("v.mkv", pixels="yuv420p10le", size=(64, 64)), tmp_path / f"out{suffix}", sound=False
        )
        info = probe(tmp_path / f"out{suffix}")
        assert info.format.depth == 10
        assert codec in (None, info.codec)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("full", [False, True])
def test_tags_and_range_are_restored(make_video: MakeVideo, tmp_path: Path, suffix: str, full: bool) -> None:
    tags = {"colorspace": 5, "color_primaries": 5, "color_trc": 6, "color_range": 2 if full else 1}
    path = make_video("v.mkv", tags=tags)
    rewrite(path, tmp_path / f"out{suffix}", sound=False)
    before, after = probe(path).color, probe(tmp_path / f"out{suffix}").color
    assert after.full_range == full
    if suffix == ".webm":  # VP9 knows SMPTE 170M, the same matrix under another number
        assert after.matrix == before.matrix == "bt601"
    else:
        assert after == before


def test_untagged_stays_untagged(make_video: MakeVideo, tmp_path: Path) -> None:
    rewrite(make_video(), tmp_path / "out.mp4", sound=False)
    color = probe(tmp_path / "out.mp4").color
    assert color.guessed
    assert (color.primaries, color.transfer, color.space) == (2, 2, 2)


def test_rgb_becomes_tagged_bt709(tmp_path: Path) -> None:
    """With the right matrix: the colours come back, and another matrix would be far off."""
    colors = np.array([[200, 40, 60], [40, 180, 70], [60, 60, 200], [120, 130, 110]], np.uint8)
    picture = np.repeat(np.repeat(colors.reshape(2, 2, 3), 32, axis=0), 32, axis=1)
    frames = [
        replace(noise(rgb_format(8, alpha=False), n, size=(64, 64)), planes=(picture,)) for n in range(3)
    ]
    writer = write(tmp_path / "out.mp4", frames, Encoding(quality=1))
    assert "RGB" in writer.warnings[0].message
    frame = read(tmp_path / "out.mp4")[0]
    assert (frame.format.name, frame.color.matrix, frame.color.space, frame.color.guessed) == (
        "yuv420p",
        "bt709",
        1,
        False,
    )
    rgb = rect_to_rgb(frame, 0, 0, 64, 64) * 255
    assert np.abs(rgb[8:24, 8:24] - colors[0]).max() < 4
    assert np.abs(rgb[40:56, 8:24] - colors[2]).max() < 4


def test_alpha_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    writer = write(
        tmp_path / "out.mp4",
        [noise(yuv_format(8, 1, 1, alpha=True), n) for n in range(2)],
        Encoding(codec="libx264"),
    )
    assert "alpha" in writer.warnings[0].message
    assert probe(tmp_path / "out.mp4").format.name == "yuv420p"


def test_sixteen_bits_in_mp4_become_twelve_and_it_is_named(tmp_path: Path) -> None:
    writer = write(tmp_path / "out.mp4", [noise(yuv_format(16, 1, 1), n, size=(64, 64)) for n in range(2)])
    assert "16 bits are stored as 12" in writer.warnings[0].message


def test_prores(tmp_path: Path) -> None:
    write(
        tmp_path / "out.mov",
        [noise(yuv_format(10, 1, 0), n, (64, 64)) for n in range(3)],
        Encoding(codec="prores_ks"),
    )
    info = probe(tmp_path / "out.mov")
    assert (info.codec, info.format.name) == ("prores", "yuv422p10le")


def test_pixel_aspect_and_metadata(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(
        metadata={"title": "Nightjar", "comment": "old"}, tags={"sample_aspect_ratio": Fraction(4, 3)}
    )
    rewrite(path, tmp_path / "out.mp4", metadata={"comment": "synthetic"}, sound=False)
    info = probe(tmp_path / "out.mp4")
    assert info.pixel_aspect == Fraction(4, 3)
    assert (info.metadata["title"], info.metadata["comment"]) == ("Nightjar", "synthetic")
    rewrite(path, tmp_path / "out.mkv", metadata={"comment": "synthetic"}, sound=False)
    assert probe(tmp_path / "out.mkv").metadata["comment"] == "synthetic"


def test_turned_footage_is_written_upright(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(rotation=-90, size=(64, 48))
    rewrite(path, tmp_path / "out.mp4", Encoding(lossless=True), sound=False)
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height, info.rotation) == (48, 64, 0)
    np.testing.assert_array_equal(read(path)[0].planes[0], read(tmp_path / "out.mp4")[0].planes[0])


def test_outside_a_painted_face_the_file_is_bit_equal_to_the_plate(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    path, output = make_video(), tmp_path / "out.mkv"
    with (
        VideoReader(path) as reader,
        VideoWriter(output, like=reader.info, encoding=Encoding(lossless=True)) as writer,
    ):
        for frame in reader:
            rgb = rect_to_rgb(frame, 16, 8, 40, 32)
            writer.write(paste_rect(frame, 16, 8, np.clip(rgb + 0.2, 0, 1)))
    for before, after in zip(read(path), read(output), strict=True):
        for plane, copy, shift in zip(before.planes, after.planes, (0, 1, 1), strict=True):
            outside = np.ones(plane.shape, bool)
            outside[8 >> shift : 32 >> shift, 16 >> shift : 40 >> shift] = False
            np.testing.assert_array_equal(plane[outside], copy[outside])
            assert (plane != copy).any() or shift


# ------------------------------------------------------------------------------------------------- failures


def leftovers(folder: Path) -> list[str]:
    return [item.name for item in folder.iterdir() if "out" in item.name]


def test_nothing_is_left_after_an_error(make_video: MakeVideo, tmp_path: Path) -> None:
    def work() -> None:
        with (
            VideoReader(make_video(sound=["aac"])) as reader,
            VideoWriter(tmp_path / "out.mp4", like=reader.info, sound_from=reader.path) as writer,
        ):
            for frame in reader:
                writer.write(frame)
                if frame.index == 4:
                    assert [name.endswith(".part.mp4") for name in leftovers(tmp_path)] == [True]
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert leftovers(tmp_path) == []


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"old")

    def work() -> None:
        with VideoWriter(output) as writer:
            writer.write(noise(yuv_format(8, 1, 1), 0))
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # the one that was raised
        work()
    assert output.read_bytes() == b"old"
    write(output, [noise(yuv_format(8, 1, 1), 0)])
    assert probe(output).frames == 1


def test_no_frame_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frame to write"), VideoWriter(tmp_path / "out.mp4"):
        pass
    assert leftovers(tmp_path) == []


def test_frames_must_follow_each_other_and_be_alike(tmp_path: Path) -> None:
    first = noise(yuv_format(8, 1, 1), 1)

    def pair(second: Frame) -> None:
        with VideoWriter(tmp_path / "out.mp4") as writer:
            writer.write(first)
            writer.write(second)

    with pytest.raises(VideoError, match="does not follow"):
        pair(noise(yuv_format(8, 1, 1), 1))
    with pytest.raises(VideoError, match="96 × 64"):
        pair(noise(yuv_format(8, 1, 1), 2, size=(96, 64)))
    with pytest.raises(VideoError, match="yuv444p"):
        pair(noise(yuv_format(8, 0, 0), 2))
    with pytest.raises(VideoError, match="time base"):
        pair(replace(noise(yuv_format(8, 1, 1), 2), time_base=Fraction(1, 77)))
    assert leftovers(tmp_path) == []


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_writer import noise, yuv_format, VideoWriter, Encoding
from understudy.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    with VideoWriter(Path(sys.argv[1]), encoding=Encoding(lossless=True, preset="ultrafast")) as writer:
        for number in range(40):
            writer.write(noise(yuv_format(8, 1, 1), number, size=(320, 240)))
except OutputError as error:
    print("refused:", error)
else:
    print("written")
"""


@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of files there")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("limit", [0, 1000, 100_000, 2_000_000, 4_600_000])
def test_full_disk(tmp_path: Path, suffix: str, limit: int) -> None:
    """Wherever the room ends, in the header, the pictures or the index, it is said, and nothing is left."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    script = [
        sys.executable,
        "-c",
        FULL,
        str(tmp_path / f"out{suffix}"),
        str(Path(__file__).parent),
        str(limit),
    ]
    done = subprocess.run(script, capture_output=True, text=True, env=environment, timeout=60)
    assert "refused:" in done.stdout, done.stdout + done.stderr
    assert "full" in done.stdout or "too large" in done.stdout
    assert "Traceback" not in done.stderr
    assert leftovers(tmp_path) == []


# ---------------------------------------------------------------------------------------------- check_output


def test_check_accepts_what_works(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(sound=["aac"])
    for suffix in (".mp4", ".mov", ".mkv"):
        assert check_output(tmp_path / f"out{suffix}", probe(path), sound_from=path) == []
    assert leftovers(tmp_path) == []


def test_check_refuses_sound_that_the_container_cannot_hold(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(sound=["aac"])
    with pytest.raises(OutputError, match=r"aac, which a webm file cannot hold.*\.mkv"):
        check_output(tmp_path / "out.webm", probe(path), sound_from=path)
    assert check_output(tmp_path / "out.webm", probe(path)) == []
    path = make_video("v.mkv", sound=["ac3"])
    with pytest.raises(OutputError, match="ac3"):
        check_output(tmp_path / "out.webm", probe(path), sound_from=path)


def test_check_refuses_bad_places(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video()
    info = probe(path)
    with pytest.raises(OutputError, match="input itself"):
        check_output(path, info)
    with pytest.raises(OutputError, match="there is no folder"):
        check_output(tmp_path / "nowhere" / "out.mp4", info)
    with pytest.raises(OutputError, match=r"ends in \.mp4"):
        check_output(tmp_path / "out.xyz", info)
    with pytest.raises(ConfigError, match="no encoder named 'libx999'"):
        check_output(tmp_path / "out.mp4", info, Encoding(codec="libx999"))
    with pytest.raises(ConfigError, match="pixel_format"):
        check_output(tmp_path / "out.mp4", info, Encoding(pixel_format="yuv999p"))
    with pytest.raises(ConfigError, match="key=value"):
        check_output(tmp_path / "out.mp4", info, Encoding(options=("tune",)))
    with pytest.raises(OutputError, match="libx264"):
        check_output(tmp_path / "out.mp4", info, Encoding(preset="warp"))
    with pytest.raises(OutputError, match="webm"):
        check_output(tmp_path / "out.webm", info, Encoding(codec="libx264"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_check_refuses_a_folder_without_permission(make_video: MakeVideo, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="not allowed to write"):
        check_output(closed / "out.mp4", probe(make_video()))


def test_check_names_what_is_lost(make_video: MakeVideo, tmp_path: Path) -> None:
    info = probe(make_video("v.mkv", size=(63, 47), codec="ffv1"))
    assert "yuv444p" in check_output(tmp_path / "out.mp4", info)[0]
    assert check_output(tmp_path / "out.mkv", info, Encoding(lossless=True)) == []
    path = make_video(sound=["aac"])
    assert "no sound" in check_output(tmp_path / "folder", probe(path), sound_from=path)[0]


def test_open_writer_chooses(tmp_path: Path) -> None:
    assert isinstance(open_writer(tmp_path / "out.mp4"), VideoWriter)
    assert isinstance(open_writer(tmp_path / "images"), StillsWriter)
    with pytest.raises(OutputError, match=r"\.xyz"):
        open_writer(tmp_path / "out.xyz")

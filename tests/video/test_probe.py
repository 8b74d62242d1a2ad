from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from understudy.errors import VideoError
from understudy.video.probe import display_times, matroska_size, probe

VFR = (0, 1001, 2002, 5000, 5100, 9000, 9050, 12000)
MakeVideo = Callable[..., Path]


def test_plain_file(make_video: MakeVideo) -> None:
    info = probe(make_video(sound=["aac"], metadata={"title": "Nightjar", "comment": "a test"}))
    assert (info.kind, info.width, info.height, info.codec, info.frames) == ("video", 64, 48, "h264", 8)
    assert info.frames_exact
    assert info.is_vfr is False
    assert info.rate == pytest.approx(30, abs=0.9)
    assert info.time_base == Fraction(1, 30000)
    assert info.duration == pytest.approx(7777 / 30000)
    assert (info.format.name, info.format.depth, info.format.shift_x, info.format.shift_y) == (
        "yuv420p",
        8,
        1,
        1,
    )
    assert [(track.codec, track.channels, track.sample_rate) for track in info.sound] == [("aac", 2, 48000)]
    assert info.metadata["title"] == "Nightjar"
    assert info.metadata["comment"] == "a test"
    assert "mp4" in info.container
    assert not info.interlaced


@pytest.mark.parametrize("name", ["v.mp4", "v.mov", "v.mkv", "v.webm"])
def test_uneven_time_is_seen(make_video: MakeVideo, name: str) -> None:
    info = probe(make_video(name, pts=VFR))
    assert info.is_vfr
    assert info.frames == 8
    assert info.frames_exact
    assert probe(make_video("even_" + name, count=20)).is_vfr is False


@pytest.mark.parametrize(
    ("size", "tags", "matrix", "guessed"),
    [
        ((64, 48), {}, "bt601", True),
        ((1280, 64), {}, "bt709", True),
        ((64, 720), {}, "bt709", True),
        ((64, 48), {"colorspace": 1}, "bt709", False),
        ((64, 720), {"colorspace": 5}, "bt601", False),
        ((64, 48), {"colorspace": 9}, "bt2020", False),
    ],
)
def test_matrix(make_video: MakeVideo, size: tuple, tags: dict, matrix: str, guessed: bool) -> None:
    color = probe(make_video(size=size, tags=tags, count=2)).color
    assert (color.matrix, color.guessed, color.full_range) == (matrix, guessed, False)
    assert color.space == tags.get("colorspace", 2)


def test_tags_and_full_range(make_video: MakeVideo) -> None:
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 2}
    color = probe(make_video(pixels="yuv420p10le", tags=tags)).color
    assert (color.primaries, color.transfer, color.space, color.full_range) == (9, 16, 9, True)


def test_unsupported_matrix_is_said(make_video: MakeVideo) -> None:
    with pytest.raises(VideoError, match="colour matrix number 8"):
        probe(make_video(tags={"colorspace": 8}))


def test_rotation_swaps_sides(make_video: MakeVideo) -> None:
    info = probe(make_video(rotation=-90))
    assert (info.width, info.height, info.rotation) == (48, 64, 90)
    info = probe(make_video("b.mp4", rotation=180))
    assert (info.width, info.height, info.rotation) == (64, 48, 180)


def test_interlaced(make_video: MakeVideo) -> None:
    info = probe(make_video(options={"x264-params": "tff=1"}, size=(64, 64), pts=range(0, 8000, 1000)))
    assert info.interlaced


def test_container_without_index_is_an_estimate(make_video: MakeVideo) -> None:
    info = probe(make_video("v.ts", count=12, time_base=Fraction(1, 90000), pts=range(0, 36000, 3000)))
    assert info.frames == 12
    assert not info.frames_exact


def test_display_times(make_video: MakeVideo) -> None:
    assert display_times(make_video(pts=VFR, options={"bf": "2", "preset": "fast"})) == list(VFR)


def test_cover_art_is_no_video(make_video: MakeVideo, tmp_path: Path) -> None:
    sound = make_video("s.mkv", sound=["aac"], count=2)
    only = tmp_path / "only.m4a"
    with av.open(sound) as source, av.open(only, "w", format="mp4") as out:
        track = source.streams.audio[0]
        target = out.add_stream_from_template(track)
        for packet in source.demux(track):
            if packet.pts is not None:
                packet.stream = target
                out.mux(packet)
    with pytest.raises(VideoError, match="no moving pictures in it, only audio"):
        probe(only)


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    cases = {
        "empty.mp4": b"",
        "garbage.mp4": np.random.default_rng(0).bytes(5000),
        "text.mkv": b"hello " * 99,
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=r"nothere\.mp4: .*no such file"):
        probe(tmp_path / "nothere.mp4")
    with pytest.raises(VideoError, match="empty"):
        probe(tmp_path / "empty.mp4")
    for name in ("garbage.mp4", "text.mkv"):
        with pytest.raises(VideoError, match="no video"):
            probe(tmp_path / name)


def test_cut_off_before_its_index(make_video: MakeVideo, tmp_path: Path) -> None:
    whole = make_video(count=30).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(VideoError, match="index of this MP4 or MOV is missing"):
        probe(tmp_path / "cut.mp4")


def test_matroska_size(make_video: MakeVideo) -> None:
    path = make_video("v.mkv")
    assert matroska_size(path) == path.stat().st_size
    assert matroska_size(make_video("v.mp4")) is None

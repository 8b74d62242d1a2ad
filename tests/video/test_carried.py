"""What lies beside the pictures and goes through: timecode, subtitles, sound; and fields, which do not."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from understudy.errors import VideoError
from understudy.video.encoding import Encoding
from understudy.video.join import join_parts
from understudy.video.probe import probe
from understudy.video.reader import VideoReader
from understudy.video.writer import VideoWriter, check_output

MakeVideo = Callable[..., Path]


def rewrite(path: Path, output: Path, encoding: Encoding | None = None) -> None:
    with (
        VideoReader(path) as reader,
        VideoWriter(output, like=reader.info, encoding=encoding, sound_from=path) as writer,
    ):
        for frame in reader:
            writer.write(frame)


# -------------------------------------------------------------------------------------------------- timecode


@pytest.mark.parametrize("source", [".mov", ".mp4", ".mkv"])
@pytest.mark.parametrize("target", [".mov", ".mp4", ".mkv"])
def test_timecode_is_kept(make_video: MakeVideo, tmp_path: Path, source: str, target: str) -> None:
    path = make_video(f"v{source}", metadata={"timecode": "10:20:30:11"}, count=3)
    assert probe(path).timecode == "10:20:30:11"
    rewrite(path, tmp_path / f"out{target}")
    assert probe(tmp_path / f"out{target}").timecode == "10:20:30:11"


def test_timecode_of_joined_parts_is_that_of_the_source(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("v.mov", metadata={"timecode": "00:59:59:23"}, count=8)
    with VideoReader(path) as reader:
        info, frames = reader.info, list(reader)
    parts = [tmp_path / "0.mov", tmp_path / "1.mov"]
    for number, part in enumerate(parts):
        with VideoWriter(part, like=info, encoding=Encoding(codec="prores-hq")) as writer:
            for frame in frames[4 * number : 4 * number + 4]:
                writer.write(frame)
    join_parts(parts, tmp_path / "out.mov", like=info)
    assert probe(tmp_path / "out.mov").timecode == "00:59:59:23"
    assert probe(tmp_path / "out.mov").frames == 8
    with av.open(tmp_path / "out.mov") as container:
        assert [stream.type for stream in container.streams] == ["video", "data"]


def test_drop_frame_timecode(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("v.mov", metadata={"timecode": "01:00:00;02"}, pts=range(0, 8000, 1001), end=1001)
    rewrite(path, tmp_path / "out.mov")
    assert probe(tmp_path / "out.mov").timecode == "01:00:00;02"
    uneven = make_video("u.mkv", metadata={"timecode": "01:00:00;02"}, pts=(0, 1001, 5000, 5100, 9000))
    rewrite(uneven, tmp_path / "uneven.mov")  # no numbers can be left out of no rate
    assert probe(tmp_path / "uneven.mov").timecode == ""
    assert probe(tmp_path / "uneven.mov").frames == 5


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("h264", ".mp4"), ("h265", ".mov"), ("prores-hq", ".mov"), ("av1", ".mp4"), ("h264", ".mkv")],
)
def test_pixel_aspect_of_joined_parts(make_video: MakeVideo, tmp_path: Path, codec: str, suffix: str) -> None:
    path = make_video(tags={"sample_aspect_ratio": Fraction(4, 3)}, size=(128, 96), count=3)
    rewrite(path, tmp_path / f"part{suffix}", Encoding(codec=codec, preset="ultrafast"))
    join_parts([tmp_path / f"part{suffix}"], tmp_path / f"out{suffix}", like=probe(path))
    assert probe(tmp_path / f"out{suffix}").pixel_aspect == Fraction(4, 3)
    assert check_output(tmp_path / f"new{suffix}", probe(path), Encoding(codec=codec)) == []


def test_a_pixel_aspect_that_is_lost_is_named(make_video: MakeVideo, tmp_path: Path) -> None:
    info = probe(make_video(tags={"sample_aspect_ratio": Fraction(4, 3)}))
    (remark,) = check_output(tmp_path / "out.webm", info)
    assert "pixel aspect of 4/3 is lost in .webm" in remark


# ------------------------------------------------------------------------------------------------- subtitles

LINES = [(100, 80, "Guten Tag"), (200, 50, "– wer da?\nZwei Zeilen")]
"""Begin and length in milliseconds, text."""


def with_subtitles(video: Path, output: Path, codec: str, languages: tuple[str, ...] = ("deu",)) -> Path:
    """Made by hand: packets of text beside the pictures."""
    with av.open(video) as source, av.open(output, "w") as container:
        pictures = container.add_stream_from_template(source.streams.video[0], opaque=True)
        made: list[Any] = [container.add_mux_stream(codec) for _ in languages]
        for stream, language in zip(made, languages, strict=True):
            stream.metadata["language"] = language
        for begin, length, text in LINES:
            for stream in made:
                data = text.encode()
                packet = av.Packet(len(data).to_bytes(2) + data if codec == "mov_text" else data)
                packet.pts = packet.dts = begin
                packet.duration, packet.time_base, packet.stream = length, Fraction(1, 1000), stream
                container.mux_one(packet)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = pictures
                container.mux_one(packet)
    return output


def lines_of(path: Path, track: int = 0) -> list[tuple[int, int, str]]:
    out: list[tuple[int, int, str]] = []
    with av.open(path) as container:
        stream = container.streams.subtitles[track]
        for packet in container.demux(stream):
            data = bytes(packet)
            if stream.codec_context.name == "mov_text":
                data = data[2:]
            if data:
                scale = packet.time_base * 1000
                out.append((round(packet.pts * scale), round(packet.duration * scale), data.decode()))
    return out


@pytest.mark.parametrize(
    ("source", "codec", "target", "wanted"),
    [
        (".mkv", "subrip", ".mkv", "subrip"),
        (".mkv", "subrip", ".mp4", "mov_text"),
        (".mkv", "subrip", ".webm", "webvtt"),
        (".mp4", "mov_text", ".mp4", "mov_text"),
        (".mov", "mov_text", ".mkv", "subrip"),
        (".mkv", "ass", ".mkv", "ass"),
    ],
)
def test_subtitles_are_kept(
    make_video: MakeVideo, tmp_path: Path, source: str, codec: str, target: str, wanted: str
) -> None:
    path = with_subtitles(make_video(f"v{source}"), tmp_path / f"subtitled{source}", codec)
    output = tmp_path / f"out{target}"
    rewrite(path, output)
    assert probe(output).subtitles == 1
    with av.open(output) as container:
        assert container.streams.subtitles[0].codec_context.codec.canonical_name == wanted
        language = container.streams.subtitles[0].metadata.get("language", "")
    if source != ".mov":  # QuickTime has no code for this language
        assert language in ("deu", "ger")
    assert lines_of(output) == LINES
    assert check_output(tmp_path / f"new{target}", probe(path), sound_from=path) == []


def test_two_languages_and_two_sounds(make_video: MakeVideo, tmp_path: Path) -> None:
    path = with_subtitles(make_video("v.mkv"), tmp_path / "subtitled.mkv", "subrip", ("deu", "fra"))
    sounded = make_video("s.mkv", sound=["aac", "ac3"])
    both = tmp_path / "both.mkv"
    with av.open(path) as first, av.open(sounded) as second, av.open(both, "w") as container:
        copies = {
            (source, stream.index): container.add_stream_from_template(stream, opaque=True)
            for source, opened in enumerate((first, second))
            for stream in opened.streams
            if not (source and stream.type == "video")
        }
        for (source, index), stream in copies.items():
            opened = (first, second)[source]
            stream.metadata.update(opened.streams[index].metadata)
        for source, opened in enumerate((first, second)):
            for packet in opened.demux():
                if packet.dts is not None and (source, packet.stream_index) in copies:
                    packet.stream = copies[source, packet.stream_index]
                    container.mux(packet)
    info = probe(both)
    assert ([track.codec for track in info.sound], info.subtitles) == (["aac", "ac3"], 2)
    assert info.has_tracks
    for suffix in (".mkv", ".mp4"):
        rewrite(both, tmp_path / f"out{suffix}")
        after = probe(tmp_path / f"out{suffix}")
        assert ([track.codec for track in after.sound], after.subtitles) == (["aac", "ac3"], 2)
        assert lines_of(tmp_path / f"out{suffix}", 1) == LINES
        with av.open(tmp_path / f"out{suffix}") as container:
            assert [s.metadata["language"] for s in container.streams.subtitles] == ["deu", "fra"]


def test_subtitles_that_do_not_fit_are_named(make_video: MakeVideo, tmp_path: Path) -> None:
    path = with_subtitles(make_video("v.mkv"), tmp_path / "subtitled.mkv", "ass")
    remarks = check_output(tmp_path / "out.mp4", probe(path), sound_from=path)
    assert any("subtitles deu are ass" in remark and ".mkv" in remark for remark in remarks)
    rewrite(path, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").subtitles == 0


# ---------------------------------------------------------------------------------------------------- fields

FIELDS = {"x264-params": "tff=1", "flags": "+ildct+ilme"}


@pytest.mark.parametrize("name", ["v.mov", "v.mkv", "v.ts"])
def test_fields_are_refused_before_any_work(make_video: MakeVideo, name: str) -> None:
    path = make_video(name, options=FIELDS)
    assert probe(path).interlaced
    with pytest.raises(VideoError, match=r"interlaced: two fields each.*bwdif"):
        VideoReader(path)
    with VideoReader(path, interlaced="woven") as reader:
        assert len(list(reader)) == 8


def test_fields_that_only_the_container_names(make_video: MakeVideo) -> None:
    """Pictures marked progressive in a track that says top field first."""
    for name in ("v.mov", "v.mkv"):
        path = make_video(name, codec="prores_ks", pixels="yuv422p10le", options={"field_order": "tt"})
        with av.open(path) as container:
            assert not any(picture.interlaced_frame for picture in container.decode(video=0))
        with pytest.raises(VideoError, match="interlaced"):
            VideoReader(path)


def test_fields_that_begin_later(make_video: MakeVideo, tmp_path: Path) -> None:
    """Frames flags count too: a film that is cut together from both kinds."""
    progressive = make_video("a.h264", count=6)
    fields = make_video("b.h264", count=6, options=FIELDS)
    path = tmp_path / "cut.h264"
    path.write_bytes(progressive.read_bytes() + fields.read_bytes())
    assert not probe(path).interlaced
    with VideoReader(path) as reader, pytest.raises(VideoError, match=r"frame \d+ is interlaced"):
        list(reader)


# ------------------------------------------------------------------------------------------- wrong content


def test_the_suffix_does_not_decide(make_video: MakeVideo, tmp_path: Path) -> None:
    """A film under another film's suffix is read; one under a picture's suffix is refused by name."""
    path = make_video("v.mkv")
    renamed = tmp_path / "renamed.mp4"
    renamed.write_bytes(path.read_bytes())
    with VideoReader(renamed) as reader:
        assert len(list(reader)) == 8
    for suffix in (".png", ".tif"):
        wrong = tmp_path / f"film{suffix}"
        wrong.write_bytes(path.read_bytes())
        with pytest.raises(VideoError, match=f"film{suffix}: this is no image"):
            probe(wrong)
    (tmp_path / "text.mov").write_text("this is a text\n" * 50)
    with pytest.raises(VideoError, match=r"text\.mov: this is no video"):
        probe(tmp_path / "text.mov")
    picture = tmp_path / "picture.mkv"
    av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8)).to_image().save(tmp_path / "p.png")
    picture.write_bytes((tmp_path / "p.png").read_bytes())
    with VideoReader(picture) as reader:
        assert len(list(reader)) == 1

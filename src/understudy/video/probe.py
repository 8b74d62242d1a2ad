"""What a video file or a folder of images holds, found out without decoding it.

Only the first picture is decoded: its planes, its tags and its display matrix are what the others have.
Unknown colour is settled here (``layout.color_tags``), so nobody behind the door has to guess.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.stream import VideoStream

from understudy.errors import VideoError
from understudy.video.decoding import alpha_decoder
from understudy.video.info import SoundStream, VideoInfo
from understudy.video.layout import color_tags, layout_of, orientation_of
from understudy.video.stills import is_stills, probe_stills

SCAN_LIMIT = 64 << 20
"""Files up to this size are read through once where the container has no table of frames, bytes."""

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
"""Identifiers of a Matroska file's header and of the element that holds all the rest."""

FIELD_ORDERS = (2, 3, 4, 5)
"""FFmpeg's numbers of interlaced field orders."""

INDEXED = ("mov", "mp4")
"""Containers that list every frame in their header."""


def probe(path: Path) -> VideoInfo:
    """What a video file or a folder of images holds.

    Raises:
        VideoError: there is no such file, it is empty, no video, or its first picture cannot be decoded.
    """
    if is_stills(path):
        return probe_stills(path)
    with open_video(path) as (container, stream):
        return _describe(path, container, stream)


@contextmanager
def open_video(path: Path) -> Generator[tuple[InputContainer, VideoStream]]:
    """The container and its picture stream, closed at the end of the block.

    Raises:
        VideoError: there is no such file, it is empty or no video.
    """
    if not path.is_file():
        raise VideoError(
            f"{path}: wanted a video or a folder of images, there is no such file; check the name"
        )
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty; copy or record it again")
    try:
        container = av.open(path, metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"{path}: {_reason(path, error)}") from error
    with container as opened:
        stream = _picture_stream(opened)
        if stream is None:
            raise VideoError(f"{path}: there are no moving pictures in it, only {_contents(opened)}")
        yield opened, stream


def _reason(path: Path, error: Exception) -> str:
    """Why FFmpeg could not open a file, in words that help."""
    if isinstance(error, PermissionError):
        return "not allowed to read it; change its permissions"
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return (
            "the index of this MP4 or MOV is missing (the recording or the copy was cut off), so no frame "
            "can be found; copy it again or repair it with a tool such as untrunc"
        )
    return (
        f"this is no video, or it is damaged from its beginning ({getattr(error, 'strerror', '') or error})"
    )


def _contents(container: InputContainer) -> str:
    kinds = sorted({str(stream.type) for stream in container.streams})
    return " and ".join(kinds) or "nothing that can be read"


def _picture_stream(container: InputContainer) -> VideoStream | None:
    """The video stream that a player would show; cover art does not count."""
    moving = [
        stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic
    ]
    best = container.streams.best("video")
    if best in moving:
        return cast("VideoStream", best)
    return moving[0] if moving else None


def _describe(path: Path, container: InputContainer, stream: VideoStream) -> VideoInfo:
    picture = _first_picture(path, container, stream)
    layout = layout_of(picture.format.name)
    orientation = orientation_of(picture)
    time_base = stream.time_base or Fraction(1, 90_000)
    stamps = _time_stamps(path, container, stream)
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    first = picture.pts if picture.pts is not None else 0
    duration = _duration(container, stream, first, time_base)
    if stamps:
        names = container.format.name.split(",")
        frames, exact = (
            len(stamps),
            bool({*INDEXED, "matroska"} & set(names)),
        )  # elsewhere a packet may be a field
        duration = duration or float((stamps[-1] - stamps[0]) * time_base + 1 / rate)
    else:
        frames, exact = max(1, round(duration * rate)), False
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width, height = picture.width, picture.height
    return VideoInfo(
        path=path,
        kind="video",
        width=height if orientation.transpose else width,
        height=width if orientation.transpose else height,
        orientation=orientation,
        format=orientation.layout(layout),
        stored_format=picture.format.name,
        color=color_tags(picture, layout),
        frames=frames,
        frames_exact=exact,
        rate=rate,
        time_base=time_base,
        first_pts=first,
        duration=duration,
        is_vfr=_uneven(stamps, time_base) if stamps else None,
        codec=stream.codec_context.codec.canonical_name,
        container=container.format.name,
        pixel_aspect=1 / aspect if orientation.transpose else aspect,
        interlaced=picture.interlaced_frame or stream.codec_context.field_order in FIELD_ORDERS,
        sound=tuple(_sound(track) for track in container.streams.audio),
        subtitles=len(container.streams.subtitles),
        timecode=_timecode(container, stream),
        light=light_of(picture),
        metadata={key.lower(): value for key, value in container.metadata.items()},
    )


def _timecode(container: InputContainer, stream: VideoStream) -> str:
    """Timecode of the first frame, where a track or a tag says it."""
    places: list[Any] = [stream, container, *(other for other in container.streams if other.type == "data")]
    for place in places:
        for key, value in place.metadata.items():
            if key.lower() == "timecode" and value.strip():
                return str(value).strip()
    return ""


def light_of(picture: av.VideoFrame) -> dict[str, str]:
    """HDR10's static metadata of a picture (SMPTE ST 2086 and CTA-861.3), in x265's words.

    FFmpeg's structures: ten fractions (red, green, blue x and y, white x and y, least and most cd/m²) and two
    flags; two whole numbers.
    """
    out: dict[str, str] = {}
    side = cast("Any", picture.side_data)  # the stubs call it a TypedDict
    mastering = side.get(SideDataType.MASTERING_DISPLAY_METADATA)
    if mastering is not None:
        numbers = np.frombuffer(bytes(mastering)[:88], np.int32)
        values = [numbers[k] / numbers[k + 1] if numbers[k + 1] else 0.0 for k in range(0, 20, 2)]
        if numbers[20] and numbers[21]:
            places = [round(value * 50_000) for value in values[:8]]
            red, green, blue, white = (f"({places[k]},{places[k + 1]})" for k in range(0, 8, 2))
            least, most = round(values[8] * 10_000), round(values[9] * 10_000)
            out["master-display"] = f"G{green}B{blue}R{red}WP{white}L({most},{least})"
    level = side.get(SideDataType.CONTENT_LIGHT_LEVEL)
    if level is not None:
        most, mean = np.frombuffer(bytes(level)[:8], np.uint32)
        out["max-cll"] = f"{most},{mean}"
    return out


def _first_picture(path: Path, container: InputContainer, stream: VideoStream) -> av.VideoFrame:
    stream.thread_type = "NONE"  # frame threads would decode a dozen pictures to give one
    try:
        decoder = alpha_decoder(stream)
        for packet in container.demux(stream):
            found: list[Any] = decoder.decode(packet if packet.size else None) if decoder else packet.decode()
            if found:
                return cast("av.VideoFrame", found[0])
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: not even the first frame can be decoded ({error.strerror})") from error
    raise VideoError(f"{path}: not even the first frame can be decoded; the file is cut off or damaged")


def _time_stamps(path: Path, container: InputContainer, stream: VideoStream) -> list[int]:
    """Time stamps of all frames in ascending order, of decoding or display, where they are cheap to get."""
    if any(name in container.format.name.split(",") for name in INDEXED):
        return [entry.timestamp for entry in stream.index_entries if not entry.is_discard]
    if path.stat().st_size > SCAN_LIMIT:
        return []
    return display_times(path)


def display_times(path: Path) -> list[int]:
    """Display time stamps of all frames in ascending order, by reading the file through without decoding.

    Empty when frames have no time stamps, or not one packet each.
    """
    out: list[int] = []
    try:
        with open_video(path) as (container, stream):
            if stream.codec_context.name == "vp8":  # invisible frames are packets of their own
                return []
            for packet in container.demux(stream):
                if packet.dts is None and packet.pts is None and packet.size == 0:
                    continue  # the flush at the end
                if packet.pts is None:
                    return []
                if not packet.is_discard and not packet.is_corrupt:
                    out.append(packet.pts)
    except av.error.FFmpegError:
        pass  # damaged further on: what could be read counts, the reader reports the damage
    return sorted(set(out))


def _duration(container: InputContainer, stream: VideoStream, first: int, time_base: Fraction) -> float:
    """Seconds of the picture stream as the file says; 0 when it does not."""
    if stream.duration:
        return float(stream.duration * time_base)
    end = tagged_end(stream)
    if end is None and container.duration:
        end = Fraction(container.duration, av.time_base)
    return max(0.0, float(end - first * time_base)) if end else 0.0


def tagged_end(stream: VideoStream) -> Fraction | None:
    """End of a Matroska track, seconds from zero, from the statistics tag that most muxers write."""
    for key, value in stream.metadata.items():
        if key.upper().startswith("DURATION"):
            try:
                hours, minutes, seconds = value.strip().split(":")
                return Fraction(int(hours) * 3600 + int(minutes) * 60) + Fraction(seconds.strip()[:15])
            except ValueError:
                return None
    return None


def matroska_size(path: Path) -> int | None:
    """Length in bytes that a Matroska or WebM file says it has (RFC 8794); None when it says nothing."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.startswith(EBML):
        return None
    length, place = _ebml_length(head, len(EBML))
    if length is None or not head.startswith(SEGMENT, place + length):
        return None
    length, place = _ebml_length(head, place + length + len(SEGMENT))
    return None if length is None else place + length


def _ebml_length(data: bytes, place: int) -> tuple[int | None, int]:
    """A variable-length integer at ``place`` (None: unknown length), and where it ends."""
    width = 9 - data[place].bit_length()
    value = int.from_bytes(data[place : place + width]) & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), place + width


def _uneven(stamps: list[int], time_base: Fraction) -> bool:
    """True when the distances of frames differ by more than the container's rounding."""
    if len(stamps) < 3:
        return False
    steps = [after - before for before, after in itertools.pairwise(stamps)]
    slack = max(2, round(Fraction(1, 1000) / time_base))
    return max(steps) - min(steps) > slack


def _sound(track: Any) -> SoundStream:  # noqa: ANN401  # an av.AudioStream; its stubs lack what is asked here
    context = track.codec_context
    language = "" if track.language in (None, "und") else str(track.language)
    if context is None:
        return SoundStream(codec="unknown", channels=0, sample_rate=0, language=language)
    return SoundStream(
        codec=str(context.codec.canonical_name),
        channels=int(context.channels),
        sample_rate=int(context.sample_rate),
        language=language,
    )

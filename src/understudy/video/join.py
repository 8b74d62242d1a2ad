"""Joins parts of a video that were encoded alike, packet by packet, and adds the sound of another file.

This is how a long render survives an interruption: each part is a whole file, and nothing is encoded twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from understudy import durable
from understudy.errors import OutputError, VideoError
from understudy.video.encoding import container_of
from understudy.video.info import VideoInfo
from understudy.video.muxing import muxer_options, usual_rate, writable_tags
from understudy.video.sound import SoundCopy
from understudy.video.writer import kept_tags


def join_parts(
    parts: Sequence[Path],
    output: Path,
    *,
    like: VideoInfo | None = None,
    sound_from: Path | None = None,
    metadata: Mapping[str, str] | None = None,
    finish: Sequence[Callable[[Path], object]] = (),
    begin: Fraction | None = None,
) -> None:
    """Writes one file from parts that follow each other in time.

    Args:
        parts: video files of one encoder and one setting, written by ``VideoWriter``, in order.
        output: the file; its suffix names the container, which holds the parts' codec.
        like: the video that the frames come from: container tags are taken over.
        sound_from: file whose sound is copied; None: no sound.
        metadata: tags of the container, added to those of ``like``.
        finish: called with the whole file, in this order, before it gets its name; for what is written into
            it in place. An error of theirs leaves no file.
        begin: seconds at which the first picture is shown; None: as the parts say.

    Raises:
        OutputError: the disk is full or the container refuses a track.
        VideoError: a part is damaged or of another encoder.
    """
    if not parts:
        raise OutputError(f"{output}: there is no frame to write; the source gave none")
    size = sum(part.stat().st_size for part in parts)
    rates = [track.sample_rate for track in like.sound] if like else []
    with durable.new_file(output, size=size) as file:
        try:
            with av.open(parts[0]) as first:
                stream = first.streams.video[0]
                assert stream.time_base is not None
                kind = container_of(output)
                container = av.open(
                    file, "w", format=kind, container_options=muxer_options(kind, stream.time_base, rates)
                )
                tags = {**kept_tags(like), **(metadata or {})}
                _join(parts, container, stream, tags, sound_from, begin)
        except (OSError, av.error.FFmpegError) as error:
            raise OutputError(
                f"{output}: cannot be written: {getattr(error, 'strerror', None) or error}"
            ) from error
        for complete in finish:
            complete(file)


def _join(
    parts: Sequence[Path],
    container: Any,  # noqa: ANN401  # av's stubs lack what is asked here
    template: Any,  # noqa: ANN401
    tags: Mapping[str, str],
    sound_from: Path | None,
    begin: Fraction | None,
) -> None:
    with container:
        rate = usual_rate(template.average_rate or Fraction(25))
        container.metadata.update(writable_tags(tags, rate))
        # opaque: the decoder of AV1 has no encoder of its name, from which a template would be made
        stream = container.add_stream_from_template(template, opaque=True)
        stream.time_base = template.time_base
        stream.codec_context.framerate = rate  # a timecode track wants one
        if template.sample_aspect_ratio:
            stream.codec_context.sample_aspect_ratio = template.sample_aspect_ratio
        if container.format.name in ("mp4", "mov"):
            # four letters: the profile of ProRes, and what Apple's players want of H.265
            stream.codec_context.codec_tag = template.codec_context.codec_tag
        sound = SoundCopy(sound_from, container) if sound_from else None
        header = bytes(template.codec_context.extradata or b"")
        shown = [packet.pts for packet in _packets(parts, header)]
        shift = 0 if begin is None else round(begin / template.time_base) - min(shown)
        times = decoding_times([time + shift for time in shown])
        try:
            for packet, time in zip(_packets(parts, header), times, strict=True):
                packet.pts, packet.dts = packet.pts + shift, time
                at = packet.pts * packet.time_base
                packet.stream = stream
                container.mux_one(packet)
                if sound:
                    sound.feed(at)
            if sound:
                sound.finish()
        finally:
            if sound:
                sound.close()


def decoding_times(display_times: Sequence[int]) -> list[int]:
    """Decoding time stamps for packets in decoding order, from their display times alone.

    The times of all packets in order, delayed by the depth of reordering: rising, and none after its packet's
    display time. (Matroska keeps no decoding times, and those of separate parts overlap.)
    """
    ordered = sorted(display_times)
    rank = {time: place for place, time in enumerate(ordered)}
    depth = max((place - rank[time] for place, time in enumerate(display_times)), default=0)
    ahead = [2 * ordered[0] - ordered[min(step, len(ordered) - 1)] for step in range(depth, 0, -1)]
    for place in range(len(ahead) - 2, -1, -1):  # a very short video has fewer times than it is deep
        ahead[place] = min(ahead[place], ahead[place + 1] - 1)
    return [*ahead, *ordered][: len(display_times)]


def _packets(parts: Sequence[Path], header: bytes) -> Iterator[Any]:
    for part in parts:
        with av.open(part) as source:
            stream = source.streams.video[0]
            if bytes(stream.codec_context.extradata or b"") != header:
                raise VideoError(
                    f"{part}: was encoded in another way than the parts before it; remove the parts and "
                    "merge anew"
                )
            for packet in source.demux(stream):
                if packet.size:  # the last one only says that there are no more
                    yield packet

"""Sound and subtitles copied packet by packet, never decoded, in step with the pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from understudy.errors import OutputError, VideoError
from understudy.video.subtitles import SubtitleTrack, codec_name

AHEAD = Fraction(1, 2)
"""How far sound may run ahead of the pictures that have been muxed, seconds."""

FIXED_LENGTH = ("aac", "mp3", "ac3", "eac3")
"""Codecs all of whose packets hold the same number of samples."""


class SoundCopy:
    """Copies the sound tracks of a file into an output, and its subtitles.

    Time stamps are kept as they are, a negative start (the priming of AAC and Opus) included. Where the
    source rounds them to milliseconds (Matroska) and the output does not (MP4), the rounding is undone.

    Args:
        path: the file whose sound and subtitles are copied.
        output: where to; its header must not have been written.
        limit: copy no more packets than this; None: all.

    Raises:
        OutputError: the container cannot hold one of the sound tracks.
        VideoError: the file cannot be read.
    """

    def __init__(self, path: Path, output: OutputContainer, *, limit: int | None = None) -> None:
        self.path = path
        self.damage = ""
        """Why sound ended early; empty if it did not."""
        self.lost: list[str] = []
        """Subtitles that the container cannot hold, a sentence each."""
        self._output = output
        try:
            self._source: InputContainer = av.open(path, metadata_errors="replace")
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(f"{path}: its sound cannot be read: {error.strerror}") from error
        tracks: list[Any] = list(self._source.streams.audio)
        self._streams: dict[int, Stream] = {track.index: self._add(track) for track in tracks}
        self._subtitles: dict[int, SubtitleTrack] = {}
        for track in self._source.streams.subtitles:
            self._add_subtitles(track)
        tracks += [track for track in self._source.streams.subtitles if track.index in self._subtitles]
        self._samples: dict[int, int] = {}
        packets = self._packets(tracks) if tracks else iter(())
        self._waiting: Iterator[Packet[Any]] = itertools.islice(packets, limit)
        self._next = next(self._waiting, None)

    def _add(self, track: Stream) -> Stream:
        stream: Stream
        name = track.codec_context.codec.canonical_name if track.codec_context else "unknown"
        try:
            stream = cast("Any", self._output).add_stream_from_template(track)
        except (ValueError, av.error.FFmpegError) as error:
            raise OutputError(
                f"the sound of {self.path} is {name}, which a {self._output.format.name} file cannot hold; "
                "name the output .mkv (it holds every codec) or .mov, or go without sound"
            ) from error
        stream.metadata.update(track.metadata)
        stream.disposition = track.disposition
        return stream

    def _add_subtitles(self, track: Stream) -> None:
        try:
            self._subtitles[track.index] = SubtitleTrack(track, self._output)
        except ValueError:
            language = track.metadata.get("language", "")
            self.lost.append(
                f"the subtitles {language or track.index} are {codec_name(track)}, which a "
                f"{self._output.format.name} file cannot hold; they are left out (.mkv holds them)"
            )

    def _packets(self, tracks: list[Any]) -> Iterator[Packet[Any]]:
        try:
            for packet in self._source.demux(tracks):
                if packet.dts is not None or packet.pts is not None:
                    yield packet
        except av.error.FFmpegError as error:
            self.damage = str(error.strerror)

    def feed(self, time: Fraction) -> None:
        """Mux the packets that belong to the pictures up to ``time`` (seconds)."""
        while self._next is not None:
            stamp = self._next.dts if self._next.dts is not None else self._next.pts
            if stamp is not None and stamp * self._next.time_base > time + AHEAD:
                return
            self._mux(self._next)
            self._next = next(self._waiting, None)

    def finish(self) -> None:
        """Mux what is left and close the source."""
        while self._next is not None:
            self._mux(self._next)
            self._next = next(self._waiting, None)
        self._source.close()

    def close(self) -> None:
        """Close the source; nothing more is muxed."""
        self._next = None
        self._source.close()

    def _mux(self, packet: Packet[Any]) -> None:
        if subtitles := self._subtitles.get(packet.stream_index):
            text = subtitles.packet(packet)
            if text is not None:
                cast("Any", text).stream = subtitles.stream
                cast("Any", self._output).mux_one(text)
            return
        target = self._streams[packet.stream_index]
        if self._output.format.name in ("mp4", "mov"):
            self._unround(packet)
        packet.stream = target
        cast("Any", self._output).mux_one(packet)

    def _unround(self, packet: Packet[Any]) -> None:
        """Give a packet with a coarse time stamp the sample count that it stands for."""
        context: Any = packet.stream.codec_context
        rate, length = int(context.sample_rate), int(context.frame_size)
        tick = packet.time_base * rate  # samples a tick
        if packet.pts is None or not length or tick <= 2 or context.codec.canonical_name not in FIXED_LENGTH:
            return
        told = packet.pts * tick
        counted = self._samples.get(packet.stream_index)
        exact = counted if counted is not None and abs(told - counted) <= 1.5 * tick else round(told)
        self._samples[packet.stream_index] = exact + length
        cast("Any", packet).time_base = Fraction(1, rate)
        packet.pts = packet.dts = exact
        packet.duration = length

"""Subtitle tracks taken over: as they are where the container holds them, plain text rewritten where not."""

from __future__ import annotations

from typing import Any, cast

import av.error
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

TEXT = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
"""What plain text is called in a container."""

PLAIN = ("subrip", "mov_text", "webvtt", "text")
"""Codecs that are plain text, give or take a length before it."""


def codec_name(track: Stream) -> str:
    """FFmpeg's name of a track's codec."""
    return str(track.codec_context.codec.canonical_name) if track.codec_context else "unknown"


class SubtitleTrack:
    """One subtitle track on its way into another container.

    Args:
        track: of the source.
        output: where to; its header must not have been written.

    Raises:
        ValueError: the container cannot hold it, not even as text.
    """

    def __init__(self, track: Stream, output: OutputContainer) -> None:
        self._from = codec_name(track)
        wanted = TEXT.get(output.format.name, "")
        if self._from in PLAIN and self._from != wanted and wanted:
            self._to = wanted
            self.stream: Stream = cast("Any", output).add_mux_stream(wanted)
        else:
            self._to = self._from
            try:
                self.stream = cast("Any", output).add_stream_from_template(track)
            except av.error.FFmpegError as error:
                raise ValueError(str(error)) from error
        self.stream.metadata.update(track.metadata)
        self.stream.disposition = track.disposition

    def packet(self, packet: Packet[Any]) -> Packet[Any] | None:
        """What is muxed for a packet of the source; None for a pause, which only some containers store."""
        if self._from == self._to:
            return packet
        text = bytes(packet)
        if self._from == "mov_text":  # a length, the text, then boxes that style it
            text = text[2 : 2 + int.from_bytes(text[:2])]
            if not text:
                return None
        if self._to == "mov_text":
            text = len(text).to_bytes(2) + text
        out: Any = Packet(text)
        out.pts, out.dts, out.duration = packet.pts, packet.dts, packet.duration
        out.time_base = packet.time_base
        return out

"""One pass of the decoder over a file, and what it says when the file is damaged.

Two things can happen: a picture comes out with gaps that the decoder filled, or a packet gives no picture.
Both end the pass (or are named in a warning, where damage is tolerated), at the right frame: after an error
the pictures that the decoder still holds are shown up to the one that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, cast

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream


class DecoderPass:
    """Pictures of one stream in display order, up to the end or the damage.

    Args:
        container: opened, at the place where decoding begins.
        stream: its picture stream.
        number: number of the first picture.
        threads: of the decoder; 0: as many as FFmpeg likes; 1: one, which reports damage exactly.
        warn: called with a sentence and a frame number where damage is tolerated; None: damage ends the pass.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        *,
        number: int = 0,
        threads: int = 0,
        warn: Callable[[str, int], None] | None = None,
    ) -> None:
        self.number = number
        """Number of the next picture."""
        self.last: int | None = None
        """Time stamp of the picture before it."""
        self.reason = ""
        """What ended the pass; empty at the end of the file."""
        self.bytes_read = 0
        """Where in the file the last packet ended, of any stream."""
        self._container = container
        self._stream = stream
        self._warn = warn
        self._waiting: set[int] = set()  # time stamps of packets whose pictures have not come out
        stream.thread_type = "NONE" if threads == 1 else "AUTO"
        stream.thread_count = threads

    def pictures(self) -> Generator[av.VideoFrame]:
        """The pictures; afterwards ``number``, ``last`` and ``reason`` say how far it went."""
        try:
            for packet in self._container.demux():
                if packet.pos is not None and packet.pos >= 0:
                    self.bytes_read = max(self.bytes_read, packet.pos + packet.size)
                if packet.stream_index != self._stream.index:
                    continue
                if packet.pts is not None and not packet.is_discard:
                    self._waiting.add(packet.pts)
                if packet.is_corrupt and self._warn is None:
                    self.reason = "the file is cut off or its data are damaged"
                    break
                for picture in self._decode(packet):
                    if picture.is_corrupt and self._warn is None:
                        self.reason = "the picture's data are damaged"
                        return
                    if picture.is_corrupt and self._warn:
                        self._warn(
                            f"frame {self.number} is damaged; the decoder filled the gaps", self.number
                        )
                    yield picture
                    self._count(picture)
        except av.error.FFmpegError as error:
            self.reason = f"decoding failed: {error.strerror}"
        if self.reason:
            yield from self._drain()

    def _decode(self, packet: Packet[Any]) -> list[av.VideoFrame]:
        try:
            return cast("list[av.VideoFrame]", packet.decode())
        except av.error.FFmpegError as error:
            if self._warn is None:
                raise
            self._warn(f"a frame near {self.number} cannot be decoded ({error.strerror})", self.number)
            return []

    def _count(self, picture: av.VideoFrame) -> None:
        self.number += 1
        if picture.pts is not None:
            self.last = picture.pts
            self._waiting.discard(picture.pts)

    def _drain(self) -> Generator[av.VideoFrame]:
        """After damage: what the decoder still holds, up to the frame that is missing."""
        try:
            held: list[av.VideoFrame] = cast("Any", self._stream.codec_context).decode(None)
        except av.error.FFmpegError:
            return  # nothing that can be used
        ready = {picture.pts for picture in held}
        missing = [pts for pts in self._waiting - ready if self.last is None or pts > self.last]
        end = min(missing, default=None)
        for picture in held:
            if picture.is_corrupt or picture.pts is None or (end is not None and picture.pts > end):
                return
            yield picture
            self._count(picture)

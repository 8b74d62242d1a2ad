"""One pass of the decoder over a file, and what it says when the file is damaged.

Two things can happen: a picture comes out with gaps that the decoder filled, or a packet gives no picture.
Both end the pass (or are named in a warning, where damage is tolerated), at the right frame: after an error
the pictures that the decoder still holds are shown up to the one that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from fractions import Fraction
from typing import Any, cast

import av
import av.error
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

HOLE = 1024
"""More bytes than this between one packet of a Matroska file and the next are not its headers."""

LATE = Fraction(7, 4)
"""A picture that comes so many frame durations after the one before it has lost its neighbours."""


ALPHA_DECODERS = {"vp9": "libvpx-vp9", "vp8": "libvpx"}
"""Decoders that see the alpha which WebM keeps beside the pictures; FFmpeg's own do not."""


def alpha_decoder(stream: VideoStream) -> VideoCodecContext | None:
    """A decoder for a stream whose alpha its own decoder leaves out; None for any other stream."""
    context = cast("VideoCodecContext | None", stream.codec_context)
    if context is None:  # a damaged file; whoever decodes it says so
        return None
    name = ALPHA_DECODERS.get(context.codec.canonical_name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return None
    out = cast("VideoCodecContext", CodecContext.create(name, "r"))
    if context.extradata:
        out.extradata = context.extradata
    return out


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
        self._matroska = "matroska" in container.format.name
        self._hole = False  # since the last picture's packet
        self._newest: int | None = None  # latest time stamp of a packet
        self._waiting: set[int] = set()  # time stamps of packets whose pictures have not come out
        self._decoder = alpha_decoder(stream)
        stream.thread_type = "NONE" if threads == 1 else "AUTO"
        stream.thread_count = threads

    def pictures(self) -> Generator[av.VideoFrame]:
        """The pictures; afterwards ``number``, ``last`` and ``reason`` say how far it went."""
        try:
            for packet in self._packets():
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

    def _packets(self) -> Generator[Packet[Any]]:
        """The stream's packets; each is given when the next one shows that nothing between was left out."""
        held: Packet[Any] | None = None
        failure: av.error.FFmpegError | None = None
        try:
            for packet in self._container.demux():
                self._follow(packet)
                if packet.stream.index != self._stream.index:  # its own is unset at the end of a stream
                    continue
                if held is not None and self._lost(packet) and self._warn is None:
                    # the packet before a hole is whole in length only
                    self._waiting.add(held.pts if held.pts is not None else packet.pts or 0)
                    self.reason = "damaged data had to be left out"
                    return
                if held is not None:
                    yield held
                held = packet
        except av.error.FFmpegError as error:
            failure = error
        if held is not None:
            yield held
        if failure is not None:
            raise failure

    def _follow(self, packet: Packet[Any]) -> None:
        """Notes how far the file has been read, and whether something between two packets was left out."""
        if packet.pos is None or packet.pos < 0:
            return
        self._hole |= self._matroska and 0 < self.bytes_read < packet.pos - HOLE
        self.bytes_read = max(self.bytes_read, packet.pos + packet.size)

    def _lost(self, packet: Packet[Any]) -> bool:
        """True if pictures are missing before this packet: a hole in the file, and one in time.

        A damaged Matroska file goes on at the next cluster, without a word.
        """
        if packet.pts is None:
            return False
        step = packet.pts - self._newest if self._newest is not None else 0
        rate = self._stream.average_rate or Fraction(0)
        lost = self._hole and step * packet.time_base * rate > LATE
        self._newest = packet.pts if self._newest is None else max(self._newest, packet.pts)
        self._hole = False
        if lost and self._warn:
            self._warn(f"pictures are missing near frame {self.number}", self.number)
        return lost

    def _decode(self, packet: Packet[Any]) -> list[av.VideoFrame]:
        try:
            if self._decoder is not None:
                return self._decoder.decode(packet if packet.size else None)
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
            decoder: Any = self._decoder or self._stream.codec_context
            held: list[av.VideoFrame] = decoder.decode(None)
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

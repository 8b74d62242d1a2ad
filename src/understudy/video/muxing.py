"""One output container: an encoder, and the sound beside it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import av.error
from av.codec.context import Flags
from av.packet import Packet

from understudy.contracts import ColorTags, Frame
from understudy.errors import VideoError
from understudy.video.convert import converted
from understudy.video.encoding import Plan, space_number
from understudy.video.info import VideoInfo
from understudy.video.layout import picture_of
from understudy.video.sound import SoundCopy

RATES = tuple(
    Fraction(number, 1001 if broken else 1000)
    for number in (24_000, 25_000, 30_000, 48_000, 50_000, 60_000, 100_000, 120_000)
    for broken in (False, True)
)
"""Frames a second of film and television."""

NEAR = Fraction(1, 2000)
"""How far an average may be from a rate to be taken for it; 24 and 23.976 are 1/1001 apart."""


class Muxer:
    """An output container that is being written; ``VideoWriter`` is for users.

    Args:
        file: path or open binary file.
        chosen: encoder and pixel format.
        first: the first frame; its size, time base and tags count for all.
        like: the video whose rate, pixel aspect and tags are taken over.
        sound_from: file whose sound is copied.
        metadata: tags of the container.
        threads: of the encoder.
        sound_limit: copy no more sound packets than this; None: all.
    """

    def __init__(
        self,
        file: Path | BytesIO,
        chosen: Plan,
        first: Frame,
        *,
        like: VideoInfo | None = None,
        sound_from: Path | None = None,
        metadata: Mapping[str, str] | None = None,
        threads: int = 0,
        sound_limit: int | None = None,
    ) -> None:
        self.plan = chosen
        self.time_base = first.time_base
        self._muxed = 0
        sound_rates = [track.sample_rate for track in like.sound] if like else []
        self._container: Any = av.open(
            file,
            "w",
            format=chosen.container,
            container_options=muxer_options(chosen.container, first.time_base, sound_rates),
        )
        try:
            rate = usual_rate(like.rate if like else Fraction(25))
            self._container.metadata.update(writable_tags(metadata or {}, rate))
            self._stream = self._add_pictures(first, like, rate, threads)
            self.sound = SoundCopy(sound_from, self._container, limit=sound_limit) if sound_from else None
        except BaseException:
            self.abort()
            raise

    def _add_pictures(self, first: Frame, like: VideoInfo | None, rate: Fraction, threads: int) -> Any:  # noqa: ANN401
        chosen = self.plan
        stream: Any = self._container.add_stream(
            chosen.encoder,
            rate=rate,
            options=with_light(chosen, like.light if like else {}),
            time_base=first.time_base,
        )
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, chosen.pixel_format
        context = stream.codec_context
        context.flags |= Flags.frame_duration
        context.thread_count = threads
        context.color_range = 2 if chosen.color.full_range else 1
        context.colorspace = 0 if chosen.layout.kind == "rgb" else space_number(chosen.color)
        context.color_primaries = chosen.color.primaries
        context.color_trc = chosen.color.transfer
        if like and like.pixel_aspect != 1:
            context.sample_aspect_ratio = like.pixel_aspect
        if chosen.encoder == "libx265" and chosen.container in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # the spelling that Apple's players know
        return stream

    def write(self, frame: Frame) -> None:
        """Encode one frame and mux what comes out, with the sound that belongs to it."""
        picture = picture_of(converted(frame, self.plan.layout, self.plan.color), self.plan.pixel_format)
        scale = frame.time_base / self.time_base
        pts = frame.pts * scale
        if pts.denominator != 1:
            raise VideoError(
                f"frame {frame.index} has a time base of {frame.time_base} seconds, the first frame one of "
                f"{self.time_base}; all frames of a file must share it"
            )
        picture.pts, picture.time_base, picture.duration = (
            int(pts),
            self.time_base,
            round(frame.duration * scale),
        )
        color = self.plan.color
        picture.color_range = 2 if color.full_range else 1  # ProRes writes the tags of every frame into it
        picture.colorspace = 0 if self.plan.layout.kind == "rgb" else space_number(color)
        picture.color_primaries, picture.color_trc = color.primaries, color.transfer
        self._mux(self._stream.encode(picture))
        if self.sound:
            self.sound.feed(pts * self.time_base)

    def _mux(self, packets: Sequence[Packet[Any]], *, end: bool = False) -> None:
        if end and not self._muxed and sorted(p.pts or 0 for p in packets) == [p.pts for p in packets]:
            for (
                packet
            ) in packets:  # of fewer frames than it reorders x265 leaves the decoding times undefined
                packet.dts = packet.pts
        if self.plan.encoder == "dnxhd":
            for packet in packets:
                tag_color_volume(packet, self.plan.color)
        self._container.mux(packets)
        self._muxed += len(packets)

    def finish(self) -> None:
        """Mux what the encoder still holds and the rest of the sound, and write the container's end."""
        self._mux(self._stream.encode(None), end=True)
        if self.sound:
            self.sound.finish()
        self._container.close()

    def abort(self) -> None:
        """Close the files; what was written is of no use."""
        sound = getattr(self, "sound", None)
        if sound:
            sound.close()
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._container.close()


def usual_rate(rate: Fraction) -> Fraction:
    """The film or television rate that an average comes from; of uneven footage the average itself."""
    near = min(RATES, key=lambda usual: abs(rate - usual))
    return near if abs(rate - near) < near * NEAR else rate.limit_denominator(100_000)


def writable_tags(tags: Mapping[str, str], rate: Fraction) -> dict[str, str]:
    """Tags of a container, without a timecode that has no meaning at this rate.

    Args:
        tags: ``timecode`` among them becomes a track of its own in mp4 and mov.
        rate: frames a second; a timecode that leaves numbers out wants 29.97 or 59.94.
    """
    out = dict(tags)
    if ";" in out.get("timecode", "") and rate not in (Fraction(30_000, 1001), Fraction(60_000, 1001)):
        del out["timecode"]
    return out


def tag_color_volume(packet: Packet[Any], color: ColorTags) -> None:
    """Write into a DNxHR picture which matrix it has, which FFmpeg's encoder leaves at BT.709.

    Two bits of the picture's header (SMPTE ST 2019-1, "colour volume"): BT.709, BT.2020, BT.2020 with
    constant luminance, or told by the container.
    """
    data = bytearray(bytes(packet))
    volume = {"bt709": 0, "bt2020": 1}.get(color.matrix, 3)
    data[0x2C] = data[0x2C] & ~0b110 | volume << 1
    packet.update(bytes(data))


def with_light(chosen: Plan, light: Mapping[str, str]) -> dict[str, str]:
    """The encoder's options, with HDR10's static metadata where it can write them.

    Args:
        chosen: encoder and its options.
        light: see ``VideoInfo.light``.
    """
    options = dict(chosen.options)
    if light and chosen.encoder == "libx265":
        more = ":".join(f"{key}={value}" for key, value in light.items())
        options["x265-params"] = ":".join(filter(None, (options.get("x265-params"), more, "hdr10=1")))
    return options


def muxer_options(container: str, time_base: Fraction, sound_rates: list[int]) -> dict[str, str]:
    """The container's options that keep time stamps exact.

    Args:
        container: FFmpeg's name.
        time_base: of the pictures.
        sound_rates: sample rates of the sound tracks, hertz.
    """
    if container in ("mp4", "mov"):
        # Offsets of tracks are stored in this unit; its default, a millisecond, would round them.
        ticks = math.lcm(time_base.denominator, *(rate for rate in sound_rates if rate))
        return {"movie_timescale": str(ticks if ticks < 1 << 30 else min(time_base.denominator, 1 << 30))}
    # Sound that is primed begins before zero; by default everything would be shifted instead.
    return {"avoid_negative_ts": "disabled"}

"""Tiny videos made on the spot, by FFmpeg through PyAV and not by the code under test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.codec.context import Flags

VFR = (0, 1001, 2002, 5000, 5100, 9000, 9050, 12000)
"""Uneven time stamps in 1/30000 s."""


def fill(picture: av.VideoFrame, seed: int) -> None:
    """Smooth waves that differ from frame to frame, in every plane and at any depth."""
    deep = picture.format.components[0].bits
    top = (1 << deep) - 1
    for number, plane in enumerate(picture.planes):
        dtype = np.uint8 if deep == 8 else np.uint16
        size = np.dtype(dtype).itemsize
        memory = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // size)
        y, x = np.mgrid[0 : plane.height, 0 : memory.shape[1]]
        wave = 0.5 + 0.3 * np.sin((x + 3 * seed) / (5 + number)) * np.cos((y - seed) / 7)
        memory[...] = np.rint(wave * top).astype(dtype)


def add_sound(container: Any, codec: str, count: int = 30) -> Callable[[], None]:
    """A sine; returns what encodes it."""
    stream = container.add_stream(codec, rate=48000, layout="stereo")

    def encode() -> None:
        length = stream.codec_context.frame_size or 1024
        for number in range(count):
            time = (np.arange(length) + number * length) / 48000
            wave = np.sin(2 * np.pi * 440 * time * (1 + number / 50)) * 0.4
            if stream.codec_context.format.name.startswith("flt"):
                samples, name = wave.astype(np.float32), "flt"
            else:
                samples, name = (wave * 32767).astype(np.int16), "s16"
            planar = stream.codec_context.format.name.endswith("p")
            both = np.stack([samples, samples]) if planar else np.repeat(samples, 2)[None]
            frame = av.AudioFrame.from_ndarray(both, name + ("p" if planar else ""), "stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48000, number * length, Fraction(1, 48000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    return encode


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Makes a video; see the arguments."""

    def make(
        name: str = "video.mp4",
        *,
        count: int = 8,
        size: tuple[int, int] = (64, 48),
        pixels: str = "yuv420p",
        codec: str = "",
        pts: Sequence[int] | None = None,
        time_base: Fraction = Fraction(1, 30000),
        rotation: int | None = None,
        flip: bool = False,
        sound: Sequence[str] = (),
        options: dict[str, str] | None = None,
        muxer: dict[str, str] | None = None,
        tags: dict[str, int] | None = None,
        metadata: dict[str, str] | None = None,
        end: int = 777,
        paint: Callable[[av.VideoFrame, int], None] = fill,
    ) -> Path:
        path = tmp_path / name
        stamps = list(pts) if pts is not None else [number * 1000 for number in range(count)]
        codec = codec or ("libvpx-vp9" if path.suffix == ".webm" else "libx264")
        with av.open(path, "w", container_options=muxer or {}) as container:
            fast = {"preset": "ultrafast"} if codec in ("libx264", "libx265") else {}
            fast |= {"x265-params": "log-level=none"} if codec == "libx265" else {}
            fast |= {"deadline": "realtime", "cpu-used": "8"} if codec.startswith("libvpx") else {}
            stream: Any = container.add_stream(
                codec, rate=30, time_base=time_base, options=fast | (options or {})
            )
            stream.width, stream.height, stream.pix_fmt = *size, pixels
            stream.codec_context.flags |= Flags.frame_duration
            for key, value in (tags or {}).items():
                setattr(stream.codec_context, key, value)
            if rotation is not None or flip:
                stream.set_display_rotation(rotation or 0, hflip=flip)
            container.metadata.update(metadata or {})
            sounds = [add_sound(container, item) for item in sound]
            for number, stamp in enumerate(stamps):
                picture = av.VideoFrame(*size, pixels)
                paint(picture, number)
                picture.pts, picture.time_base = stamp, time_base
                after = stamps[number + 1] if number + 1 < len(stamps) else stamp + end
                picture.duration = after - stamp
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
            for encode in sounds:
                encode()
        return path

    return make

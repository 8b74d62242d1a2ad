"""Encoders by the names that people use for them, and what each container takes.

A name of this table stands for an encoder of FFmpeg with its profile; any other name is FFmpeg's own and goes
to it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import av.codec
import av.error

from understudy.errors import ConfigError, OutputError
from understudy.video.layout import layout_of

CONTAINERS: Final = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Suffix to FFmpeg's name of the container."""

SUFFIX_OF: Final = {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv", "webm": ".webm"}

PLAYED: Final = ("libx264", "libx264rgb", "libx265", "libvpx-vp9", "libsvtav1")
"""Encoders for files that are played everywhere, where an unusual chroma is worth a word."""

LOSSLESS_ENCODERS: Final = (
    "libx264",
    "libx264rgb",
    "libx265",
    "libvpx-vp9",
    "ffv1",
    "png",
    "utvideo",
    "ffvhuff",
)
"""Encoders that can keep every sample."""

KNOW_PIXEL_ASPECT: Final = ("libx264", "libx264rgb", "libx265")
"""Encoders that write the pixels' shape into the pictures; with others it wants mp4 or mov."""

CONSTANT_QUALITY: Final = ("libx264", "libx264rgb", "libx265", "libvpx-vp9", "libvpx", "libsvtav1")
"""Encoders that know a constant rate factor."""


@dataclass(frozen=True, kw_only=True)
class Codec:
    """What a name stands for."""

    encoder: str
    """FFmpeg's name."""
    containers: tuple[str, ...]
    """FFmpeg's names of containers that players accept it in."""
    formats: tuple[str, ...] = ()
    """Pixel formats that its profile allows; empty: all of the encoder's."""
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    """Settings of the encoder that make it this one."""


def _prores(profile: str, *formats: str) -> Codec:
    options = {"profile": profile, "vendor": "apl0"}  # some programs refuse what does not say it is Apple's
    return Codec(encoder="prores_ks", containers=("mov", "matroska"), formats=formats, options=options)


def _dnxhr(profile: str, *formats: str) -> Codec:
    options = {"profile": f"dnxhr_{profile}"}
    return Codec(encoder="dnxhd", containers=("mov",), formats=formats, options=options)


CODECS: Final = {
    "h264": Codec(encoder="libx264", containers=("mp4", "mov", "matroska")),
    "h265": Codec(encoder="libx265", containers=("mp4", "mov", "matroska")),
    "av1": Codec(encoder="libsvtav1", containers=("mp4", "matroska", "webm")),
    "vp9": Codec(encoder="libvpx-vp9", containers=("webm", "matroska", "mp4")),
    "ffv1": Codec(encoder="ffv1", containers=("matroska",)),
    "prores-proxy": _prores("proxy", "yuv422p10le"),
    "prores-lt": _prores("lt", "yuv422p10le"),
    "prores": _prores("standard", "yuv422p10le"),
    "prores-hq": _prores("hq", "yuv422p10le"),
    "prores-4444": _prores("4444", "yuv444p10le", "yuva444p10le"),
    "prores-4444xq": _prores("4444xq", "yuv444p10le", "yuva444p10le"),
    "dnxhr-lb": _dnxhr("lb", "yuv422p"),
    "dnxhr-sq": _dnxhr("sq", "yuv422p"),
    "dnxhr-hq": _dnxhr("hq", "yuv422p"),
    "dnxhr-hqx": _dnxhr("hqx", "yuv422p10le"),
    "dnxhr-444": _dnxhr("444", "yuv444p10le", "gbrp10le"),
}
"""Name to encoder."""

ALIASES: Final = {"hevc": "h265", "avc": "h264", "prores-422": "prores", "prores-422hq": "prores-hq"}


def codec_of(name: str, container: str) -> Codec:
    """What a codec's name stands for.

    Args:
        name: of the table, or FFmpeg's.
        container: FFmpeg's name of the one it goes into.

    Raises:
        OutputError: that container does not take it.
    """
    short = ALIASES.get(name.lower(), name.lower())
    known = CODECS.get(short)
    if known is None:
        return Codec(encoder=name, containers=(container,))
    if container not in known.containers:
        fitting = " or ".join(SUFFIX_OF[item] for item in known.containers)
        raise OutputError(
            f"encoding.codec: {short} goes into {fitting}, not into {SUFFIX_OF[container]}; "
            "name the output so, or choose another codec"
        )
    return known


def encoder_formats(encoder: str) -> list[str]:
    """Pixel formats of an encoder that have a layout of ours.

    Raises:
        ConfigError: there is no such encoder.
    """
    try:
        formats = av.codec.Codec(encoder, "w").video_formats or ()
    except (av.error.FFmpegError, ValueError) as error:
        raise ConfigError(
            f"encoding.codec: no encoder named {encoder!r} in this FFmpeg; names that are always understood: "
            f"{', '.join(CODECS)}"
        ) from error
    names = [item.name for item in formats]
    foreign = ("yuvj", "nv", "pal", "mono", "ya", "p0", "p2", "x2")
    if encoder == "libx265":
        foreign += ("yuva",)  # listed, but few builds of x265 can write a second layer
    out = [
        name for name in names if not name.startswith(foreign) and not name.endswith("be") and "f" not in name
    ]
    return [name for name in out if layout_of(name)]

"""How a video is encoded: the settings, and what is chosen from them for a given frame and container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.errors import ConfigError, OutputError
from understudy.video.codecs import (
    CONSTANT_QUALITY,
    CONTAINERS,
    LOSSLESS_ENCODERS,
    PLAYED,
    Codec,
    codec_of,
    encoder_formats,
)
from understudy.video.layout import SPACE_OF_MATRIX, layout_of, yuv_format

AUTOMATIC: Final = {
    "mp4": ("libx264", "libx265"),
    "mov": ("libx264", "libx265"),
    "matroska": ("libx264", "libx265", "ffv1"),
    "webm": ("libvpx-vp9", "libsvtav1"),
}
"""Encoders that ``auto`` tries, in this order; the first that loses nothing is taken."""

LOSSLESS: Final = {
    "mp4": ("libx264", "libx264rgb", "libx265"),
    "mov": ("libx264", "libx264rgb", "libx265"),
    "matroska": ("ffv1",),
    "webm": ("libvpx-vp9",),
}

QUALITY: Final = {"libx264": 18.0, "libx264rgb": 18.0, "libx265": 20.0, "libvpx-vp9": 24.0, "libsvtav1": 24.0}
"""Constant rate factor that is hardly told from the original."""

SPEED: Final = {"ultrafast": 8, "superfast": 7, "veryfast": 6, "faster": 5, "fast": 4, "medium": 3, "slow": 2}
"""x264's preset names to libvpx's ``cpu-used``; others: 1."""

ANY_SIZE: Final = ("ffv1", "libvpx-vp9", "libvpx", "png", "mjpeg", "rawvideo", "huffyuv", "ffvhuff")
"""Encoders that take odd sizes with subsampled chroma."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How the output video is encoded."""

    codec: str = "auto"
    """h264, h265, av1, vp9, ffv1, prores (-proxy, -lt, -hq, -4444, -4444xq), dnxhr-hq (-lb, -sq, -hqx, -444),
    or FFmpeg's name of an encoder; auto: h264 for mp4, mov and mkv, vp9 for webm, another where these would
    lose bits."""
    quality: float | None = None
    """Constant rate factor, smaller is better; none: one hardly told from the original (libx264 18)."""
    preset: str = "veryfast"
    """Speed against size, in x264's words: ultrafast … veryfast, fast, medium, slow…"""
    lossless: bool = False
    """Keep every sample; large files."""
    pixel_format: str = "auto"
    """FFmpeg's name, or auto: the plate's own, or the nearest that loses nothing."""
    threads: int = 0
    """Encoder threads; 0 lets the encoder choose."""
    options: tuple[str, ...] = ()
    """More settings of the encoder, each as key=value."""
    images: Literal["auto", "png", "tif", "exr", "jpg", "webp"] = "auto"
    """What kind of pictures a folder gets; auto: that of the footage's own, png for a video."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was chosen for one output."""

    container: str
    """FFmpeg's name of the container."""
    encoder: str
    """FFmpeg's name of the encoder."""
    pixel_format: str
    """FFmpeg's name of the encoder's input."""
    layout: PixelFormat
    """Ours of the same."""
    color: ColorTags
    """Tags of the output."""
    options: Mapping[str, str]
    """The encoder's."""
    remarks: tuple[str, ...] = ()
    """What is lost or unusual, a sentence each."""


def container_of(path: Path) -> str:
    """FFmpeg's name of the container that the suffix stands for.

    Raises:
        OutputError: none that is known.
    """
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(CONTAINERS)
        raise OutputError(
            f"{path}: wanted a video name that ends in {known} (or a folder's, without suffix, for images), "
            f"got {path.suffix or 'no suffix'}"
        ) from None


def plan(container: str, frame: Frame, settings: Encoding) -> Plan:
    """Encoder and pixel format for frames like this one.

    Args:
        container: FFmpeg's name.
        frame: its layout, size and tags count.
        settings: what is wanted.

    Raises:
        ConfigError: an encoder or pixel format that does not exist.
        OutputError: no encoder at hand can store such frames as wanted.
    """
    table = LOSSLESS if settings.lossless else AUTOMATIC
    codec = None if settings.codec == "auto" else codec_of(settings.codec, container)
    names = (codec.encoder,) if codec else table[container]
    _check_settings(names[0], settings)
    allowed = codec.formats if codec else ()
    if settings.pixel_format != "auto":
        return _asked(container, names, frame, settings, codec)
    for wanted, loss in _compromises(frame.format, settings, codec):
        for name in names:
            found = _nearest(name, wanted, frame, allowed)
            if found:
                return _plan(container, name, found, frame, settings, loss, codec)
    raise OutputError(
        f"{', '.join(names)} cannot store {frame.format.name} frames of {frame.width} × {frame.height} pixels"
        f"{' without loss' if settings.lossless else ''} in {container}; choose another encoder or container "
        "(ffv1 in .mkv stores everything)"
    )


def _check_settings(encoder: str, settings: Encoding) -> None:
    """Refuses settings that the encoder would not heed.

    Raises:
        ConfigError: there are some.
    """
    if settings.codec == "auto":
        return
    if settings.lossless and encoder not in LOSSLESS_ENCODERS:
        raise ConfigError(
            f"encoding.lossless: {settings.codec} always loses something; choose ffv1 (.mkv), h264 or h265"
        )
    if settings.quality is not None and encoder in ("prores_ks", "dnxhd", "ffv1"):
        raise ConfigError(
            f"encoding.quality: {settings.codec} has one quality; choose another profile by its name"
        )


def _asked(
    container: str, names: tuple[str, ...], frame: Frame, settings: Encoding, codec: Codec | None
) -> Plan:
    """The plan for a pixel format that was asked for by name."""
    for name in names:
        if settings.pixel_format in _formats(name, codec.formats if codec else ()):
            layout, source = layout_of(settings.pixel_format), frame.format
            kept = _distance(layout, source, frame, "ffv1") is not None
            loss = "" if kept else f"{source.name} is stored as {layout.name}"
            return _plan(container, name, settings.pixel_format, frame, settings, loss, codec)
    taken = [item for name in names for item in _formats(name, codec.formats if codec else ())]
    raise ConfigError(
        f"encoding.pixel_format: {', '.join(names)} cannot take {settings.pixel_format!r}; "
        f"it takes {', '.join(taken)}"
    )


def _compromises(
    source: PixelFormat, settings: Encoding, codec: Codec | None
) -> list[tuple[PixelFormat, str]]:
    """Layouts to look for, best first, with what each of them loses."""
    if settings.lossless:
        return [(source, "")]
    named = settings.codec != "auto"
    played = codec is not None and codec.encoder in PLAYED and codec.encoder != settings.codec
    out: list[tuple[PixelFormat, str]] = []
    if source.kind == "rgb":
        # players want Y'CbCr 4:2:0; whoever wants RGB says so (lossless, or an encoder for it)
        if named and not played:
            out += _poorer(source)
        shifts = ((1, 1), (0, 0)) if played or not named else ((0, 0), (1, 0), (1, 1))
        for alpha in (True, False) if source.alpha else (False,):
            for across, down in shifts:
                wanted = yuv_format(8 if source.depth == 8 else 10, across, down, alpha)
                dropped = "; alpha is dropped" if source.alpha and not alpha else ""
                out.append((wanted, f"RGB is stored as Y'CbCr ({wanted.name}){dropped}"))
        if source.depth > 8:
            out.append((yuv_format(8, 1, 1), "RGB is stored as 8-bit Y'CbCr"))
        return out
    return _poorer(source)


def _poorer(source: PixelFormat) -> list[tuple[PixelFormat, str]]:
    """The layout and those below it: alpha is kept longest, then depth, then chroma."""
    shifts = [(source.shift_x, source.shift_y)]
    if source.kind == "yuv":
        lower = (((1, 0), "4:2:2"), ((1, 1), "4:2:0"))
        shifts += [pair for pair, _ in lower if pair[0] >= shifts[0][0] and pair[1] >= shifts[0][1]]
    out: list[tuple[PixelFormat, str]] = []
    for alpha in (True, False) if source.alpha else (False,):
        for depth in (source.depth, *(depth for depth in (12, 10, 8) if depth < source.depth)):
            for across, down in dict.fromkeys(shifts):
                wanted = replace(source, alpha=alpha, depth=depth, shift_x=across, shift_y=down)
                lost = [
                    "alpha is dropped" if source.alpha and not alpha else "",
                    f"{source.depth} bits are stored as {depth}" if depth < source.depth else "",
                    "chroma is stored as 4:2:0"
                    if down > source.shift_y
                    else ("chroma is stored as 4:2:2" if across > source.shift_x else ""),
                ]
                out.append((wanted, "; ".join(item for item in lost if item)))
    return out


def _formats(encoder: str, allowed: tuple[str, ...]) -> list[str]:
    """Pixel formats of an encoder, of its profile where that has some of its own."""
    return [name for name in encoder_formats(encoder) if not allowed or name in allowed]


def _nearest(encoder: str, wanted: PixelFormat, frame: Frame, allowed: tuple[str, ...]) -> str | None:
    """The encoder's nearest pixel format that loses nothing of ``wanted``; None if there is none."""
    best: tuple[tuple[int, ...], str] | None = None
    for name in _formats(encoder, allowed):
        score = _distance(layout_of(name), wanted, frame, encoder)
        if score is not None and (best is None or score < best[0]):
            best = score, name
    return best[1] if best else None


def _distance(layout: PixelFormat, wanted: PixelFormat, frame: Frame, encoder: str) -> tuple[int, ...] | None:
    """How far a layout is above the one wanted; None if it would lose something or the encoder refuses it."""
    if layout.kind != wanted.kind and (layout.kind, wanted.kind) != ("yuv", "gray"):
        return None
    if layout.depth < wanted.depth or (wanted.alpha and not layout.alpha):
        return None
    if wanted.kind == "yuv" and (layout.shift_x > wanted.shift_x or layout.shift_y > wanted.shift_y):
        return None
    if encoder not in ANY_SIZE and (
        frame.width % (1 << layout.shift_x) or frame.height % (1 << layout.shift_y)
    ):
        return None
    chroma = abs(wanted.shift_x - layout.shift_x) + abs(wanted.shift_y - layout.shift_y)
    if wanted.kind == "gray":
        chroma = -layout.shift_x - layout.shift_y
    return (layout.kind != wanted.kind, layout.alpha != wanted.alpha, layout.depth - wanted.depth, chroma)


def _plan(
    container: str,
    encoder: str,
    name: str,
    frame: Frame,
    settings: Encoding,
    loss: str,
    codec: Codec | None,
) -> Plan:
    layout = layout_of(name)
    color, remarks = frame.color, [loss] if loss else []
    if frame.format.kind == "rgb" and layout.kind == "yuv":
        primaries = 1 if frame.color.primaries in (1, 2) else frame.color.primaries
        color = replace(frame.color, matrix="bt709", full_range=False, primaries=primaries, space=1)
    elif encoder == "dnxhd" and color.matrix == "bt601":
        color = replace(color, matrix="bt709", space=1, guessed=False)
        remarks.append("the colours are stored by BT.709's matrix; DNxHR does not know that of BT.601")
    elif frame.format.kind == "yuv" and encoder in PLAYED and _more_chroma(layout, frame.format):
        remarks.append(f"{frame.format.name} is stored as {layout.name}, which fewer players show")
    own = codec.options if codec else {}
    options = {**_options(encoder, settings), **own, **dict(_pair(option) for option in settings.options)}
    return Plan(
        container=container,
        encoder=encoder,
        pixel_format=name,
        layout=layout,
        color=color,
        options=options,
        remarks=tuple(remarks),
    )


def _more_chroma(layout: PixelFormat, source: PixelFormat) -> bool:
    return layout.shift_x < source.shift_x or layout.shift_y < source.shift_y


def _pair(option: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals:
        raise ConfigError(f"encoding.options: wanted key=value, got {option!r}")
    return key, value


def _options(encoder: str, settings: Encoding) -> dict[str, str]:
    quality = str(settings.quality if settings.quality is not None else QUALITY.get(encoder, ""))
    if encoder in ("libx264", "libx264rgb"):
        return {"preset": settings.preset, **({"qp": "0"} if settings.lossless else {"crf": quality})}
    if encoder == "libx265":
        more = ":lossless=1" if settings.lossless else ""
        return {"preset": settings.preset, "crf": quality, "x265-params": f"log-level=error{more}"}
    if encoder == "libvpx-vp9":
        speed = str(SPEED.get(settings.preset, 1))
        kept = {"lossless": "1"} if settings.lossless else {"crf": quality, "b": "0"}
        return {"deadline": "good", "cpu-used": str(min(5, int(speed))), "row-mt": "1", **kept}
    if encoder == "libsvtav1":
        return {"crf": quality, "preset": str(min(12, 4 + SPEED.get(settings.preset, 1)))}
    if encoder == "ffv1":
        return {"level": "3", "slicecrc": "1"}  # a damaged frame is noticed
    return {"crf": quality} if settings.quality is not None and encoder in CONSTANT_QUALITY else {}


def space_number(color: ColorTags) -> int:
    """ITU-T H.273 number of the matrix to tag: as the source had it, or the one that was used."""
    return color.space if color.guessed or color.space != 2 else SPACE_OF_MATRIX[color.matrix]

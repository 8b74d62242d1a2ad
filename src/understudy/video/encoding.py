"""How a video is encoded: the settings, and what is chosen from them for a given frame and container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import av
import av.codec
import av.error
import numpy as np

from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.errors import ConfigError, OutputError
from understudy.image.chroma import upsample
from understudy.image.color import quantisation, rect_to_rgb, rgb_to_rect
from understudy.video.layout import SPACE_OF_MATRIX, layout_of, yuv_format

CONTAINERS: Final = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Suffix to FFmpeg's name of the container."""

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
    """FFmpeg's name of the encoder, or auto: libx264 for mp4, mov and mkv, libvpx-vp9 for webm, another where
    these would lose bits."""
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
    names = table[container] if settings.codec == "auto" else (settings.codec,)
    if settings.pixel_format != "auto":
        return _asked(container, names, frame, settings)
    for wanted, loss in _compromises(frame.format, settings):
        for name in names:
            found = _nearest(name, wanted, frame)
            if found:
                return _plan(container, name, found, frame, settings, loss)
    raise OutputError(
        f"{', '.join(names)} cannot store {frame.format.name} frames of {frame.width} × {frame.height} pixels"
        f"{' without loss' if settings.lossless else ''} in {container}; choose another encoder or container "
        "(ffv1 in .mkv stores everything)"
    )


def _asked(container: str, names: tuple[str, ...], frame: Frame, settings: Encoding) -> Plan:
    """The plan for a pixel format that was asked for by name."""
    for name in names:
        if settings.pixel_format in encoder_formats(name):
            layout, source = layout_of(settings.pixel_format), frame.format
            kept = _distance(layout, source, frame, "ffv1") is not None
            loss = "" if kept else f"{source.name} is stored as {layout.name}"
            return _plan(container, name, settings.pixel_format, frame, settings, loss)
    raise ConfigError(
        f"encoding.pixel_format: {', '.join(names)} cannot take {settings.pixel_format!r}; "
        f"it takes {', '.join(name for encoder in names for name in encoder_formats(encoder))}"
    )


def _compromises(source: PixelFormat, settings: Encoding) -> list[tuple[PixelFormat, str]]:
    """Layouts to look for, best first, with what each of them loses."""
    if settings.lossless:
        return [(source, "")]
    out: list[tuple[PixelFormat, str]] = []
    if source.kind == "rgb" and settings.codec == "auto":
        # players want Y'CbCr 4:2:0; whoever wants RGB says so (lossless, or an encoder for it)
        for shift in (1, 0):
            wanted = yuv_format(8 if source.depth == 8 else 10, shift, shift)
            out.append((wanted, f"RGB is stored as Y'CbCr ({wanted.name})"))
        return out
    out.append((source, ""))
    plain = replace(source, alpha=False)
    if source.alpha:
        out.append((plain, "alpha is dropped"))
    out += [
        (replace(plain, depth=depth), f"{source.depth} bits are stored as {depth}")
        for depth in (12, 10, 8)
        if depth < source.depth
    ]
    if source.kind == "rgb":
        out.append((yuv_format(8, 1, 1), "RGB is stored as Y'CbCr"))
        out.append((yuv_format(8, 0, 0), "RGB is stored as Y'CbCr"))
    return out


def encoder_formats(encoder: str) -> list[str]:
    """Pixel formats of an encoder that have a layout of ours.

    Raises:
        ConfigError: there is no such encoder.
    """
    try:
        formats = av.codec.Codec(encoder, "w").video_formats or ()
    except (av.error.FFmpegError, ValueError) as error:
        raise ConfigError(f"encoding.codec: no encoder named {encoder!r} in this FFmpeg") from error
    names = [item.name for item in formats]
    foreign = ("yuvj", "nv", "pal", "mono", "ya", "p0", "p2", "x2")
    return [
        name for name in names if not name.startswith(foreign) and not name.endswith("be") and "f" not in name
    ]


def _nearest(encoder: str, wanted: PixelFormat, frame: Frame) -> str | None:
    """The encoder's nearest pixel format that loses nothing of ``wanted``; None if there is none."""
    best: tuple[tuple[int, ...], str] | None = None
    for name in encoder_formats(encoder):
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


def _plan(container: str, encoder: str, name: str, frame: Frame, settings: Encoding, loss: str) -> Plan:
    layout = layout_of(name)
    color, remarks = frame.color, [loss] if loss else []
    if frame.format.kind == "rgb" and layout.kind == "yuv":
        primaries = 1 if frame.color.primaries in (1, 2) else frame.color.primaries
        color = replace(frame.color, matrix="bt709", full_range=False, primaries=primaries, space=1)
    elif frame.format.kind == "yuv" and _sampling(layout) != _sampling(frame.format):
        remarks.append(f"{frame.format.name} is stored as {layout.name}, which fewer players show")
    options = {**_options(encoder, settings), **dict(_pair(option) for option in settings.options)}
    return Plan(
        container=container,
        encoder=encoder,
        pixel_format=name,
        layout=layout,
        color=color,
        options=options,
        remarks=tuple(remarks),
    )


def _sampling(layout: PixelFormat) -> tuple[int, int]:
    return layout.shift_x, layout.shift_y


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
    return {} if settings.quality is None else {"crf": quality}


# ----------------------------------------------------------------------------------------------- conversion


def converted(frame: Frame, layout: PixelFormat, color: ColorTags) -> Frame:
    """A frame with its samples in another layout.

    More depth and more chroma are exact; from RGB to Y'CbCr the matrix of ``color`` is used.
    """
    source = frame.format
    same = (source.kind, source.depth, source.shift_x, source.shift_y, source.alpha)
    if same == (layout.kind, layout.depth, layout.shift_x, layout.shift_y, layout.alpha):
        return frame
    if source.kind == layout.kind and source.depth <= layout.depth:
        planes = _widened(frame, layout)
    elif source.kind == "gray" and source.depth <= layout.depth:
        luma = _deepened(frame.planes[0], source.depth, layout.depth, color.full_range)
        size = (-(-frame.height >> layout.shift_y), -(-frame.width >> layout.shift_x))
        planes = (luma, *(np.full(size, 1 << (layout.depth - 1), luma.dtype) for _ in range(2)))
    else:
        planes = rgb_to_rect(layout, color, rect_to_rgb(frame, 0, 0, frame.width, frame.height))
    return replace(frame, planes=planes, format=layout, color=color)


def _widened(frame: Frame, layout: PixelFormat) -> tuple[np.ndarray, ...]:
    """Samples with more bits, more chroma, or without alpha."""
    source, full = frame.format, frame.color.full_range
    planes = list(frame.planes)
    if source.kind == "rgb":
        samples = planes[0]
        opaque = np.full((*samples.shape[:2], 1), (1 << source.depth) - 1, samples.dtype)
        if layout.alpha != source.alpha:
            samples = np.concatenate([samples, opaque], axis=2) if layout.alpha else samples[..., :3]
        return (_deepened(samples, source.depth, layout.depth, full_range=True),)
    if source.kind == "yuv" and (source.shift_x, source.shift_y) != (layout.shift_x, layout.shift_y):
        shifts = (source.shift_x - layout.shift_x, source.shift_y - layout.shift_y)
        size = (-(-frame.width >> layout.shift_x), -(-frame.height >> layout.shift_y))
        for channel in (1, 2):
            planes[channel] = np.rint(upsample(planes[channel], *shifts, *size)).astype(planes[0].dtype)
    if source.alpha and not layout.alpha:
        del planes[3]
    elif layout.alpha and not source.alpha and source.kind == "yuv":
        planes.append(np.full_like(planes[0], (1 << source.depth) - 1))
    return tuple(_deepened(plane, source.depth, layout.depth, full) for plane in planes)


def _deepened(samples: np.ndarray, depth: int, wanted: int, full_range: bool) -> np.ndarray:
    """The same signal with more bits."""
    if depth == wanted:
        return np.ascontiguousarray(samples)
    if not full_range:
        return samples.astype(np.uint16) << (wanted - depth)
    scale = quantisation(wanted, True).maximum / quantisation(depth, True).maximum
    return np.rint(samples * scale).astype(np.uint16)


def space_number(color: ColorTags) -> int:
    """ITU-T H.273 number of the matrix to tag: as the source had it, or the one that was used."""
    return color.space if color.guessed or color.space != 2 else SPACE_OF_MATRIX[color.matrix]

"""Sample layouts: what FFmpeg's pixel formats are called here, and copies between its frames and ours.

Planar Y'CbCr and grey keep their planes; every RGB order becomes one interleaved array. What has no array of
ours (nv12, p010, yuyv422, palettes) is repacked by swscale into the nearest layout that loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.format import VideoFormat
from av.video.plane import VideoPlane

from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.errors import VideoError

Planes = tuple[np.ndarray, ...]

RGB_ORDERS: Final = {
    "rgb24": (0, 1, 2),
    "bgr24": (2, 1, 0),
    "rgb0": (0, 1, 2),
    "bgr0": (2, 1, 0),
    "0rgb": (1, 2, 3),
    "0bgr": (3, 2, 1),
    "rgba": (0, 1, 2, 3),
    "bgra": (2, 1, 0, 3),
    "argb": (1, 2, 3, 0),
    "abgr": (3, 2, 1, 0),
    "rgb48le": (0, 1, 2),
    "bgr48le": (2, 1, 0),
    "rgba64le": (0, 1, 2, 3),
    "bgra64le": (2, 1, 0, 3),
}
"""Interleaved formats: which channel is red, green, blue (and alpha)."""

MATRIX_OF_SPACE: Final = {
    0: "rgb",
    1: "bt709",
    4: "bt601",
    5: "bt601",
    6: "bt601",
    7: "bt709",
    9: "bt2020",
    10: "bt2020",
}
"""ITU-T H.273 matrix coefficients to ours; FCC (4) and SMPTE 240M (7) count as their near neighbours."""

SPACE_OF_MATRIX: Final = {"rgb": 0, "bt709": 1, "bt601": 6, "bt2020": 9}

CHANNELS: Final = {name: 4 if "0" in name[:4] or len(order) == 4 else 3 for name, order in RGB_ORDERS.items()}
"""Samples a pixel in memory, padding included."""

_ALL: Final = (8, 9, 10, 12, 14, 16)
YUV_DEPTHS: Final = {"420": _ALL, "422": _ALL, "444": _ALL, "440": (8, 10, 12), "411": (8,), "410": (8,)}
YUVA_DEPTHS: Final = {"420": (8, 9, 10, 16), "422": (8, 9, 10, 12, 16), "444": (8, 9, 10, 12, 16)}
SHIFTS: Final = {"420": (1, 1), "422": (1, 0), "444": (0, 0), "440": (0, 1), "411": (2, 0), "410": (2, 2)}


# ----------------------------------------------------------------------------------------------- formats


@lru_cache(maxsize=256)
def layout_of(name: str) -> PixelFormat:
    """The nearest layout of ours that holds FFmpeg's pixel format ``name`` without loss.

    Raises:
        VideoError: samples are floating point, Bayer mosaics or of more than 16 bits.
    """
    plain = name.replace("yuvj", "yuv", 1)
    native = VideoFormat(plain)
    bits = max(component.bits for component in native.components)
    if native.is_bayer or bits > 16 or "f16" in plain or "f32" in plain or plain.startswith("xyz"):
        raise VideoError(
            f"pixel format {name}: only integer samples of Y'CbCr, RGB or grey of up to 16 bits can be read; "
            "convert the file, to yuv444p16le or rgb48le for instance"
        )
    alpha = any(component.is_alpha for component in native.components) or native.has_palette
    if native.is_rgb or native.has_palette or (alpha and len(native.components) == 2):
        return rgb_format(max(bits, 8), alpha)
    if len(native.components) < 3:
        return gray_format(next(depth for depth in _ALL if depth >= bits))
    shifts = (_log2(64 // native.chroma_width(64)), _log2(64 // native.chroma_height(64)))
    return yuv_format(bits, *shifts, alpha)


def _log2(value: int) -> int:
    return value.bit_length() - 1


def rgb_format(bits: int, alpha: bool) -> PixelFormat:
    """Layout of RGB samples of at least ``bits`` bits."""
    depth = next(depth for depth in ((8, 10, 12, 14, 16) if alpha else _ALL) if depth >= bits)
    if depth == 8:
        name = "rgba" if alpha else "rgb24"
    elif depth == 16:
        name = "rgba64le" if alpha else "rgb48le"
    else:
        name = f"gbr{'a' if alpha else ''}p{depth}le"
    return PixelFormat(name=name, kind="rgb", depth=depth, alpha=alpha)


def gray_format(depth: int) -> PixelFormat:
    """Layout of grey samples."""
    return PixelFormat(name="gray" if depth == 8 else f"gray{depth}le", kind="gray", depth=depth)


def yuv_format(bits: int, shift_x: int, shift_y: int, alpha: bool = False) -> PixelFormat:
    """Layout of planar Y'CbCr of at least ``bits`` bits and at least this much chroma."""
    depths = YUVA_DEPTHS if alpha else YUV_DEPTHS
    for sampling in ("410", "411", "420", "422", "440", "444"):
        x, y = SHIFTS[sampling]
        fits = [depth for depth in depths.get(sampling, ()) if depth >= bits]
        if x <= shift_x and y <= shift_y and fits:
            name = f"yuv{'a' if alpha else ''}{sampling}p" + (f"{fits[0]}le" if fits[0] > 8 else "")
            return PixelFormat(name=name, kind="yuv", depth=fits[0], shift_x=x, shift_y=y, alpha=alpha)
    raise VideoError(f"planar Y'CbCr of {bits} bits: 8 to 16 are supported")


# ------------------------------------------------------------------------------------------ FFmpeg to ours


def _view(plane: VideoPlane, dtype: type[np.uint8 | np.uint16], samples: int = 1) -> np.ndarray:
    """A plane's memory without its padding: (h, w) or (h, w, samples); valid as long as its frame."""
    size = np.dtype(dtype).itemsize
    flat = np.frombuffer(memoryview(cast("Any", plane)), dtype).reshape(plane.height, plane.line_size // size)
    out = flat[:, : plane.width * samples]
    return out.reshape(plane.height, plane.width, samples) if samples > 1 else out


def planes_of(picture: av.VideoFrame) -> tuple[Planes, PixelFormat]:
    """Samples of a decoded picture, copied out, with their layout."""
    name = picture.format.name
    layout = layout_of(name)
    if layout.kind == "rgb":
        packed_by_us = name in RGB_ORDERS or _planar_rgb(name, layout)
    else:
        packed_by_us = name.replace("yuvj", "yuv", 1) == layout.name
    bottom_up = any(plane.line_size < 0 for plane in picture.planes)
    if not packed_by_us or bottom_up:
        picture = _repacked(picture, layout, bottom_up)
        name = picture.format.name
    dtype = np.uint8 if layout.depth == 8 else np.uint16
    if layout.kind != "rgb":
        return tuple(_view(plane, dtype).copy() for plane in picture.planes), layout
    if name in RGB_ORDERS:
        samples = _view(picture.planes[0], dtype, CHANNELS[name])
        return (np.ascontiguousarray(samples[..., RGB_ORDERS[name]]),), layout
    green, blue, red, *alpha = (_view(plane, dtype) for plane in picture.planes)
    return (np.stack([red, green, blue, *alpha], axis=2),), layout


def _repacked(picture: av.VideoFrame, layout: PixelFormat, bottom_up: bool) -> av.VideoFrame:
    """The same samples in the order of ``layout``, top row first."""
    name = layout.name
    if bottom_up and picture.format.name == name:
        if name not in ("rgb24", "rgba"):
            raise VideoError(f"pixel format {name} stored bottom up cannot be read; convert the file")
        name = {"rgb24": "bgr24", "rgba": "bgra"}[name]  # swscale copies only when something changes
    full = layout.kind == "rgb" or picture.color_range == 2 or picture.format.name.startswith("yuvj")
    values = 2 if full else 1
    # only the packing changes: both sides are told the same range
    return picture.reformat(format=name, src_color_range=values, dst_color_range=values)


def _planar_rgb(name: str, layout: PixelFormat) -> bool:
    if not name.startswith("gbr") or (layout.depth > 8 and not name.endswith("le")):
        return False
    return max(component.bits for component in VideoFormat(name).components) == layout.depth


def color_tags(picture: av.VideoFrame, layout: PixelFormat) -> ColorTags:
    """What a decoded picture says about its colours; the matrix is guessed by size where it says nothing.

    Raises:
        VideoError: a matrix that is not supported (YCgCo, ICtCp).
    """
    space = int(picture.colorspace)
    full = int(picture.color_range) == 2 or picture.format.name.startswith("yuvj")
    matrix: str = MATRIX_OF_SPACE.get(space, "")
    guessed = False
    if layout.kind == "rgb":
        matrix, full = "rgb", True
    elif space in (0, 2):
        matrix, guessed = "bt709" if picture.width >= 1280 or picture.height >= 720 else "bt601", True
    elif not matrix:
        raise VideoError(
            f"colour matrix number {space} (ITU-T H.273) is not supported; convert the file to BT.709"
        )
    return ColorTags(
        matrix=cast("Any", matrix),
        full_range=full,
        primaries=int(picture.color_primaries),
        transfer=int(picture.color_trc),
        space=space,
        guessed=guessed,
    )


# ------------------------------------------------------------------------------------------------ rotation


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is turned upright: transposed first, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def degrees(self) -> int:
        """Clockwise rotation, 0, 90, 180 or 270; of a mirrored picture that of its axes."""
        if self.transpose:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_y else 0

    def apply(self, planes: Planes) -> Planes:
        """Upright planes, contiguous."""
        if self == UPRIGHT:
            return planes
        out: list[np.ndarray] = []
        for plane in planes:
            turned = plane.swapaxes(0, 1) if self.transpose else plane
            turned = turned[:, ::-1] if self.mirror_x else turned
            turned = turned[::-1] if self.mirror_y else turned
            out.append(np.ascontiguousarray(turned))
        return tuple(out)

    def layout(self, layout: PixelFormat) -> PixelFormat:
        """The layout of upright planes: 4:2:2 lying on its side is 4:4:0."""
        if not self.transpose or layout.shift_x == layout.shift_y:
            return layout
        return PixelFormat(
            name=layout.name.replace("422", "x").replace("440", "422").replace("x", "440"),
            kind=layout.kind,
            depth=layout.depth,
            shift_x=layout.shift_y,
            shift_y=layout.shift_x,
            alpha=layout.alpha,
        )


UPRIGHT: Final = Orientation()


def orientation_of(picture: av.VideoFrame) -> Orientation:
    """From the display matrix that the decoder attached; to the nearest quarter turn."""
    data = cast("Any", picture.side_data).get(SideDataType.DISPLAYMATRIX)  # the stubs call it a TypedDict
    if data is None:
        return UPRIGHT
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


# ------------------------------------------------------------------------------------------ ours to FFmpeg


def picture_of(frame: Frame, name: str) -> av.VideoFrame:
    """An FFmpeg picture with the samples of a frame.

    Args:
        frame: its layout must be the one of ``name`` (``layout_of(name)``).
        name: FFmpeg's pixel format.
    """
    picture = av.VideoFrame(frame.width, frame.height, name)
    dtype = np.uint8 if frame.format.depth == 8 else np.uint16
    if name in RGB_ORDERS:
        memory = _view(picture.planes[0], dtype, CHANNELS[name])
        if CHANNELS[name] > len(RGB_ORDERS[name]):
            memory[...] = 0
        memory[..., RGB_ORDERS[name]] = frame.planes[0]
        return picture
    planes = frame.planes
    if frame.format.kind == "rgb":
        samples = frame.planes[0]
        planes = tuple(samples[..., channel] for channel in (1, 2, 0, 3)[: samples.shape[2]])
    for plane, samples in zip(picture.planes, planes, strict=True):
        _view(plane, dtype)[...] = samples
    return picture

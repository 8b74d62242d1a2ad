"""Between the samples of a frame and RGB: exact matrices, ranges, depths and chroma positions.

A frame stays as decoded; only the rectangle round a face becomes RGB and only that rectangle is written back.

* Matrices: Y'CbCr of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance); quantisation of ITU-T H.273,
  section 8.3, for any depth from 8 to 16 bits, limited and full range.
* Chroma samples lie where ``image.chroma`` says.
* A ``Plate`` (``image.view``) is looked at, and painted, through its view; so is any frame of floats.
* Rectangles are given in pixels as x0, y0, x1, y1 with even edges (multiples of the chroma subsampling); only
  the frame's own right and bottom edge may be odd.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from understudy.contracts import ColorTags, Frame, PixelFormat
from understudy.errors import ShapeError
from understudy.image.chroma import downsample, upsample
from understudy.image.view import View, float_colors, is_floating, paint_floats, view_of

LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
"""Weights of red and blue in the luma (K_R, K_B); green has the rest."""

UNCHANGED = 2.0**-18
"""A pixel whose channels moved by no more than this counts as not painted: 1/4 of a 16-bit code value."""

Planes = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Quantisation:
    """How a code value stands for a signal: ``code = offset + signal * scale``, chroma about ``middle``."""

    offset: float
    luma_scale: float
    chroma_scale: float
    middle: float
    maximum: int


def quantisation(depth: int, full_range: bool) -> Quantisation:
    """Code values of a signal in [0, 1], or of chroma in [-0.5, 0.5] (ITU-T H.273, equations 20 to 31)."""
    maximum, unit = (1 << depth) - 1, 1 << (depth - 8)
    if full_range:
        return Quantisation(0.0, maximum, maximum, float(1 << (depth - 1)), maximum)
    return Quantisation(16.0 * unit, 219.0 * unit, 224.0 * unit, 128.0 * unit, maximum)


@lru_cache(maxsize=64)
def decoding_matrix(matrix: str, full_range: bool, depth: int) -> np.ndarray:
    """From code values (Y, Cb, Cr, 1) to RGB in [0, 1]: a 3 x 4 matrix, float64."""
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1.0 - red - blue
    q = quantisation(depth, full_range)
    linear = np.array(
        [
            [1.0, 0.0, 2.0 * (1.0 - red)],
            [1.0, -2.0 * (1.0 - blue) * blue / green, -2.0 * (1.0 - red) * red / green],
            [1.0, 2.0 * (1.0 - blue), 0.0],
        ]
    )
    linear = linear / np.array([q.luma_scale, q.chroma_scale, q.chroma_scale])
    shift = -linear @ np.array([q.offset, q.middle, q.middle])
    out = np.column_stack([linear, shift])
    out.setflags(write=False)
    return out


@lru_cache(maxsize=64)
def encoding_matrix(matrix: str, full_range: bool, depth: int) -> np.ndarray:
    """From RGB in [0, 1] and 1 to code values (Y, Cb, Cr), not rounded: a 3 x 4 matrix, float64."""
    forward = decoding_matrix(matrix, full_range, depth)
    linear = np.linalg.inv(forward[:, :3])
    out = np.column_stack([linear, -linear @ forward[:, 3]])
    out.setflags(write=False)
    return out


# ------------------------------------------------------------------------------------------------- rectangles


@dataclass(frozen=True)
class _Window:
    """A rectangle, and the wider one whose chroma its edges depend on."""

    x0: int
    y0: int
    x1: int
    y1: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the rectangle in the wider one."""
        return (
            slice(self.y0 - self.top, self.y1 - self.top),
            slice(self.x0 - self.left, self.x1 - self.left),
        )


def _window(frame: Frame, x0: int, y0: int, x1: int, y1: int) -> _Window:
    step_x, step_y = 1 << frame.format.shift_x, 1 << frame.format.shift_y
    width, height = frame.width, frame.height
    fits = 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    aligned = not (
        x0 % step_x or y0 % step_y or (x1 % step_x and x1 < width) or (y1 % step_y and y1 < height)
    )
    if not (fits and aligned):
        raise ShapeError(
            "rectangle",
            f"x0, y0, x1, y1 inside {width} x {height} pixels, edges divisible by {step_x} and {step_y}",
            (x0, y0, x1, y1),
        )
    if step_x == step_y == 1:
        return _Window(x0, y0, x1, y1, x0, y0, x1, y1)
    # two chroma samples more on every side: the down-sampling filter reaches that far
    return _Window(
        x0,
        y0,
        x1,
        y1,
        max(0, x0 - 2 * step_x),
        max(0, y0 - 2 * step_y),
        min(width, x1 + 2 * step_x),
        min(height, y1 + 2 * step_y),
    )


def _codes(frame: Frame, window: _Window) -> list[np.ndarray]:
    """Y, Cb, Cr code values on every pixel of the wider rectangle: three float32 (h, w)."""
    shift_x, shift_y = frame.format.shift_x, frame.format.shift_y
    height, width = window.bottom - window.top, window.right - window.left
    luma = frame.planes[0][window.top : window.bottom, window.left : window.right]
    rows = slice(window.top >> shift_y, -(-window.bottom >> shift_y))
    columns = slice(window.left >> shift_x, -(-window.right >> shift_x))
    chroma = [
        upsample(frame.planes[channel][rows, columns], shift_x, shift_y, width, height) for channel in (1, 2)
    ]
    return [luma.astype(np.float32), *chroma]


def _raw_rgb(frame: Frame, window: _Window) -> np.ndarray:
    """RGB of the wider rectangle, not clipped: float32 (h, w, 3)."""
    depth, full = frame.format.depth, frame.color.full_range
    if frame.format.kind == "yuv":
        return cv2.transform(
            cv2.merge(_codes(frame, window)), decoding_matrix(frame.color.matrix, full, depth)
        )
    part = frame.planes[0][window.top : window.bottom, window.left : window.right]
    if is_floating(frame.format):
        return (
            np.repeat(part[..., None], 3, axis=2).astype(np.float32)
            if part.ndim == 2
            else float_colors(frame, part)
        )
    if frame.format.kind == "gray":
        q = quantisation(depth, full)
        gray = (part.astype(np.float32) - np.float32(q.offset)) * np.float32(1.0 / q.luma_scale)
        return np.repeat(gray[..., None], 3, axis=2)
    return part[..., :3].astype(np.float32) * np.float32(1.0 / ((1 << depth) - 1))


def raw_rect(frame: Frame, x0: int, y0: int, x1: int, y1: int) -> Float32[np.ndarray, "h w 3"]:
    """A rectangle of a frame as RGB without its view, not clipped; see ``rect_to_rgb`` for the arguments."""
    window = _window(frame, x0, y0, x1, y1)
    return np.ascontiguousarray(_raw_rgb(frame, window)[window.inside])


def seen_rect(frame: Frame, x0: int, y0: int, x1: int, y1: int) -> Float32[np.ndarray, "h w 3"]:
    """A rectangle of a frame through its view, not clipped; see ``rect_to_rgb`` for the arguments."""
    rgb, view = raw_rect(frame, x0, y0, x1, y1), view_of(frame)
    return view.show(rgb) if view else rgb


def rect_to_rgb(frame: Frame, x0: int, y0: int, x1: int, y1: int) -> Float32[np.ndarray, "h w 3"]:
    """A rectangle of a frame as RGB.

    Args:
        frame: any kind of frame; alpha is left out.
        x0: left edge, divisible by the horizontal chroma step (2 for 4:2:0 and 4:2:2).
        y0: top edge, divisible by the vertical chroma step.
        x1: right edge, exclusive; divisible likewise or the frame's own edge.
        y1: bottom edge, exclusive; likewise.

    Returns:
        (y1 - y0, x1 - x0, 3) in [0, 1].

    Raises:
        ShapeError: the rectangle leaves the frame or is not aligned.
    """
    return np.clip(seen_rect(frame, x0, y0, x1, y1), 0.0, 1.0)


def _store(values: np.ndarray, depth: int) -> np.ndarray:
    """Rounded and clipped to the code values of that depth, in its sample type."""
    rounded = np.rint(values)
    np.clip(rounded, 0, (1 << depth) - 1, out=rounded)
    return rounded.astype(np.uint8 if depth == 8 else np.uint16)


def rgb_to_rect(format: PixelFormat, color: ColorTags, rgb: Float32[np.ndarray, "h w 3"]) -> Planes:
    """Samples of a picture that is given as RGB in [0, 1]; alpha, where the format has it, is opaque.

    Args:
        format: layout and depth wanted.
        color: matrix and range wanted.
        rgb: the whole picture, or a rectangle that begins on a chroma sample.
    """
    depth, height, width = format.depth, rgb.shape[0], rgb.shape[1]
    maximum = (1 << depth) - 1
    if format.kind == "rgb":
        out = _store(rgb * np.float32(maximum), depth)
        if format.alpha:
            out = np.concatenate([out, np.full((height, width, 1), maximum, out.dtype)], axis=2)
        return (out,)
    luma, *chroma = cv2.split(cv2.transform(rgb, _painting_matrix(format, color)))
    planes = [_store(luma, depth)]
    planes += [_store(downsample(channel, format.shift_x, format.shift_y), depth) for channel in chroma]
    if format.alpha:
        planes.append(np.full_like(planes[0], maximum))
    return tuple(planes)


def _painting_matrix(format: PixelFormat, color: ColorTags) -> np.ndarray:
    """``encoding_matrix`` for this format; one row where there is only luma."""
    if format.kind == "gray":
        matrix = color.matrix if color.matrix in LUMA_WEIGHTS else "bt709"
        return encoding_matrix(matrix, color.full_range, format.depth)[:1]
    return encoding_matrix(color.matrix, color.full_range, format.depth)


def paste_rect(frame: Frame, x0: int, y0: int, rgb: Float32[np.ndarray, "h w 3"]) -> Frame:
    """A new frame with a picture painted on it.

    Samples outside the rectangle are bit-equal, and so are those inside whose pixels (for chroma: all pixels
    that they depend on) were given back as ``rect_to_rgb`` had them; alpha stays.

    Args:
        frame: the plate; not altered.
        x0: left edge of the rectangle, aligned as for ``rect_to_rgb``.
        y0: top edge.
        rgb: what to paint, in [0, 1].
    """
    window = _window(frame, x0, y0, x0 + rgb.shape[1], y0 + rgb.shape[0])
    rgb, view = np.ascontiguousarray(rgb), view_of(frame)
    if view and is_floating(frame.format):
        seen = np.clip(seen_rect(frame, x0, y0, window.x1, window.y1), 0.0, 1.0)
        painted = np.asarray(np.abs(rgb - seen) > UNCHANGED).any(axis=2)
        return paint_floats(frame, x0, y0, view.undo(rgb), np.asarray(painted))
    if view:
        rgb = view.undo(rgb)
    depth, yuv = frame.format.depth, frame.format.kind == "yuv"
    old = _codes(frame, window) if yuv else []
    if yuv:
        plate = cv2.transform(
            cv2.merge(old), decoding_matrix(frame.color.matrix, frame.color.full_range, depth)
        )
    else:
        plate = _raw_rgb(frame, window)
    # Where a pixel was painted, the plate's colour does not count, out-of-gamut values included; where it was
    # not, the difference is exactly zero.
    difference = cv2.subtract(rgb, np.clip(plate[window.inside], 0.0, 1.0))
    painted = cv2.bitwise_not(cv2.inRange(difference, (-UNCHANGED,) * 3, (UNCHANGED,) * 3))

    planes = [plane.copy() for plane in frame.planes]
    rectangle = planes[0][window.y0 : window.y1, window.x0 : window.x1]
    if frame.format.kind == "rgb":
        np.copyto(
            rectangle[..., :3],
            _store(rgb * np.float32((1 << depth) - 1), depth),
            where=painted[..., None] > 0,
        )
        return replace(frame, planes=tuple(planes))
    luma, *chroma = cv2.split(cv2.transform(rgb, _painting_matrix(frame.format, frame.color)))
    np.copyto(rectangle, _store(luma, depth), where=painted > 0)
    for channel, codes in enumerate(chroma, start=1):
        _paste_chroma(frame.format, window, planes[channel], old[channel], codes, painted)
    return replace(frame, planes=tuple(planes))


def _paste_chroma(
    format: PixelFormat,
    window: _Window,
    plane: np.ndarray,
    old: np.ndarray,
    codes: np.ndarray,
    painted: np.ndarray,
) -> None:
    """Adds the down-sampled change of one chroma channel to the rectangle's samples, in place.

    Args:
        format: of the frame.
        window: the rectangle.
        plane: samples of the whole frame; altered.
        old: the plate's code values on every pixel of the wider rectangle.
        codes: the painting's on every pixel of the rectangle.
        painted: uint8, not 0 where a pixel was painted.
    """
    shift_x, shift_y = format.shift_x, format.shift_y
    rows = slice(window.y0 >> shift_y, -(-window.y1 >> shift_y))
    columns = slice(window.x0 >> shift_x, -(-window.x1 >> shift_x))
    top, left = (window.y0 - window.top) >> shift_y, (window.x0 - window.left) >> shift_x
    change = np.zeros(old.shape, np.float32)
    change[window.inside] = cv2.copyTo(cv2.subtract(codes, old[window.inside]), painted)
    small = downsample(change, shift_x, shift_y)
    small = small[top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]
    plane[rows, columns] = _store(plane[rows, columns] + small, format.depth)


# ----------------------------------------------------------------------------------------------- whole frames


def frame_to_rgb8(frame: Frame, max_side: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """A frame as 8-bit RGB for detectors and previews: the planes are shrunk first, then converted.

    Chroma is taken as centred here, half a pixel off at most; use ``rect_to_rgb`` where a face is painted.

    Args:
        frame: any kind of frame.
        max_side: longest side of the result in pixels; None or more than the frame has: full size.
    """
    width, height = frame.width, frame.height
    scale = min(1.0, max_side / max(width, height)) if max_side else 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    kind, depth = frame.format.kind, frame.format.depth
    if view := view_of(frame):
        return _seen_rgb8(frame, view, size)
    if kind == "rgb":
        return np.ascontiguousarray(
            _to_depth8(_resized(frame.planes[0], size), depth, 255.0 / ((1 << depth) - 1))[..., :3]
        )
    small = [_to_depth8(_resized(plane, size), depth) for plane in frame.planes[: 3 if kind == "yuv" else 1]]
    if kind == "gray":
        q = quantisation(8, frame.color.full_range)
        table = np.clip((np.arange(256) - q.offset) * (255.0 / q.luma_scale), 0.0, 255.0)
        return cv2.cvtColor(cv2.LUT(small[0], np.rint(table).astype(np.uint8)), cv2.COLOR_GRAY2RGB)
    matrix = decoding_matrix(frame.color.matrix, frame.color.full_range, 8)
    return cv2.transform(cv2.merge(small), matrix * 255.0)


def _seen_rgb8(frame: Frame, view: View, size: tuple[int, int]) -> np.ndarray:
    """Shrunk in the file's own values, then looked at through the view."""
    rgb = _resized(raw_rect(frame, 0, 0, frame.width, frame.height), size)
    return np.rint(np.clip(view.show(rgb), 0.0, 1.0) * 255.0).astype(np.uint8)


def _resized(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (plane.shape[1], plane.shape[0]) == size:
        return plane
    shrinks = plane.shape[1] >= size[0] and plane.shape[0] >= size[1]
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _to_depth8(plane: np.ndarray, depth: int, factor: float | None = None) -> np.ndarray:
    """8-bit code values; limited-range codes scale by powers of two, full-range RGB by ``factor``."""
    if depth == 8:
        return plane
    return cv2.convertScaleAbs(plane, alpha=factor or 1.0 / (1 << (depth - 8)))

"""Cut a turned square out of a picture and put it back, without aliasing.

Matrices map frame pixels to crop pixels, (x, y) with (0, 0) the outer corner of the first pixel. Where pixels
get smaller the picture is filtered first: averaged over whole pixels while it is more than twice too large,
then blurred for the rest; where they get larger the interpolation is cubic. Integer pictures are rounded to
their own type, float pictures may overshoot by a few per cent at hard edges, as cubic interpolation does.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from jaxtyping import Float, Float32

from understudy.contracts import Frame, PixelFormat
from understudy.errors import ShapeError
from understudy.image.color import decoding_matrix, quantisation, seen_rect
from understudy.image.geometry import compose, invert, to_opencv, transform_points
from understudy.image.view import view_of

Rect = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels; x1 and y1 are the first that no longer belong to it."""

Picture = TypeVar("Picture", bound=np.ndarray)

_BORDERS = {"replicate": cv2.BORDER_REPLICATE, "zero": cv2.BORDER_CONSTANT}
_BLUR = 0.5
"""Standard deviation of the filter before shrinking r times is ``_BLUR * sqrt(r² - 1)`` pixels: at the new
Nyquist frequency 0.4 is left for r = 2, enough that neither stairs nor softness are seen."""


def crop(picture: Picture, matrix: Float[np.ndarray, "2 3"], size: int) -> Picture:
    """The square part of a picture that a matrix frames.

    Args:
        picture: ``(h, w)`` or ``(h, w, c)`` of uint8, uint16 or float32.
        matrix: picture pixels to crop pixels.
        size: side of the crop, pixels.

    Returns:
        ``(size, size)`` or ``(size, size, c)`` of the same type; beyond the picture its last pixels repeat.
    """
    return warp(picture, invert(matrix), (size, size), "replicate")


def crop_frame(
    frame: Frame, matrix: Float[np.ndarray, "2 3"], size: int
) -> Float32[np.ndarray, "3 {size} {size}"]:
    """The square part of a frame that a matrix frames, as RGB.

    Args:
        frame: any kind of frame; alpha is left out.
        matrix: frame pixels to crop pixels.
        size: side of the crop, pixels.

    Returns:
        ``(3, size, size)`` in [0, 1]; beyond the frame its last pixels repeat.
    """
    back, shape = invert(matrix), (size, size)
    if view_of(frame):
        out = _crop_seen(frame, back, shape)
        return np.clip(out, 0.0, 1.0, out=out)
    if frame.format.kind == "rgb":
        channels = [warp_plane(frame.planes[0][..., channel], back, shape) for channel in range(3)]
        out = np.stack(channels) * np.float32(1.0 / ((1 << frame.format.depth) - 1))
    elif frame.format.kind == "gray":
        q = quantisation(frame.format.depth, frame.color.full_range)
        luma = warp_plane(frame.planes[0], back, shape)
        out = np.stack([(luma - np.float32(q.offset)) * np.float32(1.0 / q.luma_scale)] * 3)
    else:
        to_chroma = compose(chroma_matrix(frame.format), back)
        codes = [warp_plane(frame.planes[0], back, shape)]
        codes += [warp_plane(frame.planes[channel], to_chroma, shape) for channel in (1, 2)]
        decoding = decoding_matrix(frame.color.matrix, frame.color.full_range, frame.format.depth)
        out = np.ascontiguousarray(np.moveaxis(cv2.transform(cv2.merge(codes), decoding), -1, 0))
    return np.clip(out, 0.0, 1.0, out=out)


def _crop_seen(frame: Frame, back: Float[np.ndarray, "2 3"], shape: tuple[int, int]) -> np.ndarray:
    """A crop through the frame's view: looked at first, so that a highlight does not ring in the warp."""
    ratio = math.sqrt(abs(float(np.linalg.det(np.asarray(back[:, :2], np.float64)))))
    step_x, step_y = 1 << frame.format.shift_x, 1 << frame.format.shift_y
    margin = 16 + 4 * math.ceil(ratio)  # more than any filter of ``_warp`` reaches
    x0, y0, x1, y1 = _area_read(back, shape, (frame.height, frame.width), margin)
    x0, y0 = x0 // step_x * step_x, y0 // step_y * step_y
    x1, y1 = min(frame.width, -(-x1 // step_x) * step_x), min(frame.height, -(-y1 // step_y) * step_y)
    into = np.array([[1.0, 0.0, -x0], [0.0, 1.0, -y0]])
    out = warp(seen_rect(frame, x0, y0, x1, y1), compose(into, back), shape, "replicate")
    return np.ascontiguousarray(np.moveaxis(out, -1, 0))


def uncrop(square: Picture, matrix: Float[np.ndarray, "2 3"], rect: Rect) -> Picture:
    """A crop laid back where it came from.

    Args:
        square: ``(s, s)`` or ``(s, s, c)`` of uint8, uint16 or float32.
        matrix: frame pixels to crop pixels, as for ``crop``.
        rect: the part of the frame that is wanted.

    Returns:
        The rectangle's pixels, 0 where the crop does not reach.
    """
    x0, y0, x1, y1 = rect
    shifted = compose(matrix, np.array([[1.0, 0.0, x0], [0.0, 1.0, y0]]))
    return warp(square, shifted, (y1 - y0, x1 - x0), "zero")


def warp(
    picture: Picture,
    back: Float[np.ndarray, "2 3"],
    shape: tuple[int, int],
    border: Literal["replicate", "zero"],
) -> Picture:
    """An affine warp that filters before it shrinks.

    Args:
        picture: ``(h, w)`` or ``(h, w, c)`` of uint8, uint16 or float32.
        back: pixels of the result to pixels of the picture.
        shape: height and width of the result.
        border: what lies beyond the picture, its last pixels or nothing.
    """
    if picture.ndim not in (2, 3) or 0 in picture.shape:
        raise ShapeError("picture", "(h, w) or (h, w, c), not empty", picture.shape)
    return _warp(picture, back, shape, border, picture.dtype)  # pyright: ignore[reportReturnType]


def warp_plane(
    plane: np.ndarray, back: Float[np.ndarray, "2 3"], shape: tuple[int, int]
) -> Float32[np.ndarray, "_ _"]:
    """``warp`` of one plane of a frame, not rounded to its code values; the plane's last pixels repeat."""
    return _warp(plane, back, shape, "replicate", np.dtype(np.float32))


def chroma_matrix(format: PixelFormat) -> np.ndarray:
    """Frame pixels to samples of a chroma plane, on the left luma sample of a pair and between the rows."""
    x, y = 1.0 / (1 << format.shift_x), 1.0 / (1 << format.shift_y)
    return np.array([[x, 0.0, 0.5 - 0.5 * x], [0.0, y, 0.0]])


def _warp(
    picture: np.ndarray,
    back: Float[np.ndarray, "2 3"],
    shape: tuple[int, int],
    border: Literal["replicate", "zero"],
    kind: np.dtype[Any],
) -> np.ndarray:
    ratio = math.sqrt(abs(float(np.linalg.det(np.asarray(back[:, :2], np.float64)))))
    whole = max(1, int(ratio / 2.0))
    rest = ratio / whole
    sigma = _BLUR * math.sqrt(rest * rest - 1.0) if rest > 1.01 else 0.0
    margin = whole * (4 + math.ceil(4.0 * sigma))
    x0, y0, x1, y1 = _area_read(back, shape, picture.shape, margin)
    part = picture[y0:y1, x0:x1].astype(kind, copy=False)
    if whole > 1:
        low, right = -part.shape[0] % whole, -part.shape[1] % whole
        if low or right:
            part = cv2.copyMakeBorder(part, 0, low, 0, right, _BORDERS[border])
        small = (part.shape[1] // whole, part.shape[0] // whole)
        part = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
    if sigma:
        taps = 2 * math.ceil(3.0 * sigma) + 1
        part = cv2.GaussianBlur(part, (taps, taps), sigma, borderType=_BORDERS[border])
    into = np.array([[1.0 / whole, 0.0, -x0 / whole], [0.0, 1.0 / whole, -y0 / whole]])
    out = cv2.warpAffine(
        part,
        to_opencv(compose(into, back)),
        (shape[1], shape[0]),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=_BORDERS[border],
    )
    return out.reshape(*shape, *picture.shape[2:])


def _area_read(
    back: Float[np.ndarray, "2 3"], shape: tuple[int, int], limits: tuple[Any, ...], margin: int
) -> Rect:
    """The rectangle of a picture that a warp reads, at least one pixel of it."""
    height, width = shape
    corners = np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
    reached = transform_points(back, corners)
    low = np.floor(reached.min(0)).astype(int) - margin
    high = np.ceil(reached.max(0)).astype(int) + margin
    x0, y0 = (int(np.clip(low[axis], 0, limits[1 - axis] - 1)) for axis in (0, 1))
    x1, y1 = (int(np.clip(high[axis], (x0, y0)[axis] + 1, limits[1 - axis])) for axis in (0, 1))
    return x0, y0, x1, y1

"""Lay a crop over a frame, in the frame's own planes.

The crop becomes the frame's colour model, each plane is mixed by a matrix of its own that knows where its
samples lie, and the plate's own samples are never interpolated: what the mask does not reach stays
bit-equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float, Float32

from understudy.contracts import Frame, PixelFormat
from understudy.image.color import (
    LUMA_WEIGHTS,
    encoding_matrix,
    paste_rect,
    raw_rect,
    seen_rect,
)
from understudy.image.geometry import compose, invert, transform_points
from understudy.image.view import Plate, View, is_floating, paint_floats, view_of
from understudy.image.warp import Rect, chroma_matrix, uncrop


def paste_crop(
    frame: Frame,
    colors: Float32[np.ndarray, "3 s s"],
    alpha: Float32[np.ndarray, "s s"],
    matrix: Float[np.ndarray, "2 3"],
) -> Frame:
    """A new frame with a crop laid over it.

    A sample becomes ``(1 - alpha) * sample + color``, with alpha and colours brought into the frame by one
    and the same interpolation, so a flat colour stays that colour whatever the mask.

    Args:
        frame: the plate; not altered.
        colors: RGB times alpha ("premultiplied"), in [0, 1].
        alpha: share of the crop, [0, 1].
        matrix: frame pixels to crop pixels, as for ``crop_frame``.
    """
    rect = reach(frame, alpha, matrix)
    if rect is None:
        return frame
    if view := view_of(frame):
        return _paste_seen(frame, view, colors, alpha, matrix, rect)
    planes = [plane.copy() for plane in frame.planes]
    maximum = (1 << frame.format.depth) - 1
    if frame.format.kind == "rgb":
        layers = [color * np.float32(maximum) for color in colors]
        _lay([planes[0][..., channel] for channel in range(3)], layers, alpha, matrix, rect, maximum)
        return replace(frame, planes=tuple(planes))
    codes = cv2.split(cv2.transform(cv2.merge([*colors, alpha]), _encoding(frame)))
    _lay(planes[:1], codes[:1], alpha, matrix, rect, maximum)
    if frame.format.kind == "yuv":
        to_luma = invert(chroma_matrix(frame.format))
        _lay(
            planes[1:3], codes[1:], alpha, compose(matrix, to_luma), _chroma_rect(frame.format, rect), maximum
        )
    return replace(frame, planes=tuple(planes))


def patch_of(
    frame: Frame,
    colors: Float32[np.ndarray, "3 s s"],
    alpha: Float32[np.ndarray, "s s"],
    matrix: Float[np.ndarray, "2 3"],
) -> tuple[Rect, Float32[np.ndarray, "h w 4"]] | None:
    """What ``paste_crop`` lays over a frame, for a compositor to lay over it by hand.

    In the frame's own values, without its view: ``(1 - alpha) * frame + patch`` is the pasted frame, before
    it is rounded to code values and its chroma to fewer samples.

    Args:
        frame: the plate.
        colors: as for ``paste_crop``.
        alpha: as for ``paste_crop``.
        matrix: as for ``paste_crop``.

    Returns:
        The rectangle, and its pixels' colours times alpha, and alpha; None where the mask is empty.
    """
    rect = reach(frame, alpha, matrix)
    if rect is None:
        return None
    layer = uncrop(np.moveaxis(np.concatenate([colors, alpha[None]]), 0, -1), matrix, rect)
    if view := view_of(frame):
        through, touched = 1.0 - layer[..., 3:], (layer != 0.0).any(axis=2, keepdims=True)
        painted = view.undo(seen_rect(frame, *rect) * through + layer[..., :3])
        rgb = painted - through * raw_rect(frame, *rect)
        if frame.format.alpha and isinstance(frame, Plate) and frame.premultiplied:
            x0, y0, x1, y1 = rect
            rgb *= frame.planes[0][y0:y1, x0:x1, 3:].astype(np.float32)
        layer = np.concatenate([np.where(touched, rgb, 0.0), layer[..., 3:]], axis=2)
    return rect, np.ascontiguousarray(layer, np.float32)


def reach(frame: Frame, alpha: Float32[np.ndarray, "s s"], matrix: Float[np.ndarray, "2 3"]) -> Rect | None:
    """The rectangle of a frame that ``paste_crop`` may change; None when that is nothing.

    Its edges fall between chroma samples, except on the frame's own right and bottom edge.
    """
    rows, columns = (np.flatnonzero(alpha.any(axis=axis)) for axis in (1, 0))
    if len(rows) == 0:
        return None
    low = np.array([columns[0], rows[0]], np.float64) - 3.0  # the interpolation reaches two pixels further
    high = np.array([columns[-1], rows[-1]], np.float64) + 4.0
    corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    reached = transform_points(invert(matrix), corners)
    out: list[int] = []
    for axis, (limit, shift) in enumerate(
        ((frame.width, frame.format.shift_x), (frame.height, frame.format.shift_y))
    ):
        step = 1 << shift
        margin = 6 * step  # of the filter before shrinking, at its widest
        first = int(np.floor(reached[:, axis].min() - margin)) // step * step
        last = -int(-np.ceil(reached[:, axis].max() + margin) // step) * step
        out += [max(0, first), min(limit, last)]
    x0, x1, y0, y1 = out
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _paste_seen(
    frame: Frame, view: View, colors: np.ndarray, alpha: np.ndarray, matrix: np.ndarray, rect: Rect
) -> Frame:
    """``paste_crop`` through the frame's view: mixed as the network saw it, then taken back."""
    layer = uncrop(np.moveaxis(np.concatenate([colors, alpha[None]]), 0, -1), matrix, rect)
    mixed = seen_rect(frame, *rect)
    touched = (layer != 0.0).any(axis=2)
    mixed *= 1.0 - layer[..., 3:]
    mixed += layer[..., :3]
    if is_floating(frame.format):
        return paint_floats(frame, rect[0], rect[1], view.undo(mixed), touched)
    np.clip(mixed, 0.0, 1.0, out=mixed)
    kept = np.clip(seen_rect(frame, *rect), 0.0, 1.0)
    return paste_rect(frame, rect[0], rect[1], np.where(touched[..., None], mixed, kept))


def _chroma_rect(format: PixelFormat, rect: Rect) -> Rect:
    x0, y0, x1, y1 = rect
    return (
        x0 >> format.shift_x,
        y0 >> format.shift_y,
        -(-x1 >> format.shift_x),
        -(-y1 >> format.shift_y),
    )


def _encoding(frame: Frame) -> np.ndarray:
    """From premultiplied RGB and alpha to premultiplied code values."""
    gray = frame.format.kind == "gray"
    name = "bt709" if gray and frame.color.matrix not in LUMA_WEIGHTS else frame.color.matrix
    return encoding_matrix(name, frame.color.full_range, frame.format.depth)[: 1 if gray else 3]


def _lay(
    planes: Sequence[np.ndarray],
    layers: Sequence[np.ndarray],
    alpha: np.ndarray,
    matrix: np.ndarray,
    rect: Rect,
    maximum: int,
) -> None:
    """Mix layers in crop space over planes that share their sample positions, in place."""
    x0, y0, x1, y1 = rect
    through = 1.0 - uncrop(alpha, matrix, rect)
    for plane, layer in zip(planes, layers, strict=True):
        part = plane[y0:y1, x0:x1]
        mixed = part * through
        mixed += uncrop(layer, matrix, rect)
        np.rint(mixed, out=mixed)
        part[...] = np.clip(mixed, 0, maximum, out=mixed)

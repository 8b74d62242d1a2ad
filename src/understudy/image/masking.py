"""The luma of a frame on a small square, what can be hidden where in it, and adding to the luma of a frame.

Luma is counted in 219ths of the way from black to white, as the code values of 8-bit limited range are,
whatever the depth and range of the frame: a change of 1 is about the smallest that a screen shows.

The eye's tolerance is modelled by two things that cost little: it grows with the detail round a place (a
weighted sum of squares, as in Watson 1993, "DCT quantization matrices visually optimized for individual
images", with the exponent lowered to a square root), taken from the quieter side of an edge; and nothing is
added where luma is at its limits, since a clean black bar forgives nothing.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float32

from understudy.contracts import Frame
from understudy.image.color import LUMA_WEIGHTS, quantisation

FINE = 2
"""How many times finer than the square the detail is looked at."""
FLOOR, DETAIL = 0.5, 8.0
"""Tolerance of a plane surface, and standard deviation of luma that adds 1 to it; before the square root."""
HIGHEST = 1.8
"""Largest tolerance: beyond it, detail would hide more than the mark needs."""
_ZERO, _STEPS = (
    128,
    67,
)  # of a change in 8 bits: cubics overshoot by up to 1.375 each way, and 1.375² x 67 < 128
_DARK, _BRIGHT = (2.0, 26.0), (205.0, 219.0)  # where the tolerance rises from 0, and falls back to it


def _shrink(plane: np.ndarray, width: int, height: int) -> Float32[np.ndarray, "h w *c"]:
    """Resized by means where it gets smaller and by cubics where it gets larger, each axis for itself."""
    area, linear = cv2.INTER_AREA, cv2.INTER_LINEAR
    while _halves(plane.shape[1], 2 * width) and _halves(plane.shape[0], 2 * height):
        # by whole numbers OpenCV is ten times as fast; what this rounds, the next step averages over 2 x 2
        plane = cv2.resize(plane, (plane.shape[1] // 2, plane.shape[0] // 2), interpolation=area)
    plane = plane.astype(np.float32)
    while (across := _halves(plane.shape[1], width)) | (down := _halves(plane.shape[0], height)):
        half = (plane.shape[1] >> across, plane.shape[0] >> down)
        plane = cv2.resize(plane, half, interpolation=area if across and down else linear)
    if width <= plane.shape[1] < 2 * width and height <= plane.shape[0] < 2 * height:
        # no pixel is passed over yet, and it takes a tenth of the time that areas take
        return cv2.resize(plane, (width, height), interpolation=linear)
    if plane.shape[1] < width:
        plane = cv2.resize(plane, (width, plane.shape[0]), interpolation=cv2.INTER_CUBIC)
    if plane.shape[0] < height:
        plane = cv2.resize(plane, (plane.shape[1], height), interpolation=cv2.INTER_CUBIC)
    return cv2.resize(plane, (width, height), interpolation=area)


def _halves(side: int, wanted: int) -> bool:
    return side % 2 == 0 and side >= 2 * wanted


def small_luma(frame: Frame, width: int, height: int) -> Float32[np.ndarray, "h w"]:
    """The frame's luma, resized, in units of 1/219 from black to white.

    Args:
        frame: any layout and depth; alpha is left out.
        width: columns wanted.
        height: rows wanted.
    """
    small = _shrink(frame.planes[0], width, height)
    full = frame.format.kind == "rgb" or frame.color.full_range
    levels = quantisation(frame.format.depth, full)
    if frame.format.kind == "rgb":
        small = small[..., :3] @ _weights(frame)
    return (small - np.float32(levels.offset)) * np.float32(219.0 / levels.luma_scale)


def _weights(frame: Frame) -> np.ndarray:
    red, blue = LUMA_WEIGHTS.get(frame.color.matrix, LUMA_WEIGHTS["bt709"])
    return np.array([red, 1.0 - red - blue, blue], np.float32)


def halve(fine: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h2 w2"]:
    """Means of two by two."""
    return cv2.resize(fine, (fine.shape[1] // 2, fine.shape[0] // 2), interpolation=cv2.INTER_AREA)


def tolerance(fine: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h2 w2"]:
    """How much more can be hidden at each place than on a plane surface of middle grey, about 0 to 1.8.

    Args:
        fine: luma, ``FINE`` times as fine as the result.
    """
    mean = cv2.GaussianBlur(fine, (9, 9), 1.5)
    spread = cv2.GaussianBlur(halve((fine - mean) ** 2), (0, 0), 0.79)  # together as wide as a blur of 1.5
    detail = cv2.erode(np.sqrt(spread), np.ones((3, 3), np.uint8))
    detail = cv2.GaussianBlur(detail, (0, 0), 1.0)
    mean = halve(mean)
    clear = _ramp(mean, *_DARK) * (1.0 - _ramp(mean, *_BRIGHT))
    return np.minimum(np.sqrt(FLOOR + detail / DETAIL), HIGHEST) * clear


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    part = np.clip((values - low) / (high - low), 0.0, 1.0)
    return part * part * (3.0 - 2.0 * part)


def add_to_luma(frame: Frame, change: Float32[np.ndarray, "s s"]) -> Frame:
    """The frame with its luma changed; chroma, alpha and everything else stay as they are.

    The change is stretched in 8 bits, in steps of ``_STEPS`` to its largest value, since that is three times
    as fast as with floats: what the steps lose is far less than what rounding to samples loses.

    Args:
        frame: any layout and depth. Of RGB frames all three channels change alike, which is a change of luma.
        change: in units of 1/219; stretched over the frame.
    """
    peak = float(np.abs(change).max())
    if peak == 0.0:
        return frame
    samples = frame.planes[0]
    full = frame.format.kind == "rgb" or frame.color.full_range
    levels = quantisation(frame.format.depth, full)
    steps = np.rint(change * np.float32(_STEPS / peak)) + np.float32(_ZERO)
    wide = cv2.resize(steps.astype(np.uint8), (frame.width, frame.height), interpolation=cv2.INTER_CUBIC)
    if samples.ndim == 3:
        still = [np.full_like(wide, _ZERO)] if frame.format.alpha else []
        wide = cv2.merge([wide, wide, wide, *still])
    unit = peak / _STEPS * levels.luma_scale / 219.0
    out = cv2.addWeighted(samples, 1.0, wide.astype(samples.dtype, copy=False), unit, -unit * _ZERO)
    if frame.format.depth not in (8, 16):
        cv2.threshold(out, levels.maximum, 0, cv2.THRESH_TRUNC, dst=out)
    return dataclasses.replace(frame, planes=(out, *frame.planes[1:]))

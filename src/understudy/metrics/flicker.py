"""How much more a swapped face flickers than the face it replaces.

The warping error of Lai et al. 2018, "Learning blind video temporal consistency", section 4.3: the frame
before is brought onto this one along the optical flow and compared with it where the flow can be trusted.
The flow is the **target's** (DIS: Kroeger et al. 2016, "Fast optical flow using dense inverse search"): the
swapped face must move as the target's does. What the target itself fails by (noise, changing light, errors
of the flow) is taken off, so that 0 means as steady as the footage.

Frames are compared in the crop of each one's own alignment: the head's large movement is gone before the
flow looks. Errors are mean absolute differences of R'G'B' of a range of 1.

Rank correlation with jumps of brightness 1.00, with a trembling face 1.00 (ten pairs of performers,
``benchmarks/metrics.py``). Blind spot: a face that is blurred (−1.00) or does not move (−0.83) flickers
less than the exact swap; read it beside sharpness and expression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32

from understudy.contracts import Face, Frame
from understudy.errors import ConfigError
from understudy.image.draw import hull_mask
from understudy.image.warp import crop_frame

SIDE = 128
"""Of the crops, pixels."""
_SMALLEST = 32
"""Side of a crop below which DIS has nothing to look at, pixels."""
_FEWEST = 64.0
"""Trusted pixels of a face below which a pair of frames says nothing."""


@dataclass(frozen=True, kw_only=True)
class PairFlicker:
    """One frame against the one before."""

    swapped: float
    """Warping error of the swapped face, [0, 1]."""
    target: float
    """Warping error of the target's face, [0, 1]."""
    brightness: float
    """How far the swapped face's mean colour jumps where the target's does not: the mean over the channels of
    the absolute difference of both faces' mean changes, [0, 1]."""

    @property
    def flicker(self) -> float:
        """What the swap adds, [-1, 1]; below 0 it is steadier than the footage (blurred, or less noise)."""
        return self.swapped - self.target


@dataclass(frozen=True, kw_only=True)
class Flicker:
    """Means over the pairs of neighbouring frames in which a face was seen; NaN without a pair."""

    pairs: int
    """How many there were."""
    flicker: float
    """What the swap adds to the target's warping error, [-1, 1]; 0 is as steady as the footage."""
    swapped: float
    """Warping error of the swapped face, [0, 1]."""
    target: float
    """Warping error of the target's face, [0, 1]."""
    brightness: float
    """Jumps of the swapped face's mean colour that the target's has not, [0, 1]."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """A face in a frame."""

    frame: int
    target: np.ndarray
    swapped: np.ndarray
    inside: np.ndarray


class FlickerMeter:
    """Measures flicker while frames go by; faces are told apart by their track.

    A face is compared with the same track's in the frame just before. Where there is none (a gap, a new
    track) the comparison begins anew.

    Args:
        side: of the crops in which faces are compared, pixels.
    """

    def __init__(self, side: int = SIDE) -> None:
        if side < _SMALLEST:
            raise ConfigError(f"side: wanted at least {_SMALLEST} pixels for the optical flow, got {side}")
        self.side = side
        self._last: dict[int, _Seen] = {}
        self._pairs: list[PairFlicker] = []

    def push(self, target: Frame, swapped: Frame, face: Face) -> PairFlicker | None:
        """One face of the next frame.

        Args:
            target: the frame as it was.
            swapped: the frame after the swap, of the same size.
            face: where the face is in both; frames come in order.

        Returns:
            The figures against the frame before, None where there is none to compare with.
        """
        matrix = face.alignment.crop_matrix(self.side)
        seen = _Seen(
            target.index,
            crop_frame(target, matrix, self.side),
            crop_frame(swapped, matrix, self.side),
            hull_mask(face.points, matrix, self.side),
        )
        before = self._last.get(face.track)
        self._last[face.track] = seen
        if before is None or before.frame + 1 != seen.frame:
            return None
        pair = flicker_of_pair(
            (before.target, seen.target), (before.swapped, seen.swapped), before.inside, seen.inside
        )
        if pair is not None:
            self._pairs.append(pair)
        return pair

    def reset(self) -> None:
        """A cut: the next frame is not compared with the last one. What was measured stays."""
        self._last.clear()

    def result(self) -> Flicker:
        """The figures of all pairs so far."""
        return mean_flicker(self._pairs)


def mean_flicker(pairs: list[PairFlicker]) -> Flicker:
    """Means over pairs of frames, each counting the same."""

    def mean(values: list[float]) -> float:
        return float(np.mean(values)) if values else math.nan

    return Flicker(
        pairs=len(pairs),
        flicker=mean([pair.flicker for pair in pairs]),
        swapped=mean([pair.swapped for pair in pairs]),
        target=mean([pair.target for pair in pairs]),
        brightness=mean([pair.brightness for pair in pairs]),
    )


def flicker_of_pair(
    target: tuple[Float32[np.ndarray, "3 s s"], Float32[np.ndarray, "3 s s"]],
    swapped: tuple[Float32[np.ndarray, "3 s s"], Float32[np.ndarray, "3 s s"]],
    inside_before: Float32[np.ndarray, "s s"],
    inside: Float32[np.ndarray, "s s"],
) -> PairFlicker | None:
    """Flicker between two neighbouring frames, given as crops.

    Args:
        target: crops of the frame before and of this one, RGB in [0, 1].
        swapped: the same crops of the swapped frames.
        inside_before: where the face was in the crop before, [0, 1].
        inside: where it is now, [0, 1].

    Returns:
        None where fewer than 64 pixels of the face can be trusted.
    """
    before, now = (_gray(crop) for crop in target)
    back = _flow(now, before)
    places = _places(back)
    weights = inside * _bring(inside_before, places) * _trusted(back, _bring(_flow(before, now), places))
    total = float(weights.sum())
    if total < _FEWEST:
        return None
    changes = [
        pair[1] - _bring(pair[0].transpose(1, 2, 0), places, cv2.INTER_CUBIC).transpose(2, 0, 1)
        for pair in (swapped, target)
    ]
    errors = [float((np.abs(change).mean(0) * weights).sum()) / total for change in changes]
    means = [(change * weights).sum((1, 2)) / total for change in changes]
    return PairFlicker(
        swapped=errors[0], target=errors[1], brightness=float(np.abs(means[0] - means[1]).mean())
    )


def _gray(crop: Float[np.ndarray, "3 s s"]) -> np.ndarray:
    """Luma in 8 bits, as DIS wants it."""
    return cv2.convertScaleAbs(cv2.cvtColor(crop.transpose(1, 2, 0), cv2.COLOR_RGB2GRAY), alpha=255.0)


def _flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where each pixel of the first picture is in the second, less where it was: (h, w, 2)."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return search.calc(first, second, None)  # pyright: ignore[reportCallIssue, reportArgumentType]  # its stubs want a start


def _places(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel came from, x and y in OpenCV's convention: (0, 0) is the first pixel's centre."""
    rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
    return columns + flow[..., 0], rows + flow[..., 1]


def _bring(
    plane: np.ndarray, places: tuple[np.ndarray, np.ndarray], how: int = cv2.INTER_LINEAR
) -> np.ndarray:
    """A plane or picture read at those places; 0 beyond it, where no face is."""
    return cv2.remap(np.ascontiguousarray(plane), *places, how, borderMode=cv2.BORDER_CONSTANT)


def _trusted(back: np.ndarray, forth: np.ndarray) -> np.ndarray:
    """1 where going back and forth ends where it began.

    Sundaram, Brox and Keutzer 2010, "Dense point trajectories by GPU-accelerated large displacement optical
    flow", equation 5.
    """
    away = ((back + forth) ** 2).sum(-1)
    length = (back**2).sum(-1) + (forth**2).sum(-1)
    return (away < 0.01 * length + 0.5).astype(np.float32)

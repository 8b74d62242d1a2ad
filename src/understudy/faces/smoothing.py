"""Landmarks without jitter and without lag.

Every frame is fitted by polynomials in time over windows that reach equally far back and ahead (Savitzky and
Golay 1964), at most 8 frames. How far is decided by the data: a wider window is taken as long as what the fit
leaves over looks like noise. A still face is so averaged over 17 frames, while a blink, which no polynomial
follows, is left as it is. The motion of the whole face and the shape of each feature (each eye, brow, iris,
mouth, jaw, the rest) are fitted apart, so a blink costs the mouth nothing and a nod does not bring back the
jitter of the eyes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, Float64

from understudy.errors import ConfigError
from understudy.faces.tracks import Seen, Sighting
from understudy.image.landmarks import (
    FACE_OVAL,
    LEFT_BROW,
    LEFT_EYE,
    LEFT_IRIS,
    LIPS_INNER,
    LIPS_OUTER,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_IRIS,
    SYMMETRIC_PAIRS,
)

T = TypeVar("T")

REACH = 8
"""Frames that a window reaches back and ahead at most."""


@dataclass(frozen=True, kw_only=True)
class SmoothingSettings:
    """How landmarks are smoothed over time."""

    reach: int = REACH
    """Frames that are looked at before and after each; 0 switches smoothing off, 8 is the most."""
    tolerance: float = 1.0
    """How readily a deviation is taken for noise; more is smoother and flatter."""

    def __post_init__(self) -> None:
        if not 0 <= self.reach <= REACH:
            raise ConfigError(f"reach: wanted 0 to {REACH}, got {self.reach}")
        if not 0 <= self.tolerance < float("inf"):  # NaN is neither
            raise ConfigError(f"tolerance: wanted a number of 0 or more, got {self.tolerance}")


_FITS = ((1, 2), (2, 2), (3, 2), (4, 2), (6, 2), (8, 2), (8, 1))
"""Reach and degree of the fits, each smoother than the one before. (1, 2) is the frame as it came."""
_SMALLEST_NOISE, _LARGEST_NOISE = 0.0002, 0.015
"""Bounds of the estimated jitter, as a fraction of the face's radius (rms distance of its rigid points)."""
_RIGID = np.concatenate([SYMMETRIC_PAIRS.ravel(), [168, 6, 197, 195, 5, 4]])
_SEEDS: tuple[tuple[int, ...], ...] = (
    RIGHT_EYE,
    LEFT_EYE,
    RIGHT_BROW,
    LEFT_BROW,
    (*LIPS_OUTER, *LIPS_INNER),
    FACE_OVAL[12:25],  # jaw
    (
        *FACE_OVAL[:10],
        *FACE_OVAL[27:],
        *(168, 6, 197, 195, 5, 4, 1, 98, 327, 129, 358, 50, 280, 123, 352, 9, 151),  # nose, cheeks, forehead
        *(
            113,
            225,
            224,
            223,
            222,
            221,
            189,
            244,
            233,
            232,
            231,
            230,
            229,
            228,
            31,
            226,
        ),  # round the right eye
        *(
            342,
            445,
            444,
            443,
            442,
            441,
            413,
            464,
            453,
            452,
            451,
            450,
            449,
            448,
            261,
            446,
        ),  # round the left eye
    ),
)
_ALL_SEEDS = np.concatenate([np.array(seeds) for seeds in _SEEDS])
_SEED_STARTS = np.cumsum([0, *(len(seeds) for seeds in _SEEDS[:-1])])


def smooth(stream: Iterable[Seen[T]], settings: SmoothingSettings | None = None) -> Iterator[Seen[T]]:
    """The same frames with smoothed landmarks.

    The stream runs ``reach`` frames ahead of what comes out. Windows end at cuts and where a track has a gap.
    """
    settings = settings or SmoothingSettings()
    reach = settings.reach
    if reach == 0:
        yield from stream
        return
    window: deque[Seen[T]] = deque(maxlen=2 * reach + 1)
    middle = 0  # place of the next frame to come out
    for seen in stream:
        full = len(window) == window.maxlen
        window.append(seen)
        if full:
            middle -= 1
        while middle + reach < len(window):
            yield _smoothed(window, middle, settings)
            middle += 1
    while middle < len(window):
        yield _smoothed(window, middle, settings)
        middle += 1


def _smoothed(window: deque[Seen[T]], middle: int, settings: SmoothingSettings) -> Seen[T]:
    seen = window[middle]
    faces: list[Sighting] = []
    for face in seen.faces:
        before = _run(window, face.track, middle, -1, settings.reach)
        after = _run(window, face.track, middle, 1, settings.reach)
        points = np.stack([*reversed(before), face.points, *after])
        faces.append(replace(face, points=smooth_middle(points, len(before), settings)))
    return replace(seen, faces=tuple(faces))


def _run(window: deque[Seen[T]], track: int, middle: int, step: int, reach: int) -> list[np.ndarray]:
    """Landmarks of a track in the frames next to the middle one, as long as it goes on without gap or cut."""
    found: list[np.ndarray] = []
    place = middle
    while len(found) < reach and 0 <= place + step < len(window):
        if window[place if step < 0 else place + step].cut:
            break
        place += step
        points = next((face.points for face in window[place].faces if face.track == track), None)
        if points is None:
            break
        found.append(points)
    return found


def smooth_middle(
    points: Float32[np.ndarray, "t 478 3"], middle: int, settings: SmoothingSettings | None = None
) -> Float32[np.ndarray, "478 3"]:
    """Smoothed landmarks of one frame out of a run of consecutive frames of one face.

    Args:
        points: at most 8 frames before the one that is wanted, that frame, at most 8 after.
        middle: place of the frame that is wanted.
        settings: reach and tolerance.
    """
    settings = settings or SmoothingSettings()
    reach = min(middle, len(points) - 1 - middle, settings.reach)
    if reach < 2:
        return points[middle]
    plane = points[..., 0].astype(np.float64) + 1j * points[..., 1]
    depth = points[..., 2].astype(np.float64)
    rigid = plane[:, _RIGID]
    center = rigid.mean(1)
    rigid = rigid - center[:, None]
    energy = float((np.abs(rigid[middle]) ** 2).sum())
    if energy < 1e-6:
        return points[middle]
    radius = np.sqrt(energy / len(_RIGID))
    # complex number that turns and scales this frame's face into each of the others, by least squares
    turn = (rigid @ rigid[middle].conj()) / energy
    shape = (plane - center[:, None]) / turn[:, None]
    depth = depth / np.abs(turn)[:, None]
    motion = np.stack([*_parts(center), *_parts(np.log(turn) * radius)], axis=1)
    motion = _fit(motion[:, :, None], np.ones((1, 1)), middle, reach, radius, settings)[:, 0]
    local = np.stack([*_parts(shape), depth], axis=1)
    local = _fit(local, _groups(local[middle, :2]), middle, reach, radius, settings)
    smooth_turn = np.exp((motion[2] + 1j * motion[3]) / radius)
    plane = motion[0] + 1j * motion[1] + smooth_turn * (local[0] + 1j * local[1])
    return np.stack([*_parts(plane), local[2] * abs(smooth_turn)], axis=1).astype(np.float32)


def _parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.real(values), np.imag(values)


def _groups(shape: Float64[np.ndarray, "2 n"]) -> Float64[np.ndarray, "g n"]:
    """Which points move with each feature, the nearest one: rows of equal weights that sum to 1."""
    seeds = shape[:, _ALL_SEEDS]
    # squared distances, less the point's own square, which is the same for all seeds
    distance = (seeds**2).sum(0)[:, None] - 2.0 * seeds.T @ shape
    nearest = np.argmin(np.minimum.reduceat(distance, _SEED_STARTS, axis=0), axis=0)
    nearest[RIGHT_IRIS.start : RIGHT_IRIS.stop] = len(_SEEDS)
    nearest[LEFT_IRIS.start : LEFT_IRIS.stop] = len(_SEEDS) + 1
    rows = (nearest == np.arange(len(_SEEDS) + 2)[:, None]).astype(np.float64)
    return rows / np.maximum(rows.sum(1, keepdims=True), 1.0)


def _fit(
    values: Float64[np.ndarray, "t d n"],
    groups: Float64[np.ndarray, "g n"],
    middle: int,
    reach: int,
    radius: float,
    settings: SmoothingSettings,
) -> Float64[np.ndarray, "d n"]:
    """The middle frame's values by the widest fits whose residual looks like noise, chosen for each group.

    Noise is judged by x and y (all four numbers of a motion), not by depth. The choice is soft: a fit takes
    over by and by as its residual falls, so the result does not jump.
    """
    start = values[middle]
    values = values - start  # sums of squares would lose digits otherwise
    judged = values[:, : 4 if values.shape[1] == 4 else 2]
    noise = _noise(judged, groups, radius) * settings.tolerance
    out, trust = np.zeros(values.shape[1:]), np.ones(len(groups))
    member = (groups > 0).astype(np.float64)
    for fit_reach, degree in _FITS[1:]:
        if fit_reach > reach:
            break
        base = _base(fit_reach, degree)
        around = slice(middle - fit_reach, middle + fit_reach + 1)
        here = slice(fit_reach - 1, fit_reach + 2)
        spread = 1.0 - (base**2).sum(1)
        weights = np.tensordot(base, values[around], axes=(0, 0))
        parts = weights[:, : judged.shape[1]]
        left_here = judged[around][here] - np.tensordot(base[here], parts, axes=1)
        left = (judged[around] ** 2).sum((0, 1)) - (parts**2).sum((0, 1))
        excess = np.zeros(len(groups))
        for square, degrees in ((left, spread.sum()), ((left_here**2).sum((0, 1)), spread[here].sum())):
            freedom = judged.shape[1] * float(degrees)
            excess = np.maximum(excess, _peak(square / freedom, groups) / (noise * _limit(freedom)))
        trust = trust * np.clip(2.0 - excess, 0.0, 1.0)
        out += (trust @ member) * (np.tensordot(base[fit_reach], weights, axes=1) - out)
    return start + out


def _noise(
    values: Float64[np.ndarray, "t d n"], groups: Float64[np.ndarray, "g n"], radius: float
) -> Float64[np.ndarray, "g"]:
    """Variance of the jitter of each group, within bounds.

    Fourth differences leave little of a smooth motion; of those in the window the quieter ones count, so a
    blink does not pass for noise. White noise of variance v has fourth differences of variance 70 v.
    """
    smallest, largest = (_SMALLEST_NOISE * radius) ** 2, (_LARGEST_NOISE * radius) ** 2
    by_frame = (np.diff(values, 4, axis=0) ** 2).mean(1) @ groups.T / 70.0
    quiet = np.quantile(by_frame, 0.35, axis=0) * 1.25
    return np.clip(quiet, smallest, largest)


def _peak(values: Float64[np.ndarray, "n"], groups: Float64[np.ndarray, "g n"]) -> Float64[np.ndarray, "g"]:
    """A mean that leans to the largest, so that a lid is not outvoted by skin that keeps still."""
    return (groups @ values**4) ** 0.25


@lru_cache(maxsize=64)
def _limit(freedom: float) -> float:
    """Up to where ``_peak`` of mean squares of ``freedom`` numbers stays, for noise of variance 1.

    The fourth moment of a chi-squared variable, and twice its standard deviation for points that jitter
    together.
    """
    moment = np.prod([1.0 + 2.0 * step / freedom for step in range(4)])
    return float(moment**0.25 + 2.0 * np.sqrt(2.0 / freedom))


@lru_cache(maxsize=32)
def _base(reach: int, degree: int) -> Float64[np.ndarray, "w p"]:
    """Orthonormal polynomials over a window, as columns."""
    return np.linalg.qr(np.vander(np.arange(-reach, reach + 1) / reach, degree + 1))[0]

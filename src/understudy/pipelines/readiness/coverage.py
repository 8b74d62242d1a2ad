"""What faces show of pose and expression, in states that have words, and what one set lacks of another.

A face is eight numbers in units of a clearly visible difference: yaw and pitch by 15 degrees, the mouth's
opening and width, lids, brows and gaze by as much as a person sees. What persons have of their own (the rest
of the brows, how wide their eyes are open) is taken off, so that two people can be compared. The units are
chosen by eye; they are no measurement.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from scipy.spatial import KDTree

from understudy.image.expression import EXPRESSION, expression_of_points
from understudy.metrics.expression import lid_closure


@dataclass(frozen=True, kw_only=True)
class Respect:
    """One thing that a face does."""

    name: str
    """For a person."""
    unit: float
    """A clearly visible difference."""
    edges: tuple[float, ...]
    """Where one state ends and the next begins, rising."""
    words: tuple[str, ...]
    """Of each state, one more than edges."""


RESPECTS: tuple[Respect, ...] = (
    Respect(
        name="yaw", unit=15.0, edges=(-37.5, -22.5, -7.5, 7.5, 22.5, 37.5),
        words=(
            "turned far to the left", "turned to the left", "turned a little to the left", "facing ahead",
            "turned a little to the right", "turned to the right", "turned far to the right",
        ),
    ),
    Respect(
        name="pitch", unit=15.0, edges=(-22.5, -7.5, 7.5, 22.5),
        words=("head far down", "head down", "head level", "head up", "head far up"),
    ),
    Respect(
        name="mouth", unit=0.12, edges=(0.06, 0.16, 0.36),
        words=("mouth closed", "mouth ajar", "mouth open", "mouth wide open"),
    ),
    Respect(
        name="mouth width", unit=0.08, edges=(-0.06, 0.06),
        words=("lips drawn together", "lips at rest", "lips stretched, as in a smile"),
    ),
    Respect(
        name="lids", unit=0.5, edges=(0.35, 0.7), words=("eyes open", "eyes half shut", "eyes shut"),
    ),
    Respect(
        name="brows", unit=0.08, edges=(-0.06, 0.06), words=("brows down", "brows at rest", "brows raised"),
    ),
    Respect(
        name="gaze aside", unit=0.12, edges=(-0.08, 0.08),
        words=("eyes to the left", "eyes ahead", "eyes to the right"),
    ),
    Respect(
        name="gaze up", unit=0.1, edges=(-0.06, 0.06), words=("eyes down", "eyes level", "eyes up"),
    ),
)  # fmt: skip
"""Left and right are the picture's."""
_PLACE = {respect.name: place for place, respect in enumerate(RESPECTS)}
_EVEN = np.array([respect.unit for respect in RESPECTS])
_MIRROR = np.where(np.isin([respect.name for respect in RESPECTS], ("yaw", "gaze aside")), -1.0, 1.0)


def states_of(points: Float32[np.ndarray, "n 478 3"]) -> Float64[np.ndarray, "n 8"]:
    """What the faces of one person do, in the order of ``RESPECTS``.

    Mouth width and brows are less the person's median, lids against the person's own open eyes; the
    others mean the same for everybody.
    """
    numbers = dict(zip(EXPRESSION, expression_of_points(points).T, strict=True))
    width = numbers["mouth_width"]
    brows = (numbers["brow_right"] + numbers["brow_left"]) / 2.0
    columns = (
        numbers["yaw"] * 20.0,
        numbers["pitch"] * 20.0,
        numbers["mouth_opening"],
        width - np.median(width),
        lid_closure(points).mean(1),
        brows - np.median(brows),
        numbers["gaze_side"],
        numbers["gaze_up"],
    )
    return np.stack(columns, axis=1)


def mirrored_states(states: Float64[np.ndarray, "n 8"]) -> Float64[np.ndarray, "n 8"]:
    """The same faces in a mirror."""
    return states * _MIRROR


def nearest(
    source: Float64[np.ndarray, "n 8"], target: Float64[np.ndarray, "m 8"]
) -> tuple[Float64[np.ndarray, " m"], np.ndarray]:
    """How far the nearest source face is from each target face, and which it is.

    Returns:
        The largest of the eight differences, in visible differences: within 1 no respect differs clearly;
        and the place of the source face.
    """
    distance, place = KDTree(source / _EVEN).query(target / _EVEN, p=np.inf)
    return np.asarray(distance, np.float64), np.asarray(place)


def bins_of(states: Float[np.ndarray, "n 8"], name: str) -> np.ndarray:
    """Number of the state of each face in one respect."""
    respect = RESPECTS[_PLACE[name]]
    return np.digitize(states[:, _PLACE[name]], respect.edges)


@dataclass(frozen=True, kw_only=True, eq=False)
class Need:
    """The target's faces by their state in one or two respects, and what the source has near them."""

    share: Float64[np.ndarray, "r c"]
    """Of the target's faces in each state."""
    faces: np.ndarray
    """How many they are."""
    near: np.ndarray
    """Source faces within a visible difference of their mean, in these respects."""


def needs(
    source: Float64[np.ndarray, "n 8"], target: Float64[np.ndarray, "m 8"], row: str, column: str
) -> Need:
    """What the target needs in two respects, state by state; the same name twice means one respect."""
    places = [_PLACE[name] for name in dict.fromkeys((row, column))]
    sizes = [len(RESPECTS[_PLACE[name]].words) for name in (row, column)]
    rows, columns = bins_of(target, row), bins_of(target, column)
    faces, near = np.zeros(sizes, np.int64), np.zeros(sizes, np.int64)
    for r, c in {(int(r), int(c)) for r, c in zip(rows, columns, strict=True)}:
        here = (rows == r) & (columns == c)
        middle = target[here][:, places].mean(0)
        faces[r, c] = int(here.sum())
        near[r, c] = int((np.abs(source[:, places] - middle) <= _EVEN[places]).all(1).sum())
    return Need(share=faces / max(1, len(target)), faces=faces, near=near)


def words_of(row: Float[np.ndarray, "8"], places: Sequence[int]) -> str:
    """The states of one face in some respects, in words."""
    return ", ".join(
        RESPECTS[place].words[int(np.digitize(row[place], RESPECTS[place].edges))] for place in places
    )


@dataclass(frozen=True, kw_only=True)
class Lack:
    """Something that the target does and no source face shows."""

    words: str
    """What: ``turned to the left, mouth open``."""
    frames: tuple[int, ...]
    """Places of the target's faces that need it."""


def lacks(
    source: Float64[np.ndarray, "n 8"], target: Float64[np.ndarray, "m 8"], far: Bool[np.ndarray, " m"]
) -> list[Lack]:
    """What the source lacks, in the fewest words; what most frames need first.

    For each face that is far from every source face: is there one respect in which no source face is within a
    visible difference? Else two together, else three. Only what cannot be said in fewer is named.

    Args:
        source: states of the source's faces.
        target: states of the target's faces.
        far: which of those no source face is near to.
    """
    places: dict[str, list[int]] = {}
    for place in np.flatnonzero(far).tolist():
        for words in _missing(source, target[place]):
            places.setdefault(words, []).append(place)
    counts = Counter({words: len(found) for words, found in places.items()})
    return [Lack(words=words, frames=tuple(places[words])) for words, _ in counts.most_common()]


def _missing(source: np.ndarray, face: np.ndarray) -> list[str]:
    near = np.abs(source - face) <= _EVEN
    for size in (1, 2, 3):
        found = [
            words_of(face, places)
            for places in itertools.combinations(range(len(RESPECTS)), size)
            if not near[:, list(places)].all(1).any()
        ]
        if found:
            return found[:2]
    return ["several things at once"]

"""Whether a swapped face does what the target's does: expression, gaze, mouth and lids.

Everything is read from three-dimensional landmarks in units of the face itself (``image.expression``), so
that the head's pose, place and size have no part in it. Persons also differ in their proportions (a wide
mouth, heavy lids): where that matters a face is compared with the **same person's own middle** over the
frames, which removes the shape.

Rank correlation with an expression that dies in four steps (ten pairs of performers, twelve moments each,
``benchmarks/metrics.py``): expression 0.90, gaze 0.99, lids 0.56, mouth 0.67. The last two are blind to
small changes, because two persons who do the same do not have the same mouth and lids: the exact swap
itself has a mouth error of 0.045, a lid error of 0.063 and an expression error of 0.52. How the curves
run together (``correlation.pearson`` of both mouths) is the finer instrument there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from understudy.image.expression import EXPRESSION, expression_of_points, mouth_opening
from understudy.image.landmarks import LEFT_EYE, RIGHT_EYE

COEFFICIENTS = EXPRESSION[:7]
"""Mouth opening and width, smile, lids, brows: what ``expression_error`` compares."""
SPREAD: Float64[np.ndarray, "7"] = np.array([0.094, 0.082, 0.037, 0.030, 0.029, 0.032, 0.032])
"""Standard deviation of each coefficient in a performance, fractions of the eye distance: root mean square
over 24 performers (seeds 6000 to 6023, 40 moments each). The unit of ``expression_error``."""
_GAZE = EXPRESSION.index("gaze_side")
_EYE_RADIUS = 0.43
"""Radius of an eyeball (12 mm) as a fraction of the eye's width (28 mm)."""
_OPEN = 90.0
"""Percentile of a person's lid gaps that counts as open."""


def expression_error(
    points: Float[np.ndarray, "n 478 3"], truth: Float[np.ndarray, "n 478 3"]
) -> Float64[np.ndarray, " n"]:
    """How far the expressions of a performance are apart, in standard deviations of expression, 0 or more.

    Root mean square over ``COEFFICIENTS``, each less its own mean over the frames, in units of ``SPREAD``.
    About 1.3 for two performances that have nothing to do with each other; a face that never moves scores
    0.9. It needs several frames in which the target does various things; one frame gives 0.

    Args:
        points: of the swapped faces.
        truth: of the same frames' target faces.
    """
    both = [expression_of_points(marks)[:, : len(COEFFICIENTS)] for marks in (points, truth)]
    first, second = (numbers - numbers.mean(0) for numbers in both)
    return np.sqrt((((first - second) / SPREAD) ** 2).mean(1))


def gaze_directions(points: Float[np.ndarray, "n 478 3"]) -> Float64[np.ndarray, "n 3"]:
    """Where the eyes look, relative to the head: unit vectors right, up, ahead as the picture shows them.

    The mean of both eyes: an iris stands ``sin(angle)`` times the eyeball's radius from the middle of its
    eye.
    """
    aside = expression_of_points(points)[:, _GAZE : _GAZE + 2] / _EYE_RADIUS
    length = np.linalg.norm(aside, axis=1, keepdims=True)
    aside = aside / np.maximum(length, 1.0)  # an iris cannot leave the ball
    ahead = np.sqrt(np.clip(1.0 - (aside**2).sum(1, keepdims=True), 0.0, 1.0))
    return np.concatenate([aside, ahead], axis=1)


def gaze_error(
    points: Float[np.ndarray, "n 478 3"], truth: Float[np.ndarray, "n 478 3"]
) -> Float64[np.ndarray, " n"]:
    """Angle between the directions of gaze within the head, degrees, [0, 180]; see ``gaze_directions``.

    Args:
        points: of the swapped faces.
        truth: of the same frames' target faces.
    """
    cosine = (gaze_directions(points) * gaze_directions(truth)).sum(1)
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def mouth_error(
    points: Float[np.ndarray, "n 478 3"], truth: Float[np.ndarray, "n 478 3"]
) -> Float64[np.ndarray, " n"]:
    """Difference of the mouths' openings, fractions of the eye distance, 0 or more."""
    return np.abs(mouth_opening(points) - mouth_opening(truth))


def lid_closure(points: Float[np.ndarray, "n 478 3"]) -> Float64[np.ndarray, "n 2"]:
    """How far the right and the left eye are shut, [0, 1]: 0 as open as this person's eyes usually are.

    The gap of the lids over the eye's width, against its 90th percentile over the frames. It needs frames in
    which the eyes are open.
    """
    marks = np.asarray(points, np.float64)
    gaps = np.stack([_openness(marks, eye) for eye in (RIGHT_EYE, LEFT_EYE)], axis=1)
    usual = np.percentile(gaps, _OPEN, axis=0) if len(gaps) else np.ones(2)
    return np.clip(1.0 - gaps / np.maximum(usual, 1e-9), 0.0, 1.0)


def lid_error(
    points: Float[np.ndarray, "n 478 3"], truth: Float[np.ndarray, "n 478 3"]
) -> Float64[np.ndarray, " n"]:
    """Difference of lid closure, the mean of both eyes, [0, 1]; see ``lid_closure``."""
    return np.abs(lid_closure(points) - lid_closure(truth)).mean(1)


def _openness(marks: np.ndarray, eye: tuple[int, ...]) -> np.ndarray:
    """Mean gap of the lids over the eye's width; ``eye`` runs from a corner over the upper lid."""
    upper, lower = list(eye[1:8]), list(eye[:8:-1])
    gap = np.linalg.norm(marks[:, upper] - marks[:, lower], axis=-1).mean(-1)
    width = np.linalg.norm(marks[:, eye[0]] - marks[:, eye[8]], axis=-1)
    return gap / np.maximum(width, 1e-9)

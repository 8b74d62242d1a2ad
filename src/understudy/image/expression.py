"""What a face does, in a few numbers that mean the same for every person.

Gaps and widths are three-dimensional distances of the mesh as fractions of the distance between the eyes, so
that size, turn and place of the head do not count. The person's own proportions do: compare a face with the
same person's others (see ``training.batches``).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from understudy.image.geometry import pose_of_points
from understudy.image.landmarks import LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS

EXPRESSION = (
    "mouth_opening", "mouth_width", "smile", "lid_right", "lid_left", "brow_right", "brow_left",
    "gaze_side", "gaze_up", "pitch", "yaw",
)  # fmt: skip
"""What the numbers of ``expression_of_points`` are."""
_MIRRORED = (0, 1, 2, 4, 3, 6, 5, 7, 8, 9, 10)
_NEGATED = (7, 10)

_UPPER_LIP, _LOWER_LIP = 13, 14
"""Middle of the inner edges of the lips in the mesh."""
_NOSE_ROOT, _NOSE_BASE = 168, 2
_CORNERS = (61, 291)
_LIDS = ((159, 145), (386, 374))
_BROWS = ((105, 159), (334, 386))
_EYE_CORNERS = ((33, 133), (362, 263))
"""From the picture's left to its right, for an unmirrored face that looks at us."""


def eye_distance(points: Float[np.ndarray, "n 478 3"]) -> Float64[np.ndarray, " n"]:
    """Distance between the middles of the two eyes in three dimensions, in the unit of the points."""
    marks = np.asarray(points, np.float64)
    right, left = (marks[..., list(eye), :].mean(-2) for eye in (RIGHT_EYE, LEFT_EYE))
    return np.linalg.norm(left - right, axis=-1)


def mouth_opening(points: Float[np.ndarray, "n 478 3"]) -> Float64[np.ndarray, " n"]:
    """Gap between the inner edges of the lips, as a fraction of the eye distance."""
    return _gap(np.asarray(points, np.float64), _UPPER_LIP, _LOWER_LIP) / _unit(points)


def expression_of_points(points: Float[np.ndarray, "n 478 3"]) -> Float64[np.ndarray, "n 11"]:
    """Mouth, lids, brows, gaze and pose of faces, in the order of ``EXPRESSION``.

    ``smile`` is how far the corners of the mouth are above its middle along the nose; ``gaze_side`` and
    ``gaze_up`` are the irises' places between the corners of the eyes, as fractions of the eyes' width, 0 in
    the middle, positive to the picture's right and up; pitch and yaw are in units of 20 degrees.
    """
    marks = np.asarray(points, np.float64)
    unit = _unit(points)
    up = marks[:, _NOSE_ROOT] - marks[:, _NOSE_BASE]
    up /= np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-9)
    middle = (marks[:, _UPPER_LIP] + marks[:, _LOWER_LIP]) / 2
    corners = marks[:, list(_CORNERS)].mean(1)
    gaze = np.mean([_gaze(marks, up, *pair) for pair in zip(_EYE_CORNERS, _IRISES, strict=True)], axis=0)
    pose = np.array([pose_of_points(face)[:2] for face in marks]).reshape(len(marks), 2) / 20
    columns = [
        _gap(marks, _UPPER_LIP, _LOWER_LIP) / unit,
        _gap(marks, *_CORNERS) / unit,
        ((corners - middle) * up).sum(-1) / unit,
        *(_gap(marks, *lid) / unit for lid in _LIDS),
        *(_gap(marks, *brow) / unit for brow in _BROWS),
        gaze[:, 0],
        gaze[:, 1],
        pose[:, 1],
        pose[:, 0],
    ]
    return np.stack(columns, axis=1)


_IRISES = (RIGHT_IRIS, LEFT_IRIS)


def mirrored(expression: Float[np.ndarray, "*b 11"]) -> Float64[np.ndarray, "*b 11"]:
    """The numbers of the same faces seen in a mirror."""
    out = np.array(expression[..., list(_MIRRORED)], np.float64)
    out[..., list(_NEGATED)] *= -1
    return out


def _unit(points: np.ndarray) -> np.ndarray:
    return np.maximum(eye_distance(points), 1e-9)


def _gap(marks: np.ndarray, first: int, second: int) -> np.ndarray:
    return np.linalg.norm(marks[..., first, :] - marks[..., second, :], axis=-1)


def _gaze(marks: np.ndarray, up: np.ndarray, corners: tuple[int, int], iris: range) -> np.ndarray:
    """Place of one iris between the corners of its eye, (n, 2)."""
    left, right = marks[:, corners[0]], marks[:, corners[1]]
    along = right - left
    width = np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    along /= width
    offset = marks[:, iris.start] - (left + right) / 2
    side, above = (offset * along).sum(-1), (offset * up).sum(-1)
    return np.stack([side, above], axis=-1) / width

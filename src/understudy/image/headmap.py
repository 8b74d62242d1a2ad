"""Where a place on a head, or on a thing that is fixed to it, is in another picture of the same head.

A similarity in the picture's plane follows a head that nods and turns only roughly: what stands before the
face, as the rims of glasses do, moves further than the skin behind it. So the head is taken for a rigid body:
the similarity of space that maps the landmarks of one picture to those of the other, depth included, carries
every place, which is first lifted to a smooth surface that stands off from the face.

Coordinates are those of the unit square of the crop mode ``half`` (``image.geometry.align``), depth in the
same unit and smaller towards the camera.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from understudy.errors import ShapeError
from understudy.image.landmarks import MESH_POINTS, SYMMETRIC_PAIRS

_BROWS = (70, 300, 107, 336, 46, 276)
_RIDGE = (168, 6, 197, 195)
RIGID: tuple[int, ...] = tuple(
    sorted({*(int(n) for n in SYMMETRIC_PAIRS.ravel()), 10, 151, 9, *_RIDGE} - set(_BROWS))
)
"""Landmarks that expressions move little."""
_SURFACE = tuple(sorted(set(RIGID) - {98, 327, 129, 358, 48, 278, 197, 195}))
"""Those of them that do not stand out as the nose does."""
_FAR = 1.2
"""Distance from the middle beyond which the surface is not bent further: landmarks say nothing of it."""
_TURNS = 12
"""Steps to the inverse; each leaves about a third of what was left."""
_PACE = 0.8


def fit_space_similarity(
    points: Float[np.ndarray, "n 3"], others: Float[np.ndarray, "n 3"]
) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "3"]]:
    """Scaled rotation and shift that map points of space nearest to others.

    Least squares in closed form: Umeyama 1991, "Least-squares estimation of transformation parameters between
    two point patterns", equations 40-43.
    """
    first, second = np.asarray(points, np.float64), np.asarray(others, np.float64)
    first_mean, second_mean = first.mean(0), second.mean(0)
    first, second = first - first_mean, second - second_mean
    u, singular, v = np.linalg.svd(second.T @ first / len(first))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    scale = float((singular * sign).sum() / first.var(0).sum())
    linear = scale * (u * sign) @ v
    return linear, second_mean - linear @ first_mean


class HeadMap:
    """From places of one picture of a head to those of another.

    Args:
        points: landmarks of the first, mesh.
        others: of the second.
        stand_off: how far before the skin the places lie; 0.14 for glasses, 0 for what lies on it.

    Raises:
        ShapeError: no mesh.
    """

    def __init__(
        self, points: Float[np.ndarray, "n 3"], others: Float[np.ndarray, "n 3"], stand_off: float
    ) -> None:
        for each in (points, others):
            if each.ndim != 2 or each.shape[0] < MESH_POINTS or each.shape[1] != 3:
                raise ShapeError("points", "(478, 3) or (468, 3)", each.shape)
        rigid, surface = list(RIGID), np.asarray(points[list(_SURFACE)], np.float64)
        self._linear, self._shift = fit_space_similarity(points[rigid], others[rigid])
        self._middle = surface[:, :2].mean(0)
        self._bend = np.linalg.lstsq(self._terms(surface[:, :2]), surface[:, 2], rcond=None)[0]
        self._stand_off = stand_off

    def _terms(self, places: np.ndarray) -> np.ndarray:
        """A plane that is bent about the head's upright axis."""
        x, y = (places - self._middle).clip(-_FAR, _FAR).T
        return np.stack([np.ones_like(x), x, y, x * x], -1)

    def __call__(self, places: Float[np.ndarray, "n 2"]) -> Float64[np.ndarray, "n 2"]:
        """Where places of the first picture are in the second."""
        depth = self._terms(places) @ self._bend - self._stand_off
        return (np.column_stack([places, depth]) @ self._linear.T + self._shift)[:, :2]

    def back(self, places: Float[np.ndarray, "n 2"]) -> Float64[np.ndarray, "n 2"]:
        """Where places of the second picture are in the first; by repeated correction."""
        linear = self._linear[:2, :2]
        near = np.asarray(places, np.float64)
        out = near.copy()
        for _ in range(_TURNS):
            # what a step on the first picture is on the second, but for the bend
            out = out - _PACE * np.linalg.solve(linear, (self(out) - near).T).T
            out = out.clip(-4.0, 5.0)
        return out

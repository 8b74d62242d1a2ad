"""Displacement fields over the face: a few points are told where to go, the rest follow smoothly.

A *field* is a (468, 3) displacement in centimetres for a parameter value of 1. Bumps fall off with distance
in the rest position; membranes solve Laplace's equation on the mesh, so they stop at the gap between the
lips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from jaxtyping import Float

from understudy.performers.topology import FACE, mirror, rest_points, triangles

Field = Float[np.ndarray, "468 3"]


@cache
def _laplacian() -> Float[np.ndarray, "468 468"]:
    rest = rest_points()
    out = np.zeros((FACE, FACE))
    for a, b, c in triangles().tolist():
        for i, j in ((a, b), (b, c), (c, a)):
            weight = 1.0 / (0.1 + float(np.linalg.norm(rest[i] - rest[j])))
            out[i, j] = out[j, i] = -weight
    out[np.diag_indices(FACE)] = -out.sum(1)
    return out / out.diagonal()[:, None]


def membrane(values: Mapping[int, float | Sequence[float]], stiff: bool = True) -> Float[np.ndarray, "468 k"]:
    """Smooth values over the mesh that agree with the given ones.

    Args:
        values: number or vector at some points.
        stiff: minimise bending (smooth at the given points too) rather than stretch (never overshoots).
    """
    laplacian = _laplacian()
    operator = laplacian.T @ laplacian if stiff else laplacian
    fixed = np.array(list(values))
    given = np.array([np.atleast_1d(np.asarray(value, float)) for value in values.values()])
    free = np.setdiff1d(np.arange(FACE), fixed)
    out = np.zeros((FACE, given.shape[1]))
    out[fixed] = given
    out[free] = np.linalg.solve(operator[np.ix_(free, free)], -operator[np.ix_(free, fixed)] @ given)
    return out


def both_sides(values: Mapping[int, Sequence[float]]) -> dict[int, tuple[float, float, float]]:
    """The given vectors and their mirror images; values are for the picture's left half or the middle."""
    partner = mirror()
    out: dict[int, tuple[float, float, float]] = {}
    for point, (x, y, z) in values.items():
        other = int(partner[point])
        out[point] = (x, y, z)
        out[other] = (-x, y, z) if other != point else (0.0, y, z)
    return out


def bump(points: Sequence[int], radius: float, move: Sequence[float], symmetric: bool = True) -> Field:
    """A Gaussian bump round some points of the picture's left half (or the middle), mirrored too.

    Args:
        points: the bump's centre is their mean.
        radius: standard deviation, centimetres.
        move: displacement at the centre, centimetres.
        symmetric: add the mirror image.
    """
    rest = rest_points()
    centre = rest[list(points)].mean(0)
    out = np.zeros((FACE, 3))
    sides = (
        ((1.0, centre), (-1.0, centre * [-1, 1, 1]))
        if symmetric and abs(centre[0]) > 0.05
        else ((1.0, centre),)
    )
    for sign, middle in sides:
        weight = np.exp(-((rest - middle) ** 2).sum(1) / (2 * radius**2))
        out += weight[:, None] * (np.asarray(move) * [sign, 1, 1])
    return out


def stretch(points: Sequence[int], radius: float, scale: Sequence[float], symmetric: bool = True) -> Field:
    """Enlarge the surroundings of some points by the given factors minus one, fading with distance."""
    rest = rest_points()
    centre = rest[list(points)].mean(0)
    out = np.zeros((FACE, 3))
    sides = (centre, centre * [-1, 1, 1]) if symmetric and abs(centre[0]) > 0.05 else (centre,)
    for middle in sides:
        away = rest - middle
        weight = np.exp(-((away**2).sum(1)) / (2 * radius**2))
        out += weight[:, None] * away * np.asarray(scale)
    return out

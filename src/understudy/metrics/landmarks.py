"""How far the landmarks of two faces are from each other, and how much they tremble.

Distances are those of the 68-point subset in the picture (two-dimensional), as fractions of the distance
between the middles of the target's eyes, which is taken in three dimensions so that a turned head does not
make errors look larger. The DeepFaceLab paper does not state the unit of its landmark column: the two are
not comparable.

Blind spots (measured by ``benchmarks/metrics.py`` on ten pairs of performers, rank correlation with known
damage): the source's own proportions count as error, so the exact swap has 0.051 and the figure *falls*
(−1.00) while the target's own face is mixed back in. A face displaced by a pixel or two can be nearer
than an exact one (0.91 over steps of 1 to 8 pixels). A turned head is seen (1.00), trembling by
``landmark_jitter`` (0.99).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int

from understudy.image.expression import eye_distance
from understudy.image.landmarks import MESH_TO_68

_ROOT_6 = np.sqrt(6.0)


def landmark_error(
    points: Float[np.ndarray, "n 478 3"], truth: Float[np.ndarray, "n 478 3"]
) -> Float64[np.ndarray, " n"]:
    """Mean distance of the 68 points, as a fraction of the eye distance; 0 or more, 0.05 is a good fit.

    Args:
        points: of the swapped faces, in pixels of the frame.
        truth: of the same frames' target faces (or exact swaps); their eye distance is the unit.
    """
    away = np.asarray(points, np.float64)[:, MESH_TO_68, :2] - truth[:, MESH_TO_68, :2]
    return np.linalg.norm(away, axis=-1).mean(-1) / np.maximum(eye_distance(truth), 1e-9)


def landmark_jitter(
    points: Float[np.ndarray, "n 478 3"], frames: Int[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """How much the landmarks tremble round each frame: fractions of the eye distance, 0 or more.

    The second difference over three neighbouring frames, root mean square over the 68 points and both
    coordinates, divided by the root of 6: for points that stand still or move evenly this is the standard
    deviation of what was added to each coordinate. Quick real movement adds to it, so compare with the
    target's own.

    Args:
        points: of one face over time, in pixels of the frame.
        frames: their numbers, rising.

    Returns:
        NaN where a neighbour is missing.
    """
    marks = np.asarray(points, np.float64)[:, MESH_TO_68, :2]
    out = np.full(len(marks), np.nan)
    if len(marks) < 3:
        return out
    second = marks[:-2] - 2.0 * marks[1:-1] + marks[2:]
    size = np.sqrt((second**2).mean((1, 2))) / (_ROOT_6 * np.maximum(eye_distance(points[1:-1]), 1e-9))
    neighbours = (np.diff(frames)[:-1] == 1) & (np.diff(frames)[1:] == 1)
    out[1:-1] = np.where(neighbours, size, np.nan)
    return out

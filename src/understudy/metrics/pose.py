"""How differently two heads are turned.

Angles are the Euler angles of ``image.geometry.pose_of_points``: yaw, pitch, roll in degrees. The pose column
of the DeepFaceLab paper is the Euclidean distance of Euler angles, which is what ``pose_error`` gives; the
paper's angles come from another fit.

Turns of 2 to 16 degrees are seen (rank correlation 0.99, ``benchmarks/metrics.py``, ten pairs of
performers). Blind spot: a landmarker reads some of a face's shape as pose, so the exact swap has 2.7
degrees and the figure falls (−0.97) while the target's own face is mixed back in.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from understudy.image.geometry import pose_of_points


def poses_of(points: Float[np.ndarray, "n 478 3"]) -> Float64[np.ndarray, "n 3"]:
    """Yaw, pitch and roll of every face, degrees."""
    return np.array([pose_of_points(face) for face in points], np.float64).reshape(-1, 3)


def pose_error(poses: Float[np.ndarray, "n 3"], truth: Float[np.ndarray, "n 3"]) -> Float64[np.ndarray, " n"]:
    """Euclidean distance of the three angles, degrees, 0 or more; the short way round.

    Args:
        poses: yaw, pitch, roll of the swapped faces, degrees.
        truth: of the same frames' target faces.
    """
    turned = np.asarray(poses, np.float64) - truth
    return np.linalg.norm((turned + 180.0) % 360.0 - 180.0, axis=1)

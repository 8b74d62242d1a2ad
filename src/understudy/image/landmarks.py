"""Which number means what in MediaPipe's Face Mesh: 468 points of the skin, then five of each iris.

Left and right are the person's: the right eye is on the left of an unmirrored picture. Loops are closed (the
last point joins the first) and run clockwise in the picture. The sets follow the published edge lists of the
mesh (Kartynnik et al. 2019, "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs";
Grishchenko et al. 2020, "Attention Mesh").
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from understudy.errors import ShapeError

MESH_POINTS = 468
"""Points of the skin."""
ALL_POINTS = 478
"""Points of the skin and both irises."""

RIGHT_IRIS = range(468, 473)
"""Centre, then four points of the rim."""
LEFT_IRIS = range(473, 478)
"""Centre, then four points of the rim."""

FACE_OVAL: tuple[int, ...] = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""From the top of the forehead down the person's left side to the chin (152) and up the right."""

RIGHT_EYE: tuple[int, ...] = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
"""Lid line, from the outer corner over the upper lid."""
LEFT_EYE: tuple[int, ...] = (362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382)
"""Lid line, from the inner corner over the upper lid."""

LIPS_OUTER: tuple[int, ...] = (
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
)  # fmt: skip
"""Outer contour of the lips, from the person's right corner over the upper lip."""
LIPS_INNER: tuple[int, ...] = (
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
)  # fmt: skip
"""Inner contour of the lips: the opening of the mouth."""

RIGHT_BROW: tuple[int, ...] = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
"""From the outer end along the upper edge, back along the lower."""
LEFT_BROW: tuple[int, ...] = (336, 296, 334, 293, 300, 276, 283, 282, 295, 285)
"""From the inner end along the upper edge, back along the lower."""

MESH_TO_68: Int[np.ndarray, "68"] = np.array(
    [
        *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw, 0…16
        *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows, 17…26
        *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose, 27…35
        *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes, 36…47
        *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips, 48…59
        *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips, 60…67
    ]
)
"""Mesh point for each of the 68 points of the iBUG 300-W mark-up, which most tools of the field speak."""

BROWS_68 = range(17, 27)
NOSE_68 = range(27, 36)
RIGHT_EYE_68 = range(36, 42)
LEFT_EYE_68 = range(42, 48)
LIPS_OUTER_68 = range(48, 60)
LIPS_INNER_68 = range(60, 68)

SYMMETRIC_PAIRS: Int[np.ndarray, "n 2"] = np.array(
    [
        *((33, 263), (133, 362), (127, 356), (162, 389), (21, 251), (54, 284), (103, 332), (67, 297)),
        *((109, 338), (234, 454), (93, 323), (132, 361), (70, 300), (107, 336), (46, 276), (50, 280)),
        *((117, 346), (123, 352), (98, 327), (129, 358), (48, 278), (122, 351), (101, 330), (116, 345)),
    ]
)
"""Points of the person's right side with their mirror images, where expressions move the face little."""


def points68(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "68 2"]:
    """The 68-point subset of a mesh; 68 points pass as they are.

    Args:
        points: ``(478, 2 or 3)``, ``(468, 2 or 3)`` or ``(68, 2 or 3)``.

    Raises:
        ShapeError: another number of points.
    """
    count = points.shape[0]
    if points.ndim == 2 and points.shape[1] in (2, 3):
        if count in (MESH_POINTS, ALL_POINTS):
            return points[MESH_TO_68, :2]
        if count == 68:
            return points[:, :2]
    raise ShapeError("points", "(478, 3), (468, 3) or (68, 2)", points.shape)

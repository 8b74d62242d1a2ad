"""How good a face is to learn from, how alike two faces are, and which few show a person best."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from understudy.image.geometry import align, pose_of_points, transform_points
from understudy.image.landmarks import points68


def sharpness(picture: UInt8[np.ndarray, "s s 3"], mask: Float32[np.ndarray, "s s"]) -> float:
    """Variance of the luma's Laplacian where the mask is, on the 8-bit scale; larger is sharper.

    Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy": LAPV. It grows with noise too.

    Args:
        picture: RGB crop.
        mask: where the face is, in [0, 1]; below a half does not count.
    """
    edges = cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    # the hull's own border is no edge of the face
    inside = cv2.erode((mask > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    return float(edges[inside].var()) if inside.any() else 0.0


def look_of(points: Float[np.ndarray, "n 3"]) -> Float64[np.ndarray, "8"]:
    """Pose and expression as eight numbers, of which 1 is a clearly visible difference each.

    Yaw and pitch in units of 15 degrees; opening and width of the mouth, opening of each eye and height of
    each brow in units that a strong expression fills two or three times. Roll is left out: alignment takes it
    away.

    Args:
        points: mesh, ``(478, 3)`` or ``(468, 3)``.
    """
    yaw, pitch, _ = pose_of_points(points)
    marks = transform_points(align(points, "half").matrix, np.asarray(points68(points), np.float64))

    def apart(first: int, second: int) -> float:
        return float(np.linalg.norm(marks[first] - marks[second]))

    eyes = [(apart(a, b) + apart(c, d)) / 2.0 for a, b, c, d in ((37, 41, 38, 40), (43, 47, 44, 46))]
    brows = [float(marks[eye, 1].mean() - marks[brow, 1].mean()) for eye, brow in _EYES_AND_BROWS]
    mouth = (apart(62, 66) / 0.08, apart(48, 54) / 0.08)
    return np.array([yaw / 15.0, pitch / 15.0, *mouth, *(e / 0.03 for e in eyes), *(b / 0.05 for b in brows)])


_EYES_AND_BROWS = ((slice(36, 42), slice(17, 22)), (slice(42, 48), slice(22, 27)))


def spread(
    looks: Float64[np.ndarray, "n k"], count: int, worth: Float64[np.ndarray, "n"] | None = None
) -> list[int]:
    """A few faces that show as much of a person as they can: each is the one most unlike those already taken.

    Farthest-point sampling (Gonzalez 1985, "Clustering to minimize the maximum intercluster distance").

    Args:
        looks: ``look_of`` each face.
        count: how many are wanted.
        worth: sharpness, say: the best is taken first, and of two that are equally unlike the better; None
            for all the same.

    Returns:
        Their places, in the order in which they were taken.
    """
    if not len(looks) or count < 1:
        return []
    weight = np.ones(len(looks)) if worth is None else 0.5 + 0.5 * np.argsort(np.argsort(worth)) / len(looks)
    taken = [int(np.argmax(weight))]
    distance = np.linalg.norm(looks - looks[taken[0]], axis=1)
    while len(taken) < min(count, len(looks)):
        score = distance * weight
        score[taken] = -1.0
        taken.append(int(np.argmax(score)))
        distance = np.minimum(distance, np.linalg.norm(looks - looks[taken[-1]], axis=1))
    return taken


def duplicates(
    looks: Float64[np.ndarray, "n k"], worth: Float64[np.ndarray, "n"], limit: float = 0.15
) -> list[int]:
    """Faces that show nothing that a better one does not show.

    Args:
        looks: ``look_of`` each face.
        worth: of two alike the one worth more stays.
        limit: distance of looks below which two faces are alike.

    Returns:
        Places of those that can go, in rising order.
    """
    # a face within the limit lies in the same or a neighbouring cell along the first two numbers, yaw and
    # pitch
    cells: dict[tuple[int, int], list[int]] = {}
    gone: list[int] = []
    for place in np.argsort(-worth, kind="stable").tolist():
        x, y = (int(number // limit) for number in looks[place, :2])
        near = [k for dx in (-1, 0, 1) for dy in (-1, 0, 1) for k in cells.get((x + dx, y + dy), ())]
        if near and float(np.linalg.norm(looks[near] - looks[place], axis=1).min()) < limit:
            gone.append(place)
        else:
            cells.setdefault((x, y), []).append(place)
    return sorted(gone)

"""Masks from landmarks, and pictures for people: contact sheets and landmark overlays.

Masks are float32 in [0, 1], drawn in crop space with soft edges: a pixel holds the part of it that is
covered. The other functions make uint8 RGB pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from understudy.image.geometry import face_hull, transform_points
from understudy.image.landmarks import (
    BROWS_68,
    FACE_OVAL,
    LEFT_BROW,
    LEFT_EYE,
    LEFT_EYE_68,
    LEFT_IRIS,
    LIPS_INNER,
    LIPS_OUTER,
    LIPS_OUTER_68,
    NOSE_68,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_EYE_68,
    RIGHT_IRIS,
)

_FINE = 4  # polygons are filled at four times the size, then averaged
_SWOLLEN = 0.114  # pixels by which OpenCV's fill at that size is too wide (measured; see the test)
_SHIFT = 8  # fractional bits of OpenCV's polygon corners
_FONT = cv2.FONT_HERSHEY_SIMPLEX

_NOSE = (168, 6, 197, 195, 5, 4, 1, 2, 122, 351, 198, 420, 48, 278, 64, 294, 98, 327, 97, 326)
_JAW = (93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323)
REGIONS: dict[str, tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]] = {
    "jaw": ((_JAW,), (tuple(range(2, 15)),)),
    "nose": ((_NOSE,), (tuple(NOSE_68),)),
    "mouth": ((LIPS_OUTER,), (tuple(LIPS_OUTER_68),)),
    "brows": ((RIGHT_BROW, LEFT_BROW), (tuple(BROWS_68)[:5], tuple(BROWS_68)[5:])),
    "eyes": ((RIGHT_EYE, LEFT_EYE), (tuple(RIGHT_EYE_68), tuple(LEFT_EYE_68))),
}
"""Parts of the face, the smaller after the larger: the landmarks round each piece, of a mesh and of 68."""


# ------------------------------------------------------------------------------------------------ masks


def polygon_mask(
    polygons: Sequence[Float[np.ndarray, "_ 2"]], size: int
) -> Float32[np.ndarray, "{size} {size}"]:
    """The part of every pixel that the polygons cover.

    Args:
        polygons: corners in pixels of the mask; they may reach beyond it.
        size: side of the mask.
    """
    fine = np.zeros((size * _FINE, size * _FINE), np.uint8)
    for polygon in polygons:
        corners = (_shrunk(polygon, _SWOLLEN) * _FINE - 0.5) * (1 << _SHIFT)
        limit = 2**28  # far outside, and still a number that OpenCV's fixed point holds
        cv2.fillPoly(
            fine, [np.clip(np.rint(corners), -limit, limit).astype(np.int32)], 255, cv2.LINE_8, _SHIFT
        )
    small = cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255.0)


def hull_mask(
    points: Float[np.ndarray, "n d"], matrix: Float[np.ndarray, "2 3"], size: int, forehead: float = 0.0
) -> Float32[np.ndarray, "{size} {size}"]:
    """Where the face is in a crop, by its outline.

    Args:
        points: mesh or 68 points in frame pixels.
        matrix: frame pixels to crop pixels, as ``Alignment.crop_matrix`` gives it.
        size: side of the crop.
        forehead: see ``geometry.face_hull``.
    """
    return polygon_mask([transform_points(matrix, face_hull(points, forehead))], size)


def features_mask(
    points: Float[np.ndarray, "n d"],
    matrix: Float[np.ndarray, "2 3"],
    size: int,
    *,
    eyes: bool = True,
    mouth: bool = True,
    grow: float = 0.25,
) -> Float32[np.ndarray, "{size} {size}"]:
    """Where eyes and lips are in a crop: what a loss may weigh more.

    Args:
        points: mesh or 68 points in frame pixels.
        matrix: frame pixels to crop pixels.
        size: side of the crop.
        eyes: mark the eyes.
        mouth: mark the lips and what is between them.
        grow: how far each region is widened all round, as a fraction of its width.
    """
    names = ["eyes"] * eyes + ["mouth"] * mouth
    return polygon_mask([hull for name in names for hull in _region_hulls(points, matrix, name, grow)], size)


def region_mask(
    points: Float[np.ndarray, "n d"], matrix: Float[np.ndarray, "2 3"], size: int, name: str, grow: float
) -> Float32[np.ndarray, "{size} {size}"]:
    """Where one of the ``REGIONS`` is in a crop: the convex hulls of its landmarks.

    Args:
        points: mesh or 68 points in frame pixels.
        matrix: frame pixels to crop pixels.
        size: side of the crop.
        name: of the region.
        grow: how far each of its pieces is widened all round, as a fraction of its width.
    """
    return polygon_mask(_region_hulls(points, matrix, name, grow), size)


def _region_hulls(points: np.ndarray, matrix: np.ndarray, name: str, grow: float) -> list[np.ndarray]:
    """The pieces of a region, widened, in crop pixels."""
    hulls: list[np.ndarray] = []
    for piece in REGIONS[name][len(points) == 68]:
        polygon = transform_points(matrix, np.asarray(points, np.float64)[list(piece), :2])
        width = float(np.linalg.norm(np.ptp(polygon, axis=0)))
        hulls.append(_shrunk(_convex(polygon), -grow * width))
    return hulls


def _convex(polygon: np.ndarray) -> np.ndarray:
    return cv2.convexHull(polygon.astype(np.float32))[:, 0].astype(np.float64)


def _shrunk(polygon: np.ndarray, distance: float) -> np.ndarray:
    """Move every corner inwards along the mean normal of its two sides; outwards for a negative distance."""
    corners = np.asarray(polygon, np.float64)
    kept = np.linalg.norm(corners - np.roll(corners, 1, 0), axis=1) > 1e-6
    corners = corners[kept]
    if len(corners) < 3:
        return np.asarray(polygon, np.float64)
    after = np.roll(corners, -1, 0)
    area = float(np.sum(corners[:, 0] * after[:, 1] - corners[:, 1] * after[:, 0]))
    sides = after - corners
    normals = np.column_stack([-sides[:, 1], sides[:, 0]]) / np.linalg.norm(sides, axis=1, keepdims=True)
    mean = normals + np.roll(normals, 1, 0)
    # the corner of two parallels moves by 2 / |sum|²; a spike is held back
    mean *= 2.0 / np.maximum((mean**2).sum(1, keepdims=True), 1.0)
    return corners + mean * distance * np.sign(area)


# ------------------------------------------------------------------------------------------------ for people


def draw_landmarks(
    picture: UInt8[np.ndarray, "h w 3"],
    points: Float[np.ndarray, "n d"],
    *,
    color: tuple[int, int, int] = (90, 255, 120),
) -> UInt8[np.ndarray, "h w 3"]:
    """A copy with every point, and the contours of a mesh, drawn in.

    Args:
        picture: RGB.
        points: in pixels of the picture; a mesh, the 68 points or any others.
        color: RGB of the contours; points are drawn brighter.
    """
    out = np.ascontiguousarray(picture).copy()
    flat = np.asarray(points, np.float64)[:, :2]
    fixed = np.rint((flat - 0.5) * (1 << _SHIFT)).astype(np.int32)
    width = max(1, round(float(np.ptp(flat, axis=0).max()) / 400.0)) if len(flat) else 1
    if len(points) >= 468:
        for loop in (FACE_OVAL, RIGHT_EYE, LEFT_EYE, LIPS_OUTER, LIPS_INNER, RIGHT_BROW, LEFT_BROW):
            cv2.polylines(out, [fixed[list(loop)]], True, color, width, cv2.LINE_AA, _SHIFT)
    if len(points) == 478:
        for iris in (RIGHT_IRIS, LEFT_IRIS):
            cv2.polylines(out, [fixed[list(iris)[1:]]], True, (255, 200, 60), width, cv2.LINE_AA, _SHIFT)
    bright = tuple(min(255, 128 + channel // 2) for channel in color)
    for x, y in fixed:
        cv2.circle(out, (int(x), int(y)), (width << _SHIFT) // 2, bright, -1, cv2.LINE_AA, _SHIFT)
    return out


def sheet(
    rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ 3"]]],
    *,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    gap: int = 4,
) -> UInt8[np.ndarray, "_ _ 3"]:
    """A contact sheet.

    Args:
        rows: RGB pictures row by row; a picture smaller than its cell is placed at the top left.
        columns: what stands over each column; empty for none.
        labels: what stands before each row; empty for none.
        gap: pixels between pictures.

    Returns:
        One RGB picture on a dark ground.
    """
    across = max((len(row) for row in rows), default=0)
    widths = [max((row[i].shape[1] for row in rows if i < len(row)), default=0) for i in range(across)]
    heights = [max((picture.shape[0] for picture in row), default=0) for row in rows]
    scale = min(1.0, max(0.4, max(widths, default=0) / 320.0))
    line = round(30 * scale)
    left = max((cv2.getTextSize(text, _FONT, scale, 1)[0][0] + 2 * gap for text in labels), default=0)
    top = line if columns else 0
    height, width = top + sum(heights) + gap * (len(rows) + 1), left + sum(widths) + gap * (across + 1)
    out = np.full((height, width, 3), 24, np.uint8)
    starts = [left + gap + sum(widths[:i]) + gap * i for i in range(across)]
    y = top + gap
    for row, height in zip(rows, heights, strict=True):
        for x, picture in zip(starts, row, strict=False):
            out[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        y += height + gap
    for x, text in zip(starts, columns, strict=False):
        write(out, text, (x, round(line * 0.75)), scale)
    y = top + gap
    for text, height in zip(labels, heights, strict=False):
        write(out, text, (gap, y + height // 2), scale)
        y += height + gap
    return out


def write(
    picture: UInt8[np.ndarray, "h w 3"],
    text: str,
    place: tuple[int, int],
    scale: float = 0.5,
    color: tuple[int, int, int] = (235, 235, 235),
) -> None:
    """Write a line of ASCII text into the picture; ``place`` is the start of its base line."""
    for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1)):  # an outline; a thicker stroke would be a wider font
        cv2.putText(picture, text, (place[0] + x, place[1] + y), _FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(picture, text, place, _FONT, scale, color, 1, cv2.LINE_AA)

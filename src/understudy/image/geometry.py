"""Where a face is: similarity fits, alignment to a template, matrices and their other conventions, head pose.

Coordinates are (x, y) with (0, 0) the outer corner of the first pixel. A matrix is 2 x 3, maps column vectors
(x, y, 1), and is float64. Functions that take matrices take leading batch axes too. ``to_opencv`` and
``to_grid`` are the only places where another convention appears.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float64

from understudy.contracts import Alignment, CropMode
from understudy.errors import ShapeError
from understudy.image.landmarks import ALL_POINTS, FACE_OVAL, MESH_POINTS, points68

TEMPLATE_51: Float64[np.ndarray, "51 2"] = np.array(
    [
        *((0.010086, 0.106454), (0.085135, 0.038915), (0.191003, 0.018748), (0.300643, 0.034489)),  # brows
        *((0.403270, 0.077391), (0.596729, 0.077391), (0.699356, 0.034489), (0.808997, 0.018748)),
        *((0.914864, 0.038915), (0.989913, 0.106454)),
        *((0.500000, 0.203352), (0.500000, 0.307009), (0.500000, 0.409805), (0.500000, 0.515625)),  # nose
        *((0.376753, 0.587326), (0.435909, 0.609345), (0.500000, 0.628106), (0.564090, 0.609345)),
        *((0.623246, 0.587326),),
        *((0.131610, 0.216423), (0.196995, 0.178758), (0.275698, 0.179852), (0.344479, 0.231733)),  # eyes
        *((0.270791, 0.245099), (0.192616, 0.244077), (0.655520, 0.231733), (0.724301, 0.179852)),
        *((0.803005, 0.178758), (0.868389, 0.216423), (0.807383, 0.244077), (0.729208, 0.245099)),
        *((0.264022, 0.780233), (0.350858, 0.745405), (0.438731, 0.727388), (0.500000, 0.742578)),  # lips
        *((0.561268, 0.727388), (0.649141, 0.745405), (0.735977, 0.780233), (0.652032, 0.864805)),
        *((0.566594, 0.902192), (0.500000, 0.909281), (0.433405, 0.902192), (0.347967, 0.864805)),
        *((0.300252, 0.784792), (0.437969, 0.778746), (0.500000, 0.785343), (0.562030, 0.778746)),
        *((0.699747, 0.784792), (0.563237, 0.824182), (0.500000, 0.831803), (0.436763, 0.824182)),
    ]
)
"""Mean face in the unit square: points 17…67 of the 68. The mean that dlib's users and the face-swapping
tools share, with its axis of symmetry at x = 0.5 (DeepFaceLab's copy lies 0.009873 further left)."""

ALIGN_68: tuple[int, ...] = (*range(17, 49), 54)
"""The points that place a face: brows, nose, eyes and the corners of the mouth; the jaw moves too much."""

PADDING: dict[CropMode, float] = {
    "half": 0.0,
    "mid_full": 0.0675,
    "full": 0.2109375,
    "whole": 0.4,
    "head": 0.7,
}
"""How far beyond the template a crop reaches; its side is 1 + 2 sqrt(2) padding template units."""

_ALIGN_TEMPLATE = TEMPLATE_51[[index - 17 for index in ALIGN_68]]

_MIDLINE: dict[int, tuple[float, float, float]] = {
    10: (0.0, -5.4, -0.5),
    151: (0.0, -3.9, -0.9),
    9: (0.0, -2.2, -1.2),
    168: (0.0, -0.6, -1.1),
    6: (0.0, 0.1, -1.6),
    197: (0.0, 0.7, -2.1),
    195: (0.0, 1.3, -2.7),
    5: (0.0, 2.0, -3.2),
    4: (0.0, 2.8, -3.5),
    1: (0.0, 3.4, -3.3),
    2: (0.0, 4.1, -1.8),
}
_PAIRED: dict[tuple[int, int], tuple[float, float, float]] = {
    (33, 263): (4.6, -0.1, 1.1),
    (133, 362): (1.7, 0.1, 0.5),
    (127, 356): (7.4, 0.6, 6.1),
    (234, 454): (7.3, 2.1, 6.5),
    (162, 389): (7.2, -1.0, 5.1),
    (21, 251): (6.8, -2.3, 3.8),
    (54, 284): (6.2, -3.5, 2.7),
    (103, 332): (5.1, -4.4, 1.4),
    (67, 297): (3.6, -5.1, 0.3),
    (98, 327): (1.6, 3.9, -1.0),
    (129, 358): (2.0, 3.3, -0.6),
    (50, 280): (4.9, 3.0, 0.4),
    (117, 346): (5.3, 1.5, 1.0),
}
"""Where the points that expressions move little lie in a head that looks straight ahead: x to the person's
left, y down, z into the head, in centimetres; of each pair the left one. The head is the performers' at
rest."""

_HEAD = _MIDLINE | {
    index: (sign * x, y, z)
    for pair, (x, y, z) in _PAIRED.items()
    for index, sign in zip(pair, (-1.0, 1.0), strict=True)
}
_HEAD_POINTS = np.array(list(_HEAD))
_HEAD_PLACES = np.array(list(_HEAD.values()))


# ------------------------------------------------------------------------------------------------ fits


def fit_similarity(
    points: Float[np.ndarray, "n 2"], template: Float[np.ndarray, "m 2"]
) -> Float64[np.ndarray, "2 3"]:
    """The similarity (scale, rotation, shift; no mirror) that maps points nearest to a template.

    Least squares in closed form: Umeyama 1991, "Least-squares estimation of transformation parameters between
    two point patterns", equations 40-43.

    Raises:
        ShapeError: fewer than two points, or not as many as the template has.
    """
    if points.ndim != 2 or points.shape != template.shape or len(points) < 2:
        raise ShapeError("points", f"{template.shape}, at least two", points.shape)
    source, target = np.asarray(points, np.float64), np.asarray(template, np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    source, target = source - source_mean, target - target_mean
    u, singular, v = np.linalg.svd(target.T @ source / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    scale = float((singular * sign).sum() / source.var(0).sum())
    linear = scale * (u * sign) @ v
    return np.column_stack([linear, target_mean - linear @ source_mean])


def align(points: Float[np.ndarray, "n d"], mode: CropMode) -> Alignment:
    """Frame a face: fit its landmarks to the template and choose how much of the head the unit square shows.

    Args:
        points: mesh ``(478, 3)`` or ``(468, 3)``, or the 68 points ``(68, 2)``, in frame pixels.
        mode: from the brows-to-mouth square (``half``) to hair and neck (``head``). ``whole`` moves up by
            0.07 and ``head`` by 0.5 template units; ``head`` also moves towards the back of a turned head.
    """
    marks = np.asarray(points68(points), np.float64)
    matrix = fit_similarity(marks[list(ALIGN_68)], _ALIGN_TEMPLATE)
    side = 1.0 + 2.0 * math.sqrt(2.0) * PADDING[mode]
    center_x, center_y = 0.5, 0.5
    if mode == "whole":
        center_y = 0.43
    elif mode == "head":
        x = transform_points(matrix, marks)[:, 0]
        turned = float((x[16:13:-1] - x[27:30]).mean() - (x[27:30] - x[0:3]).mean())
        center_x, center_y = 0.5 + turned * abs(math.tanh(2.0 * turned)) / 2.0, 0.0
    matrix = matrix - np.array([[0.0, 0.0, center_x], [0.0, 0.0, center_y]])
    matrix = matrix / side
    matrix[:, 2] += 0.5
    return Alignment(matrix=matrix, mode=mode)


# ------------------------------------------------------------------------------------------------ matrices


def invert(matrix: Float[np.ndarray, "*b 2 3"]) -> Float64[np.ndarray, "*b 2 3"]:
    """The matrix that undoes this one."""
    linear = np.linalg.inv(np.asarray(matrix[..., :2], np.float64))
    return np.concatenate([linear, -linear @ matrix[..., 2:]], axis=-1)


def compose(
    second: Float[np.ndarray, "*b 2 3"], first: Float[np.ndarray, "*b 2 3"]
) -> Float64[np.ndarray, "*b 2 3"]:
    """The matrix that maps by ``first``, then by ``second``."""
    out = np.asarray(second[..., :2], np.float64) @ np.asarray(first, np.float64)
    out[..., 2] += second[..., 2]
    return out


def transform_points(
    matrix: Float[np.ndarray, "2 3"], points: Float[np.ndarray, "*n d"]
) -> Float64[np.ndarray, "*n d"]:
    """Map points ``(…, 2)`` or ``(…, 3)``; z is multiplied by the scale."""
    out = np.asarray(points[..., :2], np.float64) @ np.asarray(matrix[:, :2], np.float64).T + matrix[:, 2]
    if points.shape[-1] == 3:
        scale = math.sqrt(abs(float(np.linalg.det(np.asarray(matrix[:, :2], np.float64)))))
        out = np.concatenate([out, points[..., 2:] * scale], axis=-1)
    return out


def to_opencv(matrix: Float[np.ndarray, "*b 2 3"]) -> Float64[np.ndarray, "*b 2 3"]:
    """The same map for ``cv2.warpAffine`` and its kin, for which (0, 0) is the centre of the first pixel."""
    out = np.array(matrix, np.float64)
    out[..., 2] += 0.5 * out[..., :2].sum(-1) - 0.5
    return out


def to_grid(
    matrix: Float[np.ndarray, "*b 2 3"], out_size: tuple[int, int], in_size: tuple[int, int]
) -> Float64[np.ndarray, "*b 2 3"]:
    """``theta`` for ``torch.nn.functional.affine_grid`` with ``align_corners=False``.

    Args:
        matrix: from pixels of the input picture to pixels of the output.
        out_size: (height, width) of the output.
        in_size: (height, width) of the input.
    """
    back = invert(matrix)
    out_half = np.array([out_size[1], out_size[0]], np.float64) / 2.0
    in_half = np.array([in_size[1], in_size[0]], np.float64) / 2.0
    shift = (back[..., :2] @ out_half + back[..., 2]) / in_half - 1.0
    linear = back[..., :2] * out_half / in_half[:, None]
    return np.concatenate([linear, shift[..., None]], axis=-1)


def box_of_points(points: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "4"]:
    """x0, y0, x1, y1 of the smallest upright box round the points."""
    flat = np.asarray(points[:, :2], np.float64)
    return np.concatenate([flat.min(0), flat.max(0)])


# ------------------------------------------------------------------------------------------------ the head


def axes_of_points(points: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "3 3"]:
    """Axes of the head as columns: to the person's left, down, and from the face into the head.

    The rotation that brings a mean head nearest to the mesh's own three dimensions (Umeyama 1991, equation
    40), by points of forehead, temples, eye corners, nose and cheeks; jaw, mouth and brows, which move, have
    no part in it.

    Args:
        points: mesh, ``(478, 3)`` or ``(468, 3)``.

    Raises:
        ShapeError: another shape.
    """
    if points.shape not in ((ALL_POINTS, 3), (MESH_POINTS, 3)):
        raise ShapeError("points", "(478, 3) or (468, 3)", points.shape)
    marks = np.asarray(points[_HEAD_POINTS], np.float64)
    u, _, v = np.linalg.svd((marks - marks.mean(0)).T @ (_HEAD_PLACES - _HEAD_PLACES.mean(0)))
    return (u * np.array([1.0, 1.0, np.sign(np.linalg.det(u @ v))])) @ v


def pose_of_points(points: Float[np.ndarray, "n d"]) -> tuple[float, float, float]:
    """Yaw, pitch and roll of a head in degrees.

    Positive yaw looks to the picture's right, positive pitch up, positive roll leans clockwise as seen. The
    head is rolled first, then pitched, then turned.

    Args:
        points: mesh, ``(478, 3)`` or ``(468, 3)``; z in the unit of x and y.
    """
    axes = axes_of_points(points)
    yaw = math.atan2(-axes[0, 2], axes[2, 2])
    pitch = math.atan2(axes[1, 2], math.hypot(axes[0, 2], axes[2, 2]))
    roll = math.atan2(axes[1, 0], axes[1, 1])
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def face_hull(points: Float[np.ndarray, "n d"], forehead: float = 0.0) -> Float64[np.ndarray, "m 2"]:
    """Outline of the face: the mesh's oval, or jaw and raised brows of the 68 points.

    Args:
        points: mesh ``(478, 3)`` or ``(468, 3)``, or the 68 points ``(68, 2)``.
        forehead: how far the outline is stretched upwards above the eyes, as a fraction of its height there;
            the oval of a mesh ends at the hair line, brows of 68 points are raised by as much as they lie
            above the eyes in any case.
    """
    marks = np.asarray(points68(points), np.float64)
    right, left = marks[36:42].mean(0), marks[42:48].mean(0)
    up = np.array([left[1] - right[1], right[0] - left[0]])
    up /= max(float(np.linalg.norm(up)), 1e-9)
    if len(points) == 68:
        outline = np.concatenate([marks[:17], marks[26:16:-1]])
        stretch = 1.0 + forehead
    else:
        outline = np.asarray(points, np.float64)[list(FACE_OVAL), :2]
        stretch = forehead
    height = (outline - (right + left) / 2.0) @ up
    return outline + np.maximum(height, 0.0)[:, None] * stretch * up

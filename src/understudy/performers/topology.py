"""What never changes about a head: its vertices, how they are joined, where they lie in the texture.

The *control mesh* of the head's skin is the face (468 points of the Face Mesh topology), the inside of the
lids and lips, and rings over the skull that start at the face's oval. It is refined once by Loop's
subdivision (Loop 1987; boundary and crease rules of Hoppe et al. 1994), which is linear: a sparse matrix.
Neck, ears, eyes and teeth are grids of their own. Head space is in centimetres: x to the picture's right, y
down, z away from the viewer, the origin between the eyes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy import sparse

from understudy.image.landmarks import FACE_OVAL, LEFT_EYE, LIPS_INNER, RIGHT_EYE

ATLAS = 1024
"""Side of the texture at full size, texels."""

SKULL_RINGS = 9
"""Rings of the skull between the face's oval and the pole at the back."""

FACE = 468
"""Points of the face."""

RIMS = FACE + 36 * 2
"""First vertex after the rims of lids (32) and lips (2 × 20): the back of the mouth."""

CHARTS: dict[str, tuple[int, int, int, int]] = {
    "face": (4, 4, 764, 644),
    "scalp": (4, 660, 764, 860),
    "eye": (780, 4, 1020, 244),
    "lid": (780, 256, 830, 300),
    "mouth": (840, 256, 1020, 300),
    "teeth": (780, 310, 1020, 380),
    "ear": (780, 390, 930, 560),
    "occluder": (780, 580, 890, 860),
    "hand": (900, 580, 1020, 860),
    "neck": (4, 876, 512, 1020),
    "cloth": (520, 876, 1020, 1020),
}
"""Rectangles of the atlas, x0 y0 x1 y1 in texels."""

PARTS = ("face", "skull", "mouth", "eye", "teeth", "ear", "neck", "cloth", "glasses", "hand")
"""Names of the part labels, in order."""


@dataclass(frozen=True, eq=False)
class Skin:
    """The subdivided surface of face, rims and skull."""

    triangles: Int[np.ndarray, "t 3"]
    """Vertex numbers after subdivision."""
    uv: Float32[np.ndarray, "t 3 2"]
    """Place of each corner in the atlas, texels."""
    parts: Int[np.ndarray, "t"]
    """Number in ``PARTS`` of each triangle."""
    subdivision: sparse.csr_array
    """(vertices after, control vertices)."""


@cache
def head_data() -> dict[str, np.ndarray]:
    """Rest positions (468, 3) in head space, triangles (852, 3) and mirror partners (468,) of the face."""
    with resources.files("understudy.performers").joinpath("head.npz").open("rb") as file:
        data = np.load(file)
        return {name: np.asarray(data[name]) for name in data.files}


def rest_points() -> Float[np.ndarray, "468 3"]:
    """Rest positions of the face in head space, centimetres."""
    return head_data()["rest"].astype(np.float64)


def triangles() -> Int[np.ndarray, "852 3"]:
    """Triangles of the face, from the published edge list of the mesh; the same turning sense everywhere."""
    return head_data()["triangles"].astype(np.int64)


def mirror() -> Int[np.ndarray, "468"]:
    """For each point of the face the one that is its mirror image."""
    return head_data()["mirror"].astype(np.int64)


def skull_index(ring: int, around: int) -> int:
    """Control vertex of the skull; ring 0 is the face's oval."""
    if ring == 0:
        return FACE_OVAL[around % 36]
    if ring > SKULL_RINGS:
        return RIMS + 1 + 36 * SKULL_RINGS
    return RIMS + 1 + 36 * (ring - 1) + around % 36


CONTROL = RIMS + 2 + 36 * SKULL_RINGS
"""Number of control vertices."""


def chart_point(chart: str, u: np.ndarray | float, v: np.ndarray | float) -> np.ndarray:
    """Atlas place (texels) of a point of a chart's unit square."""
    x0, y0, x1, y1 = CHARTS[chart]
    return np.stack(np.broadcast_arrays(x0 + np.asarray(u) * (x1 - x0), y0 + np.asarray(v) * (y1 - y0)), -1)


@cache
def face_uv() -> Float[np.ndarray, "468 2"]:
    """Atlas place of the face's points: unrolled from a cylinder behind the face, then freed of folds.

    Triangles that the unrolling turns over (under the nose, in the corners of the mouth) are relaxed: their
    vertices move to the mean of their neighbours until every triangle has the same sense.
    """
    rest = rest_points()
    angle = np.arctan2(rest[:, 0], 9.5 - rest[:, 2])
    flat = np.stack([angle / np.abs(angle).max() * 0.5 + 0.5, np.zeros(FACE)], 1)
    low, high = rest[:, 1].min(), rest[:, 1].max()
    flat[:, 1] = (rest[:, 1] - low) / (high - low)
    corners = triangles()
    neighbours: dict[int, set[int]] = defaultdict(set)
    for a, b, c in corners.tolist():
        neighbours[a] |= {b, c}
        neighbours[b] |= {a, c}
        neighbours[c] |= {a, b}
    fixed = set(FACE_OVAL) | set(RIGHT_EYE) | set(LEFT_EYE) | set(LIPS_INNER)
    for _ in range(400):
        edge1, edge2 = flat[corners[:, 1]] - flat[corners[:, 0]], flat[corners[:, 2]] - flat[corners[:, 0]]
        area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
        sense = np.sign(np.median(area))
        bad = np.flatnonzero(area * sense < 4e-6)
        if not len(bad):
            break
        for vertex in set(corners[bad].ravel().tolist()) - fixed:
            flat[vertex] += 0.5 * (flat[list(neighbours[vertex])].mean(0) - flat[vertex])
    return chart_point("face", 0.01 + 0.98 * flat[:, 0], 0.01 + 0.98 * flat[:, 1])


def _strip(
    outer: list[int], inner: list[int], uv_outer: np.ndarray, uv_inner: np.ndarray
) -> tuple[list[tuple[int, int, int]], list[np.ndarray]]:
    """Triangles between two closed loops of equal length; the uv arrays have one entry more."""
    corners: list[tuple[int, int, int]] = []
    uv: list[np.ndarray] = []
    count = len(outer)
    for i in range(count):
        j = (i + 1) % count
        corners += [(outer[i], outer[j], inner[i]), (outer[j], inner[j], inner[i])]
        uv += [np.stack([uv_outer[i], uv_outer[i + 1], uv_inner[i]])]
        uv += [np.stack([uv_outer[i + 1], uv_inner[i + 1], uv_inner[i]])]
    return corners, uv


def _control_mesh() -> tuple[np.ndarray, np.ndarray, np.ndarray, set[frozenset[int]]]:
    """Triangles, corner places, parts and crease edges of the control mesh."""
    corners = [tuple(row) for row in triangles().tolist()]
    places = face_uv()
    uv = [places[list(row)] for row in corners]
    parts = [0] * len(corners)
    creases: set[frozenset[int]] = set()

    def add(outer: list[int], inner: list[int], chart: str, part: int, v0: float, v1: float) -> None:
        around = np.linspace(0, 1, len(outer) + 1)
        more, more_uv = _strip(outer, inner, chart_point(chart, around, v0), chart_point(chart, around, v1))
        first, second, _ = more[0]
        if any({(a, b), (b, c), (c, a)} & {(first, second)} for a, b, c in corners):
            more, more_uv = [row[::-1] for row in more], [places[::-1] for places in more_uv]
        corners.extend(more)
        uv.extend(more_uv)
        parts.extend([part] * len(more))

    start = FACE
    for loop in (list(RIGHT_EYE), list(LEFT_EYE)):
        add(loop, list(range(start, start + 16)), "lid", 0, 0.1, 0.9)
        creases |= {frozenset((loop[i], loop[i - 1])) for i in range(16)}
        start += 16
    lips = list(LIPS_INNER)
    first, second = list(range(start, start + 20)), list(range(start + 20, start + 40))
    add(lips, first, "mouth", 0, 0.02, 0.4)
    add(first, second, "mouth", 2, 0.4, 0.85)
    add(second, [RIMS] * 20, "mouth", 2, 0.85, 0.98)
    creases |= {frozenset((lips[i], lips[i - 1])) for i in range(20)}
    for ring in range(SKULL_RINGS + 1):
        outer = [skull_index(ring, i) for i in range(36)]
        inner = [skull_index(ring + 1, i) for i in range(36)]
        v0, v1 = ring / (SKULL_RINGS + 1), (ring + 1) / (SKULL_RINGS + 1)
        add(outer, inner, "scalp", 1, v0, v1)
    array = np.array(corners)
    keep = (array[:, 0] != array[:, 1]) & (array[:, 1] != array[:, 2]) & (array[:, 0] != array[:, 2])
    return array[keep], np.stack(uv)[keep], np.array(parts)[keep], creases


def _subdivision(
    corners: np.ndarray, count: int, creases: set[frozenset[int]]
) -> tuple[sparse.csr_array, np.ndarray]:
    """Loop's matrix and the number of the new vertex on each triangle's edges (01, 12, 20)."""
    wings: dict[frozenset[int], list[int]] = defaultdict(list)
    for a, b, c in corners.tolist():
        wings[frozenset((a, b))].append(c)
        wings[frozenset((b, c))].append(a)
        wings[frozenset((c, a))].append(b)
    numbers = {edge: count + i for i, edge in enumerate(wings)}
    sharp = {edge for edge, across in wings.items() if len(across) != 2} | creases
    around: dict[int, list[int]] = defaultdict(list)
    hard: dict[int, list[int]] = defaultdict(list)
    for edge in wings:
        a, b = edge
        around[a].append(b)
        around[b].append(a)
        if edge in sharp:
            hard[a].append(b)
            hard[b].append(a)
    matrix = sparse.lil_array((count + len(wings), count))
    for vertex in range(count):
        if len(hard[vertex]) == 2:
            matrix[vertex, vertex] = 0.75
            for other in hard[vertex]:
                matrix[vertex, other] = 0.125
            continue
        degree = len(around[vertex])
        beta = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / degree)) ** 2) / degree
        matrix[vertex, vertex] = 1 - degree * beta
        for other in around[vertex]:
            matrix[vertex, other] = beta
    for edge, number in numbers.items():
        ends, across = (0.5, 0.0) if edge in sharp else (0.375, 0.125)
        for vertex in edge:
            matrix[number, vertex] += ends
        for vertex in wings[edge]:
            matrix[number, vertex] += across
    middle = [
        [numbers[frozenset((a, b))], numbers[frozenset((b, c))], numbers[frozenset((c, a))]]
        for a, b, c in corners.tolist()
    ]
    return sparse.csr_array(matrix, dtype=np.float32), np.array(middle)


@cache
def skin() -> Skin:
    """The subdivided skin."""
    corners, uv, parts, creases = _control_mesh()
    matrix, middle = _subdivision(corners, CONTROL, creases)
    half = (uv + np.roll(uv, -1, axis=1)) / 2
    new = [
        np.stack([corners[:, 0], middle[:, 0], middle[:, 2]], 1),
        np.stack([corners[:, 1], middle[:, 1], middle[:, 0]], 1),
    ]
    new += [np.stack([corners[:, 2], middle[:, 2], middle[:, 1]], 1), middle]
    new_uv = [np.stack([uv[:, i], half[:, i], half[:, (i + 2) % 3]], 1) for i in range(3)] + [half]
    return Skin(
        triangles=np.concatenate(new),
        uv=np.concatenate(new_uv).astype(np.float32),
        parts=np.tile(parts, 4),
        subdivision=matrix,
    )


def grid(rows: int, columns: int) -> Int[np.ndarray, "t 3"]:
    """Triangles of a grid of ``rows`` × ``columns`` vertices, row by row."""
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])


@cache
def _oval_distance() -> Float[np.ndarray, "468"]:
    """Distance to the oval in the rest position, centimetres."""
    rest = rest_points()
    loop = rest[list(FACE_OVAL)]
    steps = np.linspace(0, 1, 9)[:-1]
    fine = np.concatenate([loop + (np.roll(loop, -1, 0) - loop) * t for t in steps])
    return np.sqrt(((rest[:, None] - fine[None]) ** 2).sum(-1)).min(1)


@cache
def oval_weight() -> Float[np.ndarray, "468"]:
    """How much a point's surface is *inner face*: 0 on the oval, 1 from 2.4 cm inwards, smooth between.

    It dissolves the border of a swap.
    """
    t = np.clip(_oval_distance() / 2.4, 0, 1)
    return t * t * (3 - 2 * t)


@cache
def shape_weight() -> Float[np.ndarray, "468"]:
    """How much a point's place is *inner face*: as ``oval_weight``, but 0 on the oval's neighbours too.

    So not even the surface's normals change where a swap's mask is 0.
    """
    t = np.clip((_oval_distance() - 0.6) / 2.2, 0, 1)
    out = t * t * (3 - 2 * t)
    corners = triangles()
    touching = np.isin(corners, FACE_OVAL).any(1)
    out[np.unique(corners[touching])] = 0
    return out

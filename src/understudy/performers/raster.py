"""A scan-line rasteriser in numpy: which triangle a pixel's centre sees, how much of it an edge leaves.

Pixel coordinates have (0, 0) at the outer corner of the first pixel, so centres lie at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Int32

_DEPTH_STEPS = 1 << 22
_STEEPEST = np.float32(4.0)


@dataclass(frozen=True, eq=False)
class Raster:
    """What each pixel of a picture sees."""

    ids: Int32[np.ndarray, "h w"]
    """Number of the nearest triangle, −1 where there is none."""
    depth: Float32[np.ndarray, "h w"]
    """Its depth, larger is farther; infinite where there is none."""


def _spread(counts: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
    """For groups of these sizes: the group of each member, and its place in the group."""
    total = int(counts.sum())
    group = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    ends = np.cumsum(counts)
    place = np.arange(total, dtype=np.int32) - np.repeat((ends - counts).astype(np.int32), counts)
    return group, place


def front_facing(xy: Float32[np.ndarray, "v 2"], triangles: Int[np.ndarray, "t 3"]) -> np.ndarray:
    """Signed double area of each triangle in the picture; negative faces the viewer."""
    a, b, c = xy[triangles[:, 0]], xy[triangles[:, 1]], xy[triangles[:, 2]]
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])


def _lean(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Columns a row along the edge from p down to q."""
    rise = q[:, 1] - p[:, 1]
    return np.where(rise > 1e-9, (q[:, 0] - p[:, 0]) / np.maximum(rise, 1e-9), 0).astype(np.float32)


def _depth_slopes(
    top: np.ndarray, middle: np.ndarray, bottom: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Change of each triangle's depth a column and a row, kept small where it is seen from the side."""
    edge1, edge2 = middle - top, bottom - top
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    dz1, dz2 = z[:, 1] - z[:, 0], z[:, 2] - z[:, 0]
    gx = ((dz1 * edge2[:, 1] - dz2 * edge1[:, 1]) / area).astype(np.float32)
    gy = ((dz2 * edge1[:, 0] - dz1 * edge2[:, 0]) / area).astype(np.float32)
    return np.clip(gx, -_STEEPEST, _STEEPEST), np.clip(gy, -_STEEPEST, _STEEPEST)


def rasterise(
    xy: Float32[np.ndarray, "v 2"],
    depth: Float32[np.ndarray, "v"],
    triangles: Int[np.ndarray, "t 3"],
    height: int,
    width: int,
) -> Raster:
    """Find the nearest triangle of every pixel.

    Args:
        xy: vertices in pixels.
        depth: their depths; linear within a triangle.
        triangles: those to draw, cull what faces away beforehand.
        height: rows of the picture.
        width: columns of the picture.
    """
    ids = np.full((height, width), -1, np.int32)
    far = np.full((height, width), np.inf, np.float32)
    if not len(triangles):
        return Raster(ids, far)
    corner = xy[triangles]
    order = np.argsort(corner[:, :, 1], axis=1)
    corner = np.take_along_axis(corner, order[:, :, None], 1)
    z = np.take_along_axis(depth[triangles], order, 1)
    top, middle, bottom = corner[:, 0], corner[:, 1], corner[:, 2]
    first = np.clip(np.ceil(top[:, 1] - 0.5), 0, height).astype(np.int32)
    last = np.clip(np.ceil(bottom[:, 1] - 0.5), 0, height).astype(np.int32)
    which, step = _spread(np.maximum(last - first, 0))
    row = first[which] + step
    centre = row.astype(np.float32) + np.float32(0.5)

    slopes = np.stack([_lean(top, bottom), _lean(top, middle), _lean(middle, bottom)], 1)[which]
    upper = centre < middle[which, 1]
    along = top[which, 0] + (centre - top[which, 1]) * slopes[:, 0]
    start = np.where(upper[:, None], top[which], middle[which])
    across = start[:, 0] + (centre - start[:, 1]) * np.where(upper, slopes[:, 1], slopes[:, 2])
    left = np.clip(np.ceil(np.minimum(along, across) - 0.5), 0, width).astype(np.int32)
    right = np.clip(np.ceil(np.maximum(along, across) - 0.5), 0, width).astype(np.int32)
    span, step = _spread(np.maximum(right - left, 0))
    gx, gy = _depth_slopes(top, middle, bottom, z)
    begin = (
        z[which, 0]
        + (left + np.float32(0.5) - top[which, 0]) * gx[which]
        + (centre - top[which, 1]) * gy[which]
    )
    value = begin[span] + step * gx[which][span]
    low, high = float(depth.min()) - 4.0, float(depth.max()) + 4.0
    scaled = np.clip((value - low) * np.float32(_DEPTH_STEPS / (high - low)), 0, _DEPTH_STEPS)
    key = (scaled.astype(np.int64) << 24) | which[span]
    pixel = (row * width + left)[span] + step
    nearest = np.full(height * width, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(nearest, pixel, key)
    seen = nearest != np.iinfo(np.int64).max
    ids.reshape(-1)[seen] = (nearest[seen] & ((1 << 24) - 1)).astype(np.int32)
    far.reshape(-1)[seen] = (nearest[seen] >> 24).astype(np.float32) * np.float32(
        (high - low) / _DEPTH_STEPS
    ) + low
    return Raster(ids, far)


def planes(
    xy: Float32[np.ndarray, "v 2"], triangles: Int[np.ndarray, "t 3"], corners: Float32[np.ndarray, "t 3 k"]
) -> Float32[np.ndarray, "t 3 k"]:
    """Coefficients of each triangle's linear attributes: value at the first corner, gradient along the edges.

    The value at (x, y) is ``c0 + c1 * (x - x0) + c2 * (y - y0)`` with the corner's place folded into c0.
    """
    a, b, c = xy[triangles[:, 0]], xy[triangles[:, 1]], xy[triangles[:, 2]]
    edge1, edge2 = b - a, c - a
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    area = np.where(np.abs(area) < 1e-6, 1e-6, area)[:, None]
    d1, d2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    gx = (d1 * edge2[:, 1:] - d2 * edge1[:, 1:]) / area
    gy = (d2 * edge1[:, :1] - d1 * edge2[:, :1]) / area
    base = corners[:, 0] - gx * a[:, :1] - gy * a[:, 1:]
    return np.stack([base, gx, gy], 1).astype(np.float32)


def _ends(corner: np.ndarray, pixels: np.ndarray, width: int, axis: int) -> np.ndarray:
    """Where a row (axis 0) or column (axis 1) through pixels' centres crosses the edges of triangles.

    Args:
        corner: triangles (n, 3, 2), pixels.
        pixels: flat numbers (n,).
        width: of the picture.
        axis: which way to go.

    Returns:
        Distances (n, 3) from the centre along the axis; not a number where an edge is not crossed.
    """
    centre = np.stack([pixels % width, pixels // width], 1).astype(np.float32) + np.float32(0.5)
    local = corner - centre[:, None]
    along, across = local[..., axis], local[..., 1 - axis]
    next_along, next_across = np.roll(along, -1, 1), np.roll(across, -1, 1)
    rise = next_across - across
    crosses = (across > 0) != (next_across > 0)
    t = -across / np.where(np.abs(rise) < 1e-9, 1e-9, rise)
    out = np.where(crosses, along + t * (next_along - along), np.nan)
    return out.astype(np.float32)


def soften_edges(
    picture: Float32[np.ndarray, "h w k"],
    raster: Raster,
    xy: Float32[np.ndarray, "v 2"],
    triangles: Int[np.ndarray, "t 3"],
    gap: float,
) -> None:
    """Blend pixels across silhouettes by the part of the pixel that the nearer surface covers, in place.

    Two neighbouring pixels with a step in depth between them are looked at: the nearer one's triangle ends
    somewhere between the two centres; where it ends beyond the middle, it covers part of the farther pixel,
    otherwise part of the nearer pixel shows what lies behind (Laine et al. 2020, "Modular Primitives for
    High-Performance Differentiable Rendering", section 3.5).

    Args:
        picture: shaded pixels, alpha-multiplied.
        raster: what they see.
        xy: vertices in pixels.
        triangles: as given to ``rasterise``.
        gap: step in depth from which an edge is a silhouette.
    """
    height, width = raster.ids.shape
    flat = picture.reshape(height * width, -1)
    ids, depth = raster.ids.reshape(-1), np.minimum(raster.depth, np.float32(1e6)).reshape(-1)
    number = np.arange(height * width, dtype=np.int32).reshape(height, width)
    add_index: list[np.ndarray] = []
    add_value: list[np.ndarray] = []
    for axis in (0, 1):
        one = number[:, :-1].ravel() if axis == 0 else number[:-1].ravel()
        two = one + (1 if axis == 0 else width)
        step = depth[two] - depth[one]
        edge = np.flatnonzero(np.abs(step) > gap)
        if not len(edge):
            continue
        forward = step[edge] > 0
        near = np.where(forward, one[edge], two[edge])
        behind = np.where(forward, two[edge], one[edge])
        sign = np.where(forward, 1.0, -1.0).astype(np.float32)[:, None]
        ends = _ends(xy[triangles[ids[near]]], near, width, axis) * sign
        ends = np.min(np.where(ends >= -1e-3, ends, np.inf), axis=1)
        good = ends <= 1.0
        near, behind, ends = near[good], behind[good], ends[good]
        share = ends - np.float32(0.5)
        difference = flat[near] - flat[behind]
        covers = share > 0
        add_index.append(np.where(covers, behind, near))
        add_value.append(difference * share[:, None])
    for index, value in zip(add_index, add_value, strict=True):
        # a pixel between two edges takes half of each
        count = np.bincount(index, minlength=0)
        np.add.at(flat, index, value / np.maximum(count[index], 1)[:, None])

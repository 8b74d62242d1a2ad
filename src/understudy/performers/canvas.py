"""A sheet to paint surface properties on, laid out as ``topology.CHARTS`` says, and brushes for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float

from understudy.performers.raster import planes, rasterise
from understudy.performers.topology import ATLAS, CHARTS, FACE, face_uv, rest_points, triangles

Map = Float[np.ndarray, "h w"]


class Canvas:
    """The layers of an atlas while it is painted."""

    def __init__(self) -> None:
        self.color = np.zeros((ATLAS, ATLAS, 3), np.float32)
        """Albedo, sRGB."""
        self.height = np.zeros((ATLAS, ATLAS), np.float32)
        """Relief, centimetres."""
        self.raised = np.zeros((ATLAS, ATLAS), np.float32)
        """Relief that a raised brow adds, centimetres."""
        self.shine = np.zeros((ATLAS, ATLAS), np.float32)
        """Strength of the specular light."""
        self.gloss = np.full((ATLAS, ATLAS), 0.35, np.float32)
        """0 dull to 1 a mirror."""

    def chart(self, name: str) -> tuple[slice, slice]:
        """Rows and columns of a chart with a margin, so that filtering at its border stays inside."""
        x0, y0, x1, y1 = CHARTS[name]
        return slice(max(y0 - 4, 0), min(y1 + 4, ATLAS)), slice(max(x0 - 4, 0), min(x1 + 4, ATLAS))

    def fill(self, name: str, color: Sequence[float] | np.ndarray, shine: float, gloss: float) -> None:
        """Paint a whole chart."""
        place = self.chart(name)
        self.color[place] = np.asarray(color, np.float32)
        self.shine[place] = shine
        self.gloss[place] = gloss

    def tint(self, weight: Map, color: Sequence[float], region: tuple[slice, slice] | None = None) -> None:
        """Mix a colour in by a weight of 0 to 1."""
        place = _touched(weight)
        target = (self.color if region is None else self.color[region])[place]
        target += weight[place][..., None].astype(np.float32) * (np.asarray(color, np.float32) - target)

    def scale(self, weight: Map, factor: Sequence[float], region: tuple[slice, slice] | None = None) -> None:
        """Multiply by a factor where the weight is 1."""
        place = _touched(weight)
        target = (self.color if region is None else self.color[region])[place]
        target *= 1 + weight[place][..., None].astype(np.float32) * (np.asarray(factor, np.float32) - 1)


def _touched(weight: Map) -> tuple[slice, slice]:
    """The rectangle outside which a weight is too small to be seen: most brushes are small."""
    seen = weight > 1e-3
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def noise(rng: np.random.Generator, shape: tuple[int, int], *sigmas: float, along: float = 1.0) -> Map:
    """Smooth noise of zero mean and unit deviation, summed over scales.

    Args:
        rng: where chance comes from.
        shape: rows, columns.
        sigmas: blur of each octave, pixels.
        along: the blur down the rows is this many times that across.
    """
    out = np.zeros(shape, np.float32)
    for sigma in sigmas:
        step = max(1, int(sigma / 3))
        small = rng.standard_normal((shape[0] // step + 2, shape[1] // step + 2)).astype(np.float32)
        small = cv2.GaussianBlur(small, (0, 0), sigma / step, sigmaY=sigma * along / step)
        part = cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
        out += part / (float(part.std()) + 1e-6)
    return out / max(len(sigmas), 1) ** 0.5


@cache
def _chart_raster() -> tuple[np.ndarray, np.ndarray]:
    x0, y0, x1, y1 = CHARTS["face"]
    uv = (face_uv() - [x0 - 4, y0 - 4]).astype(np.float32)
    raster = rasterise(uv, np.zeros(FACE, np.float32), triangles(), y1 - y0 + 8, x1 - x0 + 8)
    return raster.ids, uv


def vertex_map(values: np.ndarray, blur: float = 2.0) -> Map:
    """Values of the 468 points as a map over the face's chart; holes and margin are filled."""
    ids, uv = _chart_raster()
    corners = triangles()
    table = planes(uv, corners, values.astype(np.float32)[corners][..., None])[..., 0]
    rows, columns = np.mgrid[0 : ids.shape[0], 0 : ids.shape[1]].astype(np.float32) + np.float32(0.5)
    safe = np.maximum(ids, 0)
    out = table[safe, 0] + table[safe, 1] * columns + table[safe, 2] * rows
    seen = (ids >= 0).astype(np.float32)
    out *= seen
    # what is not covered takes the blurred value of what is near; coarse is enough there
    small = (out.shape[1] // 4, out.shape[0] // 4)
    coarse, near = (cv2.resize(part, small, interpolation=cv2.INTER_AREA) for part in (out, seen))
    for sigma in (1.5, 4.0, 12.0):
        weight = cv2.GaussianBlur(near, (0, 0), sigma)
        guess = cv2.GaussianBlur(coarse, (0, 0), sigma) / np.maximum(weight, 1e-6)
        fill = (seen == 0) & (cv2.resize(weight, out.shape[::-1]) > 1e-3)
        out[fill] = cv2.resize(guess, out.shape[::-1])[fill]
        seen[fill] = 1
    return cv2.GaussianBlur(out, (0, 0), blur) if blur else out


@cache
def bump_map(points: tuple[int, ...], radius: float, symmetric: bool = True) -> Map:
    """A Gaussian spot on the face's chart round the mean of some points; radius in centimetres."""
    rest = rest_points()
    centre = rest[list(points)].mean(0)
    weight = np.exp(-((rest - centre) ** 2).sum(1) / (2 * radius**2))
    if symmetric and abs(centre[0]) > 0.05:
        weight = weight + np.exp(-((rest - centre * [-1, 1, 1]) ** 2).sum(1) / (2 * radius**2))
    return np.clip(vertex_map(weight), 0, 1)


def local_uv() -> np.ndarray:
    """Places of the 468 points in the face's chart with its margin, pixels."""
    return _chart_raster()[1]


def smooth_path(points: np.ndarray, count: int = 24) -> np.ndarray:
    """A Catmull-Rom curve through points (n, 2)."""
    padded = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    place = np.linspace(0, len(points) - 1, count)
    start = np.minimum(place.astype(int), len(points) - 2)
    t = (place - start)[:, None]
    a, b, c, d = (padded[start + i] for i in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def stroke(out: np.ndarray, path: np.ndarray, width: float = 1.0, strength: float = 1.0) -> None:
    """Draw an anti-aliased line, brightest where it is drawn last."""
    points = np.round(path * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(out, [points], False, strength, max(1, round(width)), cv2.LINE_AA, 4)


def groove(shape: tuple[int, int], paths: Sequence[np.ndarray], width: float, taper: bool = True) -> Map:
    """Soft lines that fade at their ends, 0 to 1."""
    out = np.zeros(shape, np.uint8)
    for path in paths:
        fine = smooth_path(path, 40)
        for i in range(len(fine) - 1):
            t = i / (len(fine) - 2)
            strength = np.sin(np.pi * (0.08 + 0.84 * t)) if taper else 1.0
            stroke(out, fine[i : i + 2], 2, float(255 * strength))
    soft = cv2.GaussianBlur(out.astype(np.float32) / 255, (0, 0), width)
    return np.clip(soft / max(0.9 / (width * 1.6), 0.05), 0, 1)


def polygon(shape: tuple[int, int], loop: np.ndarray, blur: float) -> Map:
    """A filled soft-edged outline, 0 to 1."""
    out = np.zeros(shape, np.uint8)
    cv2.fillPoly(out, [np.round(loop * 16).astype(np.int32).reshape(-1, 1, 2)], 255, cv2.LINE_AA, 4)
    return (
        cv2.GaussianBlur(out.astype(np.float32) / 255, (0, 0), blur) if blur else out.astype(np.float32) / 255
    )

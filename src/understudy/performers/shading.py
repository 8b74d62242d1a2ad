"""From triangles to lit pixels: attributes, textures, relief and light of one layer of a picture.

Light is linear with sRGB taken as a square root; the viewer looks along +z.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Int

from understudy.performers.raster import Raster, planes, rasterise, soften_edges
from understudy.performers.scene import Scene

_WRAP = np.array([0.34, 0.20, 0.15], np.float32)
"""How far light creeps round an edge in skin: red the farthest."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Triangles to draw together, their vertices projected."""

    xy: Float32[np.ndarray, "v 2"]
    depth: Float32[np.ndarray, "v"]
    normals: Float32[np.ndarray, "v 3"]
    """Unit vectors, camera axes."""
    shade: Float32[np.ndarray, "v"]
    """Occlusion that is computed for the frame, 0 dark to 1."""
    triangles: Int[np.ndarray, "t 3"]
    """Only those that may be seen."""
    uv: Float32[np.ndarray, "t 3 2"]
    """Texels at full size."""
    labels: Float32[np.ndarray, "t k"]
    """Numbers carried through to the picture's further channels."""


@dataclass(frozen=True, eq=False)
class Fragments:
    """What the pixels of a layer see."""

    raster: Raster
    pixels: Int[np.ndarray, "n"]
    """Flat numbers of the covered pixels."""
    uv: Float32[np.ndarray, "n 2"]
    normals: Float32[np.ndarray, "n 3"]
    shade: Float32[np.ndarray, "n"]

    def only(self, keep: Int[np.ndarray, "m"]) -> Fragments:
        """Some of the fragments; the others were transparent."""
        return Fragments(
            self.raster,
            self.pixels[keep],
            self.uv[keep],
            np.ascontiguousarray(self.normals[keep]),
            self.shade[keep],
        )


def vertex_normals(
    vertices: Float32[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"], gather: object | None = None
) -> Float32[np.ndarray, "v 3"]:
    """Smooth outward normals (negative z towards the viewer), weighted by area.

    Args:
        vertices: places.
        triangles: clockwise as seen from outside.
        gather: sparse (v, t) matrix that sums a triangle's normal into its vertices; None to sum here.
    """
    a, b, c = vertices[triangles[:, 0]], vertices[triangles[:, 1]], vertices[triangles[:, 2]]
    p, q = b - a, c - a
    across = np.stack([
        p[:, 1] * q[:, 2] - p[:, 2] * q[:, 1], p[:, 2] * q[:, 0] - p[:, 0] * q[:, 2], p[:, 0] * q[:,
            1] - p[:, 1] * q[:, 0]
    ], 1)  # fmt: skip
    if gather is None:
        out = np.zeros_like(vertices)
        for i in range(3):
            np.add.at(out, triangles[:, i], across)
    else:
        out = gather @ across  # pyright: ignore[reportOperatorIssue]  # scipy's sparse arrays are untyped
    return (out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-9)).astype(np.float32)


def collect(layer: Layer, height: int, width: int) -> Fragments:
    """Rasterise a layer and interpolate its attributes."""
    raster = rasterise(layer.xy, layer.depth, layer.triangles, height, width)
    pixels = np.flatnonzero(raster.ids >= 0)
    which = raster.ids.reshape(-1)[pixels]
    seen = np.zeros(len(layer.triangles), bool)
    seen[which] = True
    table = np.zeros((len(layer.triangles), 3, 6), np.float32)
    some = layer.triangles[seen]
    corners = np.concatenate([layer.uv[seen], layer.normals[some], layer.shade[some][..., None]], -1)
    table[seen] = planes(layer.xy, some, corners)
    rows = np.take(table.reshape(-1, 18), which, axis=0)
    x, y = (
        ((pixels % width) + 0.5).astype(np.float32)[:, None],
        ((pixels // width) + 0.5).astype(np.float32)[:, None],
    )
    values = rows[:, :6] + rows[:, 6:12] * x + rows[:, 12:] * y
    normals = np.ascontiguousarray(values[:, 2:5])
    normals /= np.sqrt(np.einsum("nk,nk->n", normals, normals))[:, None] + np.float32(1e-6)
    return Fragments(
        raster, pixels, np.ascontiguousarray(values[:, :2]), normals, np.ascontiguousarray(values[:, 5])
    )


def sample(
    texture: Float32[np.ndarray, "s s k"], uv: Float32[np.ndarray, "n 2"], full: int
) -> Float32[np.ndarray, "n k"]:
    """Bilinear look-up; ``uv`` in texels of a texture of side ``full``."""
    scale = texture.shape[0] / full
    count = len(uv)
    if not count:
        return np.zeros((0, texture.shape[2]), np.float32)
    rows = -(-count // 1024)
    grid = np.zeros((2, rows * 1024), np.float32)
    np.multiply(uv.T, np.float32(scale), out=grid[:, :count])
    grid -= np.float32(0.5)
    x, y = grid.reshape(2, rows, 1024)
    picture = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return picture.reshape(rows * 1024, -1)[:count]


def emboss(fragments: Fragments, relief: Float32[np.ndarray, "n"], pixels_per_cm: float) -> None:
    """Tilt the normals by the slope of a relief (cm), in place; the slope is taken in the picture."""
    height, width = fragments.raster.ids.shape
    sheet = np.full(height * width, np.nan, np.float32)
    sheet[fragments.pixels] = relief
    pixels = fragments.pixels
    flat = sheet
    right = flat[np.minimum(pixels + 1, height * width - 1)] - relief
    left = relief - flat[np.maximum(pixels - 1, 0)]
    down = flat[np.minimum(pixels + width, height * width - 1)] - relief
    up = relief - flat[np.maximum(pixels - width, 0)]
    limit = np.float32(0.9 / pixels_per_cm)
    for axis, (one, two) in enumerate(((right, left), (down, up))):
        slope = np.where(np.isnan(one), 0, one) + np.where(np.isnan(two), 0, two)
        np.clip(slope, -limit, limit, out=slope)
        fragments.normals[:, axis] += slope * np.float32(0.5 * pixels_per_cm)
    normals = fragments.normals
    normals /= np.sqrt(np.einsum("nk,nk->n", normals, normals))[:, None] + np.float32(1e-6)


def light(
    normals: Float32[np.ndarray, "n 3"],
    color: Float32[np.ndarray, "n k"],
    gloss: Float32[np.ndarray, "n"] | float,
    shine: Float32[np.ndarray, "n"],
    shade: Float32[np.ndarray, "n"],
    scene: Scene,
) -> Float32[np.ndarray, "n 3"]:
    """Wrapped diffuse, hemispheric ambient and Blinn-Phong specular light; linear."""
    toward = np.array(scene.light, np.float32)
    toward /= np.linalg.norm(toward)
    half = toward + np.array([0, 0, -1], np.float32)
    half /= np.linalg.norm(half)
    facing = normals @ toward
    key = np.maximum((facing[:, None] + _WRAP) / (1 + _WRAP), 0)
    key *= np.array(scene.light_color, np.float32)
    top, bottom = np.array(scene.ambient, np.float32), np.array(scene.ground, np.float32)
    level = (np.float32(0.5) - np.float32(0.5) * normals[:, 1])[:, None]
    key += bottom + (top - bottom) * level
    out = color[:, :3] * key
    out *= shade[:, None]
    exponent = np.exp2(np.float32(2.0) + np.float32(6.5) * np.asarray(gloss, np.float32))
    near = np.maximum(normals @ half, 1e-4)
    spot = np.exp2(np.log2(near) * exponent)
    spot *= shine * (exponent + 8) * np.float32(1 / 40) * np.clip(facing * 4 + 0.5, 0, 1) * shade
    edge = 1 + normals[:, 2]
    np.clip(edge, 0, 1, out=edge)
    edge = edge * edge
    edge *= edge * shine * np.float32(0.8) * shade
    out += spot[:, None] * np.array(scene.light_color, np.float32)
    out += edge[:, None] * top
    # a soft shoulder: nothing bright is cut off
    bright = out - np.float32(0.5)
    np.maximum(bright, 0, out=bright)
    out -= bright
    out += bright / (1 + 2 * bright)
    return out


def compose(
    fragments: Fragments, layer: Layer, channels: Float32[np.ndarray, "n k"], gap: float
) -> Float32[np.ndarray, "h w k"]:
    """Put shaded fragments into a picture and soften the silhouettes."""
    height, width = fragments.raster.ids.shape
    picture = np.zeros((height * width, channels.shape[1]), np.float32)
    picture[fragments.pixels] = channels
    picture = picture.reshape(height, width, -1)
    soften_edges(picture, fragments.raster, layer.xy, layer.triangles, gap)
    return picture

"""Where a performer stands: camera, light, background, things before the face."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32

from understudy.performers.canvas import noise

Occluder = Literal["none", "glasses", "hand"]
Color = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Camera, light and surroundings; constant through a clip."""

    distance: float = 75.0
    """From the camera to the head, centimetres."""
    head: float = 0.42
    """Height of an average face (hair line to chin, 16 cm) as a fraction of the picture's shorter side."""
    center: tuple[float, float] = (0.5, 0.47)
    """Where a head at rest is, fraction of width and height."""
    light: tuple[float, float, float] = (-0.45, -0.5, -0.74)
    """Direction towards the key light: right, down, away."""
    light_color: Color = (1.0, 0.97, 0.92)
    """Linear."""
    ambient: Color = (0.34, 0.36, 0.40)
    """Linear, from above."""
    ground: Color = (0.20, 0.17, 0.15)
    """Linear, from below."""
    background: int = 0
    """Seed of the backdrop."""
    occluder: Occluder = "none"
    """What is before the face."""
    frame_color: Color = (0.05, 0.05, 0.06)
    """Of the glasses, sRGB."""

    @classmethod
    def from_seed(cls, seed: int, occluder: Occluder = "none") -> Scene:
        """A random scene in which a face can be seen."""
        rng = np.random.default_rng([seed, 71])
        turn, lift = rng.uniform(-1.1, 1.1), rng.uniform(-0.05, 0.85)
        light = np.array([np.sin(turn) * np.cos(lift), -np.sin(lift), -np.cos(turn) * np.cos(lift)])
        strength = rng.uniform(0.75, 1.2)
        warmth = rng.uniform(-1, 1)
        color = strength * np.array([1 + 0.1 * warmth, 1.0, 1 - 0.14 * warmth])
        fill = rng.uniform(0.22, 0.5)
        ambient = fill * np.array([1 - 0.08 * warmth, 1.0, 1 + 0.1 * warmth])
        return cls(
            distance=float(rng.uniform(60, 110)),
            head=float(rng.uniform(0.38, 0.48)),
            center=(float(rng.uniform(0.47, 0.53)), float(rng.uniform(0.45, 0.5))),
            light=(float(light[0]), float(light[1]), float(light[2])),
            light_color=(float(color[0]), float(color[1]), float(color[2])),
            ambient=(float(ambient[0]), float(ambient[1]), float(ambient[2])),
            ground=(float(ambient[0] * 0.6), float(ambient[1] * 0.52), float(ambient[2] * 0.45)),
            background=seed,
            occluder=occluder,
        )

    def focal(self, width: int, height: int) -> float:
        """Focal length in pixels."""
        return self.head * min(width, height) / 16.3 * self.distance

    def project(
        self, points: Float32[np.ndarray, "n 3"], width: int, height: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (n, 2) and the scale (pixels a centimetre) of points before the camera."""
        scale = self.focal(width, height) / np.maximum(self.distance + points[:, 2], 1.0)
        middle = np.array([self.center[0] * width, self.center[1] * height])
        return points[:, :2] * scale[:, None] + middle, scale


@lru_cache(maxsize=8)
def backdrop(seed: int, width: int, height: int) -> Float32[np.ndarray, "h w 3"]:
    """A blurred room that nobody photographed: gradient, soft shapes, grain; linear light."""
    rng = np.random.default_rng([seed, 72])
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(width, height)
    first, second = rng.uniform(0.12, 0.75, 3), rng.uniform(0.12, 0.75, 3)
    first, second = (color * 0.55 + 0.45 * color.mean() for color in (first, second))
    slope = rng.uniform(0, 2 * np.pi)
    t = np.clip(0.5 + (x - 0.5) * np.cos(slope) + (y - 0.5) * np.sin(slope), 0, 1)[..., None]
    out = (first + (second - first) * t).astype(np.float32)
    for _ in range(int(rng.integers(3, 9))):
        color = rng.uniform(0.08, 0.9, 3) * 0.6 + 0.2
        centre, half = rng.uniform(0, 1, 2), rng.uniform(0.04, 0.35, 2)
        soft = float(rng.uniform(0.006, 0.05))
        if rng.random() < 0.6:
            away = np.maximum(np.abs(x - centre[0]) - half[0], np.abs(y - centre[1]) - half[1])
        else:
            away = np.hypot(x - centre[0], y - centre[1]) - half[0] * 0.6
        weight = 1 / (1 + np.exp(np.clip(away / soft, -30, 30)))
        out += (weight * rng.uniform(0.3, 0.9))[..., None].astype(np.float32) * (
            color.astype(np.float32) - out
        )
    out *= 1 + 0.05 * noise(rng, (height, width), max(width, height) / 18)[..., None]
    out = cv2.GaussianBlur(out, (0, 0), max(width, height) / 160)
    vignette = 1 - 0.35 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    out *= vignette[..., None]
    out.flags.writeable = False
    return np.clip(out, 0, 1) ** 2

"""Things before the face: glasses that sit on the nose, a hand-like bar that wanders through the picture."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float, Int

from understudy.performers.topology import chart_point, grid

Pieces = tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, "t 3"], Float[np.ndarray, "n 2"]]
"""Vertices, triangles, places in the atlas."""

_SIDES = 7


def _tube(path: np.ndarray, radius: np.ndarray, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """A round tube along a path (n, 3): vertices (n × (_SIDES + 1), 3) and triangles."""
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-9
    side = np.cross(ahead, [0.0, 0.0, 1.0])
    weak = np.linalg.norm(side, axis=1) < 0.2
    side[weak] = np.cross(ahead[weak], [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(ahead, side)
    turn = np.linspace(0, 2 * np.pi, _SIDES + 1)
    ring = side[:, None] * np.cos(turn)[None, :, None] + other[:, None] * np.sin(turn)[None, :, None]
    vertices = path[:, None] + ring * radius[:, None, None]
    corners = grid(len(path), _SIDES + 1)
    return vertices.reshape(-1, 3), corners


def _join(tubes: list[tuple[np.ndarray, np.ndarray]], chart: str) -> Pieces:
    vertices, corners, first = [], [], 0
    for points, triangles in tubes:
        vertices.append(points)
        corners.append(triangles + first)
        first += len(points)
    every = np.concatenate(vertices)
    u = np.tile(np.linspace(0.1, 0.9, _SIDES + 1), len(every) // (_SIDES + 1))
    return every, np.concatenate(corners), chart_point(chart, u, np.linspace(0.1, 0.9, len(every)))


@cache
def _lens() -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 29)
    squared = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.75
    return np.stack([2.35 * squared, 1.9 * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.8, 0 * turn], 1)


def glasses(eyes: Float[np.ndarray, "2 3"], nose: Float[np.ndarray, "3"], ears: float) -> Pieces:
    """A pair of glasses in head space.

    Args:
        eyes: centres of the eyeballs.
        nose: root of the nose.
        ears: half the distance between the ears.
    """
    front = min(float(nose[2]) - 0.55, float(eyes[:, 2].min()) - 2.1)
    tubes: list[tuple[np.ndarray, np.ndarray]] = []
    for eye, sign in zip(eyes, (-1.0, 1.0), strict=True):
        rim = _lens() + np.array([eye[0] + sign * 0.1, eye[1] + 0.25, front])
        rim[:, 2] += 0.12 * np.abs(rim[:, 0]) ** 1.3 - 0.4
        tubes.append(_tube(rim, np.full(len(rim), 0.15), closed=True))
        hinge = np.array([eye[0] + sign * 2.4, eye[1] - 0.5, front + 0.6])
        end = np.array([sign * (ears + 0.35), eye[1] - 0.1, 6.0])
        arm = hinge + (end - hinge) * np.linspace(0, 1, 8)[:, None]
        tubes.append(_tube(arm, np.full(8, 0.15), closed=False))
    between = np.linspace(eyes[0, 0] + 2.3, eyes[1, 0] - 2.3, 7)
    if between[-1] > between[0]:
        bridge = np.stack([between, np.full(7, eyes[:, 1].mean() - 0.2), np.full(7, front - 0.35)], 1)
        tubes.append(_tube(bridge, np.full(7, 0.15), closed=False))
    return _join(tubes, "occluder")


def hand(phase: float) -> Pieces:
    """Four fingers and a forearm that come in from the side, camera axes.

    Args:
        phase: 0 outside the picture, 1 across the middle of the face.
    """
    tubes: list[tuple[np.ndarray, np.ndarray]] = []
    reach = 22.0 - 17.0 * phase
    for number in range(4):
        t = np.linspace(0, 1, 12)
        tip = np.array([reach - 4.5 + 0.5 * abs(number - 1.2), 2.2 + 1.75 * number, -6.5])
        root = np.array([reach + 3.6, 3.0 + 1.6 * number, -6.0])
        path = tip + (root - tip) * t[:, None]
        path[:, 2] -= 0.9 * np.sin(np.pi * t)
        radius = 0.86 * np.sqrt(np.clip(1 - (1 - np.clip(t / 0.16, 0, 1)) ** 2, 0.02, 1))
        tubes.append(_tube(path, radius, closed=False))
    t = np.linspace(0, 1, 10)
    arm = np.array([reach + 2.4, 5.4, -5.6]) + np.array([18.0, 12.0, 4.0]) * t[:, None]
    tubes.append(_tube(arm, np.interp(t, [0, 0.06, 0.2, 0.5, 1], [1.8, 3.4, 3.6, 3.2, 4.0]), closed=False))
    return _join(tubes, "hand")

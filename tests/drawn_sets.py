"""Face sets that look a little like faces: the mesh at rest, turned, its mouth opened, and its oval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from understudy.contracts import Face
from understudy.faces.faceset import FaceSet
from understudy.faces.writing import FaceSetWriter
from understudy.image.geometry import align, pose_of_points, transform_points
from understudy.image.landmarks import FACE_OVAL, LEFT_EYE, LIPS_OUTER, RIGHT_EYE
from understudy.performers.topology import rest_points
from understudy.provenance.standing import declare

SIZE = 96


def points_of(yaw: float, pitch: float = 0.0, opened: float = 0.0) -> np.ndarray:
    """The mesh in a frame, turned by degrees; ``opened`` lowers the lower lip, centimetres."""
    rest = np.array(rest_points(), np.float64)
    rest[[14, 17, 84, 314, 87, 317]] += (0.0, opened, 0.0)
    eyes = [rest[list(eye)].mean(0) for eye in (RIGHT_EYE, LEFT_EYE)]
    mesh = np.concatenate([rest, *(np.repeat(eye[None], 5, 0) for eye in eyes)])
    a, b = np.radians(yaw), np.radians(pitch)
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    nod = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return (mesh @ nod.T @ turn.T * 10 + (160, 120, 0)).astype(np.float32)


def draw(points: np.ndarray, matrix: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    picture = np.full((SIZE, SIZE, 3), 60, np.uint8)
    marks = transform_points(matrix, points)[:, :2]
    for loop, paint in ((FACE_OVAL, color), (RIGHT_EYE, (20, 20, 30)), (LEFT_EYE, (20, 20, 30)),
                        (LIPS_OUTER, (150, 40, 50))):  # fmt: skip
        cv2.fillPoly(picture, [np.rint(marks[list(loop)]).astype(np.int32)], paint, cv2.LINE_AA)
    return picture


def draw_set(
    path: Path, frames: int, color: tuple[int, int, int], *, seed: int = 0, vector: float = 0.0, **facts: Any
) -> FaceSet:
    """A face in every frame, turning slowly; every fourth one is described by a vector of one number."""
    random = np.random.default_rng(seed)
    with FaceSetWriter(path, {"mode": "whole", "size": SIZE, "picture": "png"}) as writer:
        writer.begin("a.mp4", f"hash {seed}")
        for frame in range(frames):
            points = points_of(20 * np.sin(frame / 9), 6 * np.cos(frame / 7), 0.8 * random.random())
            alignment = align(points, "whole")
            face = Face(
                frame=frame,
                time=frame / 25,
                index=0,
                track=0,
                box=np.array([*points[:, :2].min(0), *points[:, :2].max(0)], np.float64),
                presence=0.98,
                points=points,
                alignment=alignment,
                pose=pose_of_points(points),
                sharpness=80.0,
            )
            identity = np.full(4, vector, np.float32) if frame % 4 == 0 else None
            writer.add(face, draw(points, alignment.crop_matrix(SIZE), color), identity)
        writer.read_to(frames, complete=True, **facts)
        writer.write_persons({0: 0})
    declare(path, {"lane": "research", "dataset": "drawn by the tests", "licence": "Apache-2.0"})
    return FaceSet.open(path)


TINY = {
    "batch": 2,
    "model": {
        "name": "df", "resolution": 32, "options": "u", "e_dims": 4, "ae_dims": 8, "d_dims": 4,
        "d_mask_dims": 2, "coverage": 0.8,
    },
    "optimizer": {"warm_up": 5},
    "average": {"every": 2},
    "loop": {"precision": "fp32", "threads": 1, "preview_every": 0.0, "report_every": 0.0, "steps": 4},
}  # fmt: skip
"""Training settings for a run of a second."""

"""Remake src/understudy/performers/head.npz: where the 468 points of the Face Mesh lie on a face at rest.

No photograph is involved. A face is painted with ellipses and read through the Face Mesh network; the points
are made symmetric. Then performers are drawn from them, read through the network again,
    and the rest positions move
to where the network sees them on average, so that a drawn landmark means what the network means by it.

    python scripts/make_rest_mesh.py             # paint, then three rounds of reading back
    python scripts/make_rest_mesh.py --round     # one more round on the positions at hand

The triangles come out of the edge list that MediaPipe publishes: it lists three edges a triangle.
"""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from understudy.contracts import Context, Region
from understudy.detectors import DETECTORS
from understudy.image.geometry import pose_of_points
from understudy.image.landmarks import LIPS_INNER
from understudy.landmarkers import LANDMARKERS
from understudy.weights.store import WeightStore

HEAD = Path(__file__).parents[1] / "src/understudy/performers/head.npz"
EYE_DISTANCE = 6.3
"""Centimetres between the middles of the eyes."""
SIDE = 768
ROUNDS = 3
SEEDS = range(24)


def painted_face() -> np.ndarray:
    """A stylised face in front view, RGB uint8."""
    y, x = (np.mgrid[0:SIDE, 0:SIDE].astype(np.float64) / SIDE - 0.5) * 2
    picture = np.full((SIDE, SIDE, 3), (120.0, 130.0, 140.0))

    def ellipse(cx: float, cy: float, a: float, b: float, soft: float = 0.02) -> np.ndarray:
        away = np.hypot((x - cx) / a, (y - cy) / b) - 1
        return 1 / (1 + np.exp(np.clip(away * min(a, b) / soft * 3, -50, 50)))

    def put(weight: np.ndarray, color: tuple[int, int, int], strength: float = 1.0) -> None:
        picture[:] += (weight * strength)[..., None] * (np.array(color) - picture)

    put(ellipse(0, -0.1, 0.62, 0.78), (60, 42, 30))  # hair
    put(ellipse(0, 0.75, 0.3, 0.4), (190, 145, 120))  # neck
    put(ellipse(0, 1.1, 0.8, 0.3), (70, 80, 120))  # clothes
    put(ellipse(0, 0.5, 0.32, 0.3, 0.1), (120, 85, 70), 0.6)
    face = np.maximum(ellipse(0, -0.15, 0.47, 0.5), ellipse(0, 0.2, 0.41, 0.47))
    face = np.maximum(face, ellipse(0, 0, 0.455, 0.42))
    put(face, (222, 178, 150))
    round_off = np.where(face > 0.5, np.clip(1 - 0.55 * np.abs(x / 0.5) ** 3, 0, 1), 1)
    picture *= round_off[..., None]
    for side in (-1, 1):
        put(ellipse(0.2 * side, -0.06, 0.13, 0.07, 0.05), (170, 120, 100), 0.6)  # socket
        opening = np.abs(y + 0.05) < 0.042
        put(ellipse(0.2 * side, -0.05, 0.092, 0.042, 0.01), (245, 240, 238))
        put(ellipse(0.2 * side, -0.05, 0.036, 0.036, 0.006) * opening, (70, 50, 35))
        put(ellipse(0.2 * side, -0.05, 0.016, 0.016, 0.004), (10, 8, 8))
        put(ellipse(0.2 * side + 0.012, -0.062, 0.007, 0.007, 0.004), (255, 255, 255))
        lid = ellipse(0.2 * side, -0.063, 0.097, 0.045, 0.008) * (
            1 - ellipse(0.2 * side, -0.05, 0.094, 0.044, 0.008)
        )
        put(np.clip(lid * 1.5, 0, 1), (40, 25, 20))
        put(ellipse(0.21 * side, -0.17, 0.12, 0.024, 0.015), (55, 38, 28))  # brow
        put(ellipse(0.055 * side, 0.19, 0.022, 0.013, 0.01), (90, 50, 40))  # nostril
        put(ellipse(0.085 * side, 0.165, 0.03, 0.05, 0.03), (180, 125, 100), 0.5)
        put(ellipse(0.07 * side, 0.05, 0.02, 0.16, 0.05), (185, 135, 110), 0.5)  # side of the nose
        put(ellipse(0.28 * side, 0.12, 0.1, 0.1, 0.08), (235, 170, 145), 0.4)  # cheek
    put(ellipse(0, 0.06, 0.02, 0.15, 0.04), (245, 210, 185), 0.6)  # ridge of the nose
    put(ellipse(0, 0.15, 0.05, 0.05, 0.05), (245, 210, 185), 0.6)
    put(ellipse(0, 0.215, 0.06, 0.015, 0.03), (160, 110, 90), 0.5)
    put(ellipse(0, 0.315, 0.165, 0.04, 0.012), (180, 90, 88))  # lips
    put(ellipse(0, 0.36, 0.135, 0.05, 0.012), (195, 105, 100))
    put(ellipse(0, 0.333, 0.155, 0.006, 0.004), (90, 35, 35))
    put(ellipse(0, 0.42, 0.08, 0.02, 0.03), (170, 120, 100), 0.5)
    put(ellipse(0, 0.52, 0.1, 0.08, 0.08), (235, 195, 170), 0.4)  # chin
    return np.clip(picture, 0, 255).astype(np.uint8)


def published_triangles() -> np.ndarray:
    """Triangles from the tessellation's edges, which mediapipe 0.10.21 lists three a triangle."""
    folder = HEAD.parent
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--implementation", "cp"]
    command += ["--abi", "cp311", "mediapipe==0.10.21", "--dest", str(folder)]
    subprocess.run(command, check=True)
    wheel = next(folder.glob("mediapipe-0.10.21*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        text = io.TextIOWrapper(archive.open("mediapipe/python/solutions/face_mesh_connections.py")).read()
    wheel.unlink()
    edges = re.findall(r"\((\d+),\s*(\d+)\)", text[text.index("FACEMESH_TESSELATION") :])
    return np.array(edges, np.int16).reshape(-1, 3, 2)[:, :, 0]


def partners(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The mirror image of each point: near the mirrored place, joined to its neighbours' mirror images."""
    flipped = points * [-1, 1, 1]
    cost = ((points[:, None] - flipped[None]) ** 2).sum(-1)
    joined = np.zeros((468, 468))
    for a, b, c in triangles:
        joined[a, b] = joined[b, a] = joined[b, c] = joined[c, b] = joined[a, c] = joined[c, a] = 1
    match = linear_sum_assignment(cost)[1]
    for _ in range(10):
        match = linear_sum_assignment(cost - 0.02 * joined @ np.eye(468)[match] @ joined)[1]
    assert (match[match] == np.arange(468)).all()
    return match


def symmetric(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The mean of the points and their mirror images."""
    return (points + (points * [-1, 1, 1])[mirror]) / 2


def normal(points: np.ndarray) -> np.ndarray:
    """Eyes 6.3 cm apart about the origin, looking straight ahead; z keeps the network's zero."""
    out = points
    for _ in range(5):
        eyes = out[[33, 133, 263, 362]]
        out = (out - [eyes[:, 0].mean(), eyes[:, 1].mean(), 0]) * (
            EYE_DISTANCE / (eyes[2:, 0].mean() - eyes[:2, 0].mean())
        )
        pitch = -np.deg2rad(pose_of_points(out.astype(np.float32))[1])
        cos, sin = np.cos(pitch), np.sin(pitch)
        out = out @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]).T
    return out


def shut(points: np.ndarray) -> np.ndarray:
    """The inner lips brought together: a rest has a shut mouth, whatever the network thinks of its shadow."""
    out = points.copy()
    upper, lower = list(LIPS_INNER[1:10]), list(LIPS_INNER[:10:-1])
    middle = (out[upper] + out[lower]) / 2
    seam = np.array([0, 0.03, 0])
    out[upper], out[lower] = middle - seam, middle + seam
    return out


def networks() -> tuple:
    """The default detector and landmarker, built."""
    store = WeightStore()
    kinds = (DETECTORS["blazeface"], LANDMARKERS["facemesh"])
    needed = [name for kind in kinds for name in kind.weights]
    if store.missing(needed):
        for _ in store.fetch(needed):
            pass
    context = Context(device=torch.device("cpu"), weights=store)
    return tuple(kind().build(context) for kind in kinds)


def first() -> None:
    """Paint a face, read it, and store rest positions, triangles and mirror partners."""
    _, landmarker = networks()
    region = Region(center=(SIDE / 2, SIDE * 0.52), side=SIDE * 1.05)
    for _ in range(3):
        found = landmarker(painted_face(), [region])[0]
        region = landmarker.region_of_points(found.points)
    points = found.points[:468].astype(np.float64)
    points[:, :2] -= SIDE / 2
    corners = published_triangles()
    mirror = partners(normal(points) / EYE_DISTANCE, corners)
    store(normal(shut(symmetric(normal(points), mirror))), corners, mirror)


def store(rest: np.ndarray, triangles: np.ndarray, mirror: np.ndarray) -> None:
    """Write the package's data file."""
    np.savez_compressed(
        HEAD,
        rest=rest.round(3).astype(np.float32),
        triangles=triangles.astype(np.int16),
        mirror=mirror.astype(np.int16),
    )


def one_round(strength: float = 0.7) -> float:
    """Draw performers at rest, read them, move the rest positions; returns the mean error before it."""
    from understudy.performers.performer import Performer
    from understudy.performers.renderer import render
    from understudy.performers.scene import Scene
    from understudy.performers.state import State

    detector, landmarker = networks()
    data = dict(np.load(HEAD))
    moves: list[np.ndarray] = []
    errors: list[float] = []
    for seed in SEEDS:
        scene = dataclasses.replace(Scene.from_seed(seed), head=0.45, distance=90.0)
        drawn = render(Performer.from_seed(seed), State(), scene, 512)
        region = landmarker.region_of_detection(detector(drawn.image)[0])
        move = (landmarker(drawn.image, [region])[0].points - drawn.points)[:468]
        scale = scene.focal(512, 512) / scene.distance
        errors.append(float(np.linalg.norm(move[:, :2], axis=1).mean() / (scale * EYE_DISTANCE)))
        moves.append(move / scale)
    move = symmetric(np.mean(moves, 0), data["mirror"].astype(np.int64))
    # depth is the network's guess from a picture: it follows a little only
    move[:, 2] *= 0.2
    rest = data["rest"].astype(np.float64) + strength * move
    store(normal(shut(rest)), data["triangles"], data["mirror"])
    return float(np.mean(errors))


if __name__ == "__main__":
    if "--round" in sys.argv:
        sys.stdout.write(f"mean error before this round: {one_round():.4f} eye distances\n")
    else:
        first()
        for _ in range(ROUNDS):
            subprocess.run([sys.executable, __file__, "--round"], check=True)

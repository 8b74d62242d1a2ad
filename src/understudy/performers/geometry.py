"""From shape, expression and pose to the vertices of everything that is drawn, in centimetres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Float32, Int

from understudy.image.landmarks import FACE_OVAL, LEFT_EYE, LIPS_INNER, RIGHT_EYE
from understudy.performers.expression import close_lids, express, jaw_weight, mouth_scale
from understudy.performers.state import State
from understudy.performers.topology import (
    CONTROL,
    FACE,
    PARTS,
    RIMS,
    SKULL_RINGS,
    chart_point,
    grid,
    skin,
    skull_index,
    triangles,
)

TRIANGLES = triangles()
"""Triangles of the face's 468 points, from the published edge list of the mesh."""

PIVOT = np.array([0.0, 7.0, 8.5])
"""Where the head turns on the neck, head space."""

EYE_RADIUS = 1.28
IRIS_RADIUS = 0.62


@dataclass(frozen=True, kw_only=True)
class Build:
    """Shape of a head outside the face; factors on an average head."""

    skull_width: float = 1.0
    skull_height: float = 1.0
    skull_depth: float = 1.0
    neck_width: float = 1.0
    neck_length: float = 1.0
    shoulder_width: float = 1.0
    ear_size: float = 1.0
    ear_flare: float = 1.0
    ear_height: float = 0.0
    """Centimetres down."""


@dataclass(frozen=True, eq=False)
class Posed:
    """Everything that is drawn of a person except hair and occluders, posed."""

    points: Float[np.ndarray, "478 3"]
    """Landmarks: the 468 points on the drawn surface, then five of each iris."""
    vertices: Float32[np.ndarray, "v 3"]
    """All vertices, camera axes, centimetres, origin where the head's is when the state is at rest."""
    skull: Float[np.ndarray, "r 36 3"]
    """Rings of the skull, oval first, head space: hair grows here."""
    eyes: Float[np.ndarray, "2 3"]
    """Centres of the eyeballs, head space."""


@dataclass(frozen=True, eq=False)
class Body:
    """Joined triangles of everything that ``pose_body`` places."""

    triangles: Int[np.ndarray, "t 3"]
    uv: Float32[np.ndarray, "t 3 2"]
    parts: Int[np.ndarray, "t"]
    counts: dict[str, tuple[int, int]]
    """First and last vertex of each piece."""


def _skull_rings(
    face: Float[np.ndarray, "468 3"], rest: Float[np.ndarray, "468 3"], build: Build
) -> np.ndarray:
    """Rings (SKULL_RINGS + 2, 36, 3) from the oval to the pole at the back.

    Directions come from the face at rest: the skull stays while the jaw moves; the first rings follow it.
    """
    centre = np.array([0.0, -2.6, 8.2])
    radii = np.array([8.0 * build.skull_width, 9.9 * build.skull_height, 9.7 * build.skull_depth])
    loop = list(FACE_OVAL)
    start = (rest[loop] - centre) / radii
    length = np.linalg.norm(start, axis=1, keepdims=True)
    start /= length
    pole = np.array([0.0, -0.35, 0.94])
    pole /= np.linalg.norm(pole)
    angle = np.arccos(np.clip(start @ pole, -1, 1))[:, None]
    under = np.clip(start[:, 1:2], 0, 1)
    steps = np.linspace(0, 1, SKULL_RINGS + 2) ** 0.95
    rings = np.empty((SKULL_RINGS + 2, 36, 3))
    for number, t in enumerate(steps):
        way = (np.sin((1 - t) * angle) * start + np.sin(t * angle) * pole) / np.sin(angle)
        fade = np.clip(t / (0.42 - 0.12 * under), 0, 1)
        fade = fade * fade * (3 - 2 * fade)
        target = 1.0 - 0.42 * np.clip(way[:, 1:2], 0, 1) * np.clip(0.75 - way[:, 2:], 0, 1)
        radius = length + (target - length) * fade
        rings[number] = centre + way * radius * radii
    follow = np.clip(1 - steps / 0.35, 0, 1)[:, None, None] ** 1.5
    return rings + follow * (face[loop] - rest[loop])


def _rims(face: Float[np.ndarray, "468 3"], eyes: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "73 3"]:
    """Inside of the lids, inside of the lips and the back of the mouth."""
    out: list[np.ndarray] = []
    for side, loop in enumerate((RIGHT_EYE, LEFT_EYE)):
        lid = face[list(loop)]
        towards = eyes[side] - lid
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        out.append(lid + towards * [0.12, 0.12, 0.3] + [0, 0, 0.12])
    lips = face[list(LIPS_INNER)]
    middle = lips.mean(0)
    away = lips - middle
    sign = np.ones((20, 1))
    sign[:11] = -1.0
    sign[[0, 10]] = 0.0
    first = lips + np.concatenate([0.02 * away[:, :1], 0.16 * sign, np.full((20, 1), 0.42)], 1)
    second = (
        middle
        + away * [1.05, 1.0, 1.0]
        + np.concatenate([np.zeros((20, 1)), 0.75 * sign, np.full((20, 1), 2.0)], 1)
    )
    return np.concatenate([*out, first, second, middle[None] + [0.0, 0.3, 4.0]])


def place_eyes(shape: Float[np.ndarray, "468 3"]) -> Float[np.ndarray, "2 3"]:
    """Centres of the eyeballs: behind the lids of the face at rest."""
    out: list[np.ndarray] = []
    for loop in (RIGHT_EYE, LEFT_EYE):
        lid = shape[list(loop)]
        centre = (lid[[0, 8]].mean(0) + lid[[3, 4, 5, 11, 12, 13]].mean(0)) / 2
        front = lid[[3, 4, 5, 11, 12, 13]]
        offset = np.sqrt(np.clip(EYE_RADIUS**2 - ((front[:, :2] - centre[:2]) ** 2).sum(1), 0.2, None))
        centre[2] = float(np.mean(front[:, 2] + offset)) + 0.02
        out.append(centre)
    return np.stack(out)


def _cover_eyes(
    face: Float[np.ndarray, "468 3"], eyes: Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "468 3"]:
    """Keep the skin round the eyes outside the eyeballs."""
    out = face.copy()
    for centre in eyes:
        away = out - centre
        distance = np.linalg.norm(away, axis=1)
        inside = (distance < EYE_RADIUS + 0.1) & (away[:, 2] < 0.3)
        flat = np.sqrt(np.clip((EYE_RADIUS + 0.1) ** 2 - (away[:, :2] ** 2).sum(1), 0.0, None))
        out[inside, 2] = np.minimum(out[inside, 2], (centre[2] - flat)[inside])
    return out


@cache
def _eyeball() -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (8 × 25, 3) of the front of an eyeball, looking ahead, and their atlas places."""
    polar = np.deg2rad(np.array([0.0, 13.0, 21.0, 28.5, 31.0, 45.0, 65.0, 90.0]))
    around = np.linspace(0, 2 * np.pi, 25)
    tilt, turn = np.meshgrid(polar, around, indexing="ij")
    rays = np.stack([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), -np.cos(tilt)], -1).reshape(
        -1, 3
    )
    radius = tilt.ravel() / np.deg2rad(92.0) * 0.5
    return rays, chart_point("eye", 0.5 + radius * np.cos(turn.ravel()), 0.5 + radius * np.sin(turn.ravel()))


def _gaze(x: float, y: float) -> Float[np.ndarray, "3 3"]:
    turned = State(yaw=28.0 * x, pitch=-22.0 * y)
    return turned.rotation()


@cache
def _ear() -> tuple[np.ndarray, np.ndarray]:
    """One ear, cm: x out of the head, y down, z back; a grid of 6 × 21, centre to rim; and atlas places."""
    around = np.linspace(0, 2 * np.pi, 21)
    radii = np.array([0.0, 0.3, 0.55, 0.78, 0.93, 1.0])
    height = np.array([-0.5, -0.45, -0.15, 0.05, 0.3, -0.15])
    radius, turn = np.meshgrid(radii, around, indexing="ij")
    depth, _ = np.meshgrid(height, around, indexing="ij")
    back, down = np.cos(turn), np.sin(turn)
    narrow = 1.0 - 0.28 * np.clip(down, 0, 1) ** 1.5
    z = radius * back * 1.75 * narrow + 0.25 * radius * -down
    y = radius * down * 3.05
    lobe = np.clip(down, 0, 1) ** 3
    x = depth * (1 - 0.8 * lobe) * np.clip(0.6 + 0.5 * back - 0.2 * down, 0.05, 1.2)
    out = np.stack([x, y, z], -1).reshape(-1, 3)
    place = chart_point("ear", 0.5 + 0.46 * (radius * back).ravel(), 0.5 + 0.46 * (radius * down).ravel())
    return out, place


def _ears(build: Build, rings: np.ndarray) -> Float[np.ndarray, "252 3"]:
    """Both ears on the sides of the skull, head space."""
    local, _ = _ear()
    out: list[np.ndarray] = []
    for sign, column in ((-1.0, 28), (1.0, 8)):
        flare = np.deg2rad(24.0 * build.ear_flare)
        piece = local * build.ear_size
        front = piece[:, 2] + 1.75 * build.ear_size
        x = piece[:, 0] * 0.9 + np.sin(flare) * front
        z = np.cos(flare) * front
        y = piece[:, 1] - 0.16 * front
        root = rings[1, column]
        out.append(
            np.stack([sign * (abs(root[0]) - 0.25 + x), 1.3 + build.ear_height + y, root[2] - 0.2 + z], 1)
        )
    return np.concatenate(out)


_NECK = np.array([
    # y, half width, half depth, centre z
    (2.0, 5.0, 5.6, 10.0), (6.0, 5.5, 5.8, 9.3), (9.5, 5.6, 5.7, 8.9), (12.5, 5.7, 5.6, 9.1), (15.0, 6.1,
    5.7, 9.4),
    (17.0, 7.4, 5.9, 9.8), (18.6, 10.5, 6.6, 10.0), (20.2, 14.8, 7.6, 10.2), (22.2, 18.6, 8.8, 10.2),
    (26.0, 20.8, 9.8, 10.0), (34.0, 21.6, 10.6, 9.5), (52.0, 21.0, 11.0, 9.0),
])  # fmt: skip
_COLLAR = 5
_AROUND = 33


def _neck(build: Build) -> Float[np.ndarray, "n 3"]:
    """Rings of neck and shoulders, head space of an upright head; the front is in the middle of each row."""
    turn = np.linspace(0, 2 * np.pi, _AROUND) + np.pi / 2
    rows: list[np.ndarray] = []
    for number, (y, width, depth, z) in enumerate(_NECK):
        wide = width * (build.neck_width if number <= _COLLAR else build.shoulder_width)
        deep = depth * build.neck_width if number <= _COLLAR else depth
        low = y + (y > 9) * 2.0 * (build.neck_length - 1)
        rows.append(np.stack([wide * np.cos(turn), np.full(_AROUND, low), z + deep * np.sin(turn)], 1))
    return np.concatenate(rows)


@cache
def _neck_follow() -> Float[np.ndarray, "n 1"]:
    """How much each vertex of the neck follows the head's turning."""
    follow = np.clip((17.0 - _NECK[:, 0]) / 10.0, 0, 1)
    return np.repeat(follow * follow * (3 - 2 * follow), _AROUND)[:, None]


def _teeth(face: Float[np.ndarray, "468 3"], rest: Float[np.ndarray, "468 3"], jaw: float) -> np.ndarray:
    """Both rows of teeth, each 3 × 15, head space: the upper stays with the skull, the lower with the jaw."""
    middle = rest[list(LIPS_INNER)].mean(0)
    across = np.linspace(-2.3, 2.3, 15)
    arch = 0.2 * across**2
    drop = face[14] - rest[14] if jaw else np.zeros(3)
    out: list[np.ndarray] = []
    for edge, gum, shift, back in ((0.12, -1.3, np.zeros(3), 0.75), (0.18, 1.3, drop, 0.95)):
        for y in (edge, 0.35 * gum, gum):
            row = np.stack([across, np.full(15, y - 0.03 * across**2 * np.sign(gum)), arch + back], 1)
            out.append(row + middle + shift * np.array([0.0, 1.0, 1.0]))
    return np.concatenate(out)


@cache
def body() -> Body:
    """Triangles, atlas places and part labels of a person without hair."""
    surface = skin()
    corners, uv, parts = [surface.triangles], [surface.uv], [surface.parts]
    first = int(surface.triangles.max()) + 1
    counts = {"skin": (0, first)}

    def add(name: str, rows: int, columns: int, places: np.ndarray, part: str, flip: bool = False) -> None:
        nonlocal first
        more = grid(rows, columns)
        if flip:
            more = more[:, ::-1]
        corners.append(more + first)
        uv.append(places[more].astype(np.float32))
        parts.append(np.full(len(more), PARTS.index(part)))
        counts[name] = (first, first + rows * columns)
        first += rows * columns

    rays, places = _eyeball()
    assert len(rays) == 8 * 25
    add("eye_right", 8, 25, places, "eye")
    add("eye_left", 8, 25, places, "eye")
    across = np.tile(np.linspace(0, 1, 15), 3)
    for name, low, high in (("teeth_upper", 0.48, 0.02), ("teeth_lower", 0.52, 0.98)):
        add(name, 3, 15, chart_point("teeth", across, np.repeat([low, (low + high) / 2, high], 15)), "teeth")
    _, places = _ear()
    add("ear_right", 6, 21, places, "ear", flip=True)
    add("ear_left", 6, 21, places, "ear")
    around, down = np.meshgrid(np.linspace(0, 1, _AROUND), np.linspace(0, 1, len(_NECK)))
    split = _COLLAR / (len(_NECK) - 1)
    on_neck = chart_point("neck", around, np.clip(down / split, 0, 1)).reshape(-1, 2)
    on_cloth = chart_point("cloth", around, np.clip((down - split) / (1 - split), 0, 1)).reshape(-1, 2)
    begin = first
    add("neck", len(_NECK), _AROUND, on_neck, "neck", flip=True)
    below = corners[-1].min(1) - begin >= _COLLAR * _AROUND
    uv[-1][below] = on_cloth[(corners[-1] - begin)[below]]
    parts[-1][below] = PARTS.index("cloth")
    return Body(
        triangles=np.concatenate(corners), uv=np.concatenate(uv), parts=np.concatenate(parts), counts=counts
    )


def _iris_points(eyes: np.ndarray, gaze: np.ndarray) -> Float[np.ndarray, "10 3"]:
    """Centre, nose side, top, temple side and bottom of each iris, right eye first, head space."""
    back = np.sqrt(EYE_RADIUS**2 - IRIS_RADIUS**2)
    out: list[np.ndarray] = []
    for eye, nose in zip(eyes, (IRIS_RADIUS, -IRIS_RADIUS), strict=True):
        rim = [(nose, 0, -back), (0, -IRIS_RADIUS, -back), (-nose, 0, -back), (0, IRIS_RADIUS, -back)]
        out.append(eye + np.array([(0, 0, -EYE_RADIUS), *rim]) @ gaze.T)
    return np.concatenate(out)


def pose_body(
    shape: Float[np.ndarray, "468 3"],
    build: Build,
    state: State,
    own: Float[np.ndarray, "468 3"] | None = None,
) -> Posed:
    """Every vertex of a person in a state.

    Args:
        shape: face at rest, head space.
        build: the rest of the head and the body.
        state: pose and expression.
        own: one's own face at rest while another is worn; None where it is ``shape``. It sets how far
            expressions go, so that a worn face leaves the rest of the head where it was.
    """
    expression = state.expression
    eyes = place_eyes(shape)
    face = express(shape, expression, mouth_scale(shape if own is None else own))
    # the upper lid follows a lowered gaze, as lids do
    down = max(expression.gaze_y, 0.0) * 0.35
    for side, amount in ((0, expression.lid_right), (1, expression.lid_left)):
        face = close_lids(face, side, float(np.clip(amount + down * (1 - max(amount, 0.0)), -0.4, 1.0)))
    face = _cover_eyes(face, eyes)
    rings = _skull_rings(face, shape, build)
    control = np.empty((CONTROL, 3))
    control[:FACE] = face
    control[FACE : RIMS + 1] = _rims(face, eyes)
    control[skull_index(1, 0) : CONTROL - 1] = rings[1:-1].reshape(-1, 3)
    control[CONTROL - 1] = rings[-1].mean(0)
    surface = skin().subdivision @ control
    gaze = _gaze(expression.gaze_x, expression.gaze_y)
    rays, _ = _eyeball()
    balls = [eye + EYE_RADIUS * rays @ gaze.T for eye in eyes]
    irises = _iris_points(eyes, gaze)
    head = np.concatenate([surface, *balls, _teeth(face, shape, expression.jaw), _ears(build, rings), irises])
    rotation = state.rotation()
    place = np.array([state.x, state.y, -state.nearer])
    turned = (head - PIVOT) @ rotation.T + PIVOT + place
    neck = _neck(build)
    half = State(yaw=state.yaw * 0.18, pitch=0.0, roll=state.roll * 0.1).rotation()
    still = (neck - PIVOT) @ half.T + PIVOT
    follow = _neck_follow()
    neck = follow * ((neck - PIVOT) @ rotation.T + PIVOT) + (1 - follow) * still + place
    points = np.concatenate([turned[:FACE], turned[-10:]])
    vertices = np.concatenate([turned[:-10], neck]).astype(np.float32)
    return Posed(points, vertices, rings, eyes)


def jaw_share() -> Float[np.ndarray, "468"]:
    """How much each point of the face moves with the lower jaw, 0 to 1."""
    return jaw_weight()

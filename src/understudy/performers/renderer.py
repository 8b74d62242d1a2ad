"""Drawing a performer: one frame with its exact ground truth, and the exact swap of two performers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float32, UInt8
from scipy import sparse

from understudy.contracts import Alignment, CropMode
from understudy.image.geometry import align
from understudy.image.landmarks import LEFT_EYE, RIGHT_EYE
from understudy.performers.geometry import PIVOT, Posed, body, place_eyes, pose_body
from understudy.performers.hair import SHEET, Hair, close_seam, hair_grid, pose_hair
from understudy.performers.occluders import glasses, hand
from understudy.performers.performer import Performer, Tone
from understudy.performers.raster import front_facing
from understudy.performers.scene import Scene, backdrop
from understudy.performers.shading import Layer, collect, compose, emboss, light, sample, vertex_normals
from understudy.performers.state import State
from understudy.performers.topology import ATLAS, PARTS

_FACE_PARTS = tuple(PARTS.index(name) for name in ("face", "mouth", "eye", "teeth"))


@dataclass(frozen=True, eq=False)
class Rendered:
    """One frame and everything that is true of it."""

    picture: Float32[np.ndarray, "h w 3"]
    """sRGB in [0, 1]."""
    points: Float32[np.ndarray, "478 3"]
    """Exact landmarks, pixels of the frame; (0, 0) is the outer corner of the first pixel."""
    face_mask: Float32[np.ndarray, "h w"]
    """How much of each pixel shows the face (inside the oval, nothing before it), 0 to 1."""
    inner_mask: Float32[np.ndarray, "h w"]
    """Weight of the inner face where it is seen: what a swap replaces, with its soft border, 0 to 1."""
    pose: tuple[float, float, float]
    """Yaw, pitch and roll in degrees: right, up and clockwise in the picture are positive."""
    state: State
    """Pose and expression that were drawn."""

    @cached_property
    def image(self) -> UInt8[np.ndarray, "h w 3"]:
        """The picture in 8 bits."""
        return (self.picture * 255 + 0.5).astype(np.uint8)

    def alignment(self, mode: CropMode = "full") -> Alignment:
        """The exact alignment."""
        return align(self.points, mode)


def render(
    performer: Performer, state: State, scene: Scene, size: int | tuple[int, int] = 512, reach: float = 0.0
) -> Rendered:
    """Draw one frame.

    Args:
        performer: who.
        state: pose and expression.
        scene: camera, light, background, occluder.
        size: side, or width and height, pixels.
        reach: how far a hand has come before the face, 0 to 1 (for a scene whose occluder is a hand).
    """
    width, height = (size, size) if isinstance(size, int) else size
    posed = pose_body(performer.shape, performer.build, state, performer.own)
    layer = _body_layer(posed, state, scene, width, height, performer, reach)
    fragments = collect(layer, height, width)
    per_cm = scene.focal(width, height) / scene.distance
    level = int(np.clip(np.floor(np.log2(34.0 / per_cm) + 0.25), 0, 3))
    surface = performer.surfaces[level]
    color = sample(surface.color, fragments.uv, ATLAS)
    relief = sample(surface.relief, fragments.uv, ATLAS)
    emboss(fragments, relief[:, 0] + state.expression.brow_raise * relief[:, 1], per_cm)
    lit = light(fragments.normals, color, relief[:, 2], color[:, 3], fragments.shade, scene)
    labels = layer.labels[fragments.raster.ids.reshape(-1)[fragments.pixels]]
    channels = np.concatenate([lit, np.ones_like(labels), labels, labels * relief[:, 3:]], 1)
    picture = compose(fragments, layer, channels, gap=0.9)
    if performer.hair is not None:
        _add_hair(picture, fragments.raster.depth, performer.hair, posed, state, scene)
    out = picture[..., :3] + (1 - picture[..., 3:4]) * backdrop(scene.background, width, height)
    points, scale = scene.project(posed.points.astype(np.float32), width, height)
    marks = np.concatenate([points, (posed.points[:, 2] * scale.mean())[:, None]], 1).astype(np.float32)
    return Rendered(
        picture=np.sqrt(np.clip(out, 0, 1)),
        points=marks,
        face_mask=np.clip(picture[..., 4], 0, 1),
        inner_mask=np.clip(picture[..., 5], 0, 1),
        pose=(state.yaw, state.pitch, state.roll),
        state=state,
    )


def render_swap(
    source: Performer,
    target: Performer,
    state: State,
    scene: Scene,
    size: int | tuple[int, int] = 512,
    tone: Tone = "target",
    reach: float = 0.0,
) -> Rendered:
    """The exact swap: the target's frame with the source's inner face.

    ``inner_mask`` of the result divides what is the source's from what is the target's.
    """
    return render(target.wearing(source, tone), state, scene, size, reach)


@cache
def _gather() -> sparse.csr_array:
    """Sums the normals of the body's triangles into its vertices."""
    corners = body().triangles
    count = int(corners.max()) + 1
    columns = np.repeat(np.arange(len(corners)), 3)
    data = np.ones(corners.size, np.float32)
    return sparse.csr_array((data, (corners.ravel(), columns)), shape=(count, len(corners)))


def _eye_shade(posed: Posed, state: State, shade: np.ndarray) -> None:
    """The upper lid casts a shadow on the eyeball."""
    rotation = state.rotation()
    place = np.array([state.x, state.y, -state.nearer])
    for name, eye in (("eye_right", RIGHT_EYE), ("eye_left", LEFT_EYE)):
        first, last = body().counts[name]
        local = (posed.vertices[first:last] - PIVOT - place) @ rotation + PIVOT
        lid = (posed.points[list(eye[1:8])] - PIVOT - place) @ rotation + PIVOT
        order = np.argsort(lid[:, 0])
        line = np.interp(local[:, 0], lid[order, 0], lid[order, 1])
        below = np.clip((local[:, 1] - line + 0.05) / 0.42, 0, 1)
        side = np.clip((np.abs(local[:, 0] - lid[:, 0].mean()) - 0.75) / 0.7, 0, 1)
        shade[first:last] = (0.42 + 0.58 * below) * (1 - 0.45 * side)


def _body_layer(
    posed: Posed, state: State, scene: Scene, width: int, height: int, performer: Performer, reach: float
) -> Layer:
    parts = body()
    vertices, corners, uv, labels = posed.vertices, parts.triangles, parts.uv, parts.parts
    shade = np.ones(len(vertices), np.float32)
    _eye_shade(posed, state, shade)
    if state.expression.jaw or state.expression.lips_part:
        for name in ("teeth_upper", "teeth_lower"):
            first, last = parts.counts[name]
            shade[first:last] = 0.85
    normals = vertex_normals(vertices, corners, _gather())
    if scene.occluder != "none":
        if scene.occluder == "glasses":
            own = performer.shape if performer.own is None else performer.own
            ears = float(np.abs(own[[234, 454], 0]).mean())
            local, more, places = glasses(place_eyes(own), own[168], ears)
            points = (local - PIVOT) @ state.rotation().T + PIVOT + [state.x, state.y, -state.nearer]
            number = PARTS.index("glasses")
        else:
            points, more, places = hand(reach)
            number = PARTS.index("hand")
        points = points.astype(np.float32)
        normals = np.concatenate([normals, vertex_normals(points, more)])
        corners = np.concatenate([corners, more + len(vertices)])
        uv = np.concatenate([uv, places[more].astype(np.float32)])
        labels = np.concatenate([labels, np.full(len(more), number)])
        vertices = np.concatenate([vertices, points])
        shade = np.concatenate([shade, np.ones(len(points), np.float32)])
    xy, _ = scene.project(vertices, width, height)
    xy = xy.astype(np.float32)
    seen = front_facing(xy, corners) < 0
    face = np.isin(labels[seen], _FACE_PARTS).astype(np.float32)[:, None]
    return Layer(xy, vertices[:, 2].copy(), normals, shade, corners[seen], uv[seen], face)


def _hair_layer(hair: Hair, posed: Posed, state: State, scene: Scene, width: int, height: int) -> Layer:
    """The hair's grids, posed; of the closed ones only the side towards the viewer."""
    rotation = state.rotation()
    place = np.array([state.x, state.y, -state.nearer])
    every: list[np.ndarray] = []
    corners: list[np.ndarray] = []
    places: list[np.ndarray] = []
    normals: list[np.ndarray] = []
    one_sided: list[np.ndarray] = []
    first = 0
    for kind, local in pose_hair(hair, posed.skull):
        follow = np.ones((len(local), 1))
        if kind == "curtain":
            follow = np.clip((20.0 - local[:, 1:2]) / 14.0, 0.15, 1)
        turned = (local - PIVOT) @ rotation.T + PIVOT
        points = (follow * turned + (1 - follow) * local + place).astype(np.float32)
        triangles, uv = hair_grid(kind)
        every.append(points)
        normal = vertex_normals(points, triangles)
        if kind in ("shell", "bun"):
            close_seam(kind, normal)
        outward = float(np.einsum("nk,nk->", normal, points - points.mean(0)))
        normals.append(normal if outward > 0 else -normal)
        corners.append(triangles + first)
        places.append(uv[triangles])
        sign = 1.0 if outward > 0 else -1.0
        one_sided.append(np.full(len(triangles), 0.0 if kind in ("curtain", "fringe") else sign))
        first += len(points)
    vertices, faces, normal = np.concatenate(every), np.concatenate(corners), np.concatenate(normals)
    xy = scene.project(vertices, width, height)[0].astype(np.float32)
    seen = front_facing(xy, faces) * np.concatenate(one_sided) <= 0
    faces = faces[seen]
    return Layer(
        xy, vertices[:, 2].copy(), normal, np.ones(len(vertices), np.float32), faces,
        np.concatenate(places)[seen].astype(np.float32), np.ones((len(faces), 1), np.float32),
    )  # fmt: skip


def _add_hair(
    picture: Float32[np.ndarray, "h w 6"],
    depth: Float32[np.ndarray, "h w"],
    hair: Hair,
    posed: Posed,
    state: State,
    scene: Scene,
) -> None:
    """Draw the hair over the body's picture where it is nearer, in place."""
    height, width = depth.shape
    layer = _hair_layer(hair, posed, state, scene, width, height)
    fragments = collect(layer, height, width)
    texture = sample(hair.texture, fragments.uv, SHEET)
    behind = depth.reshape(-1)[fragments.pixels]
    front = np.clip((behind - fragments.raster.depth.reshape(-1)[fragments.pixels] + 0.15) / 0.3, 0, 1)
    cover = texture[:, 3] * front
    keep = np.flatnonzero(cover > 0.004)
    fragments, texture, cover = fragments.only(keep), texture[keep], cover[keep, None]
    relief = sample(hair.relief[..., None], fragments.uv, SHEET)[:, 0]
    away = fragments.normals[:, 2] > 0
    fragments.normals[away] *= -1
    emboss(fragments, relief, scene.focal(width, height) / scene.distance)
    shine = np.full(len(relief), 0.1, np.float32)
    shade = np.where(away, np.float32(0.5), np.float32(1.0))
    lit = light(fragments.normals, texture, 0.3, shine, shade, scene)
    over = compose(fragments, layer, np.concatenate([lit * cover, cover], 1), gap=1.5).reshape(-1, 4)
    where = np.flatnonzero(over[:, 3] > 0)
    flat, added = picture.reshape(-1, 6), over[where]
    rows = flat[where] * (1 - np.minimum(added[:, 3:], 1))
    rows[:, :4] += added
    flat[where] = rows

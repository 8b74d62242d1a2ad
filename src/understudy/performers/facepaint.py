"""Painting the face: skin, lips, brows, lids, wrinkles, marks and beard, in the face's chart of the atlas."""

from __future__ import annotations

import cv2
import numpy as np

from understudy.image.landmarks import LEFT_BROW, LEFT_EYE, LIPS_INNER, LIPS_OUTER, RIGHT_BROW, RIGHT_EYE
from understudy.performers.appearance import Appearance, tone_color
from understudy.performers.canvas import (
    Canvas,
    Map,
    bump_map,
    groove,
    local_uv,
    noise,
    polygon,
    smooth_path,
    stroke,
    vertex_map,
)
from understudy.performers.topology import CHARTS, mirror, oval_weight, rest_points

_FOLDS: dict[str, tuple[tuple[int, ...], float]] = {
    # polylines over points of the picture's left half, and width in texels
    "nasolabial": ((129, 203, 206, 216, 212), 3.2),
    "marionette": ((61, 202, 210), 2.4),
    "bag": ((226, 31, 228, 229, 230, 231, 232), 2.6),
    "glabella": ((107, 55, 193), 2.2),
    "crow1": ((130, 226, 143), 1.5),
    "crow2": ((33, 35, 143), 1.5),
    "crow3": ((246, 113, 124), 1.5),
    "crease": ((130, 247, 30, 29, 27, 28, 56, 190, 243), 1.6),
}


def _pair(points: tuple[int, ...]) -> list[np.ndarray]:
    uv, partner = local_uv(), mirror()
    return [uv[list(points)], uv[partner[list(points)]]]


def paint_face(canvas: Canvas, look: Appearance, features: bool = True) -> None:
    """Paint the face's chart.

    Args:
        canvas: painted on in place.
        look: what to paint.
        features: False leaves base tone and its unevenness only, without lips, brows, marks, wrinkles.
    """
    region = canvas.chart("face")
    rng = np.random.default_rng(look.texture_seed)
    base = tone_color(look.tone, look.warmth)
    canvas.fill("face", base, 0.22, 0.34)
    _paint_skin(canvas, region, look, rng)
    if not features:
        return
    _paint_shade(canvas, region, look)
    _paint_marks(canvas, region, look, rng)
    _paint_wrinkles(canvas, region, look, rng)
    _paint_lips(canvas, region, look, rng)
    if look.beard or look.moustache:
        _paint_beard(canvas, region, look, rng)
    _paint_lids(canvas, region, look, rng)
    _paint_brows(canvas, region, look, rng)


Region = tuple[slice, slice]


def _shape(canvas: Canvas, region: Region) -> tuple[int, int]:
    return canvas.height[region].shape[0], canvas.height[region].shape[1]


def _paint_skin(canvas: Canvas, region: Region, look: Appearance, rng: np.random.Generator) -> None:
    shape = _shape(canvas, region)
    fade = vertex_map(oval_weight())
    blotches = noise(rng, shape, 9.0, 26.0) * fade
    canvas.color[region] *= 1 + (0.022 + 0.03 * look.mottling) * blotches[..., None] * np.array(
        [0.5, 1.0, 1.0], np.float32
    )
    fine = noise(rng, shape, 1.3)
    canvas.color[region] *= 1 + 0.018 * fine[..., None]
    canvas.height[region] += 0.003 * noise(rng, shape, 1.2, 2.2)
    oily = np.maximum(bump_map((9, 151), 2.4), bump_map((4, 5), 1.4)) * np.clip(fade, 0, 1)
    canvas.shine[region] += 0.12 * oily
    canvas.gloss[region] += 0.06 * oily


def _paint_shade(canvas: Canvas, region: Region, look: Appearance) -> None:
    """What lies deep is darker (baked occlusion), what is thin and full of blood is redder."""
    red = 0.55 * look.flush
    cheeks = bump_map((50, 205), 1.7) + 0.9 * bump_map((4, 1), 1.0) + 0.35 * bump_map((199,), 1.2)
    canvas.scale(np.clip(cheeks, 0, 1) * red, (1.02, 0.80, 0.80), region)
    dark = 0.75 + 0.25 * look.eye_shade
    canvas.scale(
        np.clip(bump_map((133, 155, 243), 0.5) + 0.5 * bump_map((33, 7), 0.4), 0, 1),
        (0.80, 0.70, 0.68),
        region,
    )
    canvas.scale(bump_map((145, 23), 0.62) * 0.55 * dark * look.eye_shade, (0.82, 0.72, 0.74), region)
    canvas.scale(bump_map((159, 27), 0.7) * (0.35 + 0.4 * look.eye_shade), (0.84, 0.74, 0.72), region)
    canvas.scale(bump_map((49, 129, 203), 0.35) * 0.6, (0.82, 0.74, 0.72), region)
    canvas.scale(bump_map((2, 164), 0.35) * 0.5, (0.84, 0.76, 0.74), region)
    canvas.scale(bump_map((18, 200), 0.5) * 0.45, (0.84, 0.77, 0.75), region)
    nostril = np.clip(1.2 * bump_map((20, 79, 238), 0.24), 0, 1) ** 1.5
    canvas.scale(nostril, (0.22, 0.13, 0.12), region)
    canvas.shine[region] *= 1 - nostril
    # the jaw's underside and the sides turn away from the light of a room
    y = rest_points()[:, 1]
    low = vertex_map(np.clip((y - 9.0) / 2.0, 0, 1) * (1 - oval_weight()))
    canvas.scale(low, (0.80, 0.76, 0.75), region)


def _paint_marks(canvas: Canvas, region: Region, look: Appearance, rng: np.random.Generator) -> None:
    shape, uv = _shape(canvas, region), local_uv()
    spots = np.zeros(shape, np.float32)
    count = int(420 * look.freckles) + (int((look.age - 45) * 1.6) if look.age > 45 else 0)
    for _ in range(count):
        middle = uv[rng.integers(468)] + rng.normal(0, 22, 2)
        radius = rng.uniform(0.6, 1.7)
        path = np.stack([middle, middle + rng.normal(0, 0.6, 2)])
        stroke(spots, path, radius, float(rng.uniform(0.25, 0.9)))
    spots = cv2.GaussianBlur(spots, (0, 0), 0.9)
    where = np.clip(bump_map((50, 117), 2.6) + bump_map((4, 5), 1.5) + 0.35, 0, 1)
    canvas.scale(np.clip(spots, 0, 1) * where * 0.75, (0.66, 0.48, 0.40), region)
    for point, radius in look.moles:
        yy, xx = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32) + np.float32(0.5)
        away = ((xx - uv[point, 0]) ** 2 + (yy - uv[point, 1]) ** 2) / radius**2
        spot = np.exp(-(away**1.5)).astype(np.float32)
        canvas.scale(spot * 0.9, (0.42, 0.30, 0.27), region)
        canvas.height[region] += 0.05 * spot


def _paint_wrinkles(canvas: Canvas, region: Region, look: Appearance, rng: np.random.Generator) -> None:
    shape, uv = _shape(canvas, region), local_uv()
    old = float(np.clip((look.age - 24) / 46, 0.03, 1.2))
    strengths = {
        "nasolabial": 0.35 + old,
        "marionette": 0.8 * old,
        "bag": 0.25 + 0.7 * old,
        "glabella": 0.7 * old,
    }
    strengths |= {"crow1": 0.8 * old, "crow2": 0.6 * old, "crow3": 0.6 * old, "crease": 0.9}
    for name, (points, width) in _FOLDS.items():
        lines = groove(shape, _pair(points), width)
        amount = strengths[name] * rng.uniform(0.6, 1.2)
        canvas.height[region] -= 0.035 * amount * lines
        canvas.scale(lines * np.float32(min(amount, 1.0) * 0.42), (0.74, 0.60, 0.58), region)
    centre, top, side = uv[9], uv[10], uv[[70, 300]]
    for raised in (False, True):
        paths: list[np.ndarray] = []
        for t in np.linspace(0.28, 0.88, 4):
            across = np.linspace(side[0, 0] + 10, side[1, 0] - 10, 7)
            wave = rng.normal(0, 3.0, 7) - 5 * np.cos(np.linspace(-2.4, 2.4, 7)) * (1 - t)
            paths.append(np.stack([across, np.full(7, centre[1] + (top[1] - centre[1]) * t) + wave], 1))
        soft = groove(shape, paths, 2.2)
        if raised:
            canvas.raised[region] -= 0.03 * (0.4 + old) * soft
        else:
            canvas.height[region] -= 0.022 * max(old - 0.2, 0) * soft
            canvas.scale(soft * np.float32(0.35 * min(old, 1)), (0.80, 0.70, 0.68), region)
    if old > 0.5:
        canvas.height[region] += 0.008 * (old - 0.5) * noise(rng, shape, 2.5, along=2.0)


def _paint_lips(canvas: Canvas, region: Region, look: Appearance, rng: np.random.Generator) -> None:
    shape, uv = _shape(canvas, region), local_uv()
    outer = np.concatenate(
        [smooth_path(uv[[*LIPS_OUTER[:11]]], 60), smooth_path(uv[[*LIPS_OUTER[10:], LIPS_OUTER[0]]], 60)]
    )
    lips = polygon(shape, outer, 1.8)
    weight = lips * np.float32(look.lip_strength)
    canvas.tint(weight, look.lip_color, region)
    streaks = noise(rng, shape, 1.3, along=7.0)
    canvas.height[region] += lips * 0.012 * streaks
    canvas.color[region] *= 1 + 0.05 * (lips * streaks)[..., None]
    canvas.shine[region] += 0.22 * lips
    canvas.gloss[region] += 0.16 * lips
    gap = groove(shape, [uv[[*LIPS_INNER[:11]]], uv[[*LIPS_INNER[10:], LIPS_INNER[0]]]], 1.6, taper=False)
    canvas.scale(gap * 0.75, (0.52, 0.38, 0.38), region)
    # the lower lip is fuller and lighter in its middle, a shadow lies in the corners
    canvas.scale(lips * bump_map((17, 14), 0.7), (1.1, 1.06, 1.06), region)
    canvas.scale(bump_map((61, 76), 0.26) * 0.7, (0.6, 0.48, 0.46), region)


def _beard_weight(look: Appearance) -> tuple[Map, Map]:
    """Where the beard and the moustache grow, 0 to 1."""
    rest = rest_points()
    x, y, _ = rest.T
    line = (
        5.2
        + 1.1 * np.cos(np.clip(np.abs(x) / 7, 0, 1) * np.pi)
        - 3.0 * np.clip((np.abs(x) - 5.5) / 1.6, 0, 1)
    )
    beard = np.clip((y - line) / 1.0, 0, 1)
    mouth = ((x / 3.1) ** 2 + ((y - 6.2) / 2.0) ** 2) < 1
    moustache = np.exp(-(((np.abs(x) - 1.2) / 1.5) ** 2) - ((y - 4.85 - 0.1 * np.abs(x)) / 0.62) ** 2)
    moustache = np.maximum(
        moustache, np.exp(-(((np.abs(x) - 3.0) / 0.6) ** 2) - ((y - 6.6) / 1.3) ** 2) * 0.8
    )
    beard = np.where(mouth, beard * np.clip((y - 7.2) / 0.6, 0, 1), beard)
    lips = polygon(_size(), local_uv()[[*LIPS_OUTER]], 2.5)
    keep = 1 - np.clip(lips * 1.3, 0, 1)
    return vertex_map(beard, 5.0) * keep, vertex_map(np.clip(1.5 * moustache, 0, 1), 4.0) * keep


def _size() -> tuple[int, int]:
    x0, y0, x1, y1 = CHARTS["face"]
    return y1 - y0 + 8, x1 - x0 + 8


def _paint_beard(canvas: Canvas, region: Region, look: Appearance, rng: np.random.Generator) -> None:
    shape = _shape(canvas, region)
    beard, moustache = _beard_weight(look)
    full = np.clip(beard * (1 if look.beard else 0) + moustache * look.moustache, 0, 1)
    strands = noise(rng, shape, 1.0, along=4.0)
    strength = np.float32(0.3 + 0.65 * look.beard)
    ragged = np.clip(full * 1.6 - 0.3 + 0.28 * strands, 0, 1) * np.clip(full * 4, 0, 1)
    color = np.array(look.hair_color, np.float32) * 0.8
    weight = np.clip(ragged * strength * (1 + 0.3 * strands), 0, 0.95)
    canvas.tint(weight, color.tolist(), region)
    canvas.height[region] += ragged * (0.03 + 0.06 * look.beard) * (strands + 0.8)
    canvas.shine[region] *= 1 - 0.5 * weight


def _paint_lids(canvas: Canvas, region: Region, look: Appearance, rng: np.random.Generator) -> None:
    shape, uv = _shape(canvas, region), local_uv()
    crease = groove(shape, _pair(_FOLDS["crease"][0]), 2.0)
    canvas.scale(crease * 0.62, (0.58, 0.45, 0.43), region)
    lash = np.zeros(shape, np.float32)
    color = np.array(look.brow_color) * 0.45
    for eye, side in ((RIGHT_EYE, -1), (LEFT_EYE[8::-1] + LEFT_EYE[:8:-1], 1)):
        upper = smooth_path(uv[list(eye[:9])], 60)
        lower = smooth_path(uv[[*eye[8:], eye[0]]], 60)
        stroke(lash, upper, 3 + 2.0 * look.eye_line, 1.0)
        faint = np.zeros(shape, np.float32)
        stroke(faint, lower, 2.0, 0.35 + 0.3 * look.eye_line)
        lash = np.maximum(lash, faint)
        for i in range(4, 52):
            outward = (26 - i) / 26
            length = (4 + 5.0 * look.eye_line) * (0.7 + 0.5 * max(outward, 0))
            tip = upper[i] + [side * outward * length * 0.9, -length * 0.75]
            stroke(lash, np.stack([upper[i], tip]), 1.0, float(rng.uniform(0.45, 0.8)))
    lash = cv2.GaussianBlur(lash, (0, 0), 0.8)
    canvas.tint(np.clip(lash * (0.55 + 0.45 * look.eye_line), 0, 1), color.tolist(), region)
    canvas.shine[region] *= 1 - np.clip(lash, 0, 1)
    inner = bump_map((133, 173, 155), 0.16)
    canvas.tint(inner * 0.4, (0.72, 0.42, 0.40), region)


def _paint_brows(canvas: Canvas, region: Region, look: Appearance, rng: np.random.Generator) -> None:
    shape, uv = _shape(canvas, region), local_uv()
    hairs = np.zeros(shape, np.float32)
    shadow = np.zeros(shape, np.float32)
    for brow in (RIGHT_BROW, LEFT_BROW[4::-1] + LEFT_BROW[:4:-1]):
        # outer to inner; both brows lie as RIGHT_BROW does: upper edge outer to inner, lower edge back
        upper, lower = smooth_path(uv[list(brow[:5])], 60), smooth_path(uv[[*brow[:4:-1]]], 60)
        middle, half = (upper + lower) / 2, (lower - upper) / 2
        arch = np.sin(np.linspace(0, 1, 60) * np.pi * 1.1)[:, None] * np.array([0, -5.0 * look.brow_arch])
        thin = np.interp(np.linspace(0, 1, 60), [0, 0.2, 0.7, 1], [0.12, 0.6, 1.0, 0.85])[:, None]
        middle = middle + arch
        half = half * look.brow_thickness * thin
        outline = np.concatenate([middle - half, (middle + half)[::-1]])
        shadow = np.maximum(shadow, polygon(shape, outline, 3.0))
        for _ in range(int(170 + 330 * look.brow_density)):
            place = int(rng.beta(1.1, 1.0) * 59)
            along = middle[max(place - 3, 0)] - middle[min(place + 3, 59)]
            along /= np.linalg.norm(along) + 1e-6
            inner = np.clip((place - 42) / 16, 0, 1)
            offset = rng.uniform(-1, 1)
            up = np.array([0.0, -1.0])
            heading = along + up * (0.25 + 0.9 * inner) - up * (0.55 * (offset < 0)) * (1 - inner)
            heading /= np.linalg.norm(heading)
            root = middle[place] + half[place] * offset
            length = rng.uniform(7, 14) * (0.75 + 0.35 * look.brow_thickness)
            stroke(hairs, np.stack([root, root + heading * length]), 1.0, float(rng.uniform(0.4, 1.0)))
    hairs = cv2.GaussianBlur(hairs, (0, 0), 0.8)
    weight = np.clip(
        hairs * (0.55 + 0.6 * look.brow_density) + shadow * (0.15 + 0.35 * look.brow_density), 0, 0.96
    )
    canvas.tint(weight, look.brow_color, region)
    canvas.height[region] += 0.04 * hairs
    canvas.shine[region] *= 1 - 0.7 * weight

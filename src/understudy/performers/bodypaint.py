"""Painting everything but the face: scalp, ears, neck, clothes, eyes, teeth, mouth, occluders."""

from __future__ import annotations

import cv2
import numpy as np

from understudy.performers.appearance import Appearance, tone_color
from understudy.performers.canvas import Canvas, noise
from understudy.performers.hairline import hairline_height


def paint_body(canvas: Canvas, look: Appearance) -> None:
    """Paint all charts except the face's."""
    rng = np.random.default_rng(look.texture_seed + 1)
    base = tone_color(look.tone, look.warmth)
    _paint_scalp(canvas, look, base, rng)
    _paint_neck(canvas, look, base, rng)
    _paint_ear(canvas, base)
    _paint_cloth(canvas, look, rng)
    _paint_mouth(canvas, look, base, rng)
    paint_eye(canvas, look, rng)
    canvas.fill("occluder", (0.05, 0.05, 0.06), 0.6, 0.7)
    region = canvas.chart("hand")
    canvas.fill("hand", base * [0.97, 0.9, 0.9], 0.2, 0.3)
    canvas.color[region] *= 1 + 0.03 * noise(rng, canvas.height[region].shape, 8.0)[..., None]


def _unit(canvas: Canvas, name: str) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """A chart's place and the unit coordinates (u, v) of its texels, margin included."""
    region = canvas.chart(name)
    rows, columns = canvas.height[region].shape
    u = (np.arange(columns, dtype=np.float32) - 3.5) / (columns - 8)
    v = (np.arange(rows, dtype=np.float32) - 3.5) / (rows - 8)
    grid_u, grid_v = np.meshgrid(u, v)
    return region, grid_u, grid_v


def _paint_scalp(canvas: Canvas, look: Appearance, base: np.ndarray, rng: np.random.Generator) -> None:
    canvas.fill("scalp", base, 0.22, 0.34)
    region, u, v = _unit(canvas, "scalp")
    shape = u.shape
    canvas.color[region] *= 1 + 0.02 * noise(rng, shape, 1.3)[..., None]
    canvas.height[region] += 0.004 * noise(rng, shape, 1.2, 2.2)
    # below the jaw the light of a room does not come
    under = np.clip(1 - np.abs(u - 0.5) / 0.24, 0, 1) * np.clip(v / 0.12 + 0.45, 0, 1)
    canvas.scale(under, (0.62, 0.53, 0.50), region)
    if look.hair_style != "bald":
        line = hairline_height(u, look)
        grain = noise(rng, shape, 0.9, along=2.0)
        roots = np.clip((v - line) / 0.05 + 0.25 * grain, 0, 1) * (
            0.93 if look.hair_style != "receding" else 0.8
        )
        canvas.tint(roots, (np.array(look.hair_color) * 0.8).tolist(), region)
        canvas.height[region] += 0.03 * roots * grain
        canvas.shine[region] *= 1 - 0.6 * roots


def _paint_neck(canvas: Canvas, look: Appearance, base: np.ndarray, rng: np.random.Generator) -> None:
    canvas.fill("neck", base, 0.18, 0.32)
    region, u, v = _unit(canvas, "neck")
    canvas.color[region] *= 1 + 0.03 * noise(rng, u.shape, 6.0, 18.0)[..., None]
    # the front of the neck is at the ends of u = 0.5 ± 0.5 … its middle is the back's; shade from the chin
    front = np.clip(np.cos((u - 0.5) * 2 * np.pi), -1, 1) * 0.5 + 0.5
    shade = np.clip(1.25 - v * 1.55, 0, 1) * (0.5 + 0.5 * front)
    canvas.scale(shade, (0.60, 0.50, 0.47), region)
    lines = np.zeros(u.shape, np.float32)
    for place in (0.55, 0.7, 0.86):
        lines += np.exp(-(((v - place - 0.03 * np.sin(u * 12)) / 0.012) ** 2))
    canvas.height[region] -= 0.008 * lines * (look.age / 60)
    canvas.scale(np.exp(-(((v - 1.0) / 0.06) ** 2)), (0.72, 0.66, 0.64), region)


def _paint_ear(canvas: Canvas, base: np.ndarray) -> None:
    canvas.fill("ear", base * [1.0, 0.88, 0.87], 0.2, 0.35)
    region, u, v = _unit(canvas, "ear")
    radius = np.hypot(u - 0.5, v - 0.5) / 0.46
    hollow = np.exp(-((radius / 0.34) ** 2)) + 0.55 * np.exp(-(((radius - 0.8) / 0.1) ** 2)) * (v < 0.62)
    canvas.scale(np.clip(hollow, 0, 1), (0.55, 0.40, 0.38), region)
    canvas.scale(np.exp(-(((radius - 0.97) / 0.1) ** 2)), (1.02, 0.92, 0.92), region)


def _paint_cloth(canvas: Canvas, look: Appearance, rng: np.random.Generator) -> None:
    canvas.fill("cloth", look.cloth, 0.05, 0.1)
    region, u, v = _unit(canvas, "cloth")
    other = np.clip(np.array(look.cloth) * 0.55 + 0.25, 0, 1)
    if look.cloth_pattern == 1:
        canvas.tint((np.sin(v * 90) > 0.3).astype(np.float32) * 0.7, other.tolist(), region)
    elif look.cloth_pattern == 2:
        checks = ((np.sin(v * 80) > 0).astype(np.float32) + (np.sin(u * 240) > 0)) / 2
        canvas.tint(checks * 0.6, other.tolist(), region)
    collar = np.exp(-(((v - 0.03) / 0.035) ** 2))
    canvas.scale(collar, (0.75, 0.75, 0.75), region)
    weave = noise(rng, u.shape, 0.8)
    folds = noise(rng, u.shape, 14.0, along=2.5)
    canvas.color[region] *= 1 + 0.05 * weave[..., None] + 0.06 * folds[..., None]
    canvas.height[region] += 0.008 * weave + 0.12 * folds


def _paint_mouth(canvas: Canvas, look: Appearance, base: np.ndarray, rng: np.random.Generator) -> None:
    canvas.fill("lid", base * [0.92, 0.66, 0.63], 0.5, 0.6)
    canvas.fill("mouth", (0.25, 0.07, 0.07), 0.25, 0.5)
    region, _, v = _unit(canvas, "mouth")
    lip = np.array(look.lip_color) * [0.8, 0.62, 0.62]
    canvas.tint(np.clip(1.2 - v / 0.35, 0, 1), lip.tolist(), region)
    canvas.scale(np.clip((v - 0.25) / 0.5, 0, 1), (0.12, 0.06, 0.06), region)
    canvas.fill("teeth", (0.90, 0.87, 0.80 - 0.0015 * look.age), 0.5, 0.7)
    region, u, v = _unit(canvas, "teeth")
    away = np.abs(v - 0.5) / 0.48
    width = 0.085
    place = np.abs(((u - 0.5) / width + 0.5) % 1.0 - 0.5) * 2
    gap = np.clip((place - 0.86) / 0.14, 0, 1) * (np.abs(u - 0.5) < 0.5)
    canvas.scale(gap * 0.75, (0.52, 0.42, 0.38), region)
    canvas.height[region] -= 0.05 * gap
    arc = 0.60 + 0.12 * np.cos(((u - 0.5) / width) * 2 * np.pi)
    gums = np.clip((away - arc) / 0.06, 0, 1)
    canvas.tint(gums, (0.62, 0.28, 0.28), region)
    # the sides of the arch lie in the shadow of the cheeks
    canvas.scale(np.clip(np.abs(u - 0.5) / 0.42, 0, 1) ** 2, (0.35, 0.28, 0.26), region)
    canvas.scale(np.exp(-((away / 0.07) ** 2)), (0.72, 0.66, 0.62), region)


def paint_eye(canvas: Canvas, look: Appearance, rng: np.random.Generator) -> None:
    """Eyeball: sclera with veins, iris with fibres and a dark rim, pupil."""
    canvas.fill("eye", (0.87, 0.85, 0.83), 0.9, 0.96)
    region, u, v = _unit(canvas, "eye")
    radius = np.hypot(u - 0.5, v - 0.5)
    angle = np.arctan2(v - 0.5, u - 0.5)
    edge = 28.9 / 92.0 * 0.5
    canvas.scale(np.clip((radius - edge) / 0.3, 0, 1) ** 1.3, (0.92, 0.72, 0.68), region)
    turn = rng.standard_normal(256).astype(np.float32)
    turn = cv2.GaussianBlur(np.concatenate([turn, turn, turn])[None], (0, 0), 1.6)[0, 256:512]
    fibre = turn[((angle / (2 * np.pi) + 0.5) * 255.9).astype(int)] / (float(turn.std()) + 1e-6)
    inner = np.clip(radius / edge, 0, 1)
    color = np.array(look.iris, np.float32)
    body = (
        color * (1.25 + 0.25 * fibre[..., None] * (inner[..., None] > 0.4)) * (0.75 + 0.5 * inner[..., None])
    )
    warm = np.exp(-(((inner - 0.5) / 0.15) ** 2))[..., None] * np.array([0.12, 0.07, 0.0], np.float32)
    body = np.clip((body + warm) * (1 - 0.72 * np.clip((inner - 0.82) / 0.18, 0, 1)[..., None] ** 2), 0, 1)
    weight = np.clip((edge - radius) / 0.008 + 0.5, 0, 1)
    canvas.color[region] += weight[..., None] * (body - canvas.color[region])
    pupil = np.clip((0.40 * edge - radius) / 0.006 + 0.5, 0, 1)
    canvas.tint(pupil, (0.015, 0.012, 0.012), region)

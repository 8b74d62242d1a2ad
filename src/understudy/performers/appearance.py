"""What a performer is made of besides shape: skin, age, brows, eyes, lips, hair, clothes; from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Color = tuple[float, float, float]
"""sRGB, 0 to 1."""

HairStyle = Literal["bald", "buzz", "short", "parted", "volume", "curls", "bob", "long", "tied", "receding"]

MONK: tuple[Color, ...] = (
    (0.965, 0.929, 0.894), (0.953, 0.906, 0.859), (0.969, 0.918, 0.816), (0.918, 0.855, 0.729), (0.843,
    0.741, 0.588),
    (0.627, 0.494, 0.337), (0.510, 0.361, 0.263), (0.376, 0.255, 0.204), (0.227, 0.192, 0.165), (0.161,
    0.141, 0.125),
)  # fmt: skip
"""The ten tones of the Monk Skin Tone scale."""

HAIR_COLORS: tuple[Color, ...] = (
    (0.06, 0.05, 0.05), (0.12, 0.085, 0.06), (0.21, 0.13, 0.08), (0.33, 0.19, 0.10), (0.46, 0.20, 0.09),
    (0.50, 0.37, 0.22),
    (0.66, 0.53, 0.35),
)  # fmt: skip

IRIS_COLORS: tuple[Color, ...] = (
    (0.22, 0.12, 0.06), (0.33, 0.19, 0.09), (0.45, 0.31, 0.13), (0.38, 0.42, 0.22), (0.30, 0.44, 0.55),
    (0.45, 0.52, 0.58),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """Colours and surface of a performer; everything a texture is painted from."""

    tone: float
    """Place on the Monk scale, 0 (lightest) to 9."""
    warmth: float
    """Undertone, −1 (rosy) to 1 (golden)."""
    age: float
    """Years, 20 to 80."""
    masculine: float
    """−1 to 1."""
    flush: float
    """Redness of cheeks and nose, 0 to 1."""
    freckles: float
    """0 to 1."""
    moles: tuple[tuple[int, float], ...]
    """Point of the face, and radius in texels."""
    mottling: float
    """Unevenness of the skin, 0 to 1."""
    lip_color: Color
    lip_strength: float
    """How far the lips differ from the skin, 0 to 1."""
    brow_color: Color
    brow_thickness: float
    """0.3 to 1.3 of the mesh's brow."""
    brow_arch: float
    """−1 flat to 1 arched."""
    brow_density: float
    """0 to 1."""
    iris: Color
    eye_line: float
    """Darkness of lashes and lid line, 0 to 1."""
    eye_shade: float
    """Darkness round the eyes, 0 to 1."""
    hair_style: HairStyle
    hair_color: Color
    hair_length: float
    """0 to 1 within the style."""
    hairline: float
    """Height of the hair line, −1 low to 1 high."""
    fringe: float
    """Hair over the forehead, 0 to 1."""
    curl: float
    """Waviness of the strands, 0 to 1."""
    beard: float
    """0 none, 0.3 stubble, 1 full."""
    moustache: float
    """0 to 1."""
    cloth: Color
    cloth_pattern: int
    """0 plain, 1 stripes, 2 checks, 3 open collar."""
    texture_seed: int
    """Chance of pores, spots and strands."""


def tone_color(tone: float, warmth: float = 0.0) -> np.ndarray:
    """The sRGB colour of a place on the Monk scale, with an undertone; a little richer than the swatches."""
    swatches = np.array(MONK)
    places = np.arange(10)
    color = np.array([np.interp(np.clip(tone, 0, 9), places, swatches[:, i]) for i in range(3)])
    # the lightest swatches are those of skin in full light, paler than an albedo
    light = np.clip((3.5 - tone) / 3.5, 0, 1)
    color = color * (1 - light * np.array([0.07, 0.17, 0.22]))
    dark = np.clip((tone - 6.5) / 2.5, 0, 1)
    color = color * (1 + dark * np.array([0.42, 0.16, 0.02]))
    return np.clip(color * (1 + warmth * np.array([-0.01, 0.02, -0.06])), 0, 1)


def _hair(rng: np.random.Generator, tone: float, age: float) -> Color:
    weights = (
        np.array([1.0, 1.5, 1.5, 1.2, 0.5, 0.9, 0.7])
        if tone < 4
        else np.array([3, 2.0, 0.6, 0.2, 0.05, 0.05, 0.02])
    )
    color = np.array(HAIR_COLORS[int(rng.choice(7, p=weights / weights.sum()))])
    grey = np.clip(rng.normal((age - 48) / 22, 0.3), 0, 1)
    silver = rng.uniform(0.5, 0.78) * np.array([1.0, 0.965, 0.92])
    mixed = np.clip((color + (silver - color) * grey) * rng.uniform(0.85, 1.15), 0.03, 0.95)
    return (float(mixed[0]), float(mixed[1]), float(mixed[2]))


def _style(rng: np.random.Generator, masculine: float, age: float) -> HairStyle:
    styles: tuple[HairStyle, ...]
    if masculine > 0:
        styles = ("bald", "buzz", "short", "parted", "volume", "curls", "receding", "long")
        weights = np.array([0.8 + (age > 45), 1.4, 2.2, 2.2, 1.4, 1.2, 0.2 + 2.0 * (age > 42), 0.4])
    else:
        styles = ("short", "volume", "curls", "bob", "long", "tied", "parted", "buzz")
        weights = np.array([0.7, 0.8, 1.4, 2.0, 2.6, 1.8, 0.7, 0.2])
    return styles[int(rng.choice(len(styles), p=weights / weights.sum()))]


def _rgb(values: np.ndarray) -> Color:
    return (float(values[0]), float(values[1]), float(values[2]))


def draw_appearance(rng: np.random.Generator, masculine: float, age: float) -> Appearance:
    """A random appearance; tone is uniform over the whole scale."""
    tone = float(rng.uniform(-0.4, 9.4))
    tone = float(np.clip(tone, 0, 9))
    skin = tone_color(tone)
    hair = _hair(rng, tone, age)
    brow = (
        np.clip(np.array(hair) * rng.uniform(0.5, 0.9), 0.03, 0.5)
        if max(hair) < 0.55
        else np.array(hair) * 0.6
    )
    iris = (
        IRIS_COLORS[int(rng.integers(6))]
        if tone < 3.5
        else IRIS_COLORS[int(rng.integers(3 if tone < 6 else 2))]
    )
    made_up = masculine < 0 and rng.random() < 0.6
    lip = skin * np.array([1.0, 0.62, 0.62]) * rng.uniform(0.82, 1.0)
    if made_up:
        paint = np.array(
            [(0.62, 0.12, 0.16), (0.72, 0.30, 0.33), (0.55, 0.22, 0.28), (0.75, 0.38, 0.34)][
                int(rng.integers(4))
            ]
        )
        lip = lip + (paint - lip) * rng.uniform(0.3, 0.85)
    bearded = masculine > 0.1 and rng.random() < 0.62
    moles = tuple(
        (int(rng.integers(468)), float(rng.uniform(1.4, 3.6))) for _ in range(int(rng.integers(0, 6)))
    )
    return Appearance(
        tone=tone,
        warmth=float(rng.uniform(-1, 1)),
        age=age,
        masculine=masculine,
        flush=float(rng.uniform(0.1, 1.0)),
        freckles=float(max(0.0, rng.normal(-0.2, 0.6))) if tone < 5 else 0.0,
        moles=moles,
        mottling=float(rng.uniform(0.2, 1.0)),
        lip_color=_rgb(lip),
        lip_strength=float(rng.uniform(0.9, 1.0) if made_up else rng.uniform(0.45, 0.9)),
        brow_color=_rgb(brow),
        brow_thickness=float(np.clip(rng.normal(0.8 + 0.22 * masculine, 0.2), 0.35, 1.35)),
        brow_arch=float(rng.uniform(-1, 1) - 0.3 * masculine),
        brow_density=float(rng.uniform(0.45, 1.0)),
        iris=iris,
        eye_line=float(rng.uniform(0.75, 1.0) if made_up else rng.uniform(0.3, 0.7)),
        eye_shade=float(rng.uniform(0, 1)),
        hair_style=_style(rng, masculine, age),
        hair_color=hair,
        hair_length=float(rng.uniform(0, 1)),
        hairline=float(np.clip(rng.normal(0.15 * masculine + 0.008 * (age - 40), 0.5), -1, 1.4)),
        fringe=float(rng.uniform(0.4, 1) if rng.random() < (0.3 if masculine < 0 else 0.18) else 0.0),
        curl=float(rng.uniform(0, 1)),
        beard=float(rng.choice([0.25, 0.4, 0.75, 1.0])) if bearded else 0.0,
        moustache=float(rng.uniform(0.5, 1.0)) if bearded and rng.random() < 0.8 else 0.0,
        cloth=_rgb(rng.uniform(0.08, 0.85, 3) * rng.uniform(0.5, 1.0)),
        cloth_pattern=int(rng.integers(4)),
        texture_seed=int(rng.integers(1 << 31)),
    )

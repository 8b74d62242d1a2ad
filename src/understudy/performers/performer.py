"""A performer: shape, build, look and the textures painted from them. A seed gives a person."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, Float32

from understudy.performers.appearance import Appearance, draw_appearance, tone_color
from understudy.performers.bodypaint import paint_body
from understudy.performers.canvas import Canvas, vertex_map
from understudy.performers.facepaint import paint_face
from understudy.performers.geometry import Build
from understudy.performers.hair import Hair, grow_hair, has_hair
from understudy.performers.identity import draw_shape, swap_shape
from understudy.performers.topology import ATLAS, oval_weight

Tone = Literal["target", "source"]
"""Whose base skin tone a swapped face wears."""

_FACE_CHARTS = ("face", "eye", "lid", "mouth", "teeth")


@dataclass(frozen=True, eq=False)
class Surface:
    """The textures of a body at one size."""

    color: Float32[np.ndarray, "s s 4"]
    """Linear albedo (square of sRGB) and strength of the specular light."""
    relief: Float32[np.ndarray, "s s 4"]
    """Height and height added by raised brows (centimetres), gloss, weight of the inner face."""


@dataclass(frozen=True, eq=False)
class Performer:
    """A person who does not exist."""

    seed: int
    """From which everything was drawn; for a swap that of the target."""
    shape: Float[np.ndarray, "468 3"]
    """Face at rest, centimetres, head space."""
    build: Build
    """Shape of skull, ears, neck and shoulders."""
    look: Appearance
    """Colours and surface."""
    source: Performer | None = None
    """Whose inner face this one wears; None for one's own."""
    tone: Tone = "target"
    """Base skin tone of a worn face."""
    own: Float[np.ndarray, "468 3"] | None = None
    """One's own face at rest while another is worn: glasses stay where they were; None for ``shape``."""

    @classmethod
    def from_seed(cls, seed: int) -> Performer:
        """The person of a seed, always the same."""
        return _person(int(seed))

    def wearing(self, source: Performer, tone: Tone = "target") -> Performer:
        """This performer with the source's inner face: the exact swap.

        Shape of the inner face, features, marks and wrinkles are the source's; hair, ears, neck and, unless
        ``tone`` says otherwise, base skin tone stay.
        """
        return _worn(source, self, tone)

    @cached_property
    def hair(self) -> Hair | None:
        """Hair, None where the painted roots are all there is."""
        return grow_hair(self.look) if has_hair(self.look) else None

    @cached_property
    def surfaces(self) -> tuple[Surface, ...]:
        """Textures at full, half, quarter and eighth size."""
        canvas = self._painted()
        weight = _inner_weight()
        color = np.dstack([np.clip(canvas.color, 0, 1) ** 2, canvas.shine]).astype(np.float32)
        relief = np.dstack([canvas.height, canvas.raised, canvas.gloss, weight]).astype(np.float32)
        out = [Surface(color, relief)]
        for _ in range(3):
            size = out[-1].color.shape[0] // 2
            out.append(
                Surface(
                    cv2.resize(out[-1].color, (size, size), interpolation=cv2.INTER_AREA),
                    cv2.resize(out[-1].relief, (size, size), interpolation=cv2.INTER_AREA),
                )
            )
        return tuple(out)

    def _painted(self) -> Canvas:
        canvas = Canvas()
        paint_face(canvas, self.look)
        paint_body(canvas, self.look)
        if self.source is None:
            return canvas
        look = self.source.look if self.tone == "source" else _toned(self.source.look, self.look)
        other = Canvas()
        paint_face(other, look)
        paint_body(other, look)
        weight = _inner_weight()
        for name in ("color", "height", "raised", "shine", "gloss"):
            mine, worn = getattr(canvas, name), getattr(other, name)
            mine += (weight[..., None] if mine.ndim == 3 else weight) * (worn - mine)
        return canvas


def _toned(look: Appearance, target: Appearance) -> Appearance:
    """A look with another base skin tone; what is painted relative to the skin goes with it."""
    ratio = tone_color(target.tone, target.warmth) / np.maximum(tone_color(look.tone, look.warmth), 0.05)
    lip = np.clip(np.array(look.lip_color) * (0.35 + 0.65 * ratio), 0, 1)
    lips = (float(lip[0]), float(lip[1]), float(lip[2]))
    return replace(look, tone=target.tone, warmth=target.warmth, lip_color=lips)


@lru_cache(maxsize=1)
def _inner_weight() -> Float32[np.ndarray, "s s"]:
    """Weight of the inner face over the atlas."""
    canvas = Canvas()
    out = np.zeros((ATLAS, ATLAS), np.float32)
    for name in _FACE_CHARTS:
        out[canvas.chart(name)] = 1.0
    out[canvas.chart("face")] = np.clip(vertex_map(oval_weight()), 0, 1)
    return out


@lru_cache(maxsize=64)
def _person(seed: int) -> Performer:
    rng = np.random.default_rng([seed, 7])
    masculine = float(np.clip(rng.choice([-0.7, 0.7]) + rng.normal(0, 0.25), -1, 1))
    age = float(rng.uniform(20, 80))
    shape = draw_shape(rng, masculine, age)
    width = float(np.abs(shape[[234, 454], 0]).mean() / 7.0)
    build = Build(
        skull_width=float(np.clip(width * rng.normal(1.0, 0.025), 0.88, 1.15)),
        skull_height=float(rng.normal(0.96, 0.035)),
        skull_depth=float(rng.normal(1.0, 0.03)),
        neck_width=float(np.clip(rng.normal(0.98 + 0.09 * masculine, 0.05), 0.8, 1.2)),
        neck_length=float(rng.normal(1.0, 0.25)),
        shoulder_width=float(np.clip(rng.normal(0.96 + 0.09 * masculine, 0.06), 0.78, 1.2)),
        ear_size=float(np.clip(rng.normal(1.0 + 0.003 * (age - 45), 0.1), 0.75, 1.3)),
        ear_flare=float(np.clip(rng.normal(1.0, 0.4), 0.3, 2.2)),
        ear_height=float(rng.normal(0, 0.3)),
    )
    look = draw_appearance(rng, masculine, age)
    if look.hair_style in ("bob", "long"):
        # long hair lies over the ears and presses them to the head
        build = replace(build, ear_flare=0.15, ear_size=build.ear_size * 0.8)
    return Performer(seed, shape, build, look)


@lru_cache(maxsize=16)
def _worn(source: Performer, target: Performer, tone: Tone) -> Performer:
    shape = swap_shape(source.shape, target.shape)
    return Performer(target.seed, shape, target.build, target.look, source, tone, target.shape)

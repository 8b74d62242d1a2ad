"""Who a performer is, as shape: a sum of smooth fields for bone and soft tissue, drawn from a seed."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float

from understudy.image.landmarks import FACE_OVAL, LEFT_EYE, LIPS_INNER, RIGHT_EYE
from understudy.performers.fields import Field, bump, stretch
from understudy.performers.topology import FACE, rest_points, shape_weight

_EYE = list(RIGHT_EYE)

_SEAM = np.array([0.0, 0.012, 0.0])

_SPREAD = 0.7
"""How far people differ, in units of the fields: with 1 some are outside what networks believe."""


@cache
def shape_fields() -> dict[str, Field]:
    """One field for each shape parameter; the parameter's unit is one standard deviation over people."""
    rest = rest_points()
    x, y, z = rest.T
    lower, upper = np.clip(y / 10, 0, None), np.clip(-y / 6, 0, None)
    zero = np.zeros(FACE)
    fields = {
        "face_width": np.stack([x * 0.045, zero, zero], 1),
        "face_length": np.stack([zero, 0.55 * lower**1.3, zero], 1),
        "face_depth": np.stack([zero, zero, -0.03 * (z - 5)], 1),
        "forehead_height": np.stack([zero, -0.32 * upper**1.5, zero], 1),
        "forehead_slope": np.stack([zero, zero, 0.45 * upper**1.5], 1),
        "forehead_bulge": bump((151,), 2.4, (0, 0, -0.35)),
        "jaw_width": bump((172, 58), 2.6, (-0.42, 0, 0)) + bump((136,), 2.2, (-0.2, 0, 0)),
        "jaw_drop": bump((172, 136), 2.0, (0, 0.5, 0)),
        "chin_length": bump((152, 175), 2.3, (0, 0.55, 0)),
        "chin_forward": bump((199, 175), 2.0, (0, 0, -0.5)),
        "chin_width": bump((148, 176), 1.5, (-0.4, 0.05, 0)),
        "chin_cleft": bump((199, 175), 0.45, (0, 0, 0.13)),
        "cheekbone_width": bump((123, 116), 2.2, (-0.38, 0, 0)),
        "cheekbone_forward": bump((117, 118), 1.9, (0, 0, -0.38)),
        "cheek_fat": bump((192, 213, 50), 2.4, (-0.32, 0.08, -0.22)),
        "jowls": bump((135, 169), 1.5, (-0.22, 0.32, -0.15)),
        "temples": bump((162, 127), 2.0, (-0.3, 0, 0)),
        "nose_length": bump((1, 2, 98, 327), 1.5, (0, 0.42, 0)),
        "nose_width": bump((48, 64, 102), 1.0, (-0.28, 0, 0)),
        "nose_forward": bump((1, 4), 1.25, (0, 0, -0.42)),
        "nose_bridge": bump((6, 197), 1.0, (0, 0, -0.3)),
        "nose_root": bump((168, 6), 1.1, (0, 0, -0.28)),
        "nose_hump": bump((195, 5), 0.65, (0, 0, -0.2)),
        "nose_tilt": bump((1, 4), 0.9, (0, -0.3, 0)) + bump((94, 2), 0.7, (0, -0.1, 0)),
        "nose_tip_round": stretch((1, 4), 0.75, (0.28, 0.1, 0.05)),
        "bridge_width": bump((122, 196), 0.8, (-0.17, 0, 0)),
        "eye_size": stretch(_EYE, 1.5, (0.09, 0.16, 0)),
        "eye_open": stretch(_EYE, 0.9, (0.0, 0.26, 0)),
        "eye_width": stretch(_EYE, 1.3, (0.12, 0, 0)),
        "eye_spacing": bump((33, 133), 1.9, (-0.24, 0, 0)),
        "eye_height": bump((33, 133), 1.9, (0, 0.16, 0)),
        "eye_tilt": bump((33,), 0.9, (0, -0.17, 0)) + bump((133,), 0.8, (0, 0.1, 0)),
        "eye_depth": bump(_EYE, 1.5, (0, 0, 0.28)),
        "brow_height": bump((105, 66), 1.5, (0, -0.3, 0)),
        "brow_tilt": bump((70, 46), 1.2, (0, -0.2, 0)) + bump((107, 55), 1.2, (0, 0.15, 0)),
        "brow_ridge": bump((52, 65, 55), 1.4, (0, 0, -0.34)),
        "mouth_width": stretch((0, 17), 1.9, (0.14, 0, 0)),
        "mouth_height": bump((13, 14), 2.0, (0, 0.24, 0)),
        "mouth_forward": bump((13, 14), 1.8, (0, 0, -0.35)),
        "upper_lip": bump((0, 37), 1.0, (0, -0.17, -0.1)) + bump((13,), 0.7, (0, 0.05, 0)),
        "lower_lip": bump((17, 84), 1.0, (0, 0.2, -0.1)) + bump((14,), 0.7, (0, -0.05, 0)),
        "mouth_corners": bump((61,), 0.9, (0, -0.17, 0)),
        "philtrum": bump((164, 167), 0.9, (0, 0.1, -0.12)),
        "cupid": bump((0,), 0.3, (0, 0.08, 0)) + bump((37,), 0.3, (0, -0.05, 0)),
    }
    return {name: _without_border_kinks(field) for name, field in fields.items()}


def _without_border_kinks(field: Field) -> Field:
    """Even out the field along the oval, where the skull is attached."""
    loop = list(FACE_OVAL)
    border = field[loop]
    even = (np.roll(border, 1, 0) + 2 * border + np.roll(border, -1, 0)) / 4
    out = field.copy()
    out[loop] = even
    return out


def draw_shape(rng: np.random.Generator, masculine: float, age: float) -> Float[np.ndarray, "468 3"]:
    """A new face at rest, head space.

    Args:
        rng: where chance comes from.
        masculine: −1 to 1, moves the means of jaw, brow ridge, nose and lips.
        age: years; lengthens nose and lowers soft tissue.
    """
    fields = shape_fields()
    names = list(fields)
    values = dict(zip(names, np.clip(rng.normal(size=len(names)), -2.2, 2.2), strict=True))
    weight = rng.normal()
    for name, amount in (("cheek_fat", 1.0), ("jowls", 0.7), ("face_width", 0.5), ("chin_width", 0.4)):
        values[name] += amount * weight
    old = (age - 40) / 25
    for name, amount in (("jaw_width", 0.8), ("brow_ridge", 1.0), ("chin_forward", 0.5), ("chin_width", 0.6)):
        values[name] += amount * masculine
    for name, amount in (("eye_size", -0.6), ("upper_lip", -0.5), ("lower_lip", -0.5), ("brow_height", -0.8)):
        values[name] += amount * masculine
    for name, amount in (("nose_length", 0.5), ("nose_width", 0.3), ("jowls", 0.7), ("upper_lip", -0.6)):
        values[name] += amount * old
    # the mean face looks sad and small-eyed beside people at rest
    for name, amount in (("brow_tilt", 0.7), ("mouth_corners", 0.5), ("eye_size", 0.7), ("eye_open", 0.3)):
        values[name] += amount
    for name, amount in (("eye_open", -0.5), ("mouth_corners", -0.4), ("eye_depth", 0.4)):
        values[name] += amount * old
    shape = rest_points()
    for name, value in values.items():
        shape = shape + fields[name] * (_SPREAD * float(np.clip(value, -2.6, 2.6)))
    return _close_mouth(shape + _asymmetry(rng))


def _close_mouth(shape: Float[np.ndarray, "468 3"]) -> Float[np.ndarray, "468 3"]:
    """Bring the inner lips together, so that a mouth at rest shows no teeth."""
    out = shape.copy()
    upper, lower = list(LIPS_INNER[1:10]), list(LIPS_INNER[:10:-1])
    middle = (out[upper] + out[lower]) / 2
    out[upper], out[lower] = middle + _SEAM, middle - _SEAM
    return out


def _asymmetry(rng: np.random.Generator) -> Field:
    """A small smooth displacement that no side shares with the other."""
    rest = rest_points()
    out = np.zeros((FACE, 3))
    for _ in range(10):
        centre = rest[rng.integers(FACE)]
        weight = np.exp(-((rest - centre) ** 2).sum(1) / (2 * rng.uniform(1.2, 2.5) ** 2))
        out += weight[:, None] * rng.normal(0, 0.05, 3)
    return out


def swap_shape(
    source: Float[np.ndarray, "468 3"], target: Float[np.ndarray, "468 3"]
) -> Float[np.ndarray, "468 3"]:
    """The source's inner face on the target's head: the target on the oval, the source well inside.

    The source is scaled and shifted so that its oval fits the target's best (least squares), then both are
    mixed by ``shape_weight``.
    """
    loop = list(FACE_OVAL)
    source_middle, target_middle = source[loop].mean(0), target[loop].mean(0)
    source_oval, target_oval = source[loop] - source_middle, target[loop] - target_middle
    scale = float((source_oval * target_oval).sum() / (source_oval**2).sum())
    fitted = (source - source_middle) * scale + target_middle
    weight = shape_weight()[:, None]
    return target + weight * (fitted - target)


def eye_points(side: int) -> list[int]:
    """The lid line of the person's right (0) or left (1) eye."""
    return list(RIGHT_EYE if side == 0 else LEFT_EYE)

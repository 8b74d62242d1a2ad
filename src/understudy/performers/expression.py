"""What a face does: expression parameters and the displacements they cause.

Parameters run from 0 to 1; those of the gaze from −1 to 1 (picture's left to right, up to down).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from understudy.image.landmarks import LEFT_BROW, LEFT_EYE, LIPS_INNER, LIPS_OUTER, RIGHT_BROW, RIGHT_EYE
from understudy.performers.fields import Field, both_sides, bump, membrane
from understudy.performers.topology import FACE, rest_points


@dataclass(frozen=True, kw_only=True)
class Expression:
    """What the face does; everything 0 is a face at rest."""

    jaw: float = 0.0
    """Mouth opening, 0 to 1."""
    smile: float = 0.0
    """Corners of the mouth out and up, 0 to 1."""
    frown: float = 0.0
    """Corners of the mouth down, brows together, 0 to 1."""
    brow_raise: float = 0.0
    """Brows up, 0 to 1."""
    brow_lower: float = 0.0
    """Brows down and together, 0 to 1."""
    lid_right: float = 0.0
    """The person's right eye, 0 open to 1 shut; negative is wide open."""
    lid_left: float = 0.0
    """The person's left eye, 0 open to 1 shut; negative is wide open."""
    gaze_x: float = 0.0
    """−1 to 1, to the picture's left or right in the head's frame."""
    gaze_y: float = 0.0
    """−1 to 1, up or down in the head's frame."""
    pucker: float = 0.0
    """Lips forward and narrow, 0 to 1."""
    lips_part: float = 0.0
    """Lips apart without the jaw, showing teeth, 0 to 1."""
    cheek_puff: float = 0.0
    """Cheeks blown up, 0 to 1."""


UPPER_INNER = LIPS_INNER[1:10]
"""Upper inner lip without the corners."""
LOWER_INNER = LIPS_INNER[11:]
"""Lower inner lip without the corners, from the person's left."""
UPPER_OUTER = LIPS_OUTER[1:10]
LOWER_OUTER = LIPS_OUTER[11:]
CORNERS = (61, 291, 78, 308)

_STILL = (168, 6, 197, 195, 5, 4, 1, 10, 151, 9, 234, 454, 127, 356, 162, 389, 21, 251, 54, 284)
"""Points of nose, forehead and temples that hold the mouth's fields."""


@cache
def jaw_weight() -> Float[np.ndarray, "468"]:
    """How much a point belongs to the lower jaw."""
    values: dict[int, float] = dict.fromkeys(
        (*_STILL, *RIGHT_EYE, *LEFT_EYE, *UPPER_INNER, *UPPER_OUTER), 0.0
    )
    values |= dict.fromkeys((2, 98, 327, 64, 294, 48, 278, 50, 280, 117, 346, 123, 352, 164, 167, 393), 0.0)
    values |= dict.fromkeys((*LOWER_INNER, *LOWER_OUTER), 1.0)
    values |= dict.fromkeys((152, 148, 377, 176, 400, 149, 378, 175, 199, 200, 18, 150, 379), 1.0)
    values |= {
        136: 0.95,
        365: 0.95,
        172: 0.8,
        397: 0.8,
        58: 0.5,
        288: 0.5,
        132: 0.22,
        361: 0.22,
        93: 0.05,
        323: 0.05,
    }
    values |= dict.fromkeys((61, 291), 0.42) | dict.fromkeys((78, 308), 0.45)
    return membrane(values, stiff=False)[:, 0]


def open_jaw(points: Float[np.ndarray, "468 3"], amount: float) -> Float[np.ndarray, "468 3"]:
    """Turn the lower jaw about its hinge below the ears.

    Args:
        points: the face, head space.
        amount: 0 shut, 1 wide open (25 degrees).
    """
    hinge_y, hinge_z = 2.6, 4.6
    angle = np.deg2rad(25.0) * amount * jaw_weight()
    y, z = points[:, 1] - hinge_y, points[:, 2] - hinge_z
    cos, sin = np.cos(angle), np.sin(angle)
    out = points.copy()
    out[:, 1] = hinge_y + cos * y - sin * z
    out[:, 2] = hinge_z + sin * y + cos * z
    # the cheeks are drawn inwards a little, the corners of the mouth too
    out[:, 0] -= 0.06 * amount * points[:, 0] * (4 * jaw_weight() * (1 - jaw_weight()))
    return out


@cache
def expression_fields() -> dict[str, Field]:
    """Displacement of each parameter at 1; jaw and lids are no fields, they turn."""
    still: dict[int, tuple[float, float, float]] = dict.fromkeys(_STILL, (0.0, 0.0, 0.0))
    rim = dict.fromkeys((10, 152, 148, 377, 176, 400, 58, 288, 132, 361, 93, 323, 172, 397), (0.0, 0.0, 0.0))
    eyes = dict.fromkeys((*RIGHT_EYE, *LEFT_EYE), (0.0, 0.0, 0.0))
    smile = both_sides({
        61: (-0.75, -0.62, 0.5), 78: (-0.62, -0.5, 0.45), 40: (-0.38, -0.34, 0.3), 39: (-0.2, -0.2, 0.18),
        37: (-0.08, -0.12, 0.12), 0: (0, -0.08, 0.1), 13: (0, -0.1, 0.16), 82: (-0.1, -0.14, 0.16),
        81: (-0.22, -0.22, 0.2),
        80: (-0.38, -0.3, 0.27), 191: (-0.52, -0.4, 0.36), 14: (0, 0.0, 0.16), 87: (-0.12, -0.03, 0.16),
        178: (-0.25, -0.1, 0.2), 88: (-0.4, -0.22, 0.27), 95: (-0.53, -0.36, 0.36), 17: (0, -0.06, 0.12),
        84: (-0.12, -0.08, 0.14), 181: (-0.26, -0.16, 0.2), 91: (-0.42, -0.3, 0.3), 146: (-0.6, -0.46, 0.4),
        185: (-0.58, -0.48, 0.4), 50: (-0.12, -0.4, -0.32), 205: (-0.22, -0.46, -0.22), 36: (-0.2, -0.36,
        -0.1),
        117: (0, -0.18, -0.15), 98: (-0.08, -0.06, 0), 64: (-0.1, -0.06, 0), 152: (0, 0.02, 0.05), 199: (0,
        0.0, 0.1),
        145: (0, -0.11, 0), 153: (0, -0.08, 0), 144: (0, -0.1, 0), 159: (0, 0.03, 0),
    })  # fmt: skip
    frown = both_sides({
        61: (0.1, 0.48, 0.1), 78: (0.08, 0.45, 0.1), 40: (0.0, 0.12, 0), 0: (0, -0.06, 0), 13: (0, -0.04,
        0), 14: (0, -0.1, 0),
        17: (0, -0.16, -0.1), 91: (0.05, 0.22, 0), 146: (0.08, 0.42, 0.05), 199: (0, -0.14, -0.12),
        152: (0, -0.08, 0),
        107: (0.16, 0.24, -0.08), 55: (0.18, 0.22, -0.08), 66: (0.1, 0.14, 0), 50: (0, 0.05, 0),
    })  # fmt: skip
    pucker = both_sides({
        61: (0.8, 0.0, -0.25), 78: (0.62, 0.0, -0.3), 40: (0.42, -0.04, -0.42), 37: (0.12, -0.02, -0.55),
        0: (0, 0.0, -0.58),
        13: (0, 0.02, -0.5), 81: (0.3, 0.0, -0.45), 14: (0, -0.02, -0.5), 178: (0.3, 0, -0.45), 17: (0,
        -0.02, -0.55),
        84: (0.12, 0, -0.52), 91: (0.46, 0, -0.4), 205: (0.3, 0, 0.12), 199: (0, -0.1, -0.05), 50: (0.08,
        0, 0.05),
    })  # fmt: skip
    part = both_sides({
        61: (0, 0, 0), 78: (0, 0, 0), 13: (0, -0.34, 0.02), 82: (0, -0.32, 0.02), 81: (0, -0.25, 0),
        80: (0, -0.15, 0),
        0: (0, -0.22, 0), 37: (0, -0.2, 0), 39: (0, -0.15, 0), 40: (0, -0.08, 0), 14: (0, 0.34, 0.02),
        87: (0, 0.32, 0.02),
        178: (0, 0.24, 0), 88: (0, 0.14, 0), 17: (0, 0.24, 0.02), 84: (0, 0.22, 0), 181: (0, 0.16, 0),
        91: (0, 0.08, 0),
        199: (0, 0.1, 0), 2: (0, -0.02, 0), 152: (0, 0, 0),
    })  # fmt: skip
    raised = (
        bump((105, 66, 107), 1.5, (0, -0.52, 0))
        + bump((70, 63), 1.2, (0, -0.3, 0))
        + bump((151,), 2.0, (0, -0.3, 0))
    )
    lowered = bump((107, 55), 1.1, (0.2, 0.34, -0.12)) + bump((105, 52), 1.3, (0.08, 0.22, -0.05))
    above = _above_eyes()[:, None]
    puff = bump((192, 205, 207), 1.7, (-0.5, 0, -0.55))
    return {
        "smile": membrane(still | rim | smile),
        "frown": membrane(still | rim | eyes | frown),
        "pucker": membrane(still | rim | eyes | pucker),
        "lips_part": membrane(still | rim | eyes | part),
        "brow_raise": raised * above,
        "brow_lower": lowered * above,
        "cheek_puff": puff,
    }  # fmt: skip


@cache
def _above_eyes() -> Float[np.ndarray, "468"]:
    """1 from the brows up, 0 at the lids: brows move over the eyes, not the eyes with them."""
    values: dict[int, float] = dict.fromkeys(
        (*RIGHT_EYE, *LEFT_EYE, 5, 4, 50, 280, 61, 291, 152, 168, 234, 454), 0.0
    )
    values |= dict.fromkeys((*RIGHT_BROW, *LEFT_BROW, 10, 151, 9, 109, 338, 67, 297), 1.0)
    return np.clip(membrane(values, stiff=False)[:, 0], 0, 1)


def mouth_scale(shape: Float[np.ndarray, "468 3"]) -> float:
    """Width of the mouth against the mean one: a small mouth smiles a small smile."""
    rest = rest_points()
    return float(np.linalg.norm(shape[61] - shape[291]) / np.linalg.norm(rest[61] - rest[291]))


def express(
    shape: Float[np.ndarray, "468 3"], expression: Expression, scale: float
) -> Float[np.ndarray, "468 3"]:
    """The face wearing an expression, lids excepted: see ``close_lids``.

    Args:
        shape: the face at rest, head space.
        expression: what it does.
        scale: factor on the fields, see ``mouth_scale``.
    """
    out = shape.copy()
    for name, field in expression_fields().items():
        amount = float(getattr(expression, name))
        if amount:
            out += field * (amount * scale)
    return open_jaw(out, expression.jaw) if expression.jaw else out


@cache
def lid_weights(side: int) -> tuple[Float[np.ndarray, "468"], Float[np.ndarray, "468"]]:
    """How much a point follows the upper and the lower lid of an eye."""
    eye = RIGHT_EYE if side == 0 else LEFT_EYE
    brow = RIGHT_BROW if side == 0 else LEFT_BROW
    rest = rest_points()
    centre = rest[list(eye)].mean(0)
    far = [i for i in range(FACE) if np.linalg.norm(rest[i, :2] - centre[:2]) > 2.6]
    still: dict[int, float] = dict.fromkeys((*far, *brow), 0.0)
    upper, lower = eye[1:8], eye[9:]
    base = still | {eye[0]: 0.0, eye[8]: 0.0}
    first = membrane(base | dict.fromkeys(upper, 1.0) | dict.fromkeys(lower, 0.0), stiff=False)[:, 0]
    second = membrane(base | dict.fromkeys(upper, 0.0) | dict.fromkeys(lower, 1.0), stiff=False)[:, 0]
    return first**1.5, second**1.5


def close_lids(points: Float[np.ndarray, "468 3"], side: int, amount: float) -> Float[np.ndarray, "468 3"]:
    """Bring the lids of one eye together: the upper one does most of the way.

    Args:
        points: the face, head space.
        side: 0 the person's right eye, 1 the left.
        amount: 0 as it is, 1 shut, negative wider.
    """
    eye = RIGHT_EYE if side == 0 else LEFT_EYE
    upper, lower = list(eye[1:8]), list(eye[:8:-1])
    gap = points[lower, 1] - points[upper, 1]
    first, second = lid_weights(side)
    out = points.copy()
    middle = float(np.mean(gap))
    for weights, line, part in ((first, upper, 0.74), (second, lower, -0.26)):
        move = weights * part * middle
        move[line] = part * gap
        out[:, 1] += move * amount
    return out

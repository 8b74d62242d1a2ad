"""Where the hair begins on the skull, shared by the painted roots and the hair's shell."""

from __future__ import annotations

import numpy as np

from understudy.performers.appearance import Appearance

_AROUND = np.arange(37)
# for each of the 36 points of the oval, from the forehead over the person's left: how far back hair starts
_HALF = [
    0.14,
    0.14,
    0.13,
    0.12,
    0.10,
    0.08,
    0.10,
    0.16,
    0.36,
    0.46,
    0.52,
    0.58,
    0.64,
    0.7,
    0.76,
    0.78,
    0.79,
    0.8,
    0.8,
]
_LINE = np.array(_HALF + _HALF[-2:0:-1] + _HALF[:1])


def hairline_height(u: np.ndarray, look: Appearance) -> np.ndarray:
    """Place of the hair line from the face's oval (0) to the back pole (1).

    Args:
        u: place around the oval, 0 and 1 at the forehead, clockwise in the picture.
        look: style and height of the line.
    """
    place = np.clip(u, 0, 1) * 36
    line = np.interp(place, _AROUND, _LINE)
    top = np.clip(1 - np.minimum(place, 36 - place) / 5.5, 0, 1)
    corner = np.exp(-(((np.minimum(place, 36 - place) - 3.2) / 1.3) ** 2))
    line = line + 0.035 * look.hairline * top + 0.03 * max(look.masculine, 0) * corner
    if look.hair_style == "receding":
        wide = np.clip(1 - np.minimum(place, 36 - place) / 7.5, 0, 1) ** 0.6
        line = line + wide * (0.30 + 0.22 * look.hair_length)
    return line

"""Halving pictures: the cheapest honest reduction, for networks that see large frames in small squares."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8


def halved(picture: UInt8[np.ndarray, "h w 3"], times: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """Every pixel the mean of a square of ``2 ** times``; an odd last row or column is dropped each time.

    Args:
        picture: both sides at least ``2 ** times`` pixels, see ``halvings``.
        times: 0 gives the picture itself.
    """
    for _ in range(times):
        height, width = picture.shape[0] // 2, picture.shape[1] // 2
        picture = cv2.resize(
            picture[: height * 2, : width * 2], (width, height), interpolation=cv2.INTER_AREA
        )
    return picture


def halvings(shape: tuple[int, ...], reduction: float) -> int:
    """How often a picture can be halved before it is reduced by ``reduction``.

    Args:
        shape: height and width, and what follows.
        reduction: how many times smaller it may become in all.
    """
    times = 0
    while reduction >= 2 ** (times + 1) and min(shape[:2]) >= 2 ** (times + 1):
        times += 1
    return times

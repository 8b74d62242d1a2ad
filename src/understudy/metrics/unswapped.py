"""Frames in which nothing was swapped: the face is still the target's."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_CODE_VALUE = 1.0 / 255.0
_NOISE = 2.0
"""How many times the change outside the face (the codec's) a change inside must be to count as a swap."""
_LEAST = 1.5 * _CODE_VALUE


def is_unswapped(
    result: Float[Tensor, "b 3 h w"],
    target: Float[Tensor, "b 3 h w"],
    face: Float[Tensor, "b 1 h w"],
) -> Bool[Tensor, " b"]:
    """True where the face is still the target's.

    The mean absolute difference inside the face is no more than twice that outside it, where only the codec
    was at work, and 1.5 code values of 8 bits.

    Args:
        result: crops of the swapped video, with some room round the face.
        target: the same crops of the target.
        face: where the face is, in [0, 1].
    """
    away = (result - target).abs().mean(1, keepdim=True)
    inside, outside = _mean(away, face), _mean(away, (face < 0.01).to(away.dtype))
    return inside <= _NOISE * outside.nan_to_num(0.0) + _LEAST


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3))


def count_unswapped(flags: Bool[Tensor, " n"]) -> int:
    """How many frames of a video were not swapped."""
    return int(torch.count_nonzero(flags))

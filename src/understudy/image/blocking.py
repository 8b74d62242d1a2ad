"""Blocks of a codec that codes every picture by itself: found in a plane of a frame, and made again in it.

Motion JPEG, JPEG, DV and the like cut a plane into blocks of 8 x 8 samples, transform each by the cosine
transform and round every coefficient to a multiple of a step. Once decoded, the coefficients still lie on
these multiples, but for what rounding the samples adds, and so the steps can be read off the picture (Fan and
de Queiroz 2003, "Identification of bitmap compression history", section III); where the blocks begin is seen
from the differences between neighbours, which are largest across their borders (Wang, Sheikh and Bovik 2002,
"No-reference perceptual quality assessment of JPEG compressed images", equation 1). Pictures that are
predicted from others (H.264 and MPEG-2, but for their key frames) have no such lattice, and none is found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from understudy.image.dct import block_dct, inverse_block_dct

SIDE = 8
"""Of a block, samples."""
_LARGEST = 100
"""Largest step that is looked for."""
_LEAST = 3
"""Smallest step that can be told from rounding to code values, and that is seen."""
_NOISE = 2.2
"""Coefficients below count as 0: noise of that rounding, and what a decoder's short cuts add."""
_FEWEST = 12
"""Coefficients that tell a step."""
_MOST = 400
"""Of which more tell nothing new."""
_FIT = 0.7
"""Mean cosine of the coefficients' phases from which they lie on the multiples of a step."""
_KNOWN = 5
"""Steps that must have been found for there to be blocks, and of those that could be found two thirds."""


@dataclass(frozen=True, eq=False)
class BlockGrid:
    """How a plane was cut and rounded."""

    steps: Float64[np.ndarray, "8 8"]
    """Of every coefficient, in code values; frequencies down and across; below 1 for none."""
    x: int
    """Column at which the first whole block begins."""
    y: int
    """Row at which it begins."""

    def coded(self, part: np.ndarray, left: int, top: int, middle: float, share: float = 1.0) -> np.ndarray:
        """A part of a plane with its coefficients rounded to multiples of the steps.

        Args:
            part: code values; sides that blocks do not fill are continued by their last samples.
            left: column of the plane at which it begins.
            top: row at which it begins.
            middle: code value that counts as 0.
            share: factor of the steps; 1 for as strong as the plane's.

        Returns:
            Code values, float64, not yet rounded.
        """
        before = ((top - self.y) % SIDE, (left - self.x) % SIDE)
        after = tuple(-(side + first) % SIDE for side, first in zip(part.shape, before, strict=True))
        padded = np.pad(
            np.asarray(part, np.float64) - middle, tuple(zip(before, after, strict=True)), mode="edge"
        )
        found = block_dct(torch.from_numpy(padded))
        steps = torch.from_numpy(np.maximum(self.steps * share, 1e-3))
        made = inverse_block_dct((found / steps).round() * steps).numpy() + middle
        return made[before[0] : before[0] + part.shape[0], before[1] : before[1] + part.shape[1]]


def find_blocks(plane: np.ndarray, middle: float) -> BlockGrid | None:
    """The blocks of a plane of code values of 8 bits; None where it shows none.

    Args:
        plane: a part of it is enough.
        middle: code value that counts as 0, from which the mean of a block is counted.
    """
    if min(plane.shape) < 6 * SIDE:
        return None
    values = np.asarray(plane, np.float64) - middle
    y, x = (_begin(np.abs(np.diff(values, axis=axis)).mean(1 - axis)) for axis in (0, 1))
    height, width = ((side - first) // SIDE * SIDE for side, first in zip(plane.shape, (y, x), strict=True))
    inner = torch.from_numpy(np.ascontiguousarray(values[y : y + height, x : x + width]))
    found = block_dct(inner).flatten(0, 1).numpy().reshape(-1, SIDE * SIDE)
    samples = (inner.numpy() + middle).reshape(height // SIDE, SIDE, width // SIDE, SIDE)
    # what was cut off at black and white has left the multiples
    found = found[((samples > 0.0) & (samples < 255.0)).all((1, 3)).reshape(-1)]
    steps = np.array([_step(column) for column in found.T])
    told = ~np.isnan(steps)
    known = told & (steps >= _LEAST)
    if known.sum() < _KNOWN or known.sum() < 2 * told.sum() / 3:
        return None
    # nothing of these frequencies is left anywhere: they are rounded at least as coarsely as the others
    steps[~told] = steps[known].max()
    return BlockGrid(steps.reshape(SIDE, SIDE), x, y)


def blockiness(plane: np.ndarray, grid: tuple[int, int], weight: np.ndarray) -> float:
    """How much larger differences between neighbours are across the borders of blocks than within them.

    Args:
        plane: code values.
        grid: column and row at which the first whole block begins.
        weight: where to look; samples above a half count.

    Returns:
        The ratio of the mean magnitudes, both ways together; 1 where there are no blocks.
    """
    across: list[np.ndarray] = []
    within: list[np.ndarray] = []
    for axis, first in ((1, grid[0]), (0, grid[1])):
        steps = np.abs(np.diff(np.asarray(plane, np.float64), axis=axis))
        places = np.arange(steps.shape[axis]) + 1
        low = np.take(weight, np.arange(steps.shape[axis]), axis)
        counted = (low > 0.5) & (np.take(weight, places, axis) > 0.5)
        border = np.broadcast_to(
            ((places - first) % SIDE == 0)[None, :] if axis else ((places - first) % SIDE == 0)[:, None],
            steps.shape,
        )
        across.append(steps[counted & border])
        within.append(steps[counted & ~border])
    inner = np.concatenate(within)
    return float(np.concatenate(across).mean() / max(float(inner.mean()), 1e-9)) if inner.size else 1.0


def _begin(differences: Float64[np.ndarray, "n"]) -> int:
    """Where blocks begin, by the mean differences between each row or column and the next."""
    whole = len(differences) // SIDE * SIDE
    by_place = differences[:whole].reshape(-1, SIDE).mean(0)  # entry k: between k and k + 1
    return (int(by_place.argmax()) + 1) % SIDE


def _step(coefficients: Float64[np.ndarray, "n"]) -> float:
    """Step of one frequency: 1 where its coefficients lie on no multiples, NaN where too few tell."""
    values = coefficients[np.abs(coefficients) > _NOISE]
    if len(values) < _FEWEST:
        return np.nan
    values = values[:: -(-len(values) // _MOST)]
    # no coefficient but 0 is smaller than its step: without this, any large step would do for small ones
    largest = min(_LARGEST, int(1.15 * np.quantile(np.abs(values), 0.1) + 0.5))
    if largest < _LEAST:
        return 1.0
    steps = np.arange(_LEAST, largest + 1)
    fit = np.cos(2.0 * np.pi * values[:, None] / steps).mean(0)
    bad = np.flatnonzero(fit < _FIT)
    good = np.flatnonzero(fit >= _FIT)
    if not len(good):
        return 1.0
    # divisors fit as well; among the largest that do, all neighbours, the one that does best
    first = int(bad[bad < good[-1]].max(initial=-1)) + 1
    return float(steps[first + int(fit[first : good[-1] + 1].argmax())])

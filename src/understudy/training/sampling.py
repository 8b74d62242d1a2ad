"""Which faces a step sees: a pure function of the seed and the number of the step.

There is no sampler state to save, a run that goes on sees what it would have seen, and processes that share
a batch agree without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from understudy.image.expression import EXPRESSION

Sampling = Literal["uniform", "pose"]
"""uniform: every face as often as any other. pose: every pose as often as any other, as far as there are
faces of it."""

BIN = 15.0
"""Width of a bin of poses along yaw and along pitch, degrees; one is centred on faces that look ahead."""
FEWEST = 8
"""Faces below which a bin joins its nearest neighbour: a single strange face must not be learned by heart."""
_DEGREES = 20.0
"""Unit of pitch and yaw in the numbers of ``image.expression``."""


def faces_of_step(seed: int, person: int, step: int, count: int, batch: int) -> Int[np.ndarray, " b"]:
    """Every face once in random order, then all again in another order.

    Args:
        seed: of the run.
        person: ``batches.SOURCE`` or ``TARGET``.
        step: number of the step, from 0.
        count: faces that the person has.
        batch: faces a step.
    """
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = places // count
    return np.array(
        [
            _order((seed, person, 1, int(epoch)), count)[place % count]
            for epoch, place in zip(epochs, places, strict=True)
        ]
    )


def faces_by_pose(
    seed: int, person: int, step: int, bins: Sequence[Int[np.ndarray, " _"]], batch: int
) -> Int[np.ndarray, " b"]:
    """Every bin once in random order, then all again; each visit to a bin brings the next of its faces.

    So bins come equally often, and within a bin every face once before any comes twice.

    Args:
        seed: of the run.
        person: ``batches.SOURCE`` or ``TARGET``.
        step: number of the step, from 0.
        bins: numbers of the faces in each, see ``pose_bins``.
        batch: faces a step.
    """
    out: list[int] = []
    for place in range(step * batch, (step + 1) * batch):
        visit, turn = divmod(place, len(bins))
        chosen = int(_order((seed, person, 4, visit), len(bins))[turn])
        epoch, rank = divmod(visit, len(bins[chosen]))
        order = _order((seed, person, 5, chosen, epoch), len(bins[chosen]))
        out.append(int(bins[chosen][order[rank]]))
    return np.array(out)


def pose_bins(expressions: Float[np.ndarray, "n 11"]) -> tuple[Int[np.ndarray, " _"], ...]:
    """The faces of a person by yaw and pitch; each in one bin, sparse bins joined to their nearest.

    Args:
        expressions: see ``image.expression``; pitch and yaw are among the numbers.
    """
    pose = expressions[:, [EXPRESSION.index("yaw"), EXPRESSION.index("pitch")]] * _DEGREES
    cells, owner, counts = np.unique(
        np.rint(pose / BIN).astype(np.int64), axis=0, return_inverse=True, return_counts=True
    )
    full = np.flatnonzero(counts >= FEWEST)
    if not len(full):
        return (np.arange(len(pose)),)
    distance = np.square(cells[:, None] - cells[None, full]).sum(-1)
    joined = full[distance.argmin(1)][owner.reshape(-1)]
    return tuple(np.flatnonzero(joined == cell) for cell in full)


@lru_cache(maxsize=128)
def _order(key: tuple[int, ...], count: int) -> Int[np.ndarray, " n"]:
    """A random order that follows from its key; a hundred thousand faces are not shuffled for every step."""
    order = np.random.default_rng(list(key)).permutation(count)
    order.setflags(write=False)
    return order

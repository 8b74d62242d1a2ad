"""Which faces a step sees: a pure function of the seed and the number of the step.

There is no sampler state to save, a run that goes on sees what it would have seen, and processes that share
a batch agree without a word.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Int


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
        [_order(seed, person, int(epoch), count)[p % count] for epoch, p in zip(epochs, places, strict=True)]
    )


@lru_cache(maxsize=8)
def _order(seed: int, person: int, epoch: int, count: int) -> Int[np.ndarray, " n"]:
    """The order of one round through all faces; a hundred thousand are not shuffled for every step."""
    order = np.random.default_rng([seed, person, 1, epoch]).permutation(count)
    order.setflags(write=False)
    return order

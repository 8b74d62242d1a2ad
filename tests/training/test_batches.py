from __future__ import annotations

import torch

from understudy.training.augment import Augmentation
from understudy.training.batches import SwapFeed, random_store


def feed(**changes):
    settings = {
        "batch": 4,
        "resolution": 32,
        "output_resolution": 32,
        "augmentation": Augmentation(),
        "device": torch.device("cpu"),
        "seed": 0,
    }
    return SwapFeed(random_store(7, 32, 1), random_store(9, 32, 2), **{**settings, **changes})


def test_a_batch_follows_from_seed_and_step_alone():
    one, other = feed(), feed()
    one.batch(0)
    for person in ("source", "target"):
        for name in ("input", "truth", "mask", "features"):
            mine, again, next_step, other_seed = (
                getattr(getattr(made, person), name)
                for made in (one.batch(5), other.batch(5), one.batch(6), feed(seed=1).batch(5))
            )
            assert torch.equal(mine, again)
            assert not torch.equal(mine, next_step)
            assert not torch.equal(mine, other_seed)


def test_shapes_and_ranges():
    batch = feed(output_resolution=64).batch(0)
    assert batch.source.input.shape == (4, 3, 32, 32)
    assert batch.target.truth.shape == (4, 3, 64, 64)
    assert batch.target.mask.shape == batch.target.features.shape == (4, 1, 64, 64)
    for picture in (*vars(batch.source).values(), *vars(batch.target).values()):
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_plain_faces_are_spread_over_the_set_and_repeat_where_there_are_few():
    batch = feed().plain(9)
    assert batch.target.truth.shape[0] == 9
    assert torch.equal(batch.source.truth[0], batch.source.truth[7])
    assert torch.equal(batch.target.input, batch.target.truth)
    assert len(batch.target.truth.flatten(1).unique(dim=0)) == 9

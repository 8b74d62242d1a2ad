from __future__ import annotations

import numpy as np
import pytest
import torch

from understudy.errors import FaceSetError, ShapeError
from understudy.training.augment import Augmentation, store_side
from understudy.training.batches import SOURCE, TARGET, FaceStore, SwapFeed, faces_of_step, random_store


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


def test_every_face_comes_once_before_any_comes_twice():
    seen = np.concatenate([faces_of_step(0, SOURCE, step, 10, 3) for step in range(20)])
    for epoch in range(6):
        assert sorted(seen[epoch * 10 : epoch * 10 + 10]) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:20])
    assert not np.array_equal(seen, np.concatenate([faces_of_step(0, TARGET, s, 10, 3) for s in range(20)]))
    assert not np.array_equal(seen, np.concatenate([faces_of_step(1, SOURCE, s, 10, 3) for s in range(20)]))


def test_more_faces_a_step_than_there_are():
    assert np.bincount(faces_of_step(0, SOURCE, 0, 3, 8)).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


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


def test_collecting_faces_one_by_one(tmp_path):
    side = store_side(32)
    pictures = np.random.default_rng(0).integers(0, 256, (3, side, side, 5), np.uint8)
    faces = [(picture[..., :3], picture[..., 3], picture[..., 4]) for picture in pictures]
    for file in (None, tmp_path / "faces.raw"):
        store = FaceStore.collect(iter(faces), 5, 32, file=file)
        assert len(store) == 3
        rows = store.rows(np.array([2, 0]), torch.device("cpu"))
        assert np.array_equal(rows.numpy(), pictures[[2, 0]].transpose(0, 3, 1, 2))


def test_no_faces_and_wrong_sizes_are_refused():
    side = store_side(32)
    with pytest.raises(FaceSetError, match="no face to learn from"):
        FaceStore.collect(iter(()), 0, 32)
    with pytest.raises(ShapeError, match=f"{side}, {side}"):
        FaceStore.collect([(np.zeros((9, 9, 3), np.uint8), *np.zeros((2, 9, 9), np.uint8))], 1, 32)
    with pytest.raises(ShapeError, match="faces"):
        FaceStore(np.zeros((2, 3, 8, 8), np.uint8))

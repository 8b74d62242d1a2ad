from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch

from understudy.errors import FaceSetError, OutputError, ShapeError
from understudy.training import store as stores
from understudy.training.augment import store_side
from understudy.training.store import FaceStore, Framed, available_memory, bytes_of

CPU = torch.device("cpu")
SIDE = store_side(32)


def faces(count: int, seed: int = 0) -> list[Framed]:
    random = np.random.default_rng(seed)
    return [
        Framed(
            random.integers(0, 256, (SIDE, SIDE, 3), np.uint8),
            *random.integers(0, 256, (2, SIDE, SIDE), np.uint8),
            random.random(11),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("mapped", [False, True])
def test_what_goes_in_comes_out(tmp_path, mapped):
    made = faces(5)
    store = FaceStore.collect(iter(made), 9, 32, file=tmp_path / "a.bin" if mapped else None)
    assert len(store) == 5
    assert store.nbytes == bytes_of(5, 32) == 5 * 5 * SIDE**2
    rows = store.rows(np.array([3, 0, 3]), CPU).numpy()
    for row, place in zip(rows, (3, 0, 3), strict=True):
        assert np.array_equal(row[:3], made[place].picture.transpose(2, 0, 1))
        assert np.array_equal(row[3], made[place].mask)
        assert np.array_equal(row[4], made[place].features)
    assert np.array_equal(store.expressions, [face.expression for face in made])
    store.close()


def test_a_file_is_used_again_if_it_was_made_from_the_same(tmp_path):
    file = tmp_path / "a.bin"
    gathering = FaceStore.gather(iter(faces(4)), 4, 32, file=file, digest="one")
    assert list(gathering) == [1, 2, 3, 4]
    assert FaceStore.open(file, "two") is None
    again = FaceStore.open(file, "one")
    assert again is not None
    made = faces(4)
    assert np.array_equal(again.rows(np.array([2]), CPU)[0, 3].numpy(), made[2].mask)
    assert np.array_equal(again.expressions, [face.expression for face in made])
    again.close()
    file.write_bytes(file.read_bytes()[:-1])
    assert FaceStore.open(file, "one") is None
    file.with_suffix(".json").write_text("{")
    assert FaceStore.open(file, "one") is None
    assert FaceStore.open(tmp_path / "none.bin", "one") is None


def test_an_interrupted_gathering_leaves_nothing(tmp_path):
    gathering = FaceStore.gather(iter(faces(4)), 4, 32, file=tmp_path / "a.bin", digest="one")
    next(gathering)
    gathering.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_cut_short_while_it_is_used_is_an_error(tmp_path):
    file = tmp_path / "a.bin"
    store = FaceStore.collect(iter(faces(4)), 4, 32, file=file)
    os.truncate(file, 100)
    with pytest.raises(FaceSetError, match="cut short"):
        store.rows(np.array([1]), CPU)
    store.close()


def test_no_folder_for_the_file(tmp_path):
    with pytest.raises(OutputError, match="no such folder"):
        FaceStore.collect(iter(faces(1)), 1, 32, file=tmp_path / "none" / "a.bin")


@pytest.mark.parametrize("mapped", [False, True])
def test_no_faces_and_wrong_sizes_are_refused(tmp_path, mapped):
    file = tmp_path / "a.bin" if mapped else None
    with pytest.raises(FaceSetError, match="no face to learn from"):
        FaceStore.collect(iter(()), 0, 32, file=file)
    wrong = Framed(np.zeros((9, 9, 3), np.uint8), *np.zeros((2, 9, 9), np.uint8))
    with pytest.raises(ShapeError, match=f"{SIDE}, {SIDE}"):
        FaceStore.collect([wrong], 1, 32, file=file)
    with pytest.raises(ShapeError, match="faces"):
        FaceStore(np.zeros((2, 3, 8, 8), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_memory_that_can_be_had_is_some():
    assert 1e6 < available_memory() < 1e14


def test_what_stands_beside_the_file_is_plain(tmp_path):
    FaceStore.collect(iter(faces(2)), 2, 32, file=tmp_path / "a.bin").close()
    assert json.loads((tmp_path / "a.json").read_text()) == {"digest": "", "shape": [2, 5, SIDE, SIDE]}
    assert stores.PLANES == 5

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch

from understudy.errors import CheckpointError
from understudy.training import checkpoint
from understudy.training.checkpoint import Checkpoint
from understudy.training.tensors import read_tensors, write_tensors


def make(step: int) -> Checkpoint:
    torch.manual_seed(step)
    return Checkpoint(
        step=step,
        weights={
            "a": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
            "b": torch.rand(3).bfloat16(),
        },
        optimizer={"a/mean": torch.rand(2, 3, 4, 4), "a/step": torch.tensor(3.0)},
        average={"a": torch.rand(2, 3, 4, 4)},
        state={"elapsed": 1 / 3, "watch": {"lowest": None}},
    )


def equal(one: Checkpoint, other: Checkpoint) -> bool:
    groups = ("weights", "optimizer", "average")
    same = all(
        getattr(one, g).keys() == getattr(other, g).keys()
        and all(torch.equal(getattr(one, g)[k], getattr(other, g)[k]) for k in getattr(one, g))
        for g in groups
    )
    return same and (one.step, one.state) == (other.step, other.state)


def test_written_and_read_equal(tmp_path):
    path = checkpoint.save(tmp_path / "checkpoints", make(7), best=True)
    held, passed = checkpoint.load(tmp_path / "checkpoints")
    assert passed == []
    assert equal(held, make(7))
    assert (tmp_path / "checkpoints" / "latest").read_text() == path.name + "\n" == "00000007\n"
    assert (tmp_path / "checkpoints" / "best").read_text() == "00000007\n"


def test_nothing_there_is_no_error(tmp_path):
    assert checkpoint.load(tmp_path / "missing") == (None, [])


@pytest.mark.parametrize(
    "file", ["weights.safetensors", "average.safetensors", "optimizer.safetensors", "state.json"]
)
@pytest.mark.parametrize("damage", ["flip", "cut", "zero", "remove"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, file, damage):
    checkpoint.save(tmp_path, make(1))
    path = checkpoint.save(tmp_path, make(2)) / file
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) * 3 // 4] ^= 4
    elif damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "zero":  # what a power cut leaves where nobody flushed
        data = bytearray(len(data))
    path.write_bytes(data)
    if damage == "remove":
        path.unlink()
    held, passed = checkpoint.load(tmp_path)
    assert equal(held, make(1))
    assert len(passed) == 1
    assert "00000002" in passed[0]
    assert file in passed[0]


def test_all_damaged_is_an_error_that_says_what_to_do(tmp_path):
    for step in (1, 2):
        (checkpoint.save(tmp_path, make(step)) / "state.json").write_text("{")
    with pytest.raises(
        CheckpointError, match=r"00000002.*00000001.*move .* away to train from the beginning"
    ):
        checkpoint.load(tmp_path)


def test_latest_is_obeyed_so_that_a_person_can_go_back(tmp_path):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, make(step), keep=5)
    (tmp_path / "latest").write_text("00000002\n")
    assert checkpoint.load(tmp_path)[0].step == 2
    (tmp_path / "latest").write_text("00000099")
    assert checkpoint.load(tmp_path)[0].step == 3
    (tmp_path / "latest").unlink()
    assert checkpoint.load(tmp_path)[0].step == 3


def test_old_ones_go_but_the_best_stays(tmp_path):
    for step in range(1, 7):
        checkpoint.save(tmp_path, make(step), best=step == 2, keep=2)
    assert checkpoint.steps(tmp_path) == ["00000002", "00000005", "00000006"]


HOUR, DAY = 3600.0, 86400.0


def test_backups_get_fewer_with_age():
    now = 400 * DAY + 12.5 * HOUR
    # one every ten minutes of fifty days
    saved = {f"{n:08d}": now - n * HOUR / 6 for n in range(50 * 24 * 6)}
    kept = sorted(now - saved[name] for name in checkpoint.kept_backups(saved, now))
    young = [age for age in kept if age < DAY]
    assert len(young) == 24
    assert all(later - earlier == pytest.approx(HOUR) for earlier, later in pairwise(young))
    middle = [age for age in kept if DAY <= age < 30 * DAY]
    assert len(middle) == 29
    assert all(later - earlier == pytest.approx(DAY) for earlier, later in pairwise(middle))
    assert len(kept) - len(young) - len(middle) in (1, 2)


def test_backups_once_chosen_stay_chosen():
    saved: dict[str, float] = {}
    start = 1000 * DAY
    for minute in range(0, 3 * 24 * 60, 7):
        now = start + 60.0 * minute
        saved[f"{minute:08d}"] = now
        kept = checkpoint.kept_backups(saved, now)
        saved = {name: time for name, time in saved.items() if name in kept}
        assert f"{0:08d}" in saved  # the first of all is the first of its hour, its day and its month
    assert 24 <= len(saved) <= 28


def test_backups_stay_beside_the_newest(tmp_path, monkeypatch):
    now = 500 * DAY
    for step in range(1, 13):
        monkeypatch.setattr("time.time", lambda step=step: now + step * 0.25 * HOUR)
        checkpoint.save(tmp_path, make(step), keep=2, backups=True)
    # hours begin at steps 4, 8 and 12; 1 is the first of all
    assert checkpoint.steps(tmp_path) == ["00000001", "00000004", "00000008", "00000011", "00000012"]
    assert checkpoint.load(tmp_path)[0].state == make(12).state


def test_set_aside_and_brought_back(tmp_path):
    for step in (1, 2):
        checkpoint.save(tmp_path, make(step))
    aside = checkpoint.set_aside(tmp_path, 2)
    assert checkpoint.load(tmp_path)[0].step == 1
    aside.rename(tmp_path / "00000002")
    assert equal(checkpoint.load(tmp_path)[0], make(2))


def test_another_format_is_refused(tmp_path):
    path = checkpoint.save(tmp_path, make(1)) / "state.json"
    state = json.loads(path.read_text())
    state["format"] = 99
    state.pop("sha256")
    state["sha256"] = checkpoint._own_hash(state)
    path.write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match="format 99, this version reads 1"):
        checkpoint.load(tmp_path)


def test_a_checkpoint_of_another_model_is_refused():
    module = torch.nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match=r"another model \(a: \(2, 3, 4, 4\) saved, None wanted"):
        checkpoint.check_fit(module, make(1))


def test_tensor_files_are_safetensors_and_prove_themselves(tmp_path):
    from safetensors.torch import load_file

    path = tmp_path / "file.safetensors"
    tensors = {"empty": torch.zeros(0), "one": torch.tensor(5), "ints": torch.arange(7, dtype=torch.uint8)}
    write_tensors(path, {**tensors, **make(1).weights}, {"name": "é"})
    assert load_file(path)["ints"].tolist() == list(range(7))
    read, metadata = read_tensors(path)
    assert metadata["name"] == "é"
    assert torch.equal(read["a"], make(1).weights["a"])
    assert read["one"].shape == ()
    for position in (3, 40, path.stat().st_size - 1):
        data = bytearray(path.read_bytes())
        data[position] ^= 255
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(CheckpointError):
            read_tensors(tmp_path / "bad")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_tensors(tmp_path / "missing")

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import ContestTask, TextureTask, make_trainer

from understudy.errors import ConfigError
from understudy.events import Progress
from understudy.training import checkpoint
from understudy.training.distributed import Group, joined, split
from understudy.training.optim import OptimizerSettings

STEPS = 8


@dataclasses.dataclass(frozen=True)
class Pair:
    one: torch.Tensor
    other: dict[str, object]


def test_split_cuts_every_array_and_keeps_the_rest():
    batch = Pair(torch.arange(6), {"a": (np.arange(12).reshape(6, 2), "word"), "b": [torch.tensor(3), None]})
    first, second = split(batch, 2)
    assert (first.one.tolist(), second.one.tolist()) == ([0, 1, 2], [3, 4, 5])
    assert second.other["a"][0].tolist() == [[6, 7], [8, 9], [10, 11]]
    assert second.other["a"][1] == "word"
    assert second.other["b"] == [torch.tensor(3), None]
    assert split(batch, 1)[0] is batch


def test_split_keeps_the_layout_in_memory():
    pictures = torch.rand(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    assert all(part.is_contiguous(memory_format=torch.channels_last) for part in split(pictures, 2))


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(ConfigError, match=r"batch of 6 cannot be cut into 4 equal parts .* multiple of 4"):
        split(torch.rand(6, 2), 4)


def test_a_process_on_its_own_needs_nobody():
    with joined(torch.device("cpu")) as (group, device):
        assert (group.rank, group.world, device.type) == (0, 1, "cpu")
        assert group.mean(torch.ones(2)).tolist() == [1.0, 1.0]
        assert group.share({"a": 1}) == {"a": 1}


def test_more_processes_than_gpus_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "5")
    with (
        pytest.raises(ConfigError, match="process 5 of this machine has no GPU"),
        joined(torch.device("cuda")),
    ):
        pass


def test_a_task_that_makes_shares_is_asked_for_its_own(tmp_path):
    class Sharing(TextureTask):
        def batch_share(self, step, rank, world):
            return torch.full((1, 3, 16, 16), float(10 * step + rank)), world

    engine = make_trainer(tmp_path, task=Sharing()).engine
    engine.group = Group(rank=1, world=2)
    batch, world = engine._batch(3)
    assert (float(batch[0, 0, 0, 0]), world) == (31.0, 2)


def run_together(folder: Path, *runs: str, processes: int = 2) -> dict[str, dict[int, dict[str, float]]]:
    """Train runs on several processes; their losses by run, step and name."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    started = [
        subprocess.Popen(
            [sys.executable, Path(__file__).with_name("ranked_run.py"), folder, *runs],
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(processes)
    ]
    try:
        assert [process.wait(240) for process in started] == [0] * processes
    finally:
        for process in started:
            process.kill()
    out: dict[str, dict[int, dict[str, float]]] = {}
    for name in dict.fromkeys(run.split(":")[0] for run in runs):
        out[name] = {int(k): v for k, v in json.loads((folder / f"{name}.json").read_text()).items()}
    return out


def run_alone(folder: Path, steps: int) -> dict[int, dict[str, float]]:
    optimizer = OptimizerSettings(warm_up=5, schedule="constant")
    events = list(make_trainer(folder, task=ContestTask(), steps=steps, optimizer=optimizer).train())
    return {event.done: event.values for event in events if isinstance(event, Progress)}


def assert_close(got: dict[int, dict[str, float]], wanted: dict[int, dict[str, float]]) -> None:
    for step, values in got.items():
        for name in ("mse", "fool", "critic_contest", "rate"):
            assert values[name] == pytest.approx(wanted[step][name], rel=1e-5, abs=1e-8), (step, name)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path):
    wanted = run_alone(tmp_path / "alone", STEPS)
    run_alone(tmp_path / "grown", 4)
    got = run_together(
        tmp_path,
        f"together:{STEPS}:",
        f"idle:{STEPS}:idle",
        f"parts:{STEPS}:accumulate",
        "shrunk:4:",
        f"grown:{STEPS}:",
    )
    # begun by one process and gone on with by two, and the other way round
    got["shrunk"] |= run_alone(tmp_path / "shrunk", STEPS)
    assert list(got["grown"]) == [5, 6, 7, 8]
    for name in ("together", "idle", "parts", "shrunk"):
        assert list(got[name]) == list(range(1, STEPS + 1))
    for losses in got.values():
        assert_close(losses, wanted)
    (run,) = (tmp_path / "together").glob("*_df")
    assert checkpoint.load(run / "checkpoints")[0].step == STEPS

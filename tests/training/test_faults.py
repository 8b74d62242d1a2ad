"""Real processes, stopped by SIGKILL round every operation on disk, and full disks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from understudy.training import checkpoint
from understudy.training.rundir import load_swapper_files

STEPS = 2
KILLS = 50 if os.environ.get("UNDERSTUDY_TEST_ALL") else 5


class Children:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("killed_run.py"), folder, str(STEPS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )

    def run(self, name: str, fault: str = "none", steps: int = STEPS) -> int:
        self.process.stdin.write(f"{name} {fault} {steps}\n")
        self.process.stdin.flush()
        got, code = self.process.stdout.readline().split()
        assert got == name
        return int(code)

    def message(self, name: str) -> str:
        return (self.folder / f"{name}.txt").read_text()

    def weights(self, name: str) -> checkpoint.Checkpoint:
        (run,) = (self.folder / name).glob("*_df")
        held, passed = checkpoint.load(run / "checkpoints")
        assert passed == []
        return held


@pytest.fixture(scope="module")
def children(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    if os.access("/dev/shm", os.W_OK):  # in memory a flush costs nothing, and a kill does not need one
        folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="understudy-test-"))
    made = Children(folder)
    yield made
    made.process.stdin.close()
    assert made.process.wait(10) == 0
    made.process.stdout.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def expected(children):
    assert children.run("whole") == 0
    return children.weights("whole")


def same(one: checkpoint.Checkpoint, other: checkpoint.Checkpoint) -> bool:
    return one.step == other.step and all(
        torch.equal(one.weights[k], other.weights[k]) and torch.equal(one.average[k], other.average[k])
        for k in one.weights
    )


@pytest.mark.slow
def test_killed_round_every_operation_and_the_next_call_goes_on(children, expected):
    count = children.folder / "count"
    assert children.run("counted", f"count:{count}") == 0
    operations = count.read_text().splitlines()
    assert [line for line in operations if line.endswith("rename 00000001")]  # made, and removed at the end
    for number in range(1, len(operations) + 1):
        kind = operations[number - 1].split()[1]
        for how in ("before", "half", "after") if kind == "write" else ("before", "after"):
            name = f"killed{number}{how}"
            assert children.run(name, f"{number}:{how}") == -signal.SIGKILL
            for run in (children.folder / name).glob("*_df"):
                held, passed = checkpoint.load(run / "checkpoints")
                assert passed == []  # whatever bears a checkpoint's name is whole
                if (run / "checkpoints" / "latest").exists():
                    assert held is not None
                if (run / "swapper" / "weights.safetensors").exists():
                    load_swapper_files(run / "swapper")
            assert children.run(name) == 0
            assert same(children.weights(name), expected), (number, how)
            assert not list((children.folder / name).rglob(".*.part*"))
            shutil.rmtree(children.folder / name)


@pytest.mark.slow
def test_killed_at_random_moments_and_nothing_is_lost(children):
    random = np.random.default_rng(os.getpid())
    moments = random.uniform(0.01, 0.4, KILLS)
    reached = 0
    for number, moment in enumerate(moments):
        assert children.run("unlucky", f"kill={moment}", 10**6) == -signal.SIGKILL, moments[: number + 1]
        runs = list((children.folder / "unlucky").glob("*_df"))
        if not runs:
            continue
        held, passed = checkpoint.load(runs[0] / "checkpoints")
        assert passed == [], moments[: number + 1]  # whatever bears a checkpoint's name is whole
        step = held.step if held else 0
        assert step >= reached, moments[: number + 1]
        reached = step
        if (runs[0] / "swapper" / "weights.safetensors").exists():
            load_swapper_files(runs[0] / "swapper")
    assert reached > 0, moments
    end = reached + 3
    assert children.run("unlucky", steps=end) == 0
    assert children.run("lucky", steps=end) == 0
    assert same(children.weights("unlucky"), children.weights("lucky")), moments


@pytest.mark.slow
def test_full_disk_at_any_operation_says_so_and_loses_nothing(children, expected):
    count = children.folder / "count_full"
    assert children.run("counted_full", f"count:{count}") == 0
    for number in range(1, len(count.read_text().splitlines()) + 1, 2):
        name = f"full{number}"
        assert children.run(name, f"{number}:full") == 3
        assert "disk is full" in children.message(name)
        assert children.run(name) == 0
        assert same(children.weights(name), expected), number
        shutil.rmtree(children.folder / name)


def test_file_size_limit_while_saving_leaves_the_last_checkpoint(children, expected):
    # the recipe fits, the weights do not
    assert children.run("limited", "size=1800") == 3
    message = children.message("limited")
    assert "disk is full" in message
    assert "are needed" in message
    assert children.run("limited") == 0
    assert same(children.weights("limited"), expected)

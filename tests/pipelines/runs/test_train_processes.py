"""The command under torchrun: two processes make one run, phase by phase, with the losses of one process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from drawn_sets import draw_set
from understudy.training.rundir import RunFolder

pytestmark = pytest.mark.slow

RECIPE = """
[train]
batch = 4
memory = 0.0
[train.model]
name = "df"
resolution = 32
options = "u"
e_dims = 4
ae_dims = 8
d_dims = 4
d_mask_dims = 2
[train.loop]
precision = "fp32"
threads = 1
preview_every = 0.0
report_every = 0.0
[[phase]]
steps = 3
[[phase]]
steps = 3
augmentation.warp = "none"
"""


def port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def trained(folder: Path, words: list[str], world: int) -> dict[int, float]:
    shared = {
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port()),
        "COLUMNS": "200",
    }
    script = str(Path(sys.executable).with_name("understudy"))
    command = [script, "train", *words, "--runs", str(folder)]
    made = [
        subprocess.Popen(
            command,
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world)
    ]
    said = [process.communicate(timeout=250)[0] for process in made]
    assert [process.returncode for process in made] == [0] * world, said
    (path,) = folder.iterdir()
    assert not list(path.glob("cache*"))
    history = RunFolder(path).history()
    assert all("merge" not in text for text in said[1:])  # only the first one speaks
    return {
        e["done"]: e["values"]["loss"] for e in history if e["event"] == "Progress" and e["stage"] == "train"
    }


def test_two_processes_train_as_one(tmp_path: Path):
    for name, color in (("s", (200, 150, 120)), ("t", (140, 110, 90))):
        draw_set(tmp_path / name, 20, color, seed=1 + (name == "t"))
    (tmp_path / "mine.toml").write_text(RECIPE)
    words = ["-s", str(tmp_path / "s"), "-t", str(tmp_path / "t"), "--recipe", str(tmp_path / "mine.toml")]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = trained(tmp_path / "one", words, 1)
    two = trained(tmp_path / "two", words, 2)
    assert max(one) == max(two) == 6
    shared = one.keys() & two.keys()
    assert {1, 6} <= shared
    for step in shared:
        assert two[step] == pytest.approx(one[step], rel=1e-5)

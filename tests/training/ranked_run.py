"""A program for test_distributed: one of several processes that train runs together, one run after another.

Arguments: folder, then ``name:steps:options`` for each run; options are ``idle`` and ``accumulate``. The
leader writes the losses of every step to ``<folder>/<name>.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from small_run import ContestTask, make_trainer, run_folder

from understudy.events import Progress
from understudy.training.distributed import Group, joined
from understudy.training.optim import OptimizerSettings


def train(folder: Path, group: Group, name: str, steps: int, options: str) -> None:
    if group.leads:
        run_folder(folder / name)
    group.share({} if group.leads else None)  # the others wait until it is there
    trainer = make_trainer(
        folder / name,
        task=ContestTask(idle="idle" in options),
        optimizer=OptimizerSettings(warm_up=5, schedule="constant"),
        steps=steps,
        accumulate=2 if "accumulate" in options else 1,
        group=group,
    )
    torch.manual_seed(group.rank)
    for parameter in trainer.module.parameters():
        if not group.leads:
            torch.nn.init.normal_(parameter)  # the leader's weights count
    events = list(trainer.train())
    if group.leads:
        losses = {e.done: e.values for e in events if isinstance(e, Progress)}
        (folder / f"{name}.json").write_text(json.dumps(losses))
    else:
        assert not events
        assert trainer.average is None


def threads() -> list[str]:
    """Names of this process's threads; none where the system does not say."""
    folder = Path("/proc/self/task")
    return [(each / "comm").read_text().strip() for each in folder.iterdir()] if folder.is_dir() else []


def main() -> None:
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as (group, device):
        assert device.type == "cpu"
        for run in sys.argv[2:]:
            name, steps, options = run.split(":")
            train(Path(sys.argv[1]), group, name, int(steps), options)
    # a thread of gloo's that is left could take the process down while the interpreter ends
    assert not [name for name in threads() if "gloo" in name], threads()


main()

"""``understudy pretrain``: a crowd of performers to weights that other runs may start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from understudy import config, durable
from understudy.cli.show import console
from understudy.cli.stoppable import exit_code, follow_stoppable
from understudy.cli.words import require_folder, seconds_of
from understudy.pipelines.runs import pretrain as pretraining
from understudy.pipelines.runs.starting import pack_start
from understudy.training.bounds import bounded
from understudy.training.rundir import RunFolder


@dataclass(frozen=True, kw_only=True)
class Command(pretraining.PretrainSettings):
    """The command's flags."""

    runs: Path = Path("runs")
    """Folder in which a new run makes its own."""
    run: Path | None = None
    """Folder of a run to go on with, exactly as it would have gone on; its recipe holds."""
    time: str | None = None
    """Training time, those of earlier calls included: 90s, 10m, 2h30m."""
    steps: int | None = None
    """Training steps, those of earlier calls included."""
    pack: Path | None = None
    """Afterwards write the weights small (eight bits each, one decoder for both persons) into this file."""
    recipe: tuple[str, ...] = ()
    """Recipes by name or file, left to right, under the command line: start, cpu, quick96."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    command = config.parse(
        Command(),
        arguments,
        prog="understudy pretrain",
        description="Teach a model faces in general, from a crowd of synthetic performers that is drawn for "
        "it. A training on two persons may then start from its weights: understudy train --start-from RUN.",
        sections={"train": "", "pretrain": ""},
    )
    if command.pack is not None:
        durable.require_space(command.pack.resolve().parent, 10_000_000)
    seconds = seconds_of(command.time) if command.time is not None else None
    if command.run is not None:
        folder = RunFolder(command.run)
    else:
        settings = config.merge(
            pretraining.PretrainSettings(), config.base_of(command, pretraining.PretrainSettings)
        )
        folder = pretraining.start(
            bounded(settings, command.steps, seconds), require_folder(command.runs, "runs")
        )
    done = follow_stoppable(
        lambda stop: pretraining.pretrain(folder, steps=command.steps, time=seconds, stop=stop)
    )
    console.print(escape(f"run: {folder.path}"))
    if command.pack is not None:
        pack_start(folder.swapper, command.pack)
        console.print(escape(f"packed: {command.pack} ({command.pack.stat().st_size / 1e6:.1f} MB)"))
    return exit_code(done)

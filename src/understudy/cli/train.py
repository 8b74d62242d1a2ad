"""``understudy train``: two face sets to a swapper."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.markup import escape

from understudy import config
from understudy.cli.show import console, follow
from understudy.cli.stoppable import exit_code, follow_stoppable
from understudy.cli.watch import follow_watching
from understudy.cli.words import merge_command, require_folder, seconds_of
from understudy.errors import ConfigError
from understudy.events import Event
from understudy.faces.faceset import FaceSet
from understudy.pipelines.runs import train as training
from understudy.training.bounds import bounded
from understudy.training.rundir import RunFolder

DESCRIPTION = """Train a swapper. Ctrl-C saves and ends; --run FOLDER goes on as if never stopped.

Without a GPU begin with --recipe cpu, and merge with the same: that is what understudy swap does. A recipe
may have phases (--recipe film), each with other settings, in one unattended run. What is being learned is
seen in the run's previews/index.html; figures are taken on faces that are never learned from."""


@dataclass(frozen=True, kw_only=True)
class Command(training.TrainSettings):
    """The command's flags."""

    source: Path | None = None
    """Face set of the person who is put in (-s)."""
    target: Path | None = None
    """Face set of the footage that receives them (-t)."""
    runs: Path = Path("runs")
    """Folder in which a new run makes its own."""
    run: Path | None = None
    """Folder of a run to go on with, exactly as it would have gone on; its recipe holds."""
    start_from: Path | None = None
    """Begin a new run with the weights of another: a run's folder, a swapper, a .safetensors file."""
    start_missing: Literal["error", "fresh"] = "error"
    """What becomes of weights that are missing there or of another shape: refuse, or begin them anew."""
    time: str | None = None
    """Training time, those of earlier calls included: 90s, 10m, 2h30m."""
    steps: int | None = None
    """Training steps, those of earlier calls included."""
    watch: bool = False
    """Show losses, figures and the newest preview on the whole terminal, as understudy watch does."""
    recipe: tuple[str, ...] = ()
    """Recipes by name or file, left to right, under the command line: cpu, quick96, film."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    command = config.parse(
        Command(),
        arguments,
        prog="understudy train",
        description=DESCRIPTION,
        sections={"train": ""},
    )
    if command.source is None or command.target is None:
        raise ConfigError("train: wanted --source FACES and --target FACES; see understudy train --help")
    source, target = FaceSet.open(command.source), FaceSet.open(command.target)
    seconds = seconds_of(command.time) if command.time is not None else None
    folder = _folder(command, source, target, seconds)

    def watched(events: Iterable[Event], stage: Callable[[str, bool], None]) -> dict[str, dict[str, Any]]:
        assert folder is not None
        return follow_watching(events, folder.path, stage)

    done = follow_stoppable(
        lambda stop: training.train(
            folder,
            source,
            target,
            steps=command.steps,
            time=seconds,
            device=command.device if command.device != "auto" else None,
            stop=stop,
        ),
        watched if command.watch and folder is not None else follow,
    )
    if folder is None or not training.leads():
        return 0
    words = merge_command(folder.swapper, "VIDEO", command.target, "result.mp4", command.recipe)
    console.print(escape(f"run: {folder.path}") + "\nput it into footage with:")
    console.print("  " + escape(words))
    return exit_code(done)


def _folder(command: Command, source: FaceSet, target: FaceSet, seconds: float | None) -> RunFolder | None:
    """The run to go on with, or a new one; None on processes that torchrun's first one will tell."""
    if command.run is not None:
        if command.start_from is not None:
            raise ConfigError(
                "train: --run goes on with a run, --start-from begins a new one; give one of them"
            )
        return RunFolder(command.run)
    if not training.leads():
        return None
    settings = config.merge(training.TrainSettings(), config.base_of(command, training.TrainSettings))
    return training.start(
        bounded(settings, command.steps, seconds),
        source,
        target,
        require_folder(command.runs, "runs"),
        start_from=command.start_from,
        start_missing=command.start_missing,
    )

"""``understudy features``: the small network that the perceptual loss and distance see with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from understudy import config, durable
from understudy.cli.show import console
from understudy.cli.stoppable import exit_code, follow_stoppable
from understudy.cli.words import require_folder, seconds_of
from understudy.pipelines.runs import features as feature_training
from understudy.training.bounds import bounded
from understudy.training.rundir import RunFolder


@dataclass(frozen=True, kw_only=True)
class Command(feature_training.FeatureSettings):
    """The command's flags."""

    runs: Path = Path("runs")
    """Folder in which a new run makes its own."""
    run: Path | None = None
    """Folder of a run to go on with, exactly as it would have gone on; its recipe holds."""
    time: str | None = None
    """Training time, those of earlier calls included: 90s, 10m, 2h30m."""
    steps: int | None = None
    """Training steps, those of earlier calls included."""
    output: Path | None = None
    """Afterwards write the network into this file, in half precision."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    command = config.parse(
        Command(),
        arguments,
        prog="understudy features",
        description="Train the small network that the perceptual loss and the perceptual distance see with, "
        "on synthetic performers that are drawn for it. One comes with the package; this makes another.",
        sections={"train": "", "features": ""},
    )
    if command.output is not None:
        durable.require_space(command.output.resolve().parent, 5_000_000)
    seconds = seconds_of(command.time) if command.time is not None else None
    if command.run is not None:
        folder = RunFolder(command.run)
    else:
        settings = config.merge(
            feature_training.FeatureSettings(), config.base_of(command, feature_training.FeatureSettings)
        )
        folder = feature_training.start(
            bounded(settings, command.steps, seconds), require_folder(command.runs, "runs")
        )
    done = follow_stoppable(
        lambda stop: feature_training.train(folder, steps=command.steps, time=seconds, stop=stop)
    )
    console.print(escape(f"run: {folder.path}"))
    if command.output is not None:
        feature_training.write_features(folder, command.output)
        console.print(escape(f"written: {command.output} ({command.output.stat().st_size / 1e6:.1f} MB)"))
    return exit_code(done)

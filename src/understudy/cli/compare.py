"""``understudy compare``: swapped videos of one target side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from understudy import config
from understudy.cli.evaluate import first_named
from understudy.cli.show import console, follow
from understudy.cli.words import require_folder
from understudy.pipelines.evaluation.compare import compare
from understudy.pipelines.evaluation.evaluate import EvaluateSettings
from understudy.pipelines.evaluation.paired_footage import Inputs


@dataclass(frozen=True, kw_only=True)
class Command(EvaluateSettings):
    """The command's flags."""

    results: tuple[Path, ...] = ()
    """Swapped videos or runs; they may stand before the flags. The first is what the others are compared
    with."""
    source: Path | None = None
    """Who was put in: a face set, a video, a picture or a folder of pictures; none: the run's own."""
    target: Path | None = None
    """The footage as it was."""
    truth: Path | None = None
    """The exact swap: a performer's truth folder, or a video."""
    output: Path = Path("comparison")
    """Folder of the comparison (-o)."""
    grid: bool = True
    """Write grid.mp4, in which all videos run side by side."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    command = config.parse(
        Command(),
        first_named(arguments, "--results"),
        prog="understudy compare",
        description="Compare swapped videos of one target: figures, paired differences with intervals, a "
        "video of all of them side by side, and a page. What has no report yet is measured first.",
    )
    settings = config.merge(EvaluateSettings(), config.base_of(command, EvaluateSettings))
    wanted = Inputs(
        result=Path(), target=command.target or Path(), source=command.source or Path(), truth=command.truth
    )
    require_folder(command.output, "output")
    follow(compare(command.results, wanted, command.output, settings, grid=command.grid))
    console.print(escape(f"look at {command.output / 'report.html'}"))
    return 0

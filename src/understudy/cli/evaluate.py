"""``understudy evaluate``: how good a swapped video is, measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.markup import escape

from understudy import config
from understudy.cli.show import console, first_interrupt, follow
from understudy.cli.words import require_folder
from understudy.pipelines.evaluation.evaluate import EvaluateSettings, evaluate
from understudy.pipelines.evaluation.paired_footage import Inputs
from understudy.pipelines.evaluation.wanted import resolve
from understudy.pipelines.suite.cases import Half
from understudy.pipelines.suite.suite import SuiteSettings, run_suite

Suite = Literal["none", "performers"]


@dataclass(frozen=True, kw_only=True)
class Command(EvaluateSettings):
    """The command's flags."""

    result: Path | None = None
    """The swapped video, or the run that made it; it may stand before the flags."""
    source: Path | None = None
    """Who was put in: a face set, a video, a picture or a folder of pictures; none: the run's own."""
    target: Path | None = None
    """The footage as it was."""
    truth: Path | None = None
    """The exact swap: a performer's truth folder, or a video."""
    gallery: tuple[Path, ...] = ()
    """Other people: is the source found among them? Each a face set, a video or pictures."""
    output: Path | None = None
    """Folder of the report (-o); none: report/ in the run, NAME.report/ beside the video."""
    suite: Suite = "none"
    """performers: instead of one video, train and measure every method on performers; understudy evaluate
    --suite performers --help shows its own settings."""
    half: Half = "development"
    """Half of the suite: development to choose by, test to report."""


@dataclass(frozen=True, kw_only=True)
class SuiteCommand(SuiteSettings):
    """The flags with ``--suite``."""

    suite: Suite = "performers"
    """Which suite."""
    recipe: tuple[str, ...] = ()
    """Recipes by name or file, left to right, under the command line."""
    output: Path = Path("suite")
    """Folder for everything (-o); what is done there is not done again."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    if any(word.partition("=")[0] == "--suite" for word in arguments) and "none" not in arguments:
        return _suite(arguments)
    command = config.parse(
        Command(),
        first_named(arguments, "--result"),
        prog="understudy evaluate",
        description="Measure a swapped video, of whatever program: whose face it is, whether it does what "
        "the target does, how near it is to the exact swap where that is known. Writes report.html and "
        "report.json.",
    )
    settings = config.merge(EvaluateSettings(), config.base_of(command, EvaluateSettings))
    wanted = Inputs(
        result=Path(),
        target=command.target or Path(),
        source=command.source or Path(),
        truth=command.truth,
        gallery=command.gallery,
    )
    inputs, folder, before = resolve(command.result, wanted, command.output)
    require_folder(folder, "output")
    follow(before)
    follow(evaluate(inputs, folder, settings))
    console.print(escape(f"look at {folder / 'report.html'}"))
    return 0


def _suite(arguments: Sequence[str]) -> int:
    command = config.parse(
        SuiteCommand(),
        arguments,
        prog="understudy evaluate --suite performers",
        description="Draw pairs of performers, train every method on them with one budget and hold the "
        "results "
        "against the exact swap. Ctrl-C saves and ends; the same command goes on.",
        sections={"train": "train"},
    )
    settings = config.merge(SuiteSettings(), config.base_of(command, SuiteSettings))
    require_folder(command.output, "output")
    stopped = False

    def ask() -> None:
        nonlocal stopped
        stopped = True

    active = {"train": False}
    stream = run_suite(settings, command.output, stop=lambda: stopped)
    with first_interrupt(ask, "saving; Ctrl-C again to stop at once", when=lambda: active["train"]):
        done = follow(stream, stage=lambda name, begun: active.update(train=begun and name == "train"))
    return 130 if done.get("suite", {}).get("state") == "stopped" else 0


def first_named(arguments: Sequence[str], flag: str) -> list[str]:
    """The words before the first flag are that flag's."""
    first = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    return ([flag, *first] if first else []) + list(arguments[len(first) :])

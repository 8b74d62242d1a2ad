"""``understudy demo``: two performers, one swap, and the truth held against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape

from understudy import config
from understudy.cli.show import console, first_interrupt, follow
from understudy.cli.words import bounds, require_folder
from understudy.pipelines.demo import DemoSettings, demo
from understudy.pipelines.swap import SwapSettings, default_recipe


@dataclass(frozen=True, kw_only=True)
class Command(DemoSettings):
    """The command's flags."""

    output: Path = Path("demo")
    """Folder for everything (-o)."""
    time: str | None = None
    """Training time; none of --time and --steps: 4m30s."""
    steps: int | None = None
    """Training steps."""
    recipe: tuple[str, ...] = ()
    """Recipes by name or file; none: quick96 with a GPU, cpu without."""
    job: SwapSettings = field(default_factory=SwapSettings)
    """Settings of the swap."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    recipe = () if {"-h", "--help"} & set(arguments) else (default_recipe(),)
    command = config.parse(
        Command(recipe=recipe),
        arguments,
        prog="understudy demo",
        description="Draw two performers, swap one into the other, and write result.mp4 and report.html.",
        sections={"extract": "job.extract", "train": "job.train", "merge": "job.merge"},
    )
    seconds, steps = bounds(command.time, command.steps, command.job.train.loop, 270.0)
    require_folder(command.output, "output")
    stopped = False

    def ask() -> None:
        nonlocal stopped
        stopped = True

    active = {"train": False}
    settings = config.merge(DemoSettings(), config.base_of(command, DemoSettings))
    stream = demo(
        settings, command.job, command.output, time_limit=seconds, steps=steps, stop=lambda: stopped
    )
    with first_interrupt(ask, "saving; Ctrl-C again to stop at once", when=lambda: active["train"]):
        done = follow(stream, stage=lambda name, begun: active.update(train=begun and name == "train"))
    if done.get("train", {}).get("state") == "stopped":
        console.print("saved; the same command trains on")
        return 130
    console.print(escape(f"look at {command.output / 'result.mp4'} and {command.output / 'report.html'}"))
    return 0

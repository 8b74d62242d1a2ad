"""``understudy swap``: the whole job in one command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape

from understudy import config
from understudy.cli.show import console
from understudy.cli.stoppable import exit_code, follow_stoppable
from understudy.cli.words import bounds, merge_command
from understudy.pipelines.project import Project
from understudy.pipelines.swap import SwapSettings, default_recipe, swap

DESCRIPTION = """Put the source's face into the target's footage: extract, train, merge.

Everything lies in a project folder beside the output. Call the same command again and it goes on where it
was; what is done is not done again. Ctrl-C while training saves, and says how to merge at once.

Only with the consent of the people shown."""


@dataclass(frozen=True, kw_only=True)
class Command(SwapSettings):
    """The command's flags."""

    time: str | None = None
    """Training time: 90s, 10m, 2h30m. None of --time and --steps: 10m."""
    steps: int | None = None
    """Training steps."""
    recipe: tuple[str, ...] = ()
    """Recipes by name or file, left to right; none: quick96 with a GPU, cpu without."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    asked = {"-h", "--help"} & set(arguments)
    recipe = () if asked else (default_recipe(),)
    command = config.parse(
        Command(recipe=recipe),
        arguments,
        prog="understudy swap",
        description=DESCRIPTION,
        sections={"extract": "extract", "train": "train", "merge": "merge"},
    )
    seconds, steps = bounds(command.time, command.steps, command.train.loop, 600.0)
    settings = config.merge(SwapSettings(), config.base_of(command, SwapSettings))
    done = follow_stoppable(lambda stop: swap(settings, time_limit=seconds, steps=steps, stop=stop))
    if not exit_code(done) or command.output is None or command.target is None:
        return 0
    project = Project(command.project or Project.beside(command.output))
    if project.run is not None:
        swapper, faces = project.run / "swapper", project.target_faces
        persons = ("--persons", *project.target_persons)
        words = merge_command(swapper, command.target, faces, command.output, command.recipe, *persons)
        console.print("the training is saved. Merge what there is:")
        console.print("  " + escape(words))
        console.print("or call the same command again to train on and merge.")
    return 130

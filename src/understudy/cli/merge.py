"""``understudy merge``: a swapper's faces into footage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from understudy import config
from understudy.cli.show import console, follow
from understudy.errors import ConfigError
from understudy.faces.faceset import FaceSet
from understudy.pipelines.merging.merge import MergeSettings, look, merge
from understudy.pipelines.merging.plan import PLAN_NAME, MergePlan, find_plan, write_plan
from understudy.pipelines.merging.preview import parse_trial
from understudy.pipelines.merging.settings import parse_frames
from understudy.pipelines.project import Project

DESCRIPTION = """Put a swapper's faces into footage. Sound is copied.

An interrupted call goes on where it was. A file merge.toml in the project folder (RESULT.understudy/) changes
settings over time and from face to face, and names further swappers; --write-plan writes one to begin with.
--preview writes a contact sheet and a strip of before and after, --try a grid of settings, as
--try color=reinhard,idt,sot blend=feather,poisson; mode stands for one of DeepFaceLab's: overlay, hist-match,
seamless, seamless-hist-match."""


@dataclass(frozen=True, kw_only=True)
class Command(MergeSettings):
    """The command's flags."""

    swapper: Path | None = None
    """A run, the swapper folder in it, or its weights."""
    target: Path | None = None
    """The footage: a video or a folder of pictures (-t)."""
    faces: Path | None = None
    """The footage's face set."""
    output: Path | None = None
    """The result: .mp4, .mov, .mkv, .webm, or a folder for pictures (-o)."""
    persons: tuple[int, ...] | None = None
    """Persons of the face set whose face is replaced; none: its main person."""
    frames: str = ":"
    """Only these frames: 120:180, 120:, :180; from 0, the end is excluded. A part has no sound."""
    plan: Path | None = None
    """Settings that change over time; none: merge.toml of the project folder, if there is one."""
    write_plan: bool = False
    """Write such a file with the settings of this call and examples, and end."""
    preview: bool = False
    """Write pictures to look at instead of the result."""
    trials: tuple[str, ...] = ()
    """--try: settings to compare, as color=reinhard,idt."""
    recipe: tuple[str, ...] = ()
    """Recipes by name or file, left to right, under the command line."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    words = [
        "--trials" + word[5:] if word == "--try" or word.startswith("--try=") else word for word in arguments
    ]
    command = config.parse(
        Command(), words, prog="understudy merge", description=DESCRIPTION, sections={"merge": ""}
    )
    settings = config.merge(MergeSettings(), config.base_of(command, MergeSettings))
    if command.write_plan:
        return _write_plan(command, settings)
    if command.swapper is None or command.target is None or command.faces is None or command.output is None:
        raise ConfigError(
            "merge: wanted --swapper, --target, --faces and --output; see understudy merge --help"
        )
    trials = [parse_trial(text) for text in command.trials]
    faces, plan, frames = FaceSet.open(command.faces), _plan(command), parse_frames(command.frames)
    what = (command.swapper, command.target, faces, command.output, settings)
    if command.preview or trials:
        follow(look(*what, persons=command.persons, plan=plan, frames=frames, trials=trials))
    else:
        follow(merge(*what, persons=command.persons, plan=plan, frames=frames))
    return 0


def _folders(command: Command) -> list[Path]:
    """Where a plan may lie: the project folder of the output, or the one that the face set belongs to."""
    out = [Project.beside(command.output)] if command.output else []
    return out + ([command.faces.resolve().parent.parent] if command.faces else [])


def _plan(command: Command) -> MergePlan | None:
    path = command.plan or find_plan(_folders(command))
    if path is None:
        return None
    console.print(f"plan: {path}")
    return MergePlan.read(path)


def _write_plan(command: Command, settings: MergeSettings) -> int:
    folders = _folders(command)
    if command.plan is None and not folders:
        raise ConfigError("merge: wanted --plan or --output, so that there is a place for the plan")
    path = command.plan or folders[0] / PLAN_NAME
    write_plan(path, settings.composite)
    console.print(f"wrote {path}; edit it, and look at the effect with --preview")
    return 0

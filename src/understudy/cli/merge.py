"""``understudy merge``: a swapper's faces into footage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from understudy import config
from understudy.cli.show import follow
from understudy.errors import ConfigError
from understudy.faces.faceset import FaceSet
from understudy.pipelines.merge import MergeSettings, merge


@dataclass(frozen=True, kw_only=True)
class Command(MergeSettings):
    """The command's flags."""

    swapper: Path | None = None
    """The swapper folder of a run."""
    target: Path | None = None
    """The footage: a video or a folder of pictures (-t)."""
    faces: Path | None = None
    """The footage's face set."""
    output: Path | None = None
    """The result: .mp4, .mov, .mkv, .webm, or a folder for pictures (-o)."""
    persons: tuple[int, ...] | None = None
    """Persons of the face set whose face is replaced; none: its main person."""
    recipe: tuple[str, ...] = ()
    """Recipes by name or file, left to right, under the command line."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    command = config.parse(
        Command(),
        arguments,
        prog="understudy merge",
        description="Put a swapper's faces into footage. Sound is copied; an interrupted call goes on "
        "where it was.",
        sections={"merge": ""},
    )
    if command.swapper is None or command.target is None or command.faces is None or command.output is None:
        raise ConfigError(
            "merge: wanted --swapper, --target, --faces and --output; see understudy merge --help"
        )
    faces = FaceSet.open(command.faces)
    settings = config.merge(MergeSettings(), config.base_of(command, MergeSettings))
    follow(merge(command.swapper, command.target, faces, command.output, settings, persons=command.persons))
    return 0

"""``understudy extract``: footage to a face set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from understudy import config
from understudy.cli.show import follow
from understudy.cli.words import require_folder
from understudy.errors import ConfigError
from understudy.pipelines.extract import ExtractSettings, extract


@dataclass(frozen=True, kw_only=True)
class Command(ExtractSettings):
    """The command's flags."""

    input: tuple[Path, ...] = ()
    """Videos, pictures or folders of pictures."""
    output: Path | None = None
    """Folder of the face set (-o); one that exists is continued."""
    recipe: tuple[str, ...] = ()
    """Recipes by name or file, left to right, under the command line."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    command = config.parse(
        Command(),
        arguments,
        prog="understudy extract",
        description="Find, align and describe the faces of footage. Crops that you delete are not "
        "learned from.",
        sections={"extract": ""},
    )
    if not command.input or command.output is None:
        raise ConfigError(
            "extract: wanted --input VIDEO … and --output FOLDER; see understudy extract --help"
        )
    settings = config.merge(ExtractSettings(), config.base_of(command, ExtractSettings))
    follow(extract(command.input, require_folder(command.output, "output"), settings))
    return 0

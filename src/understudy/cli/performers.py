"""``understudy performers``: synthetic people drawn to a video, with exact ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from understudy import config
from understudy.cli.show import console, follow
from understudy.errors import ConfigError
from understudy.performers.draw import PerformersSettings, draw


@dataclass(frozen=True, kw_only=True)
class Command(PerformersSettings):
    """The command's flags."""

    output: Path | None = None
    """The video (-o); its truth goes into a folder beside it."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    command = config.parse(
        Command(),
        arguments,
        prog="understudy performers",
        description="Draw a synthetic person to a video. Beside it lies the truth: landmarks, pose, "
        "masks, and with --swap-with the exact swap.",
    )
    if command.output is None:
        raise ConfigError("performers: wanted --output VIDEO; see understudy performers --help")
    settings = config.merge(PerformersSettings(), config.base_of(command, PerformersSettings))
    try:
        follow(draw(settings, command.output))
    except KeyboardInterrupt:  # unlike other stages, a drawing is not continued
        console.print("[yellow]stopped.[/] An unfinished drawing is not kept.")
        return 130
    return 0

"""``understudy faces``: what is in a face set, and whether it is enough."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from understudy import config
from understudy.cli.actions import Actions, dispatch
from understudy.cli.show import console, follow
from understudy.cli.words import require_folder
from understudy.errors import ConfigError, VideoError


@dataclass(frozen=True, kw_only=True)
class Report:
    """The flags of ``faces report``."""

    source: Path | None = None
    """The source: a face set or footage; it may stand before the flags."""
    target: Path | None = None
    """The shot that it is for: a face set or footage; --for is the same flag."""
    output: Path | None = None
    """Folder of the report (-o); none: NAME.readiness beside the source."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    words = "What is in a face set, and whether it is enough for the shot."
    begin = ("understudy faces report faces/source --for faces/target",)
    return dispatch("faces", arguments, _ACTIONS, words, begin, "")


def _report(arguments: Sequence[str]) -> int:
    words = ["--target" if word == "--for" else word for word in arguments]
    first = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
    command = config.parse(
        Report(),
        (["--source", *first] if first else []) + words[len(first) :],
        prog="understudy faces report",
        description="Say what a source's faces lack of what a shot needs: pose, expression, light, "
        "sharpness; and "
        "what is wrong with them: repetition, blur, somebody else. Writes report.html and report.json.",
    )
    if command.source is None or command.target is None:
        raise ConfigError("faces report: wanted SOURCE --for TARGET; see understudy faces report --help")
    for path in (command.source, command.target):
        if not path.exists():
            raise VideoError(f"{path}: there is no such face set or footage; is the name right?")
    from understudy.pipelines.readiness.readiness import readiness

    source = command.source.resolve()
    folder = command.output or source.with_name(f"{source.stem}.readiness")
    require_folder(folder, "output")
    follow(readiness(command.source, command.target, folder))
    page = folder / "report.html"
    for sentence in json.loads(page.with_suffix(".json").read_text("utf-8"))["sentences"]:
        sys.stdout.write(f"{sentence}\n")
    console.print(escape(f"look at {page}"))
    return 0


_ACTIONS: Actions = {
    "report": (_report, "Say what a source's faces lack of what a shot needs."),
}

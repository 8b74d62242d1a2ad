"""Words on the command line that mean a quantity or a place."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from understudy.errors import ConfigError, OutputError
from understudy.training.bounds import LoopSettings


def seconds_of(text: str) -> float:
    """``90``, ``90s``, ``10m``, ``2h30m`` as seconds.

    Raises:
        ConfigError: it is none of these.
    """
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    if not text.strip() or match is None:
        raise ConfigError(f"time: wanted something like 90s, 10m or 2h30m, got {text!r}")
    hours, minutes, seconds = (float(group or 0) for group in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def bounds(
    time: str | None, steps: int | None, loop: LoopSettings, otherwise: float
) -> tuple[float | None, int | None]:
    """What ends the training: the flags, else the recipe's, else a time.

    Args:
        time: ``--time``.
        steps: ``--steps``.
        loop: the recipe's settings.
        otherwise: seconds when nobody said anything.
    """
    if time is not None or steps is not None:
        return (seconds_of(time) if time is not None else None), steps
    if loop.time is not None or loop.steps is not None:
        return loop.time, loop.steps
    return otherwise, None


def merge_command(
    swapper: Path, target: Path | str, faces: Path, output: Path | str, recipe: Sequence[str], *more: object
) -> str:
    """The words with which a person merges what was trained, for their shell.

    Args:
        swapper: the swapper's folder.
        target: the footage.
        faces: its face set.
        output: the result.
        recipe: recipes of the training; what they say of merging belongs to the result too.
        more: further words.
    """
    words: list[object] = ["understudy", "merge", "--swapper", swapper, "--target", target, "--faces", faces]
    words += ["--recipe", *recipe] if recipe else []
    return shlex.join(map(str, [*words, "-o", output, *more]))


def require_folder(path: Path, flag: str) -> Path:
    """The path, if it is a folder or can become one.

    Args:
        path: where a command is going to write a folder.
        flag: by which it was named, for the message.

    Raises:
        OutputError: a file lies there, or on the way there.
    """
    for place in (path, *path.parents):
        if place.is_dir():
            return path
        if place.exists() or place.is_symlink():
            raise OutputError(f"{flag}: {place} is a file, wanted the name of a folder; name another")
    return path

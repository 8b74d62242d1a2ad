"""Commands that have actions: ``understudy mask train``."""

from __future__ import annotations

import difflib
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence

from understudy.errors import ConfigError

Actions = Mapping[str, tuple[Callable[[Sequence[str]], int], str]]
"""What each action runs, and a sentence on it."""


def dispatch(
    command: str, arguments: Sequence[str], actions: Actions, words: str, begin: Sequence[str], subject: str
) -> int:
    """Runs the action that the first argument names, or shows what there is.

    Args:
        command: its name.
        arguments: what stands behind it.
        actions: by name.
        words: what the command is about, a sentence.
        begin: commands to begin with, for the help.
        subject: what stands behind an action, for the usage line: ``[FACES ...] ``.

    Raises:
        ConfigError: there is no such action.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = [
            f"usage: understudy {command} ACTION {subject}[OPTIONS]",
            "",
            words,
            "",
            "actions:",
            *(f"  {name:<8}{sentence}" for name, (_, sentence) in actions.items()),
            "",
            f"understudy {command} ACTION --help explains an action. Start with:",
            *(f"  {line}" for line in begin),
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in actions:
        near = difflib.get_close_matches(name, actions, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{command}: wanted {', '.join(actions)}, got {name!r}{hint}")
    return actions[name][0](rest)


def faces_first(arguments: Sequence[str]) -> list[str]:
    """The same arguments; the words before the first flag are face sets."""
    first = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    return (["--faces", *first] if first else []) + list(arguments[len(first) :])

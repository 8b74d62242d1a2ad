"""How soon the command line answers: ``understudy --help`` (0.3 s at most) and every command's help (1 s)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from common import Timing, measure, publish
from understudy.cli.main import COMMANDS

SCRIPT = Path(sys.executable).with_name("understudy")


def answer(*arguments: str) -> None:
    """Runs the console script."""
    subprocess.run([SCRIPT, *arguments], stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    """Measure and publish."""
    figures: dict[str, Timing] = {
        "python alone": measure(lambda: subprocess.run([sys.executable, "-c", ""], check=True)),
        "--help": measure(lambda: answer("--help")),
    }
    for command in COMMANDS:
        figures[f"{command} --help"] = measure(lambda command=command: answer(command, "--help"))
    publish("startup", figures, {"command": "the console script in a process of its own, files cached"})


if __name__ == "__main__":
    main()

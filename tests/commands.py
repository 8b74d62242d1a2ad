"""Real commands for tests, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
_SMALL = """
--train.model.resolution 32 --train.model.e-dims 8 --train.model.d-dims 8 --train.model.ae-dims 32
--train.model.d-mask-dims 4 --train.batch 2 --train.loop.threads 1 --train.loop.precision fp32
--train.loop.preview-every 0 --extract.size 96
"""
SMALL = tuple(_SMALL.split())
"""Flags of ``swap`` that make a run of a second."""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    """Exit code; negative for the signal that killed it."""
    text: str
    """All it printed."""


class CommandServer:
    """Runs commands in children of one process that has loaded everything."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(FOLDER / "command_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"COLUMNS": "200", "UNDERSTUDY_FAULT": ""},
        )

    def run(self, *arguments: object, fault: str = "", file_size: int | None = None) -> Ended:
        """Runs one command to its end.

        Args:
            arguments: the words after ``understudy``.
            fault: value of ``UNDERSTUDY_FAULT``, see ``durable``.
            file_size: no file may grow beyond so many bytes.
        """
        request = {
            "arguments": [str(word) for word in arguments],
            "environment": {"UNDERSTUDY_FAULT": fault},
            "file_size": file_size,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

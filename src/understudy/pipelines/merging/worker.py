"""A process that renders segments for another: ``python -m understudy.pipelines.merging.worker REPORTS``.

It reads JSON lines from its standard input, first a ``RenderOrder``, then numbers of segments, and adds JSON
lines to the file REPORTS: ``{"frames": n, "faces": m}`` now and then, ``{"report": …}`` for a finished
segment, and ``{"error": …, "message": …}`` before it ends for a reason that a person can act on. It ends
when its input does, or when the process that started it is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from understudy.errors import UnderstudyError
from understudy.pipelines.merging.render import Renderer, RenderOrder
from understudy.pipelines.setup import one_thread

_EVERY = 0.2
"""Seconds between two lines about frames."""


class _OrphanedError(Exception):
    """The process that gives the orders is gone."""


class _Reports:
    """The file that the other process reads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._parent = os.getppid()
        self._frames = self._faces = 0
        self._told = time.monotonic()

    def say(self, **data: Any) -> None:  # noqa: ANN401  # plain data
        """One line."""
        self._file.write(json.dumps(data) + "\n")
        self._file.flush()

    def tick(self, frames: int, faces: int) -> None:
        """So many more."""
        self._frames += frames
        self._faces += faces
        if time.monotonic() - self._told >= _EVERY:
            self.tell()
            if os.getppid() != self._parent:
                raise _OrphanedError

    def tell(self) -> None:
        """How much there was since the last time."""
        self.say(frames=self._frames, faces=self._faces)
        self._frames, self._faces, self._told = 0, 0, time.monotonic()


def main(arguments: list[str]) -> int:
    """Works until there are no more orders; gives the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the one who gives the orders, who ends us
    one_thread()
    reports = _Reports(Path(arguments[0]))
    try:
        order = RenderOrder.from_json(json.loads(sys.stdin.readline()))
        renderer = Renderer(order)
        for line in sys.stdin:
            number = json.loads(line)
            for item in renderer.segments(number, number + 1):
                if isinstance(item, tuple):
                    reports.tick(*item)
                else:
                    reports.tell()
                    reports.say(report=item.to_json())
        renderer.close()
    except UnderstudyError as error:
        reports.say(error=type(error).__name__, message=str(error))
        return 1
    except _OrphanedError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Segments in several processes of this machine; the result is what one process makes.

Each process is given one segment at a time. Whatever ends the render (an error in one of them, Ctrl-C, a
caller who stops listening) ends them all.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO, Any

from understudy import durable, errors
from understudy.errors import UnderstudyError
from understudy.pipelines.merging.render import RenderOrder, Step
from understudy.pipelines.merging.segments import Journal, SegmentReport

_POLL = 0.05
"""Seconds between two looks at the processes."""
_PATIENCE = 5.0
"""Seconds that a process has to end when it is told to."""


class SegmentQueue:
    """Which segment comes next.

    Args:
        journal: what is finished.
        segments: how many there are as the footage's index says; it may have more or fewer.
    """

    def __init__(self, journal: Journal, segments: int) -> None:
        self.journal = journal
        self._known = max(1, segments)
        self._taken: set[int] = set()

    def next(self) -> int | None:
        """A segment that nobody has taken; None while there is none."""
        end = self.journal.end
        while end is None and self._known - 1 in self.journal.done:  # longer than its index says
            self._known += 1
        wanted = range(self._known if end is None else end)
        return next((n for n in wanted if n not in self.journal.done and n not in self._taken), None)

    def take(self, number: int) -> None:
        """Somebody makes it."""
        self._taken.add(number)

    def give_back(self, number: int) -> None:
        """Nobody makes it any more."""
        self._taken.discard(number)

    def done(self, report: SegmentReport) -> None:
        """It is made."""
        self._taken.discard(report.number)
        self.journal.add(report)


def render_in_processes(order: RenderOrder, journal: Journal, frames: int) -> Generator[Step]:
    """Renders the segments that the journal lacks; gives steps now and then.

    Args:
        order: what; its settings say in how many processes.
        journal: what is finished; every segment is added.
        frames: of the render, as the footage's index says.

    Raises:
        UnderstudyError: whatever a process raised, or one that ended by itself.
    """
    queue = SegmentQueue(journal, -(-frames // order.settings.segment))
    text = json.dumps(order.to_json())
    running: list[_Worker] = []
    with contextlib.ExitStack() as stack:
        while not journal.complete:
            while (number := queue.next()) is not None:
                worker = next((each for each in running if each.number is None), None)
                if worker is None and len(running) < order.settings.workers:
                    worker = stack.enter_context(_started(journal.folder, len(running), text))
                    running.append(worker)
                if worker is None:
                    break
                queue.take(number)
                worker.give(number)
            for worker in running:
                yield from worker.news(queue)
            time.sleep(_POLL)


@contextlib.contextmanager
def _started(folder: Path, number: int, order: str) -> Generator[_Worker, None, None]:
    """A process within the block; it is ended with it, kindly first."""
    reports, complaints = folder / f"worker-{number}.jsonl", folder / f"worker-{number}.txt"
    with durable.explained(folder):
        reports.write_text("")
        log = complaints.open("w")
    with log:
        process = subprocess.Popen(
            [sys.executable, "-m", "understudy.pipelines.merging.worker", str(reports)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            text=True,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )
    try:
        with reports.open(encoding="utf-8") as lines:
            worker = _Worker(process, lines, complaints)
            worker.tell(order)
            yield worker
    finally:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class _Worker:
    """One process, seen from here."""

    def __init__(self, process: subprocess.Popen[str], lines: IO[str], complaints: Path) -> None:
        self.process = process
        self.number: int | None = None
        self._lines, self._complaints = lines, complaints
        self._torn = ""

    def tell(self, line: str) -> None:
        """One line to its input."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended; ``news`` says why
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def give(self, number: int) -> None:
        """A segment to render."""
        self.number = number
        self.tell(str(number))

    def news(self, queue: SegmentQueue) -> Generator[Step]:
        """What it has said since the last look; gives steps.

        Raises:
            UnderstudyError: it failed.
        """
        code = self.process.poll()
        for said in self._read():
            if "frames" in said:
                yield said["frames"], said["faces"]
            elif "report" in said:
                queue.done(SegmentReport.from_json(said["report"]))
                self.number = None
            else:
                raise error_named(said["error"], said["message"])
        if code is not None:
            raise UnderstudyError(self._obituary(code))

    def _read(self) -> list[dict[str, Any]]:
        text = self._torn + self._lines.read()
        whole, _, self._torn = text.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def _obituary(self, code: int) -> str:
        """Why a process ended that was not told to."""
        with durable.explained(self._complaints):
            said = self._complaints.read_text("utf-8", "replace").strip().splitlines()[-3:]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        why = " (the system does that when memory runs out: choose fewer --workers)" if code == -9 else ""
        last = f"; its last words: {' | '.join(said)}" if said else ""
        return (
            f"the process that rendered segment {self.number} {how}{why}{last}. What is finished is kept; "
            "the same command goes on from there"
        )


def error_named(name: str, message: str) -> UnderstudyError:
    """An error of understudy's that was raised in another process."""
    kind = getattr(errors, name, UnderstudyError)
    if not (isinstance(kind, type) and issubclass(kind, UnderstudyError)) or kind is errors.ShapeError:
        kind = UnderstudyError  # a ShapeError is made of parts
    return kind(message)

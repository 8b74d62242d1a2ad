"""What a person sees of a pipeline: bars with time left, or plain lines; errors without a traceback.

Also Ctrl-C: a pipeline that can end well is asked to (first Ctrl-C), everything else is interrupted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable
from types import FrameType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from understudy import events
from understudy.durable import FULL
from understudy.errors import UnderstudyError

PLAIN_EVERY = 15.0
"""Seconds between two lines of progress where there is no terminal."""

console = Console(stderr=True, highlight=False, soft_wrap=True)


def guarded(command: Callable[[], int], *, stopped: str = "") -> int:
    """Runs a command; what a user can act on becomes a message and exit code 1, Ctrl-C 130.

    Beside our own errors these are a file that the system refuses and memory that it has not got. Whatever
    else is raised is a mistake of the program, and its traceback is for the report.

    Args:
        command: what is run.
        stopped: a sentence on what Ctrl-C, or a full disk, leaves behind.
    """
    try:
        return command()
    except UnderstudyError as error:
        full = isinstance(error.__cause__, OSError) and error.__cause__.errno in FULL
        return _refuse(f"{error}. {stopped}".rstrip() if full else str(error))
    except KeyboardInterrupt:
        console.print(f"[yellow]stopped.[/] {stopped}".rstrip())
        return 130
    except BrokenPipeError:  # the reader of our output (``| head``) went away
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        return _refuse(f"{os.fsdecode(error.filename)}: {_system_says(error)}")
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(word in str(error) for word in _NO_MEMORY):
            raise
        return _refuse(
            "there is not enough memory for that; take less at a time (a smaller size, resolution or batch), "
            f"or close other programs ({str(error).splitlines()[0] if str(error) else 'no memory'})"
        )


_NO_MEMORY = ("can't allocate memory", "out of memory")
"""How torch says it, on a processor and on a GPU."""


def _refuse(message: str) -> int:
    console.print(f"[bold red]error:[/] {escape(message)}")
    return 1


def _system_says(error: OSError) -> str:
    """What the system says of a file, and what to do."""
    match error:
        case PermissionError():
            return "the system does not allow that; change its permissions or name another"
        case FileNotFoundError():
            return "there is no such file or folder; check the name"
        case IsADirectoryError():
            return "is a folder where a file is wanted; name the file"
        case NotADirectoryError() | FileExistsError():
            return "a file lies where a folder is wanted; name another place"
        case _:
            return f"{error.strerror or error}; look at the disk, or name another place"


@contextlib.contextmanager
def first_interrupt(
    ask: Callable[[], None], message: str, when: Callable[[], bool] = lambda: True
) -> Generator[None]:
    """The first Ctrl-C calls ``ask`` and says ``message``, the second interrupts.

    Args:
        ask: asks the work to end well.
        message: for the person.
        when: whether the work can; otherwise the first Ctrl-C interrupts too.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if not when():
            signal.default_int_handler(number, frame)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        console.print(f"[yellow]{escape(message)}[/]")
        ask()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def duration(seconds: float) -> str:
    """``75`` as ``1m 15s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def follow(
    stream: Iterable[events.Event], stage: Callable[[str, bool], None] = lambda _name, _active: None
) -> dict[str, dict[str, Any]]:
    """Shows a pipeline's events until it ends.

    Args:
        stream: the pipeline.
        stage: told the name of every stage when it begins and when it ends.

    Returns:
        The summary of each stage by its name.
    """
    summaries: dict[str, dict[str, Any]] = {}
    display = _Bars() if console.is_terminal else _Lines()
    with contextlib.ExitStack() as stack:
        stack.callback(display.close)
        if isinstance(stream, Generator):  # what it holds open is closed now, not when memory is collected
            stack.callback(stream.close)
        for event in stream:
            if isinstance(event, events.StageStarted):
                stage(event.stage, True)
            if isinstance(event, events.StageDone):
                stage(event.stage, False)
                summaries[event.stage] = dict(event.summary)
            display.show(event)
    return summaries


def _figures(event: events.Progress) -> str:
    shown = (f"{name.replace('_', ' ')} {_value(name, value)}" for name, value in event.values.items())
    figures = "  ".join(shown)
    left = f"  {duration(event.seconds_left)} left" if event.seconds_left is not None else ""
    return figures + left


def _value(name: str, value: object) -> str:
    """A figure as people read it: memory in GB, numbers with four digits, lists without brackets."""
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(name, item) for item in value)  # pyright: ignore[reportUnknownVariableType]  # plain data
    if name.endswith("memory") and isinstance(value, (int, float)):
        return f"{value / 1e9:.2f} GB"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _count(done: float, total: float | None, unit: str) -> str:
    """How far a stage is: ``7 of 27 frames``, ``35.6 of 135.8 MB``."""
    if unit == "bytes":
        return f"{done / 1e6:.1f}" + (f" of {total / 1e6:.1f}" if total else "") + " MB"
    return f"{done:.0f}" + (f" of {total:.0f}" if total else "") + f" {unit}"


def _summary(event: events.StageDone) -> str:
    if event.skipped:
        return "done before"
    return ", ".join(
        f"{name.replace('_', ' ')} {_value(name, value)}"
        for name, value in event.summary.items()
        if not isinstance(value, dict)
    )


class _Lines:
    """Plain lines, one in a while: for logs and pipes."""

    def __init__(self) -> None:
        self._last = 0.0
        self._units: dict[str, str] = {}

    def show(self, event: events.Event) -> None:
        match event:
            case events.Planned():
                for line in event.lines:
                    console.print(escape(line))
            case events.StageStarted():
                self._last = time.monotonic()
                self._units[event.stage] = event.unit
                console.print(f"{event.stage}: {escape(event.detail)}")
            case events.Progress():
                if time.monotonic() - self._last >= PLAIN_EVERY:
                    self._last = time.monotonic()
                    count = _count(event.done, event.total, self._units.get(event.stage, ""))
                    console.print(f"{event.stage}: {count}  {_figures(event)}".rstrip())
            case events.StageDone():
                console.print(f"{event.stage}: {escape(_summary(event))}")
            case events.Warned():
                console.print(f"[yellow]warning:[/] {escape(event.message)}")
            case _:
                pass

    def close(self) -> None:
        """Nothing is open."""


class _Bars(_Lines):
    """A bar a stage."""

    def __init__(self) -> None:
        super().__init__()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[count]}  {task.fields[figures]}"),
            console=console,
            transient=True,
        )
        self._progress.start()
        self._tasks: dict[str, TaskID] = {}

    def show(self, event: events.Event) -> None:
        match event:
            case events.StageStarted():
                console.print(f"[bold]{event.stage}[/] {escape(event.detail)}")
                self._units[event.stage] = event.unit
                self._tasks[event.stage] = self._progress.add_task(
                    event.stage, total=event.total, count=_count(0, event.total, event.unit), figures=""
                )
            case events.Progress() if event.stage in self._tasks:
                self._progress.update(
                    self._tasks[event.stage],
                    completed=event.done,
                    total=event.total,
                    count=_count(event.done, event.total, self._units[event.stage]),
                    figures=_figures(event),
                )
            case events.StageDone():
                if event.stage in self._tasks:
                    self._progress.remove_task(self._tasks.pop(event.stage))
                console.print(f"[green]✓[/] [bold]{event.stage}[/] {escape(_summary(event))}")
            case _:
                super().show(event)

    def close(self) -> None:
        self._progress.stop()

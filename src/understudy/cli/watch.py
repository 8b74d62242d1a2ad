"""``understudy watch``: a run in the terminal, while it trains or afterwards."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from rich.console import Console
from rich.live import Live

from understudy import config, events
from understudy.cli import pictures
from understudy.cli.dashboard import Place, draw, snapshot
from understudy.cli.show import follow
from understudy.errors import ConfigError
from understudy.training.dashboard import RunReader, ask

EVERY = 1.0
"""Seconds between two looks at the folder."""
_COMMANDS: dict[str, Literal["save", "preview", "stop"]] = {"s": "save", "p": "preview", "x": "stop"}
_CELL = (10, 20)
"""Size of a character in pixels where the terminal does not say."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """The command's flags."""

    run: Path | None = None
    """Folder of a run, or of runs: the newest. The word RUN stands for it."""
    once: bool = False
    """Print how the run stands as plain lines, and end. So it is too where there is no terminal."""
    pictures: Literal["auto", "kitty", "iterm2", "sixel", "blocks", "none"] = "auto"
    """How the preview is shown; auto: by what the environment says of the terminal."""


def run(arguments: Sequence[str]) -> int:
    """Runs the command."""
    words = list(arguments)
    if words and not words[0].startswith("-"):
        words[:1] = ["--run", words[0]]
    command = config.parse(
        Command(),
        words,
        prog="understudy watch RUN",
        description="Show a run while it trains: curves, figures on held-out faces, time left, the newest "
        "preview. Keys: q quit, s save, p preview, x stop the run. Only the run's folder is read; quitting "
        "does not touch the run.",
    )
    if command.run is None:
        raise ConfigError("watch: wanted the folder of a run; see understudy watch --help")
    reader = RunReader(newest_run(command.run))
    if command.once or not (sys.stdout.isatty() and sys.stdin.isatty()):
        width = shutil.get_terminal_size((100, 40)).columns
        sys.stdout.write("".join(f"{line}\n" for line in snapshot(reader.read(time.time()), width)))
        return 0
    with contextlib.suppress(KeyboardInterrupt), Screen(reader, command.pictures) as screen:
        while screen.turn(EVERY):
            pass
    return 0


def newest_run(folder: Path) -> Path:
    """The folder itself, or the run in it that was begun last; a name need not tell (``-o runs/mask``)."""
    if (folder / "recipe.toml").is_file():
        return folder
    recipes = sorted(folder.glob("*/recipe.toml"), key=lambda path: (path.stat().st_mtime, path.parent.name))
    return recipes[-1].parent if recipes else folder


def follow_watching(
    stream: Iterable[events.Event],
    folder: Path,
    stage: Callable[[str, bool], None] = lambda _name, _active: None,
    *,
    shown: pictures.Protocol | Literal["auto", "none"] = "auto",
) -> dict[str, dict[str, Any]]:
    """Shows a training's run on the whole screen while its events come; like ``show.follow`` otherwise.

    After the key q, and where there is no terminal, ``show.follow`` takes over: the training goes on.

    Args:
        stream: the pipeline.
        folder: of the run that it trains.
        stage: told the name of every stage when it begins and when it ends.
        shown: how the preview is shown.

    Returns:
        The summary of each stage by its name.
    """
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        return follow(stream, stage)
    rest = iter(stream)
    summaries: dict[str, dict[str, Any]] = {}
    watching = True
    with Screen(RunReader(folder), shown) as screen:
        for event in rest:
            if isinstance(event, events.StageStarted):
                stage(event.stage, True)
            if isinstance(event, events.StageDone):
                stage(event.stage, False)
                summaries[event.stage] = dict(event.summary)
            watching = screen.turn(0.0)
            if not watching:
                break
    if not watching:
        return {**summaries, **follow(rest, stage)}
    width = shutil.get_terminal_size((100, 40)).columns
    sys.stdout.write("".join(f"{line}\n" for line in snapshot(RunReader(folder).read(time.time()), width)))
    return summaries


class Screen:
    """The whole terminal, drawn anew every second; a context, so that the terminal is left as it was.

    Args:
        reader: of the run's folder.
        shown: how the preview is shown.
    """

    def __init__(self, reader: RunReader, shown: pictures.Protocol | Literal["auto", "none"]) -> None:
        self.reader = reader
        self.shows = shown != "none"
        self.protocol: pictures.Protocol = "blocks"
        if shown != "none":
            self.protocol = pictures.protocol_of(os.environ) if shown == "auto" else shown
        self.console = Console()
        self.note = ""
        self._live = Live(console=self.console, screen=True, auto_refresh=False)
        self._stack = contextlib.ExitStack()
        self._drawn = 0.0
        self._picture: tuple[Path, Image.Image] | None = None
        self._placed: tuple[Path, Place] | None = None

    def __enter__(self) -> Screen:
        self._stack.enter_context(self._live)
        self._pressed = self._stack.enter_context(keys())
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def turn(self, patience: float) -> bool:
        """Draw, if it is time, and wait for a key; False when the person wants to leave.

        Args:
            patience: seconds to wait for a key.
        """
        if time.monotonic() - self._drawn >= EVERY:
            self._draw()
            self._drawn = time.monotonic()
        key = self._pressed(patience)
        if key in ("q", "\x03"):
            return False
        if key in _COMMANDS:
            ask(self.reader.folder, _COMMANDS[key])
            self.note = f"{_COMMANDS[key]} was asked for"
            self._drawn = 0.0
        return True

    def _draw(self) -> None:
        state = self.reader.read(time.time())
        width, height = self.console.size
        cell = _cell_size()
        picture = self._load(state.preview)
        shown, place = draw(state, width, height, picture, protocol=self.protocol, cell=cell, note=self.note)
        self._live.update(shown, refresh=True)
        if place and picture and state.preview:
            # kitty's pictures lie above the characters and stay; the others were just written over
            if self.protocol != "kitty" or self._placed != (state.preview, place):
                code = pictures.escape_codes(self.protocol, picture, place.columns, place.rows, cell)
                self.console.file.write(f"\x1b7\x1b[{place.row + 1};{place.column + 1}H{code}\x1b8")
            self._placed = (state.preview, place)
        self.console.file.flush()

    def _load(self, path: Path | None) -> Image.Image | None:
        """The newest preview, read once; the one before it while it cannot be read."""
        if path and self.shows and (self._picture is None or self._picture[0] != path):
            picture = pictures.load(path)
            if picture:
                self._picture = (path, picture)
        return self._picture[1] if self._picture else None


def _cell_size() -> tuple[int, int]:
    """Width and height of a character in pixels."""
    try:
        import fcntl
        import struct
        import termios
    except ImportError:  # Windows
        return _CELL
    try:
        answer = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return _CELL
    rows, columns, wide, high = struct.unpack("HHHH", answer)
    return (wide // columns, high // rows) if min(rows, columns, wide, high) else _CELL


@contextlib.contextmanager
def keys() -> Generator[Callable[[float], str | None]]:
    """Single keys, without Enter and without being shown; the terminal is as before after the block."""
    if sys.platform == "win32":
        yield _windows_key
        return
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setcbreak(number)

    def pressed(patience: float) -> str | None:
        if not select.select([number], [], [], patience)[0]:
            return None
        return os.read(number, 1).decode("latin-1") or "q"  # nothing: the terminal is gone

    try:
        yield pressed
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _windows_key(patience: float) -> str | None:
    """A key on Windows, where a console cannot be waited for."""
    import importlib

    console: Any = importlib.import_module("msvcrt")
    end = time.monotonic() + patience
    while not console.kbhit():
        if time.monotonic() >= end:
            return None
        time.sleep(0.05)
    return console.getwch()

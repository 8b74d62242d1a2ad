"""What the folder of a run says about it: for a person who watches, on this machine or over a share.

Only files are read: ``status.json``, ``events.jsonl`` from where the last look ended, ``previews/``. Nothing
here imports torch, so that watching begins at once, and nothing writes but ``ask``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from understudy.errors import CheckpointError

State = Literal["new", "training", "silent", "gone", "stopped", "done"]
Point = tuple[int, float]
"""Step and value."""

_KEPT_MESSAGES = 50
_BESIDES = ("rate", "steps_per_second", "memory")
"""Values of progress that are no losses."""


@dataclass(kw_only=True)
class RunState:
    """A run as its folder shows it."""

    name: str
    """Of the folder."""
    state: State = "new"
    """new: no step was done yet. silent: it should have given a sign of life. gone: its process is no
    more."""
    detail: str = ""
    """What is trained on what, as the run said when it began."""
    step: int = 0
    """Steps done."""
    steps: int | None = None
    """Steps in all, as far as known."""
    elapsed: float = 0.0
    """Seconds of training."""
    seconds_left: float | None = None
    """Estimate; None where nothing bounds the run."""
    silence: float = 0.0
    """Seconds since the last sign of life."""
    process: int | None = None
    """Number of its process, on the machine where it runs."""
    values: dict[str, float] = field(default_factory=dict[str, float])
    """Everything of the last report of progress, by name."""
    losses: dict[str, list[Point]] = field(default_factory=dict[str, list[Point]])
    """The sum under ``loss``, and every term."""
    figures: dict[str, list[Point]] = field(default_factory=dict[str, list[Point]])
    """As they were measured; those on faces that are not learned from begin with ``heldout/``."""
    messages: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    """Time and text of what was saved, what was warned of, and how calls ended; the newest last."""
    preview: Path | None = None
    """The newest preview."""

    @property
    def fraction(self) -> float | None:
        """How much of the run is done; None where nothing bounds it."""
        if self.state == "done":
            return 1.0
        if self.seconds_left is not None and self.elapsed + self.seconds_left > 0:
            return self.elapsed / (self.elapsed + self.seconds_left)
        return min(1.0, self.step / self.steps) if self.steps else None


class RunReader:
    """Looks at a run's folder again and again.

    Args:
        folder: of the run.

    Raises:
        CheckpointError: there is no run.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "recipe.toml").is_file():
            raise CheckpointError(f"{folder}: not the folder of a run (it has no recipe.toml)")
        self.folder = folder
        self.seen = RunState(name=folder.resolve().name)
        self._offset = 0

    def read(self, now: float) -> RunState:
        """How the run stands.

        Args:
            now: seconds since 1970.
        """
        seen = self.seen
        for line in self._new_lines():
            with contextlib.suppress(ValueError, TypeError, KeyError):  # a torn line
                self._take(json.loads(line))
        status = self._status()
        if status:
            seen.step = int(status.get("step") or 0)
            seen.steps = status.get("steps") or seen.steps
            seen.elapsed = float(status.get("elapsed") or 0.0)
            seen.seconds_left = status.get("seconds_left")
            seen.process = status.get("process")
            seen.silence = max(0.0, now - float(status.get("updated") or now))
            seen.state = _state(status, seen)
        previews = sorted(self.folder.glob("previews/*.png"))
        seen.preview = previews[-1] if previews else None
        return seen

    def _new_lines(self) -> list[bytes]:
        """Whole lines that came since the last look; a file that became shorter is read anew."""
        path = self.folder / "events.jsonl"
        try:
            if path.stat().st_size < self._offset:
                self._offset = 0
            with path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()

    def _status(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "status.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return {}  # not written yet, or being copied

    def _take(self, event: Mapping[str, Any]) -> None:
        """Take in one event."""
        seen = self.seen
        match event["event"]:
            case "StageStarted":
                seen.detail = str(event["detail"])
            case "Progress":
                seen.values = {name: float(value) for name, value in event["values"].items()}
                if event["total"]:
                    seen.steps = int(event["total"])
                losses = {name: value for name, value in seen.values.items() if name not in _BESIDES}
                _append(seen.losses, int(event["done"]), losses)
            case "Measured":
                _append(seen.figures, int(event["step"]), event["figures"])
            case "Saved":
                kind = "preview" if str(event["path"]).endswith(".png") else "saved"
                self._say(event, f"{kind} at step {event['step']}")
            case "Warned":
                self._say(event, f"warning: {event['message']}")
            case "StageDone":
                about = event["summary"]
                self._say(event, f"{about.get('state', 'done')} at step {about.get('steps', seen.step)}")
            case _:
                pass

    def _say(self, event: Mapping[str, Any], text: str) -> None:
        self.seen.messages.append((float(event["time"]), text))
        del self.seen.messages[:-_KEPT_MESSAGES]


def _append(curves: dict[str, list[Point]], step: int, values: Mapping[str, Any]) -> None:
    """One more point of each curve; a run that went back draws over what it left."""
    for name, value in values.items():
        curve = curves.setdefault(name, [])
        while curve and curve[-1][0] >= step:
            curve.pop()
        curve.append((step, float(value)))


def _state(status: Mapping[str, Any], seen: RunState) -> State:
    """How a run is, by what it said last and whether its process is there."""
    said = status.get("state")
    if said in ("done", "stopped"):
        return said
    rhythm = max(1.0, seen.elapsed / 500)  # a run writes its status so often
    if seen.process is not None and not _alive(seen.process) and seen.silence > 3 + 2 * rhythm:
        return "gone"
    # saving, measuring and drawing take their time, and the run may be on another machine
    return "silent" if seen.silence > 120 + 5 * rhythm else "training"


def _alive(process: int) -> bool:
    """Whether a process of this number is here; True where that cannot be asked without harm."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def ask(folder: Path, command: Literal["save", "preview", "stop"]) -> None:
    """Ask a run for something: it looks into its ``inbox`` every half second."""
    inbox = folder / "inbox"
    inbox.mkdir(exist_ok=True)
    (inbox / command).touch()


def thinned(curve: Sequence[Point], count: int) -> list[Point]:
    """At most ``count`` points of a curve: the middle (median) of each of as many stretches of steps."""
    if len(curve) <= count:
        return list(curve)
    first, last = curve[0][0], curve[-1][0]
    stretches: dict[int, list[Point]] = {}
    for point in curve:
        place = (point[0] - first) * count // (last - first + 1)
        stretches.setdefault(place, []).append(point)
    return [
        (points[len(points) // 2][0], sorted(value for _, value in points)[len(points) // 2])
        for _, points in sorted(stretches.items())
    ]

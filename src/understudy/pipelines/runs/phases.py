"""Phases of a run: what changes on the way, as a recipe says it, and how far a run has come in them.

    [[phase]]
    steps = 20000

    [[phase]]
    until = "plateau"
    optimizer.share = 0.3

    [[phase]]
    steps = 10000
    augmentation.warp = "none"

Every phase changes the settings that the one before it had; a table of plugins is changed entry by entry
(``losses.patch_gan.weight = 0.1`` adds one, ``losses.patch_gan = "off"`` drops it). The learning rate's
schedule runs over the whole run, not over a phase. Which phase a step belongs to follows from the recipe; for
phases that end with a plateau, from ``phases.json`` in the run's folder.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from understudy import config, durable
from understudy.errors import CheckpointError, ConfigError
from understudy.training.bounds import LoopSettings

C = TypeVar("C")

OWN = ("steps", "until")
"""What a phase says about itself; everything else is a setting of training."""
FIXED = (
    *("model", "device", "held_out", "memory", "phases"),
    *("loop.steps", "loop.time", "loop.until", "loop.seed"),
)
"""What holds for a whole run."""


@dataclass(frozen=True, kw_only=True)
class Phase(Generic[C]):
    """One part of a run."""

    name: str
    """Kept in checkpoints; empty where a run has no phases."""
    settings: C
    """How it trains."""
    steps: int | None = None
    """How many it lasts; None: until something else ends it."""
    plateau: bool = False
    """Whether it ends when the figures stop getting better."""


@dataclass(frozen=True, kw_only=True)
class PhaseBounds(LoopSettings):
    """Bounds of a phase: the learning rate and the time left are those of the whole run."""

    end: int | None = None
    """Step at which the phase ends; None: it has no such bound."""

    def is_over(self, step: int, elapsed: float) -> bool:
        """True when the phase or the run has reached its end."""
        return super().is_over(step, elapsed) or (self.end is not None and step >= self.end)


def plan(settings: C, changes: Sequence[Mapping[str, Any]]) -> list[Phase[C]]:
    """The phases of a run, each with its whole settings.

    Args:
        settings: of training, a dataclass with a field ``phases``.
        changes: tables of the recipe, in order; none for a run of one piece.

    Raises:
        ConfigError: a setting that does not exist, does not fit or holds for the whole run, or a phase
            without an end; names the phase.
    """
    current: Any = dataclasses.replace(settings, phases=())  # pyright: ignore[reportArgumentType]
    out: list[Phase[C]] = []
    for number, table in enumerate(changes):
        path = f"phase[{number}]"
        own = {key: table[key] for key in OWN if key in table}
        overrides = {key: value for key, value in table.items() if key not in OWN}
        _check_names(current, overrides, path)
        current = config.merge(current, overrides, path, edit=True)
        steps, until = own.get("steps"), own.get("until", "none")
        if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
            raise ConfigError(f"{path}.steps: wanted a whole number of 1 or more, got {steps!r}")
        if until not in ("none", "plateau"):
            raise ConfigError(f"{path}.until: wanted 'plateau', got {until!r}; or give steps")
        if steps is None and until == "none" and number < len(changes) - 1:
            raise ConfigError(f'{path}: it never ends; give it steps = N or until = "plateau"')
        out.append(Phase(name=f"{number + 1}", settings=current, steps=steps, plateau=until == "plateau"))
    return out or [Phase(name="", settings=current)]


def _check_names(settings: Any, overrides: Mapping[str, Any], path: str) -> None:  # noqa: ANN401  # any settings
    """Refuse what a phase cannot change, and misspelt words of its own."""
    known = [item.name for item in dataclasses.fields(settings)]
    for key, value in overrides.items():
        if key not in known:
            near = difflib.get_close_matches(key, [*known, *OWN], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{path}.{key}: no such setting{hint}")
        inner = [f"{key}.{name}" for name in value] if isinstance(value, Mapping) else []  # pyright: ignore
        for name in (key, *inner):
            if name in FIXED:
                raise ConfigError(
                    f"{path}.{name}: it holds for the whole run; set it in [train], or begin another run "
                    "with --start-from"
                )


def total_steps(loop: LoopSettings, phases: Sequence[Phase[Any]]) -> int | None:
    """Steps of the whole run: what it is bound to, or else all phases together; None when nobody knows."""
    if loop.steps is not None:
        return loop.steps
    lengths = [phase.steps for phase in phases]
    known = [length for length in lengths if length is not None]
    return sum(known) if known and len(known) == len(lengths) else None


def bounds_of(loop: LoopSettings, phases: Sequence[Phase[Any]], number: int, begin: int) -> LoopSettings:
    """What ends a phase.

    Args:
        loop: bounds of the whole run.
        phases: all of them.
        number: which one, from 0.
        begin: step at which it began.
    """
    phase = phases[number]
    if not phase.name:
        return loop
    mine: LoopSettings = phase.settings.loop
    last = number == len(phases) - 1
    held = {item.name: getattr(mine, item.name) for item in dataclasses.fields(LoopSettings)}
    held |= {"steps": total_steps(loop, phases), "time": loop.time}
    if not (last and loop.until == "plateau"):
        held["until"] = "plateau" if phase.plateau else "none"
    end = None if phase.steps is None or (last and loop.steps is not None) else begin + phase.steps
    return PhaseBounds(**held, end=end)


class Ends:
    """At which steps the phases of a run have ended.

    Args:
        folder: of the run.
        step: of the checkpoint from which it goes on; phases that ended later are done again.

    Raises:
        CheckpointError: what was written is damaged.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._file = folder / "phases.json"
        try:
            known = json.loads(self._file.read_text()) if self._file.exists() else []
            self.steps = [int(end) for end in known]
        except (ValueError, TypeError) as error:
            raise CheckpointError(
                f"{self._file}: damaged ({error}); write into it where phases ended, as [1000, 2500]"
            ) from None
        while self.steps and self.steps[-1] > step:
            self.steps.pop()

    def add(self, step: int) -> None:
        """The next phase has ended."""
        self.steps.append(step)
        durable.write_text(self._file, json.dumps(self.steps) + "\n")

"""What a pipeline tells the world while it works: small frozen records, never printed here.

A pipeline is a generator of events. The command line draws a bar from them, a studio sends them as JSON, a
test collects a list. ``to_json`` gives plain data with the record's name under ``"event"``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of every event."""

    def to_json(self) -> dict[str, Any]:
        """Plain data: the record's name under ``event``, paths as text."""
        data = {"event": type(self).__name__}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            data[item.name] = str(value) if isinstance(value, Path) else value
        return data


@dataclass(frozen=True, kw_only=True)
class Planned(Event):
    """What is about to be done, before anything is written."""

    lines: tuple[str, ...]
    """One sentence each: stages, time, disk."""


@dataclass(frozen=True, kw_only=True)
class StageStarted(Event):
    """A stage begins."""

    stage: str
    """Short name: ``extract``, ``train``, ``merge``…"""
    detail: str = ""
    """What it works on, for a person."""
    total: int | None = None
    """Units to do; None when unknown."""
    unit: str = "frames"
    """What is counted."""


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """A stage went on."""

    stage: str
    """Name of the stage."""
    done: int
    """Units done, those of earlier calls included."""
    total: int | None = None
    """Units to do; None when unknown."""
    seconds_left: float | None = None
    """Estimate; None when unknown."""
    values: Mapping[str, float] = field(default_factory=dict[str, float])
    """Figures to show: losses, rates."""


@dataclass(frozen=True, kw_only=True)
class Measured(Event):
    """Figures of quality were taken, on what is never learned from where there is such."""

    step: int
    """Training steps behind them."""
    figures: Mapping[str, float]
    """By name; the group before a slash, as in ``heldout/ssim_target``."""


@dataclass(frozen=True, kw_only=True)
class StageDone(Event):
    """A stage ended well."""

    stage: str
    """Name of the stage."""
    summary: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Counts and places; plain data."""
    skipped: bool = False
    """True when an earlier call had already done it."""


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something that the user should know and that does not stop the work."""

    message: str
    """What, where and what to do."""
    frame: int | None = None
    """Number of the frame it concerns, from 0."""


@dataclass(frozen=True, kw_only=True)
class Saved(Event):
    """A file or folder was completed on disk."""

    path: Path
    """What was written."""
    step: int | None = None
    """Training step, for a checkpoint or preview."""

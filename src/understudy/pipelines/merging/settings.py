"""How footage is rendered: the settings of ``merge``, what hooks on to it, and the check before any work."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from understudy.contracts import Frame
from understudy.errors import ConfigError
from understudy.pipelines.compositing.composite import CompositeSettings
from understudy.pipelines.footage import FootageSettings, require_free_folder
from understudy.provenance.breaks import LabelBreaks
from understudy.provenance.rights import Label
from understudy.provenance.signer import SigningSettings
from understudy.video.encoding import Encoding
from understudy.video.info import VideoInfo
from understudy.video.writer import check_output

STAGE = "merge"
MOST_BATCH = 1024
"""The frames of a batch are held in memory, at 1080p 3 GB of so many."""


@dataclass(frozen=True, kw_only=True)
class MergeSettings:
    """How a swapper's faces are put into footage."""

    footage: FootageSettings = field(default_factory=FootageSettings)
    """How the target is read; as it was for its face set."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch: int = 8
    """Faces that go through the network at a time."""
    composite: CompositeSettings = field(default_factory=CompositeSettings)
    """Colour, mask and blend."""
    encode: Encoding = field(default_factory=Encoding)
    """Codec and quality of a video, kind of pictures of a folder."""
    layers: Path | None = None
    """Folder for what a compositor finishes by hand: every face as EXR with alpha, its place, an ST map."""
    label: Label = "record"
    """The visible label: record, what the consent records owe (without one, AI MODIFIED on every frame);
    a preset's name draws that one besides."""
    breaks: LabelBreaks = field(default_factory=LabelBreaks)
    """After which breaks of a programme labels that stand at the beginning (eu-modified, gb45438) return."""
    master: bool = False
    """A master for further work, without label and mark; everybody in it needs a consent record."""
    source_faces: Path | None = None
    """The face set that the swapper was trained on, if a consent record was attached to it since."""
    sign: SigningSettings = field(default_factory=SigningSettings)
    """With which key the result is signed; none: this installation's own."""
    segment: int = 288
    """Frames of a segment: at most so many are made again after an interruption."""
    workers: int = 1
    """Processes that render segments side by side; the result is the same."""
    cluster: str | None = None
    """Address of the Ray cluster whose machines render, or auto for the one that this machine belongs to;
    none: this machine alone."""

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= MOST_BATCH:
            raise ConfigError(f"batch: wanted 1 to {MOST_BATCH} faces at a time, got {self.batch}")
        if self.segment < 1:
            raise ConfigError(f"segment: wanted 1 frame or more, got {self.segment}")
        if self.workers < 1:
            raise ConfigError(f"workers: wanted 1 or more, got {self.workers}")


def parse_frames(text: str) -> tuple[int, int | None]:
    """``120:180``, ``120:``, ``:180`` or ``120`` as the first frame and the one after the last.

    Raises:
        ConfigError: it is none of these, or no frame is in it.
    """
    match = re.fullmatch(r"(\d*)(:?)(\d*)", text.strip())
    if not match or text.strip() == "" or (not match[2] and match[3]):
        raise ConfigError(f"frames: wanted 120:180, 120:, :180 or 120, got {text!r}")
    start = int(match[1] or 0)
    stop = int(match[3]) if match[3] else None if match[2] else start + 1
    if stop is not None and stop <= start:
        raise ConfigError(f"frames: there is none in {text!r}; the end is excluded")
    return start, stop


@runtime_checkable
class Station(Protocol):
    """What is done to every finished frame before it is written: a label, an invisible mark.

    A frame depends on nothing but itself, its number, the station's settings and frames before it in its
    segment (whose first one begins anew), so that a segment that is made alone is what it is in one go. A
    station that is to work in other processes too (``--workers``) has a class method ``from_key`` that makes
    it again from ``key()``.
    """

    def __call__(self, frame: Frame) -> Frame:
        """The frame that is written instead."""
        ...

    def key(self) -> dict[str, Any]:
        """Plain data that says what it does, without secrets; segments made with another are thrown away."""
        ...


Finish = Callable[[Path], object]
"""Done to a whole result before it gets its final name: a file that is signed in place."""


def check_merge(target: Path, output: Path, info: VideoInfo, settings: MergeSettings) -> list[str]:
    """Refuses what cannot end well, before any work; gives what will be lost, a sentence each.

    Raises:
        OutputError: the output cannot be written, cannot hold the target's sound, or is a folder of other
            things than pictures.
        ConfigError: output and target are one file.
    """
    if output.resolve() == target.resolve():
        raise ConfigError(f"output {output} is the target itself; choose another name")
    require_free_folder(output)
    sound = info.path if info.has_tracks else None
    return check_output(output, info, settings.encode, sound_from=sound)

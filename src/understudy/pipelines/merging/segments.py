"""The journal of a render: its finished segments lie beside the output until the last one is there.

    .result.mp4.parts/key.json      what the segments were made from; others are thrown away
    .result.mp4.parts/parts.jsonl   append-only: a line a finished segment
    .result.mp4.parts/000000.mp4    the segments, each a whole file; for pictures, a folder

Segments are numbered from the first frame of the render and hold ``MergeSettings.segment`` frames each, the
last one what is left. They can be finished in any order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy import config, durable
from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.pipelines.merging.plan import MergePlan
from understudy.pipelines.merging.settings import MergeSettings, Station
from understudy.provenance.labels import file_hash, fingerprint
from understudy.training.rundir import weights_file
from understudy.video.writer import is_folder

NOT_IN_KEY = ("device", "workers", "cluster", "sign", "source_faces")
"""Settings that change how long it takes and not what comes out."""


@dataclass(frozen=True, kw_only=True)
class SegmentReport:
    """What is known about a finished segment; plain data."""

    number: int
    """Which one, from 0."""
    first: int
    """Number of its first frame."""
    frames: int
    """How many it has; 0 where the footage ended before it."""
    more: bool
    """Whether the footage goes on after it."""
    part: str = ""
    """Name of its file or folder."""
    faces: Mapping[str, int] = field(default_factory=dict[str, int])
    """Frames by their number of faces."""
    without: tuple[tuple[int, int], ...] = ()
    """Frames without a face: the first, and the one after the last, of each stretch."""
    flicker: tuple[tuple[float, float, float], ...] = ()
    """Sampled pairs of frames, see ``metrics.flicker.PairFlicker``: swapped, target, brightness."""
    files: tuple[str, ...] = ()
    """Names of its pictures."""
    remarks: tuple[str, ...] = ()
    """What was lost or unusual, a sentence each."""
    damage: tuple[str, int] | None = None
    """What is wrong with the footage and at which frame, where that ended it."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SegmentReport:
        """A line of the journal. Raises ``TypeError``, ``KeyError`` or ``ValueError`` where it is none."""
        plain = dict(data)
        for name in ("without", "flicker"):
            plain[name] = tuple(tuple(item) for item in plain[name])
        for name in ("files", "remarks"):
            plain[name] = tuple(plain[name])
        plain["damage"] = tuple(plain["damage"]) if plain["damage"] else None
        return cls(**plain)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self)


class Journal:
    """The finished segments of a render.

    Args:
        output: the result.
        key: what it is made from, see ``render_key``.
    """

    def __init__(self, output: Path, key: Mapping[str, Any]) -> None:
        self.output = output
        self.folder = parts_folder(output)
        self.done: dict[int, SegmentReport] = {}
        self._end: int | None = None
        self._open(key)

    def _open(self, key: Mapping[str, Any]) -> None:
        about = self.folder / "key.json"
        with durable.explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if _read_key(about) != key:
                about.unlink(missing_ok=True)  # first: what is left now belongs to nothing
                _clear(self.folder)
        if not about.is_file():
            durable.write_text(about, json.dumps(key, indent=1))
            return
        durable.sweep(self.folder)
        table = self.folder / "parts.jsonl"
        for line in table.read_text("utf-8").splitlines() if table.is_file() else ():
            # a line that a crash tore says nothing: its segment is made again
            with contextlib.suppress(ValueError, TypeError, KeyError):
                report = SegmentReport.from_json(json.loads(line))
                if self._is_whole(report):
                    self.done[report.number] = report
        self._cut()

    def _is_whole(self, report: SegmentReport) -> bool:
        """Whether what the report speaks of is there; pictures may lie in their place already."""
        part = self.folder / report.part
        if report.files:
            return all((part / name).is_file() or (self.output / name).is_file() for name in report.files)
        return part.is_file()

    @property
    def frames(self) -> int:
        """Frames in the finished segments."""
        return sum(report.frames for report in self.done.values())

    @property
    def end(self) -> int | None:
        """Number of segments; None while nobody has seen the end of the footage."""
        ends = [report.number + 1 for report in self.done.values() if not report.more]
        return min([*ends, self._end] if self._end is not None else ends, default=None)

    @property
    def complete(self) -> bool:
        """Whether every segment is there."""
        return self.end is not None and all(number in self.done for number in range(self.end))

    def reports(self) -> list[SegmentReport]:
        """Of the finished segments, in order."""
        return [self.done[number] for number in sorted(self.done)]

    def part(self, number: int) -> Path:
        """The file or folder of a segment."""
        return self.folder / part_name(self.output, number)

    def parts(self) -> list[Path]:
        """The finished segments in order."""
        return [self.folder / report.part for report in self.reports()]

    def add(self, report: SegmentReport) -> None:
        """A segment is finished and its file is there, or turned out to lie behind the footage's end."""
        if not report.frames:
            self._end = min(report.number, self.end or report.number)
        else:
            self.done[report.number] = report
            durable.append_line(self.folder / "parts.jsonl", json.dumps(report.to_json()), flush=True)
        self._cut()

    def _cut(self) -> None:
        """Forget what was made beyond the end: a reader that starts behind damage does not see it."""
        end = self.end
        if end is not None:
            self.done = {number: report for number, report in self.done.items() if number < end}

    def remove(self) -> None:
        """The result is there; the segments are not wanted any more."""
        durable.remove_folder(self.folder)


@contextlib.contextmanager
def open_journal(output: Path, key: Mapping[str, Any]) -> Generator[Journal]:
    """The journal of a render, of which nobody else makes the same at the same time.

    Raises:
        OutputError: somebody does, or it cannot be written.
    """
    folder = parts_folder(output)
    with durable.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with durable.sole_writer(folder):
        yield Journal(output, key)


def _clear(folder: Path) -> None:
    """Remove what lies in a folder, but not its lock."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


def stretches(frames: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Rising numbers as stretches: the first, and the one after the last, of each."""
    out: list[list[int]] = []
    for frame in frames:
        if out and out[-1][1] == frame:
            out[-1][1] = frame + 1
        else:
            out.append([frame, frame + 1])
    return tuple((first, last) for first, last in out)


def frames_by_faces(reports: Iterable[SegmentReport]) -> dict[str, int]:
    """How many frames had how many faces."""
    counts: Counter[int] = Counter()
    for report in reports:
        counts.update({int(number): count for number, count in report.faces.items()})
    return {str(number): count for number, count in sorted(counts.items())}


def group_of(segment: int, longest: int) -> int:
    """Frames after which a station may begin anew, so that every segment holds whole groups.

    Args:
        segment: frames of a segment.
        longest: frames of a group where that goes evenly into a segment, or a little fewer do.
    """
    parts = -(-segment // longest)
    return segment // parts if segment % parts == 0 else segment


def parts_folder(output: Path) -> Path:
    """Where the segments of an unfinished result lie."""
    return output.with_name(f".{output.name}.parts")


def part_name(output: Path, number: int) -> str:
    """Name of a segment's file, or of its folder where the result is one."""
    return f"{number:06d}{'' if is_folder(output) else output.suffix}"


def render_key(
    swapper: Path,
    target: Path,
    settings: MergeSettings,
    faces: FaceSet,
    records: Sequence[FaceRecord],
    stations: Sequence[Station] = (),
    plan: MergePlan | None = None,
    frames: tuple[int, int | None] = (0, None),
) -> dict[str, Any]:
    """What the segments of a render are made from; those made from anything else are thrown away."""
    plain = {key: value for key, value in config.dump(settings).items() if key not in NOT_IN_KEY}
    chosen = hashlib.sha256(
        json.dumps([(record.frame, record.data["mesh"]) for record in records]).encode()
    ).hexdigest()
    masks = [faces.mask_path(record) for record in records]
    stamps = [(path.name, path.stat().st_mtime_ns) for path in masks if path.is_file()]
    return {
        "run": swapper.resolve().parent.name,
        "swapper": file_hash(weights_file(swapper)),
        "target": fingerprint((target,)),
        "settings": plain,
        "faces": chosen,
        "crops": faces.digest(),  # what completes a face that the frame's edge cuts
        "masks": hashlib.sha256(json.dumps(stamps).encode()).hexdigest(),
        "stations": [station.key() for station in stations],
        "plan": plan.data if plan else None,
        "cast": [file_hash(weights_file(entry.swapper)) for entry in plan.cast] if plan else [],
        "frames": list(frames),
    }


def _read_key(file: Path) -> object:
    """What a folder of segments was made from; None when it does not say."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None

"""Merging: a swapper's faces into the target's footage, frame by frame, written once, resumable.

Decode, compute and encode are three stations. Video is written in parts that lie beside the output until
the last one is there; then they are joined with the target's sound without encoding anything again. A call
that was interrupted goes on after the last whole part.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from understudy import config, durable
from understudy.contracts import Frame
from understudy.errors import ConfigError, FaceSetError, NoFaceError
from understudy.events import Event, Progress, StageDone, StageStarted, Warned
from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.image.warp import crop_frame
from understudy.pipelines.composite import CompositeSettings, FaceJob, composite
from understudy.pipelines.footage import open_footage
from understudy.pipelines.masks import StoredMask
from understudy.pipelines.setup import make_context, one_thread
from understudy.pipelines.swapper import Swapper
from understudy.provenance.labels import container_tags, file_hash, fingerprint, write_sidecar
from understudy.stream import read_ahead
from understudy.video.encoding import Encoding
from understudy.video.info import VideoInfo
from understudy.video.join import join_parts
from understudy.video.reader import VideoReader
from understudy.video.stills import StillsReader, StillsWriter
from understudy.video.writer import VideoWriter, check_output, is_folder

STAGE = "merge"
PART_FRAMES = 300
"""Frames of a part: at most so many are made again after an interruption."""


@dataclass(frozen=True, kw_only=True)
class MergeSettings:
    """How a swapper's faces are put into footage."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch: int = 8
    """Faces that go through the network at a time."""
    composite: CompositeSettings = field(default_factory=CompositeSettings)
    """Colour, mask and blend."""
    encode: Encoding = field(default_factory=Encoding)
    """Codec and quality of a video."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ConfigError(f"batch: wanted 1 or more, got {self.batch}")


def check_merge(target: Path, output: Path, info: VideoInfo, settings: MergeSettings) -> list[str]:
    """Refuses what cannot end well, before any work; gives what will be lost, a sentence each.

    Raises:
        OutputError: the output cannot be written, or cannot hold the target's sound.
        ConfigError: output and target are one file.
    """
    if output.resolve() == target.resolve():
        raise ConfigError(f"output {output} is the target itself; choose another name")
    sound = info.path if info.sound else None
    return check_output(output, info, settings.encode, sound_from=sound)


def merge(
    swapper_folder: Path,
    target: Path,
    faces: FaceSet,
    output: Path,
    settings: MergeSettings,
    *,
    persons: tuple[int, ...] | None = None,
    facts: dict[str, Any] | None = None,
) -> Iterator[Event]:
    """Writes the swapped video.

    Args:
        swapper_folder: ``swapper`` of a run, or its weight file.
        target: the footage: a video or a folder of images.
        faces: its face set.
        output: a video file, or a folder for images.
        settings: colour, mask, blend, codec.
        persons: groups of the face set that are swapped; None for its main person.
        facts: further plain data for the sidecar.

    Raises:
        NoFaceError: the face set has no face of this footage.
        OutputError: the output cannot be written.
    """
    one_thread()
    durable.sweep(output.resolve().parent)  # what calls left there that were killed
    reader = open_footage(target)
    for remark in check_merge(target, output, reader.info, settings):
        yield Warned(message=remark)
    swapper = Swapper.load(swapper_folder, make_context(settings.device))
    chosen = faces.choose(persons) if persons is not None else faces
    _check_faces(chosen, target)
    records = chosen.for_merging(target.name)
    if not records:
        raise NoFaceError(
            f"{faces.path} has no face of {target.name} to swap; extract it: understudy extract --input "
            f"{target} -o {faces.path}"
        )
    job = _Job(swapper, chosen, records, settings)
    yield StageStarted(stage=STAGE, detail=f"{target.name} to {output.name}", total=reader.info.frames)
    with reader:
        if is_folder(output):
            yield from _to_images(reader, job, output)
        else:
            every = [record for found in records.values() for record in found]
            key = _key(swapper_folder, target, settings, chosen, every)
            yield from _to_video(reader, job, output, key, settings)
        if reader.damage is not None:
            yield reader.damage
    summary = job.summary()
    about = {**summary, **_facts(swapper, swapper_folder, target, settings), **(facts or {})}
    sidecar = write_sidecar(output, about)
    yield StageDone(stage=STAGE, summary={**summary, "output": str(output), "sidecar": str(sidecar)})


def _check_faces(faces: FaceSet, target: Path) -> None:
    """Refuses a face set that is of another file of this name, or of a part of it only.

    Raises:
        FaceSetError: it is.
        NoFaceError: the person who was asked for is not in it.
    """
    known = faces.sources.get(target.name)
    if known and known["fingerprint"] != fingerprint((target,)):
        raise FaceSetError(
            f"{faces.path} was made from another file named {target.name}; extract this one into a new folder"
        )
    if known and not known["complete"]:
        raise FaceSetError(
            f"{faces.path}: {target.name} was read to frame {known['frames']} only; "
            f"call understudy extract --input {target} -o {faces.path} again"
        )
    if missing := set(faces.chosen) - set(faces.persons()):
        raise NoFaceError(f"{faces.path} has the persons {sorted(faces.persons())}, not {sorted(missing)}")


def _facts(swapper: Swapper, folder: Path, target: Path, settings: MergeSettings) -> dict[str, Any]:
    """What the sidecar says of how the output was made."""
    return {
        "target": {"name": target.name, "fingerprint": fingerprint((target,))},
        "swapper": {
            "run": folder.resolve().parent.name,
            "step": swapper.step,
            "sha256": file_hash(weights_file(folder)),
        },
        "settings": config.dump(settings),
    }


class _Job:
    """Swaps the faces of frames, several frames at a time, and counts."""

    def __init__(
        self, swapper: Swapper, faces: FaceSet, by_frame: dict[int, list[FaceRecord]], settings: MergeSettings
    ) -> None:
        self.swapper, self.faces, self.by_frame, self.settings = swapper, faces, by_frame, settings
        self.counts: Counter[int] = Counter()

    def batches(self, frames: Iterator[Frame]) -> Iterator[list[Frame]]:
        """Groups of frames that together have about a batch of faces, and no group of many frames."""
        group: list[Frame] = []
        faces = 0
        for frame in frames:
            group.append(frame)
            faces += len(self.by_frame.get(frame.index, ()))
            if faces >= self.settings.batch or len(group) >= 2 * self.settings.batch:
                yield group
                group, faces = [], 0
        if group:
            yield group

    def swap(self, frames: list[Frame]) -> list[Frame]:
        """The same frames with swapped faces."""
        jobs: list[FaceJob] = []
        crops: list[np.ndarray] = []
        for place, frame in enumerate(frames):
            found = self.by_frame.get(frame.index, [])
            self.counts[len(found)] += 1
            for record in found:
                face = record.face
                aligned = dataclasses.replace(face, alignment=self.swapper.alignment(face.points))
                jobs.append(FaceJob(frame=place, face=aligned, mask=self._mask(record)))
                crops.append(
                    crop_frame(frame, self.swapper.crop_matrix(face.points), self.swapper.resolution)
                )
        if not jobs:
            return frames
        swapped, masks = self.swapper(torch.from_numpy(np.stack(crops)))
        coverage = self.swapper.settings.coverage
        return composite(frames, jobs, swapped, masks, self.settings.composite, coverage)

    def _mask(self, record: FaceRecord) -> StoredMask | None:
        """What the face set says of where a face is."""
        if self.settings.composite.mask.stored == "ignore":
            return None
        pixels = self.faces.read_mask(record)
        return None if pixels is None else StoredMask(np.ascontiguousarray(pixels), record.alignment)

    def summary(self) -> dict[str, Any]:
        """How many frames had how many faces."""
        return {
            "frames": sum(self.counts.values()),
            "frames_without_a_face": self.counts[0],
            "frames_by_number_of_faces": {
                str(number): count for number, count in sorted(self.counts.items())
            },
        }


def _to_images(reader: StillsReader | VideoReader, job: _Job, output: Path) -> Iterator[Event]:
    clock = _Clock(reader.info.frames)
    frames = read_ahead(reader.frames(), 8)
    with contextlib.closing(frames), StillsWriter(output) as writer:
        for group in job.batches(frames):
            for frame in job.swap(group):
                writer.write(frame)
                yield from clock.tick()
    yield from writer.warnings


def _to_video(
    reader: StillsReader | VideoReader, job: _Job, output: Path, key: dict[str, Any], settings: MergeSettings
) -> Iterator[Event]:
    folder = parts_folder(output)
    parts, counts = _open_parts(folder, key)
    job.counts.update(counts)
    start = sum(counts.values())
    clock = _Clock(reader.info.frames, start)
    if start:
        yield Warned(message=f"going on at frame {start}: {len(parts)} parts of an earlier call are whole")
    frames = read_ahead(reader.frames(start), 16)
    with contextlib.closing(frames):
        while True:
            before = Counter(job.counts)
            part = folder / f"{len(parts):06d}{output.suffix}"
            swapped = _swapped(job, itertools.islice(frames, PART_FRAMES))
            first = next(swapped, None)
            if first is None:
                break
            with VideoWriter(part, like=reader.info, encoding=settings.encode) as writer:
                for frame in itertools.chain((first,), swapped):
                    writer.write(frame)
                    yield from clock.tick()
            yield from (writer.warnings if not parts else ())
            parts.append(part)
            line = {"part": part.name, "counts": _difference(job.counts, before)}
            durable.append_line(folder / "parts.jsonl", json.dumps(line), flush=True)
    tags = container_tags(key["run"])
    sound = reader.info.path if reader.info.sound else None
    join_parts(parts, output, like=reader.info, sound_from=sound, metadata=tags)
    durable.remove_folder(folder)


def parts_folder(output: Path) -> Path:
    """Where the parts of an unfinished video lie."""
    return output.with_name(f".{output.name}.parts")


def _swapped(job: _Job, frames: Iterator[Frame]) -> Iterator[Frame]:
    for group in job.batches(frames):
        yield from job.swap(group)


def _difference(after: Counter[int], before: Counter[int]) -> dict[str, int]:
    return {str(number): count - before[number] for number, count in after.items() if count > before[number]}


def _open_parts(folder: Path, key: dict[str, Any]) -> tuple[list[Path], Counter[int]]:
    """The whole parts of an earlier call that was made from the same things, with their counts of faces."""
    about = folder / "key.json"
    if _read_key(about) != key:
        if folder.exists():
            durable.remove_folder(folder)
        with durable.explained(folder):
            folder.mkdir(parents=True)
        durable.write_text(about, json.dumps(key, indent=1))
        return [], Counter()
    durable.sweep(folder)
    parts: list[Path] = []
    counts: Counter[int] = Counter()
    table = folder / "parts.jsonl"
    for line in table.read_text("utf-8").splitlines() if table.is_file() else ():
        with contextlib.suppress(ValueError):  # a line that a crash tore: its part is made again
            record = json.loads(line)
            if not (folder / record["part"]).is_file():
                break
            parts.append(folder / record["part"])
            counts.update({int(number): count for number, count in record["counts"].items()})
    return parts, counts


def _read_key(file: Path) -> object:
    """What a folder of parts was made from; None when it does not say."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _key(
    swapper: Path, target: Path, settings: MergeSettings, faces: FaceSet, records: list[FaceRecord]
) -> dict[str, Any]:
    """What the parts of a video are made from; parts made from anything else are thrown away."""
    plain = config.dump(settings)
    plain.pop("device")
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
        "masks": hashlib.sha256(json.dumps(stamps).encode()).hexdigest(),
    }


def weights_file(swapper: Path) -> Path:
    """The weight file of a swapper folder, or the file itself."""
    return swapper / "weights.safetensors" if swapper.is_dir() else swapper


class _Clock:
    """Progress of the merge, a few times a second."""

    def __init__(self, total: int, done: int = 0) -> None:
        self.total, self.done, self.first = total, done, done
        self.started = self.shown = time.monotonic()

    def tick(self) -> Iterator[Progress]:
        """One frame more."""
        self.done += 1
        now = time.monotonic()
        if now - self.shown >= 0.25:
            self.shown = now
            rate = (self.done - self.first) / (now - self.started)
            left = (self.total - self.done) / rate
            yield Progress(
                stage=STAGE,
                done=self.done,
                total=self.total,
                seconds_left=max(0.0, left),
                values={"fps": rate},
            )

"""Merging: a swapper's faces into the target's footage, frame by frame, written once, resumable.

Decode, compute and encode are three stations. Video is written in segments that lie beside the output until
the last one is there; then they are joined with the target's sound without encoding anything again. A call
that was interrupted goes on after the last whole segment.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from understudy import config, durable
from understudy.errors import FaceSetError, NoFaceError
from understudy.events import Event, Progress, StageDone, StageStarted, Warned
from understudy.faces.faceset import FaceSet
from understudy.pipelines.footage import open_footage
from understudy.pipelines.merge_faces import FaceMerge
from understudy.pipelines.merge_segments import (
    PART_FRAMES,
    Journal,
    parts_folder,
    render_key,
    weights_file,
)
from understudy.pipelines.merge_settings import STAGE, Finish, MergeSettings, Station, check_merge
from understudy.pipelines.setup import make_context, one_thread
from understudy.pipelines.swapper import Swapper
from understudy.provenance.labels import container_tags, file_hash, fingerprint, write_sidecar
from understudy.stream import read_ahead
from understudy.video.join import join_parts
from understudy.video.reader import VideoReader
from understudy.video.stills import StillsReader, StillsWriter
from understudy.video.writer import VideoWriter, is_folder

__all__ = ["STAGE", "MergeSettings", "check_merge", "merge", "parts_folder", "weights_file"]


def merge(
    swapper_folder: Path,
    target: Path,
    faces: FaceSet,
    output: Path,
    settings: MergeSettings,
    *,
    persons: tuple[int, ...] | None = None,
    facts: dict[str, Any] | None = None,
    stations: Sequence[Station] = (),
    finish: Sequence[Finish] = (),
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
        stations: what is done to every finished frame before it is written, in this order.
        finish: what is done to the whole video before it gets its final name, in this order.

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
    job = FaceMerge(swapper, chosen, records, settings, stations)
    yield StageStarted(stage=STAGE, detail=f"{target.name} to {output.name}", total=reader.info.frames)
    with reader:
        if is_folder(output):
            yield from _to_images(reader, job, output)
        else:
            every = [record for found in records.values() for record in found]
            key = render_key(swapper_folder, target, settings, chosen, every, stations)
            yield from _to_video(reader, job, output, key, finish)
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


def _to_images(reader: StillsReader | VideoReader, job: FaceMerge, output: Path) -> Iterator[Event]:
    clock = _Clock(reader.info.frames)
    frames = read_ahead(reader.frames(), 8)
    with contextlib.closing(frames), StillsWriter(output) as writer:
        for frame in job.frames(frames):
            writer.write(frame)
            yield from clock.tick()
    yield from writer.warnings


def _to_video(
    reader: StillsReader | VideoReader,
    job: FaceMerge,
    output: Path,
    key: dict[str, Any],
    finish: Sequence[Finish],
) -> Iterator[Event]:
    journal = Journal(output, key)
    job.counts.update(journal.counts)
    start = journal.frames
    clock = _Clock(reader.info.frames, start)
    if start:
        yield Warned(
            message=f"going on at frame {start}: {len(journal.parts)} parts of an earlier call are whole"
        )
    frames = read_ahead(reader.frames(start), 16)
    with contextlib.closing(frames):
        while True:
            before = Counter(job.counts)
            part = journal.next_part()
            swapped = job.frames(itertools.islice(frames, PART_FRAMES))
            first = next(swapped, None)
            if first is None:
                break
            with VideoWriter(part, like=reader.info, encoding=job.settings.encode) as writer:
                for frame in itertools.chain((first,), swapped):
                    writer.write(frame)
                    yield from clock.tick()
            yield from (writer.warnings if not journal.parts else ())
            journal.add(part, job.counts - before)
    tags = container_tags(key["run"])
    sound = reader.info.path if reader.info.sound else None
    join_parts(journal.parts, output, like=reader.info, sound_from=sound, metadata=tags, finish=finish)
    journal.remove()


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

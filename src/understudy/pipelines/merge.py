"""Merging: a swapper's faces into the target's footage, frame by frame, written once, resumable.

Decode, compute and encode are three stations. The result is rendered in segments that lie beside the output
until the last one is there; then they are joined with the target's sound without encoding anything again. A
call that was interrupted goes on after the last whole segment.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from understudy import config, durable
from understudy.errors import FaceSetError, NoFaceError
from understudy.events import Event, StageDone, StageStarted, Warned
from understudy.faces.faceset import FaceSet
from understudy.pipelines.footage import open_footage
from understudy.pipelines.merge_render import Renderer, RenderOrder, person_segmenter, publish
from understudy.pipelines.merge_report import Clock, summary_of
from understudy.pipelines.merge_segments import (
    Journal,
    SegmentReport,
    parts_folder,
    render_key,
    weights_file,
)
from understudy.pipelines.merge_settings import STAGE, Finish, MergeSettings, Station, check_merge
from understudy.pipelines.merge_workers import render_in_processes
from understudy.pipelines.setup import fetch_weights, one_thread
from understudy.pipelines.swapper import Swapper
from understudy.provenance.labels import container_tags, file_hash, fingerprint, write_sidecar
from understudy.video.info import VideoInfo
from understudy.video.join import join_parts
from understudy.video.writer import is_folder

__all__ = ["STAGE", "MergeSettings", "Station", "check_merge", "merge", "parts_folder", "weights_file"]


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
    with open_footage(target) as reader:
        info = reader.info
    for remark in check_merge(target, output, info, settings):
        yield Warned(message=remark)
    chosen = faces.choose(persons) if persons is not None else faces
    _check_faces(chosen, target)
    order = RenderOrder(
        swapper=swapper_folder,
        target=target,
        faces=faces.path,
        persons=chosen.chosen,
        output=output,
        settings=settings,
        stations=tuple(stations),
    )
    if (segmenter := person_segmenter(order)) is not None:
        yield from fetch_weights([segmenter])
    renderer = Renderer(order)
    if not renderer.records:
        raise NoFaceError(
            f"{faces.path} has no face of {target.name} to swap; extract it: understudy extract --input "
            f"{target} -o {faces.path}"
        )
    yield StageStarted(stage=STAGE, detail=f"{target.name} to {output.name}", total=info.frames)
    with renderer.reader:
        key = render_key(swapper_folder, target, settings, chosen, renderer.records, stations)
        journal = Journal(output, key)
        for event in _render(order, renderer, journal, info):
            yield event
            if is_folder(output):
                _publish(journal, finish)
        if is_folder(output):
            _publish(journal, finish)
        else:
            tags, sound = container_tags(key["run"]), info.path if info.sound else None
            join_parts(journal.parts(), output, like=info, sound_from=sound, metadata=tags, finish=finish)
    summary = summary_of(journal.reports())
    journal.remove()
    about = {**summary, **_facts(renderer.swapper, swapper_folder, target, settings), **(facts or {})}
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


def _render(order: RenderOrder, renderer: Renderer, journal: Journal, info: VideoInfo) -> Iterator[Event]:
    """Renders what the journal lacks."""
    if start := journal.frames:
        count = len(journal.done)
        yield Warned(message=f"going on at frame {start}: {count} parts of an earlier call are whole")
    told = set(journal.done)
    clock = Clock(info.frames, start)
    several = order.settings.workers > 1
    steps = render_in_processes(order, journal, info.frames) if several else _render_here(renderer, journal)
    for step in steps:
        yield from clock.tick(step)
        for report in journal.reports():
            if report.number not in told:
                told.add(report.number)
                yield from _remarks(report)


def _render_here(renderer: Renderer, journal: Journal) -> Generator[int]:
    """Renders what the journal lacks in this process; gives a 1 for every frame."""
    while not journal.complete:
        number = next(n for n in range(len(journal.done) + 1) if n not in journal.done)
        end = min((other for other in journal.done if other > number), default=None)
        for item in renderer.segments(number, end):
            if isinstance(item, SegmentReport):
                journal.add(item)
            yield item if isinstance(item, int) else 0


def _publish(journal: Journal, finish: Sequence[Finish]) -> None:
    """Pictures get their place as soon as everything before them has."""
    for number in itertools.count():
        if number not in journal.done:
            return
        publish(journal.part(number), journal.output, finish)


def _remarks(report: SegmentReport) -> Iterator[Event]:
    """What is to be said about a segment."""
    if report.number == 0:
        yield from (Warned(message=remark) for remark in report.remarks)
    if report.damage is not None:
        yield Warned(message=report.damage[0], frame=report.damage[1])

"""Merging: a swapper's faces into the target's footage, frame by frame, written once, resumable.

Decode, compute and encode are three stations. The result is rendered in segments that lie beside the output
until the last one is there; then they are joined with the target's sound without encoding anything again. A
call that was interrupted goes on after the last whole segment.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from understudy import durable
from understudy.errors import ConfigError, FaceSetError, NoFaceError
from understudy.events import Event, StageDone, StageStarted, Warned
from understudy.faces.faceset import FaceSet
from understudy.pipelines.footage import open_footage
from understudy.pipelines.merging.cluster import render_on_cluster
from understudy.pipelines.merging.plan import MergePlan
from understudy.pipelines.merging.preview import Trial, preview, try_settings
from understudy.pipelines.merging.render import Renderer, RenderOrder, Step, publish, settings_of
from understudy.pipelines.merging.report import Clock, remarks_on, summary_of
from understudy.pipelines.merging.rights import MergeRights, public, remark_on_pictures
from understudy.pipelines.merging.segments import (
    Journal,
    SegmentReport,
    open_journal,
    parts_folder,
    render_key,
)
from understudy.pipelines.merging.settings import STAGE, Finish, MergeSettings, Station, check_merge
from understudy.pipelines.merging.workers import render_in_processes
from understudy.pipelines.setup import fetch_weights, one_thread
from understudy.provenance.labels import container_tags, file_hash, fingerprint, write_sidecar
from understudy.segmenters import SEGMENTERS
from understudy.training.rundir import require_weights, weights_file
from understudy.video.info import VideoInfo
from understudy.video.join import join_parts
from understudy.video.writer import is_folder

__all__ = [
    "STAGE",
    "MergeSettings",
    "Station",
    "check_merge",
    "look",
    "merge",
    "parts_folder",
]


def merge(
    swapper_folder: Path,
    target: Path,
    faces: FaceSet,
    output: Path,
    settings: MergeSettings,
    *,
    persons: tuple[int, ...] | None = None,
    plan: MergePlan | None = None,
    frames: tuple[int, int | None] = (0, None),
    facts: dict[str, Any] | None = None,
    stations: Sequence[Station] = (),
    finish: Sequence[Finish] = (),
) -> Iterator[Event]:
    """Writes the swapped video.

    Args:
        swapper_folder: a run, ``swapper`` in it, or its weight file.
        target: the footage: a video or a folder of images.
        faces: its face set.
        output: a video file, or a folder for images.
        settings: colour, mask, blend, codec.
        persons: groups of the face set that are swapped; None for its main person. Those of the plan's cast
            come on top.
        plan: settings that change over time and from face to face, and other swappers.
        frames: the first one, and the one after the last (None: the end); a part has no sound.
        facts: further plain data for the sidecar.
        stations: what is done to every finished frame before it is written, in this order.
        finish: what is done to the whole video before it gets its final name, in this order.

    Raises:
        NoFaceError: the face set has no face of this footage.
        ConsentError: a consent record forbids it.
        OutputError: the output cannot be written or signed.
    """
    one_thread()
    swapper_folder = _swapper(swapper_folder)
    durable.sweep(output.resolve().parent)  # what calls left there that were killed
    info = yield from _checked_footage(target, output, settings, frames)
    chosen = _checked(faces.choose(_persons(faces, persons, plan)), target)
    weights, cast = require_weights(swapper_folder), _cast(chosen, target, plan)
    rights = MergeRights(weights, target, chosen, output, info, settings, frames[0], cast)
    yield from rights.begin()
    order = RenderOrder(
        swapper=swapper_folder,
        target=target,
        faces=faces.path,
        persons=chosen.chosen,
        output=output,
        settings=settings,
        stations=(*rights.stations, *stations),
        plan=plan,
        start=frames[0],
        stop=frames[1],
    )
    yield from _fetch(order)
    renderer = Renderer(order)
    _check_records(renderer)
    key = render_key(swapper_folder, target, settings, chosen, renderer.records, order.stations, plan, frames)
    yield from _carry_out(renderer, rights, info, key, (*finish, rights.finish), facts or {})


def _checked_footage(
    target: Path, output: Path, settings: MergeSettings, frames: tuple[int, int | None]
) -> Generator[Event, None, VideoInfo]:
    """What the footage is, as far as it is rendered; says what will be lost."""
    with open_footage(target, settings.footage) as reader:
        info = reader.info
    for remark in check_merge(target, output, info, settings):
        yield Warned(message=remark)
    if frames == (0, None):
        return info
    yield from _check_frames(frames, info)
    return dataclasses.replace(info, sound=(), subtitles=0, timecode="")


def _fetch(order: RenderOrder) -> Iterator[Event]:
    """Fetches the networks that the settings ask for."""
    if settings_of(order).persons:
        yield from fetch_weights([SEGMENTERS["person"]()])


def _check_records(renderer: Renderer) -> None:
    """Refuses a face set without a face to swap. Raises ``NoFaceError``."""
    if not renderer.records:
        faces, target = renderer.order.faces, renderer.order.target
        raise NoFaceError(
            f"{faces} has no face of {target.name} to swap; extract it: understudy extract --input "
            f"{target} -o {faces}"
        )


def _carry_out(
    renderer: Renderer,
    rights: MergeRights,
    info: VideoInfo,
    key: dict[str, Any],
    finish: Sequence[Finish],
    facts: dict[str, Any],
) -> Iterator[Event]:
    """Renders, joins, signs and describes what was ordered."""
    order = renderer.order
    target, output = order.target, order.output
    yield StageStarted(stage=STAGE, detail=f"{target.name} to {output.name}", total=_total(order, info))
    with renderer.reader, open_journal(output, key) as journal:
        for event in _render(order, renderer, journal, info):
            yield event
            if is_folder(output):
                _publish(journal, finish)
        rights.rendered(journal.reports())
        if is_folder(output):
            _publish(journal, finish)
            rights.finish_folder()
        else:
            _join(
                journal, info, container_tags(key["run"]), finish, part=(order.start, order.stop) != (0, None)
            )
        reports = journal.reports()
        journal.remove()
    summary = summary_of(reports)
    yield from rights.end()
    yield from remarks_on(reports)
    about = {**summary, **_facts(renderer, target, order.settings), **rights.facts(), **facts}
    sidecar = write_sidecar(output, about)
    yield StageDone(stage=STAGE, summary={**summary, "output": str(output), "sidecar": str(sidecar)})


def look(
    swapper_folder: Path,
    target: Path,
    faces: FaceSet,
    output: Path,
    settings: MergeSettings,
    *,
    persons: tuple[int, ...] | None = None,
    plan: MergePlan | None = None,
    frames: tuple[int, int | None] = (0, None),
    trials: Sequence[Trial] = (),
) -> Iterator[Event]:
    """Writes pictures to look at, beside where the result would be; see ``merge`` for the arguments.

    ``trials`` are settings to compare; without any it is a contact sheet, and a strip of before and after.

    Raises:
        ConsentError: the record of the swapper's source was withdrawn, has ended, or was altered.
    """
    one_thread()
    swapper_folder = _swapper(swapper_folder)
    remark = remark_on_pictures(require_weights(swapper_folder), settings.source_faces)
    chosen = _checked(faces.choose(_persons(faces, persons, plan)), target)
    order = RenderOrder(
        swapper=swapper_folder,
        target=target,
        faces=faces.path,
        persons=chosen.chosen,
        output=output,
        settings=settings,
        plan=plan,
        start=frames[0],
        stop=frames[1],
    )
    yield from _fetch(order)
    yield from try_settings(order, trials) if trials else preview(order)
    if remark:
        yield Warned(message=remark)


def _swapper(place: Path) -> Path:
    """The swapper of a run, where the run itself was named."""
    return place / "swapper" if (place / "swapper").is_dir() else place


def _checked(faces: FaceSet, target: Path) -> FaceSet:
    """The face set, unless it is of another file of this name, or of a part of it only.

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
    return faces


def _facts(renderer: Renderer, target: Path, settings: MergeSettings) -> dict[str, Any]:
    """What the sidecar says of how the output was made."""
    order = renderer.order
    made_by = [
        {
            "run": place.resolve().parent.name,
            "step": swapper.step,
            "sha256": file_hash(weights_file(place)),
        }
        for place, swapper in renderer.swappers
    ]
    out: dict[str, Any] = {
        "target": {"name": target.name, "fingerprint": fingerprint((target,))},
        "swapper": made_by[0],
        "settings": public(settings),
    }
    if order.plan:
        out["plan"] = {key: value for key, value in order.plan.data.items() if key != "cast"}
        out["cast"] = made_by[1:]
    if order.start or order.stop is not None:
        out["part"] = [order.start, order.stop]
    return out


def _persons(faces: FaceSet, persons: tuple[int, ...] | None, plan: MergePlan | None) -> tuple[int, ...]:
    """Who is swapped: those asked for, and those who have a swapper of their own."""
    chosen = dict.fromkeys(faces.chosen if persons is None else persons)
    for entry in plan.cast if plan else ():
        if entry.person is not None:
            chosen[entry.person] = None
        else:
            chosen |= dict.fromkeys(record.person for record in faces.records if entry.fits(record))
    return tuple(chosen)


def _cast(faces: FaceSet, target: Path, plan: MergePlan | None) -> list[Path]:
    """Weights of the plan's further swappers that have a face to put in."""
    if plan is None or not plan.cast:
        return []
    records = (record for found in faces.for_merging(target.name).values() for record in found)
    places = dict.fromkeys(map(plan.swapper_of, records))
    return [require_weights(place) for place in places if place is not None]


def _check_frames(frames: tuple[int, int | None], info: VideoInfo) -> Iterator[Event]:
    """Says what a part lacks.

    Raises:
        ConfigError: the footage ends before it.
    """
    if info.frames_exact and frames[0] >= info.frames:
        raise ConfigError(f"frames: {frames[0]} was wanted and the footage has {info.frames}, from 0")
    if info.has_tracks:
        yield Warned(message="a part of the footage is rendered without its sound and subtitles")


def _total(order: RenderOrder, info: VideoInfo) -> int:
    """How many frames there are to do, as the footage's index says."""
    stop = info.frames if order.stop is None else min(order.stop, info.frames)
    return max(1, stop - order.start)


def _render(order: RenderOrder, renderer: Renderer, journal: Journal, info: VideoInfo) -> Iterator[Event]:
    """Renders what the journal lacks."""
    if start := journal.frames:
        count = len(journal.done)
        yield Warned(message=f"going on at frame {start}: {count} parts of an earlier call are whole")
    told = set(journal.done)
    clock = Clock(_total(order, info), start)
    if order.settings.cluster is not None:
        steps = render_on_cluster(order, journal, clock.total)
    elif order.settings.workers > 1:
        steps = render_in_processes(order, journal, clock.total)
    else:
        steps = _render_here(renderer, journal)
    for frames, faces in steps:
        yield from clock.tick(frames, faces)
        if journal.done.keys() <= told:
            continue
        for report in journal.reports():
            if report.number not in told:
                told.add(report.number)
                yield from _remarks(report)


def _render_here(renderer: Renderer, journal: Journal) -> Generator[Step]:
    """Renders what the journal lacks in this process; gives a step for every frame."""
    while not journal.complete:
        number = next(n for n in range(len(journal.done) + 1) if n not in journal.done)
        end = min((other for other in journal.done if other > number), default=None)
        for item in renderer.segments(number, end):
            if isinstance(item, SegmentReport):
                journal.add(item)
            yield item if isinstance(item, tuple) else (0, 0)


def _join(
    journal: Journal, info: VideoInfo, tags: dict[str, str], finish: Sequence[Finish], *, part: bool
) -> None:
    """The segments as one file, with the footage's sound."""
    join_parts(
        journal.parts(),
        journal.output,
        like=info,
        sound_from=info.path if info.has_tracks else None,
        metadata=tags,
        finish=finish,
        begin=info.first_pts * info.time_base if part else None,
    )


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

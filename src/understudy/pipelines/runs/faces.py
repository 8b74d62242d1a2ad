"""The faces of a face set as training sees them: divided into learned and held out, framed, loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from understudy import durable
from understudy.errors import CheckpointError
from understudy.events import Event, Progress, StageDone, StageStarted
from understudy.faces.faceset import FaceSet
from understudy.faces.records import FaceRecord
from understudy.image.draw import features_mask, hull_mask
from understudy.image.expression import expression_of_points
from understudy.image.geometry import align, compose, invert
from understudy.image.warp import crop, warp
from understudy.models import ModelSettings
from understudy.stream import read_ahead
from understudy.training.augment import MARGIN, store_side
from understudy.training.batches import SOURCE, TARGET
from understudy.training.held_out import keep_out
from understudy.training.process import cores
from understudy.training.rundir import RunFolder
from understudy.training.store import FaceStore, Framed, available_memory, bytes_of

STAGE = "faces"
"""Stage name of the events."""
CACHE = "cache"
"""Folder in a run's for faces that do not go into memory."""
NAMES = ("source", "target")
"""The persons, in order."""
_READERS = 8
"""Threads that read crops at most."""
_REPORT = 100
"""Faces between two reports."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Division:
    """What becomes of one person's faces."""

    learned: list[FaceRecord]
    """Faces that steps see."""
    measured: list[FaceRecord]
    """Faces that no step sees and that figures are taken on."""


def hold_out(run: RunFolder, faces: Sequence[FaceSet], wanted: int, seed: int) -> Held:
    """Which faces of the source and of the target are not learned from.

    The choice is made once, when a run begins, and kept in ``held_out.json``: a face that was learned from
    is not measured later, whatever a person does to the face sets meanwhile. A run of a version that held
    nothing out goes on so.

    Args:
        run: its folder.
        faces: both face sets.
        wanted: faces of each to measure on.
        seed: of the run.

    Raises:
        CheckpointError: what the run has written is damaged.
    """
    file = run.path / "held_out.json"
    if not file.exists():
        if "held_out" not in run.recipe["train"]:
            wanted = 0
        chosen: Held = {}
        for name, person, one in zip(NAMES, (SOURCE, TARGET), faces, strict=True):
            found = sorted(one.for_training(), key=_when)
            kept, measured = keep_out(len(found), wanted, seed=seed, person=person)
            chosen[name] = {
                "kept": [found[place].crop for place in kept],
                "measured": [found[place].crop for place in measured],
            }
        durable.write_text(file, json.dumps(chosen, indent=1) + "\n")
    try:
        held = json.loads(file.read_text())
        return {name: {word: list(held[name][word]) for word in ("kept", "measured")} for name in NAMES}
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{file}: damaged ({error}); bring it back from a copy, or remove it: it is then chosen again"
        ) from None


Held = dict[str, dict[str, list[str]]]
"""For ``source`` and ``target``: crops that are ``kept`` from learning, and those among them that are
``measured``."""


def divide(faces: Sequence[FaceSet], held: Mapping[str, Mapping[str, Sequence[str]]]) -> list[Division]:
    """The faces of both sets, in order of time, as ``hold_out`` says."""
    out: list[Division] = []
    for name, one in zip(NAMES, faces, strict=True):
        kept, measured = set(held[name]["kept"]), set(held[name]["measured"])
        found = sorted(one.for_training(), key=_when)
        out.append(
            Division(
                learned=[record for record in found if record.crop not in kept],
                measured=[record for record in found if record.crop in measured],
            )
        )
    return out


def _when(record: FaceRecord) -> tuple[str, int, int]:
    return record.source, record.frame, record.data["index"]


def load_stores(
    faces: Sequence[FaceSet],
    records: Sequence[list[FaceRecord]],
    model: ModelSettings,
    resolution: int,
    *,
    cache: Path,
    memory: float,
) -> Generator[Event, None, list[FaceStore]]:
    """Reads the faces of both persons.

    Args:
        faces: both face sets.
        records: which of their faces.
        model: says how much of the head a crop shows.
        resolution: the larger of the model's input and output sides.
        cache: folder for faces that do not go into memory.
        memory: share of the memory that is free which they may take.

    Raises:
        FaceSetError: a crop is damaged.
        OutputError: the folder has no room for them.
    """
    size = sum(bytes_of(len(found), resolution) for found in records)
    in_file = size > memory * available_memory()
    total = sum(map(len, records))
    where = f" into {cache}" if in_file else ""
    yield StageStarted(stage=STAGE, detail=f"{size / 1e6:.0f} MB{where}", total=total, unit="faces")
    if in_file:
        with durable.explained(cache):
            cache.mkdir(exist_ok=True)
        durable.sweep(cache)
    stores: list[FaceStore] = []
    done = 0
    for name, one, found in zip(NAMES, faces, records, strict=True):
        file = cache / f"{name}.bin" if in_file else None
        digest = _digest(one, found, model, resolution) if in_file else ""
        store = FaceStore.open(file, digest) if file else None
        if store is None:
            if file:
                file.unlink(missing_ok=True)
                durable.require_space(cache, bytes_of(len(found), resolution))
            framed = _framed(one, found, model, store_side(resolution))
            gathering = FaceStore.gather(framed, len(found), resolution, file=file, digest=digest)
            store = yield from _reported(gathering, done, total)
        done += len(found)
        stores.append(store)
    yield StageDone(stage=STAGE, summary=dict(zip(NAMES, map(len, stores), strict=True)))
    return stores


def discard(cache: Path) -> None:
    """Remove the faces that a run kept in files."""
    if cache.is_dir():
        durable.remove_folder(cache)


def _reported(
    gathering: Generator[int, None, FaceStore], before: int, total: int
) -> Generator[Event, None, FaceStore]:
    while True:
        try:
            done = next(gathering)
        except StopIteration as end:
            return end.value
        if done % _REPORT == 0:
            yield Progress(stage=STAGE, done=before + done, total=total)


def _framed(faces: FaceSet, records: list[FaceRecord], model: ModelSettings, side: int) -> Iterator[Framed]:
    """Faces in order, each of several threads reading every so manyth."""
    cv2.setNumThreads(1)  # the faces are spread over threads, not their rows
    threads = min(cores(), _READERS, len(records))
    parts = [
        read_ahead((frame_face(faces, record, model, side) for record in records[part::threads]), size=8)
        for part in range(threads)
    ]
    try:
        for place in range(len(records)):
            yield next(parts[place % threads])
    finally:
        for part in parts:
            part.close()


def frame_face(faces: FaceSet, record: FaceRecord, model: ModelSettings, side: int) -> Framed:
    """A stored crop as a training picture: the model's square with its margin, and the masks in it.

    Args:
        faces: the face set.
        record: one of its faces.
        model: says how much of the head a crop shows.
        side: of the training picture, pixels.
    """
    picture, points = faces.read_crop(record), record.points
    wanted = align(points, model.crop).crop_matrix(side, model.coverage * MARGIN)
    stored = record.alignment.crop_matrix(picture.shape[0])
    mask = hull_mask(points, wanted, side)
    painted = faces.read_mask(record)
    if painted is not None:  # says what of the crop is no face; of what lies beyond it, nothing
        back = compose(record.alignment.crop_matrix(painted.shape[0]), invert(wanted))
        mask *= 1 - warp(1 - painted.astype(np.float32) / 255, back, (side, side), "zero").clip(0, 1)
    features = features_mask(points, wanted, side) * mask
    return Framed(
        picture=crop(picture, compose(wanted, invert(stored)), side),
        mask=cv2.convertScaleAbs(mask, alpha=255.0),
        features=cv2.convertScaleAbs(features, alpha=255.0),
        expression=expression_of_points(points[None])[0],
    )


def _digest(faces: FaceSet, records: list[FaceRecord], model: ModelSettings, resolution: int) -> str:
    """Hash of everything that a store of these faces is made from."""
    about = (FORMAT, model.crop, model.coverage, MARGIN, resolution, faces.digest())
    digest = hashlib.sha256(json.dumps(about).encode())
    for record in records:
        for path in (faces.path / "crops" / (record.file or record.crop), faces.mask_path(record)):
            if path.is_file():
                file = path.stat()
                digest.update(f"{path.name} {file.st_size} {file.st_mtime_ns}\n".encode())
    return digest.hexdigest()


FORMAT = 1
"""Version of what ``frame_face`` makes; a store in a file that another made is made again."""


def load_few(
    faces: FaceSet, records: list[FaceRecord], model: ModelSettings, resolution: int
) -> FaceStore | None:
    """A handful of faces, in memory; None for none."""
    if not records:
        return None
    side = store_side(resolution)
    framed = (frame_face(faces, record, model, side) for record in records)
    return FaceStore.collect(framed, len(records), resolution)

"""What a trained segmenter leaves in a face set: masks, and a sheet on which a person sees whether they fit.

A mask that a segmenter made says so inside its PNG; one that a person painted does not, and is never written
over. A face with polygons gets the mask that they draw: a person's word stands above a network's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8

from understudy.contracts import CropMode, Segmenter
from understudy.errors import FaceSetError
from understudy.events import Event, Progress, Saved, StageDone, StageStarted, Warned
from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.faces.polygons import read_polygons
from understudy.image.draw import sheet
from understudy.image.geometry import align, compose, invert
from understudy.image.warp import crop, warp
from understudy.pipelines.runs.mask_faces import made_by, read_label, write_made_mask
from understudy.pipelines.runs.segmentation import load_segmenter
from understudy.pipelines.setup import make_context
from understudy.provenance.labels import file_hash
from understudy.training.bounds import check_batch
from understudy.training.dashboard import RunReader
from understudy.training.mask_task import FIGURE
from understudy.training.preview import write_png
from understudy.training.rundir import weights_file

STAGE = "masks"
SHEET = "masks.png"
"""The sheet's name in the face set."""
_SHOWN, _ACROSS, _SIDE = 36, 9, 160
_POOR = 0.8
"""Intersection over union on held-out faces below which masks leave out what a person sees at once."""


def everybody(faces: FaceSet) -> list[FaceRecord]:
    """Every face of every person whose crop is there, those that are not trained on among them."""
    kept = {r.crop: r for r in faces.choose(tuple(faces.persons())).for_training()}
    for record in faces.records:
        if record.crop not in kept and (faces.path / "crops" / record.crop).is_file():
            kept[record.crop] = record
    return sorted(kept.values(), key=lambda record: record.crop)


def apply_masks(
    place: Path, faces: FaceSet, *, again: bool = False, device: str = "auto", batch: int = 8
) -> Iterator[Event]:
    """Writes a mask for every face that has none.

    Args:
        place: the run that trained the segmenter, or its weights.safetensors.
        faces: the face set.
        again: also where a segmenter made one before.
        device: where the segmenter runs.
        batch: faces at a time.

    Raises:
        ConfigError: ``batch`` is nothing that fits into memory.
        CheckpointError: no segmenter, or a damaged one.
        FaceSetError: there is no face, or a damaged crop.
        OutputError: a mask cannot be written.
    """
    check_batch(batch)
    segmenter = load_segmenter(place, make_context(device))
    how = segmenter.settings
    about = {"segmenter": how.name, "sha256": file_hash(weights_file(place))}
    records = everybody(faces)
    if not records:
        raise FaceSetError(f"{faces.path} has no face; extract some")
    todo = [record for record in records if _is_due(faces, record, again=again)]
    done = len(records) - len(todo)
    yield from _remark(weights_file(place))
    yield StageStarted(stage=STAGE, detail=f"{faces.path.name}", total=len(records), unit="faces")
    started = time.monotonic()
    for first in range(0, len(todo), batch):
        group = todo[first : first + batch]
        found = find_masks(segmenter, faces, group, mode=how.crop, side=how.resolution)
        for record, mask in zip(group, found, strict=True):
            write_made_mask(faces.mask_path(record), mask, about)
        rate = (first + len(group)) / max(1e-9, time.monotonic() - started)
        left = (len(todo) - first - len(group)) / rate
        yield Progress(stage=STAGE, done=done + first + len(group), total=len(records), seconds_left=left)
    yield from show_masks(faces)
    summary = {"masks": len(todo), "left_as_they_were": done, "folder": str(faces.path / "masks")}
    yield StageDone(stage=STAGE, summary=summary, skipped=not todo)


def _remark(weights: Path) -> Iterator[Event]:
    """Warns of a segmenter that was poor on faces that it had not learned from, as far as its run says."""
    run = weights.resolve().parent.parent
    if not (run / "recipe.toml").is_file():
        return
    measured = RunReader(run).read(time.time()).figures.get(FIGURE)
    if measured and measured[-1][1] < _POOR:
        yield Warned(
            message=f"{run.name}: on faces that it had not learned from, this network's masks overlapped the "
            f"right ones by {measured[-1][1]:.2f} (intersection over union; 0.9 is good). Look at {SHEET} "
            "before you use them; label more faces or train longer"
        )


def _is_due(faces: FaceSet, record: FaceRecord, *, again: bool) -> bool:
    path = faces.mask_path(record)
    return not path.is_file() or (again and made_by(path) is not None)


def find_masks(
    segmenter: Segmenter, faces: FaceSet, records: Sequence[FaceRecord], *, mode: CropMode, side: int
) -> list[UInt8[np.ndarray, "_ _"]]:
    """Masks of faces, of their stored crops' sizes; from polygons where a face has some.

    Args:
        segmenter: what finds them.
        faces: the face set.
        records: some of its faces.
        mode: how much of the head the segmenter was trained to see.
        side: of the pictures that it is given, pixels.
    """
    pictures = [faces.read_crop(record) for record in records]
    # from the stored crop to what the segmenter was trained to see
    into = [
        compose(
            align(record.points, mode).crop_matrix(side),
            invert(record.alignment.crop_matrix(picture.shape[0])),
        )
        for record, picture in zip(records, pictures, strict=True)
    ]
    framed = np.stack([crop(p, m, side) for p, m in zip(pictures, into, strict=True)])
    tensor = torch.from_numpy(framed).permute(0, 3, 1, 2).float() / 255
    found = segmenter(tensor)[:, 0].cpu().numpy()
    out: list[np.ndarray] = []
    for record, picture, matrix, seen in zip(records, pictures, into, found, strict=True):
        size = picture.shape[0]
        polygons = read_polygons(faces, record)
        mask: Float32[np.ndarray, "s s"] = (
            polygons.mask(record, size) if polygons else warp(seen, matrix, (size, size), "zero")
        )
        out.append(np.rint(mask.clip(0, 1) * 255).astype(np.uint8))
    return out


def remove_masks(faces: FaceSet, *, painted: bool = False) -> Iterator[Event]:
    """Removes the masks that a segmenter made; polygons stay.

    Args:
        faces: the face set.
        painted: also those that a person painted or another program made.
    """
    folder = faces.path / "masks"
    paths = sorted(folder.glob("*.png")) if folder.is_dir() else []
    yield StageStarted(stage=STAGE, detail=f"{faces.path.name}", total=len(paths), unit="masks")
    gone = [path for path in paths if painted or made_by(path) is not None]
    for path in gone:
        path.unlink()
    yield StageDone(stage=STAGE, summary={"removed": len(gone), "left": len(paths) - len(gone)})


def show_masks(faces: FaceSet, output: Path | None = None) -> Iterator[Event]:
    """Writes a sheet of faces with their masks laid over, spread over the set; nothing where none has one.

    Args:
        faces: the face set.
        output: a PNG file; None for ``masks.png`` in the face set.
    """
    masked = [r for r in everybody(faces) if faces.mask_path(r).is_file() or read_polygons(faces, r)]
    if not masked:
        return
    spread = np.linspace(0, len(masked) - 1, min(_SHOWN, len(masked))).round().astype(int)
    tiles = [_tile(faces, masked[place]) for place in spread]
    rows = [tiles[start : start + _ACROSS] for start in range(0, len(tiles), _ACROSS)]
    path = output or faces.path / SHEET
    write_png(path, sheet(rows))
    yield Saved(path=path)


def _tile(faces: FaceSet, record: FaceRecord) -> UInt8[np.ndarray, "s s 3"]:
    """A face, dark where the mask is not, with the mask's contour: green a segmenter's, yellow a person's."""
    picture = cv2.resize(faces.read_crop(record), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    label = read_label(faces, record, _SIDE)
    made = label is None
    stored = faces.read_mask(record) if label is None else None
    mask = stored.astype(np.float32) / 255 if stored is not None else label
    assert mask is not None, "only faces with a mask are shown"
    mask = cv2.resize(np.asarray(mask, np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    out = (picture * (0.35 + 0.65 * mask[..., None])).astype(np.uint8)
    contours, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(out, contours, -1, (80, 255, 120) if made else (255, 220, 60), 1, cv2.LINE_AA)
    return out


def count_masks(faces: FaceSet) -> Mapping[str, Any]:
    """How many faces have polygons, painted masks, made masks, and nothing."""
    counts = {"polygons": 0, "painted": 0, "made": 0, "without": 0}
    for record in everybody(faces):
        path = faces.mask_path(record)
        if read_polygons(faces, record) is not None:
            counts["polygons"] += 1
        elif not path.is_file():
            counts["without"] += 1
        else:
            counts["made" if made_by(path) is not None else "painted"] += 1
    return counts

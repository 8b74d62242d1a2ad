"""What a person drew of a thing that is fixed to the head, carried to the other faces that wear it.

Glasses, an eye patch, the arm of a microphone: drawn once, or a few times where the head turns far, they are
where the head is. Each face gets the drawing whose pose is nearest to its own, moved as the head moved
(``image.headmap``), and stored as ``mask apply`` stores what a segmenter found: white, with the thing in
black. Merging then keeps those pixels of the target. What a person painted, or a segmenter made, is never
written over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from understudy.errors import FaceSetError
from understudy.events import Event, Progress, StageDone, StageStarted
from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.faces.polygons import polygons_path, read_polygons
from understudy.image.draw import hull_mask, polygon_mask
from understudy.image.geometry import align, compose, invert, pose_of_points, transform_points
from understudy.image.headmap import HeadMap
from understudy.pipelines.runs.mask_apply import STAGE, show_masks
from understudy.pipelines.runs.mask_faces import made_by, write_made_mask

CARRIED = "carried"
"""What stands in a mask's description for its segmenter."""
_GRID = 33
"""Places across a crop at which it is worked out where they come from."""
_EVERY = 32
"""Faces between two words about progress."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawing:
    """A thing on a head, as a person drew it on one crop."""

    name: str
    """The crop."""
    thing: Float32[np.ndarray, "s s"]
    """1 where it is."""
    into: Float64[np.ndarray, "2 3"]
    """From the unit square of ``half`` to pixels of ``thing``."""
    points: Float64[np.ndarray, "478 3"]
    """Landmarks in that unit square."""
    pose: tuple[float, float, float]
    track: int
    person: int


def carry_masks(
    faces: FaceSet, names: Sequence[str], *, stand_off: float = 0.14, everywhere: bool = False
) -> Iterator[Event]:
    """Writes a mask for every face of the tracks on whose crops a thing was drawn.

    Args:
        faces: the face set.
        names: crops that it was drawn on, with or without their suffix.
        stand_off: how far before the skin the thing is, as a fraction of the square from brows to mouth.
        everywhere: also in other tracks of the same persons.

    Raises:
        FaceSetError: there is no such face, or nothing was drawn on it.
        OutputError: a mask cannot be written.
    """
    drawings = [_drawn(faces, record) for record in _named(faces, names)]
    worn = [record for record in faces.records if _wears(record, drawings, everywhere=everywhere)]
    todo = [record for record in worn if _is_due(faces, record)]
    done = len(worn) - len(todo)
    yield StageStarted(stage=STAGE, detail=f"{faces.path.name}", total=len(worn), unit="faces")
    for number, record in enumerate(todo):
        points, pose = _unit_points(record), pose_of_points(record.points)
        nearest = min(drawings, key=lambda drawing: _apart(drawing, record, pose))
        mask = _carried(nearest, record, points, stand_off)
        about = {"segmenter": CARRIED, "from": nearest.name, "stand_off": stand_off}
        write_made_mask(faces.mask_path(record), mask, about)
        if (number + 1) % _EVERY == 0 or number + 1 == len(todo):
            yield Progress(stage=STAGE, done=done + number + 1, total=len(worn))
    yield from show_masks(faces)
    summary = {"masks": len(todo), "left_as_they_were": done, "folder": str(faces.path / "masks")}
    yield StageDone(stage=STAGE, summary=summary, skipped=not todo)


def _named(faces: FaceSet, names: Sequence[str]) -> list[FaceRecord]:
    by_stem = {Path(record.crop).stem: record for record in faces.records}
    out: list[FaceRecord] = []
    for name in names:
        stem = Path(name).stem
        if stem not in by_stem:
            near = get_close_matches(stem, by_stem, 1)
            hint = f"; did you mean {near[0]}?" if near else "; look into its folder crops"
            raise FaceSetError(f"{faces.path} has no face {name!r}{hint}")
        out.append(by_stem[stem])
    if not out:
        raise FaceSetError("wanted at least one crop on which the thing is drawn")
    return out


def _drawn(faces: FaceSet, record: FaceRecord) -> Drawing:
    """What was drawn on a crop: the excluding polygons, or what a painted mask leaves out of the face."""
    size, polygons, path = int(record.data["size"]), read_polygons(faces, record), faces.mask_path(record)
    thing: Float32[np.ndarray, "s s"] | None = None
    if polygons is not None and polygons.exclude:
        thing = polygon_mask([corners * (size / polygons.size) for corners in polygons.exclude], size)
    elif polygons is None and path.is_file() and made_by(path) is None:
        painted = faces.read_mask(record)
        assert painted is not None
        size = painted.shape[0]
        hull = hull_mask(record.points, record.alignment.crop_matrix(size), size)
        thing = 1.0 - painted.astype(np.float32) / np.float32(255.0)
        if thing[hull < 0.5].mean() > 0.5:  # black beyond the face: a mask of it, not of the thing alone
            thing = hull * thing
    if thing is None or not (thing > 0.5).any():
        raise FaceSetError(
            f"{record.crop}: nothing is drawn on it; write {polygons_path(faces, record)} with an excluding "
            'polygon, as {"size": 256, "polygons": [{"kind": "exclude", "points": [[x, y], …]}]} in '
            f"pixels of a crop of that size, or paint {path}, black where the thing is"
        )
    points = record.points
    return Drawing(
        name=record.crop,
        thing=np.asarray(thing, np.float32),
        into=compose(record.alignment.crop_matrix(size), invert(align(points, "half").matrix)),
        points=_unit_points(record),
        pose=pose_of_points(points),
        track=record.track,
        person=record.person,
    )


def _unit_points(record: FaceRecord) -> Float64[np.ndarray, "478 3"]:
    points = record.points
    return transform_points(align(points, "half").matrix, points)


def _wears(record: FaceRecord, drawings: Sequence[Drawing], *, everywhere: bool) -> bool:
    return any(
        record.track == drawing.track or (everywhere and record.person == drawing.person)
        for drawing in drawings
    )


def _is_due(faces: FaceSet, record: FaceRecord) -> bool:
    """Whether it has no mask, or one that was carried before."""
    path = faces.mask_path(record)
    said = made_by(path) if path.is_file() else {"segmenter": CARRIED}
    return said is not None and said["segmenter"] == CARRIED


def _apart(drawing: Drawing, record: FaceRecord, pose: tuple[float, float, float]) -> tuple[bool, float]:
    """How far from a face a drawing is: another person's last, then by the angle between the heads."""
    return record.person != drawing.person, float(
        np.hypot(pose[0] - drawing.pose[0], pose[1] - drawing.pose[1])
    )


def _carried(
    drawing: Drawing, record: FaceRecord, points: Float64[np.ndarray, "478 3"], stand_off: float
) -> UInt8[np.ndarray, "s s"]:
    """The mask of a face: white, with the thing in black."""
    size = int(record.data["size"])
    places = np.linspace(0.0, size, _GRID)
    grid = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)
    to_unit = compose(align(record.points, "half").matrix, invert(record.alignment.crop_matrix(size)))
    back = HeadMap(drawing.points, points, stand_off).back(transform_points(to_unit, grid))
    come_from = transform_points(drawing.into, back).reshape(_GRID, _GRID, 2).astype(np.float32)
    x, y = np.meshgrid(*[((np.arange(size) + 0.5) / size * (_GRID - 1)).astype(np.float32)] * 2)
    fine = cv2.remap(come_from, x, y, cv2.INTER_LINEAR) - np.float32(0.5)
    came = cv2.remap(drawing.thing, fine[..., 0], fine[..., 1], cv2.INTER_LINEAR)
    return np.rint((1.0 - came.clip(0.0, 1.0)) * 255.0).astype(np.uint8)

"""What a mask network learns from: faces that somebody labelled, and performers, whose masks are exact.

A label is what a person drew (``faces.polygons``), or a mask in ``masks/`` that no segmenter made: painted,
or brought from another program. Where a store of swap models has eyes and mouth, these faces have where
their mask is known: beyond the stored crop it is not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, PngImagePlugin

from understudy import durable
from understudy.contracts import CropMode
from understudy.errors import FaceSetError
from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.faces.metadata import KEY, read_description
from understudy.faces.polygons import read_polygons
from understudy.image.geometry import PADDING, align, compose, invert
from understudy.image.warp import warp
from understudy.performers import TEST_SEEDS_FROM
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import render
from understudy.performers.scene import Occluder, Scene
from understudy.training.augment import MARGIN
from understudy.training.store import Framed

_FRAME = 2.45
"""Side of a drawn frame, in sides of the square between brows and mouth that a performer's face fills."""

Label = tuple[FaceSet, FaceRecord]


# ------------------------------------------------------------------------------------------------ masks


def made_by(path: Path) -> Mapping[str, Any] | None:
    """Which segmenter made a mask; None for one that a person or another program made.

    Raises:
        FaceSetError: it is no picture.
    """
    said = read_description(path)
    return said if said is not None and "segmenter" in said else None


def write_made_mask(path: Path, mask: UInt8[np.ndarray, "s s"], about: Mapping[str, Any]) -> None:
    """Write a mask that says which segmenter made it.

    Raises:
        OutputError: no space, no permission.
    """
    chunk, out = PngImagePlugin.PngInfo(), io.BytesIO()
    chunk.add_itxt(KEY, json.dumps(dict(about)))
    Image.fromarray(mask).save(out, "PNG", pnginfo=chunk)
    with durable.explained(path):
        path.parent.mkdir(exist_ok=True)
    durable.write_bytes(path, out.getvalue())


def read_label(faces: FaceSet, record: FaceRecord, size: int) -> Float[np.ndarray, "s s"] | None:
    """The mask that a person made for a face, in [0, 1]; None when nobody did.

    Args:
        faces: the face set.
        record: one of its faces.
        size: side of the mask where it is drawn from polygons; a painted one has its own.

    Raises:
        FaceSetError: it is damaged.
    """
    polygons = read_polygons(faces, record)
    if polygons is not None:
        return polygons.mask(record, size)
    path = faces.mask_path(record)
    if not path.is_file() or made_by(path):
        return None
    mask = faces.read_mask(record)
    return None if mask is None else mask.astype(np.float32) / 255.0


# ------------------------------------------------------------------------------------------------ labelled


def labelled(sets: Sequence[FaceSet]) -> list[Label]:
    """Every face that may be learned from and has a label.

    Raises:
        FaceSetError: a set shows performers that are kept for evaluation.
    """
    found: list[Label] = []
    for faces in sets:
        for line in faces.sources.values():
            for seed in line.get("performers", ()):
                check_seeds(int(seed), 1)
        everybody = faces.choose(tuple(faces.persons()))
        for record in everybody.for_training():
            path = faces.mask_path(record)
            if read_polygons(faces, record) is not None or (path.is_file() and not made_by(path)):
                found.append((faces, record))
    return found


def check_seeds(first: int, count: int) -> None:
    """Refuse performers of the evaluation's test half.

    Raises:
        FaceSetError: they are.
    """
    if first + count > TEST_SEEDS_FROM:
        raise FaceSetError(
            f"performers {first} to {first + count - 1}: seeds from {TEST_SEEDS_FROM} up belong to the "
            "evaluation's test half and are never trained on; draw others"
        )


def split(labels: Sequence[Label], share: float) -> tuple[list[Label], list[Label]]:
    """Faces to learn from, and faces to hold out: of five or more at least one.

    A face's footage and time decide, eight frames together: the choice stays when more faces get labels, and
    the neighbours of a held-out face are held out too.
    """

    def place(label: Label) -> float:
        name = f"{label[1].source} {label[1].frame // 8}".encode()
        return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") / 2**64

    out = {number for number, label in enumerate(labels) if place(label) < share}
    if share > 0 and len(labels) >= 5 and len(out) in (0, len(labels)):
        out = {min(range(len(labels)), key=lambda number: place(labels[number]))}
    return (
        [label for number, label in enumerate(labels) if number not in out],
        [label for number, label in enumerate(labels) if number in out],
    )


def frame_labels(labels: Sequence[Label], mode: CropMode, side: int) -> Iterator[Framed]:
    """Labelled faces, framed for a network.

    Args:
        labels: which.
        mode: how much of the head the network's pictures show.
        side: of the framed pictures, which show ``MARGIN`` times the network's square.

    Raises:
        FaceSetError: a crop or a label is damaged.
    """
    for faces, record in labels:
        picture = faces.read_crop(record)
        mask = read_label(faces, record, picture.shape[0])
        if mask is None:
            raise FaceSetError(f"{faces.path}: the label of {record.crop} is gone; call the command again")
        wanted = align(record.points, mode).crop_matrix(side, MARGIN)

        def back(size: int, record: FaceRecord = record, wanted: np.ndarray = wanted) -> np.ndarray:
            return compose(record.alignment.crop_matrix(size), invert(wanted))

        full = np.ones(picture.shape[:2], np.float32)
        yield Framed(
            picture=warp(picture, back(picture.shape[0]), (side, side), "replicate"),
            mask=_to_bytes(warp(mask, back(mask.shape[0]), (side, side), "zero")),
            features=_to_bytes(warp(full, back(picture.shape[0]), (side, side), "zero")),
        )


def _to_bytes(mask: np.ndarray) -> UInt8[np.ndarray, "s s"]:
    return np.rint(mask.clip(0, 1) * 255).astype(np.uint8)


# ------------------------------------------------------------------------------------------------ drawn


def draw_faces(first: int, performers: int, each: int, mode: CropMode, side: int) -> Iterator[Framed]:
    """Faces of performers with their exact masks; hair, glasses and hands before a face are not face.

    Args:
        first: seed of the first performer.
        performers: how many.
        each: faces of each.
        mode: how much of the head the network's pictures show.
        side: of the framed pictures, which show ``MARGIN`` times the network's square.

    Raises:
        FaceSetError: seeds of the evaluation's test half.
    """
    check_seeds(first, performers)
    for seed in range(first, first + performers):
        # a copy: its textures, tens of megabytes, go when it goes
        performer = dataclasses.replace(Performer.from_seed(seed))
        for number in range(each):
            yield draw_face(performer, number, mode, side)


def draw_face(performer: Performer, number: int, mode: CropMode, side: int) -> Framed:
    """One face of a performer: any pose, expression and light, often with glasses or a hand before it."""
    random = np.random.default_rng([performer.seed, 41, number])
    state = Motion.from_seed(int(random.integers(1 << 30))).state(float(random.uniform(0, 60)))
    if random.random() < 0.5:  # farther round than a calm performance goes
        yaw, pitch, roll = (float(random.uniform(-most, most)) for most in (60, 25, 20))
        state = dataclasses.replace(state, yaw=yaw, pitch=pitch, roll=roll)
    occluders: tuple[Occluder, ...] = ("none", "none", "glasses", "hand", "hand")
    occluder = occluders[int(random.integers(len(occluders)))]
    scene = Scene.from_seed(int(random.integers(1 << 30)), occluder)
    size = 2 * round(side * _FRAME / (1 + 2 * 2**0.5 * PADDING[mode]) / 2)
    drawn = render(performer, state, scene, size, float(random.uniform(0.7, 1.15)))
    back = invert(drawn.alignment(mode).crop_matrix(side, MARGIN))
    return Framed(
        picture=warp(drawn.image, back, (side, side), "replicate"),
        mask=_to_bytes(warp(drawn.face_mask, back, (side, side), "zero")),
        features=_to_bytes(warp(np.ones((size, size), np.float32), back, (side, side), "zero")),
    )

"""Who somebody is, from whatever there is of them: a face set, a video, a picture, a folder of pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from understudy.contracts import Frame
from understudy.errors import FaceSetError, NoFaceError
from understudy.faces.faceset import FaceSet
from understudy.faces.ranking import look_of, spread
from understudy.faces.tracks import Tracker
from understudy.image.color import frame_to_rgb8
from understudy.image.geometry import align
from understudy.image.warp import crop_frame
from understudy.pipelines.footage import open_footage
from understudy.pipelines.setup import Finders

_SAMPLES = 40
"""Frames of footage in which the person is looked at, at most."""
_SIDE = 192
"""Of the crops that are kept for people to look at, pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Person:
    """A person by their identity vector."""

    name: str
    """File or folder name of what they are known from."""
    vector: Float32[np.ndarray, " d"]
    """Mean identity vector."""
    faces: int
    """Faces that were described for it."""
    others: int = 0
    """Faces that were left out because they are somebody else's."""
    pictures: tuple[UInt8[np.ndarray, "_ _ 3"], ...] = ()
    """A few crops, as unlike one another as can be."""


def known_person(path: Path, finders: Finders, *, pictures: int = 6, samples: int = _SAMPLES) -> Person:
    """The person of a face set, a video, a picture or a folder of pictures.

    Of footage, frames that are spread over it are looked at; the largest face of each counts. Faces that are
    somebody else's than most are left out.

    Args:
        path: where they are seen.
        finders: networks that find and describe faces.
        pictures: crops to keep.
        samples: frames to look at.

    Raises:
        NoFaceError: no face was found.
        FaceSetError: the face set has no identity vectors.
        VideoError: it is missing, or neither.
    """
    if (path / "faceset.toml").is_file():
        return _of_face_set(FaceSet.open(path), pictures)
    return _of_footage(path, finders, pictures, samples)


def _of_face_set(faces: FaceSet, pictures: int) -> Person:
    chosen = faces.chosen[0]
    vector = faces.person_identity(chosen)
    if vector is None:
        raise FaceSetError(f"{faces.path}: no face in it has an identity vector; extract it again")
    described = sum(record.person == chosen and record.identity is not None for record in faces.records)
    usable = faces.for_training()
    spaced = usable[:: max(1, len(usable) // 200)]
    taken = spread(np.array([look_of(record.points) for record in spaced]).reshape(-1, 8), pictures)
    crops = tuple(faces.read_crop(spaced[place]) for place in taken)
    return Person(name=faces.path.name, vector=vector, faces=described, pictures=crops)


@dataclass(frozen=True, eq=False)
class _Look:
    vector: np.ndarray
    look: np.ndarray
    picture: np.ndarray


def _of_footage(path: Path, finders: Finders, pictures: int, samples: int) -> Person:
    with open_footage(path) as reader:
        every = max(1, math.ceil(reader.info.frames / samples))
        looks = [
            look for frame in reader.frames() if frame.index % every == 0 for look in _look(frame, finders)
        ]
    if not looks:
        raise NoFaceError(
            f"{path}: no face was found in it; give footage or pictures in which the person's face is lit "
            "and "
            "larger than 16 pixels"
        )
    same = _same_person(np.stack([look.vector for look in looks]), finders.embedder.same_person)
    kept = [looks[place] for place in same]
    taken = spread(np.stack([look.look for look in kept]), pictures)
    return Person(
        name=path.name,
        vector=np.mean([look.vector for look in kept], axis=0).astype(np.float32),
        faces=len(kept),
        others=len(looks) - len(kept),
        pictures=tuple(kept[place].picture for place in taken),
    )


def _look(frame: Frame, finders: Finders) -> Iterator[_Look]:
    """The largest face of a frame, if there is one."""
    picture = frame_to_rgb8(frame, 1280)
    seen = Tracker(finders.detector, finders.landmarker)(picture, frame, scale=picture.shape[1] / frame.width)
    if not seen.faces:
        return
    points = max(seen.faces, key=lambda face: float(np.ptp(face.points[:, 1]))).points
    embedder = finders.embedder
    chip = crop_frame(frame, embedder.crop_matrix(points), embedder.side)
    with torch.inference_mode():
        device = next((p.device for p in getattr(embedder, "parameters", list)()), None)
        vector = embedder(torch.from_numpy(chip)[None].to(device)).cpu().numpy()[0]
    crop = crop_frame(frame, align(points, "whole").crop_matrix(_SIDE), _SIDE)
    shown = np.rint(crop.transpose(1, 2, 0) * 255).astype(np.uint8)
    yield _Look(vector, look_of(points), np.ascontiguousarray(shown))


def _same_person(vectors: np.ndarray, limit: float) -> Sequence[int]:
    """Places of the vectors that are near the one that is near most."""
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    middle = int(np.argmax((apart < limit).sum(1) - apart.mean(1) / limit))
    return [int(place) for place in np.flatnonzero(apart[middle] < limit)]

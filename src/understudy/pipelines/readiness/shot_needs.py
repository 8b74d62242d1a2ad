"""Is a source's face set ready for a target: what the shot needs, what the set has, what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8

from understudy.contracts import Embedder
from understudy.errors import FaceSetError, NoFaceError
from understudy.faces.faceset import FaceSet
from understudy.faces.ranking import duplicates
from understudy.faces.records import FaceRecord
from understudy.image.draw import hull_mask
from understudy.image.geometry import transform_points
from understudy.image.warp import crop
from understudy.pipelines.readiness import coverage

NEAR = 1.0
"""Visible differences within which a source face serves a target face."""
FEWEST = 8
"""Source faces of a state below which it counts as lacking, as in ``training.sampling``."""
CROPS = 600
"""Crops of a set that are looked at for light, repetition and identity, at most, evenly spread."""
_BLUR = 0.25
"""Sharpness below this part of the set's median is blur."""
_ALIKE = 3.0 / 255.0
"""Root mean square difference of two small grey crops that counts as a visible difference."""
_REPEATED = 0.5
"""Visible differences within which two faces show the same."""
_STOP = 0.5
"""A visible difference of light, in stops."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Faces:
    """What a face set shows."""

    name: str
    """Its folder's name."""
    records: list[FaceRecord]
    """Usable faces."""
    states: Float64[np.ndarray, "n 8"]
    """See ``coverage.states_of``."""
    sharpness: Float64[np.ndarray, " n"]
    """See ``faces.ranking.sharpness``."""
    sampled: list[int]
    """Places of the faces whose crops were looked at."""
    light: Float64[np.ndarray, "k 3"]
    """Of those: stops by which the left is brighter than the right, the upper half than the lower, and the
    mean brightness in stops below white."""
    small: Float32[np.ndarray, "k 256"]
    """Of those: the crop in grey, 16 × 16, in [0, 1]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Readiness:
    """The answer."""

    source: Faces
    """Who is to be put in."""
    target: Faces
    """The shot."""
    distance: Float64[np.ndarray, " m"]
    """Visible differences from each target face to its nearest source face."""
    nearest: np.ndarray
    """Place of that source face."""
    mirrored: float
    """Share of target faces that are served when the source's mirror images count too."""
    lacks: list[coverage.Lack]
    """What no source face shows."""
    dark: float
    """Share of target faces whose light no source face has."""
    repeated: list[str]
    """Crops of the source that show nothing that a better one does not show."""
    blurred: list[str]
    """Crops of the source that are blurred."""
    strangers: list[str]
    """Crops of the source that look like somebody else."""
    described: int
    """Faces of the source whose identity was looked at."""
    other_persons: int
    """Faces in the source's set that are grouped as somebody else and not used."""

    @property
    def served(self) -> float:
        """Share of target faces that have a source face within a visible difference in every respect."""
        return float((self.distance <= NEAR).mean())


def look_at(faces: FaceSet, name: str) -> Faces:
    """What a face set shows.

    Raises:
        NoFaceError: it has no usable face.
    """
    records = faces.for_training()
    if not records:
        raise NoFaceError(f"{faces.path}: no face in it can be used; were all crops removed or rejected?")
    points = np.stack([record.points for record in records])
    every = max(1, math.ceil(len(records) / CROPS))
    sampled: list[int] = []
    light: list[np.ndarray] = []
    small: list[np.ndarray] = []
    for place in range(0, len(records), every):
        picture = faces.read_crop(records[place])
        matrix = records[place].alignment.crop_matrix(picture.shape[0])
        inside = hull_mask(points[place], matrix, picture.shape[0])
        sampled.append(place)
        light.append(light_of(picture, inside))
        gray = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (16, 16), interpolation=cv2.INTER_AREA)
        small.append(gray.reshape(-1).astype(np.float32) / 255.0)
    return Faces(
        name=name,
        records=records,
        states=coverage.states_of(points),
        sharpness=np.array([record.data["sharpness"] for record in records], np.float64),
        sampled=sampled,
        light=np.stack(light),
        small=np.stack(small),
    )


def light_of(
    picture: UInt8[np.ndarray, "s s 3"], inside: Float32[np.ndarray, "s s"]
) -> Float64[np.ndarray, "3"]:
    """Where the light comes from and how much there is, in stops.

    Args:
        picture: a crop, RGB.
        inside: where the face is, in [0, 1].

    Returns:
        By how much the left half is brighter than the right, the upper than the lower; and the mean, 0 for
        white.
    """
    # 2.2: near enough to every display curve for a comparison of halves
    luma = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) / 255.0) ** 2.2
    total = inside.sum()
    if total <= 0:
        return np.full(3, np.nan)
    rows: np.ndarray
    columns: np.ndarray
    rows, columns = np.mgrid[: inside.shape[0], : inside.shape[1]]
    row, column = (float((axis * inside).sum() / total) for axis in (rows, columns))

    def mean(weights: np.ndarray) -> float:
        return math.log2(max(1e-4, float((luma * weights).sum() / max(1e-6, float(weights.sum())))))

    def halves(axis: np.ndarray, middle: float) -> float:
        return mean(np.where(axis < middle, inside, 0.0)) - mean(np.where(axis > middle, inside, 0.0))

    return np.array([halves(columns, column), halves(rows, row), mean(inside)])


def judge(faces: FaceSet, source: Faces, target: Faces, embedder: Embedder | None) -> Readiness:
    """Holds a source against a target.

    Args:
        faces: the source's face set.
        source: what it shows.
        target: what the shot shows.
        embedder: describes who a face is; None: by what extraction described.
    """
    distance, place = coverage.nearest(source.states, target.states)
    both = np.concatenate([source.states, coverage.mirrored_states(source.states)])
    mirrored, _ = coverage.nearest(both, target.states)
    known = [lights.light[np.isfinite(lights.light).all(1), :2] for lights in (source, target)]
    apart = np.array([np.abs(known[0] - light).max(1).min() for light in known[1]])
    strangers, described = _strangers(faces, source, embedder)
    return Readiness(
        source=source,
        target=target,
        distance=distance,
        nearest=place,
        mirrored=float((mirrored <= NEAR).mean()),
        lacks=coverage.lacks(source.states, target.states, distance > NEAR),
        dark=float((apart > _STOP).mean()) if len(apart) else 0.0,
        repeated=_repeated(source),
        blurred=_blurred(source),
        strangers=strangers,
        described=described,
        other_persons=sum(record.person not in faces.chosen for record in faces.records),
    )


def _repeated(source: Faces) -> list[str]:
    """Crops that are alike in what the face does and in how it looks."""
    units = np.array([respect.unit for respect in coverage.RESPECTS])
    looks = np.concatenate(
        [source.states[source.sampled] / units, source.small / (_ALIKE * math.sqrt(source.small.shape[1]))],
        axis=1,
    )
    gone = duplicates(looks.astype(np.float64), source.sharpness[source.sampled], _REPEATED)
    return [source.records[source.sampled[place]].crop for place in gone]


def _blurred(source: Faces) -> list[str]:
    limit = _BLUR * float(np.median(source.sharpness))
    return [source.records[place].crop for place in np.flatnonzero(source.sharpness < limit).tolist()]


def _strangers(faces: FaceSet, source: Faces, embedder: Embedder | None) -> tuple[list[str], int]:
    """Crops that are further from the person than one person's faces are, and how many were seen."""
    mean = faces.person_identity(faces.chosen[0])
    if mean is None:
        raise FaceSetError(f"{faces.path}: no face in it has an identity vector; extract it again")
    limit = 0.6 if embedder is None else embedder.same_person
    found: list[str] = []
    seen = 0
    for place in source.sampled:
        record = source.records[place]
        vector = record.identity
        if vector is None and embedder is not None:
            vector = _describe(faces, record, embedder)
        if vector is None or len(vector) != len(mean):
            continue
        seen += 1
        if float(np.linalg.norm(vector - mean)) > limit:
            found.append(record.crop)
    return found, seen


def _describe(faces: FaceSet, record: FaceRecord, embedder: Embedder) -> np.ndarray:
    """Identity vector of a face by its kept crop."""
    picture = faces.read_crop(record)
    points = transform_points(record.alignment.crop_matrix(picture.shape[0]), record.points).astype(
        np.float32
    )
    chip = crop(picture, embedder.crop_matrix(points), embedder.side).transpose(2, 0, 1)
    with torch.inference_mode():
        batch = torch.from_numpy(np.ascontiguousarray(chip))[None].float() / 255
        return embedder(batch).cpu().numpy()[0]


def sentences(found: Readiness) -> list[str]:
    """The answer in words, what matters most first."""
    count = len(found.target.records)
    out = [
        f"{share_text(found.served)} of the target's {count} faces have a source face that differs visibly "
        f"in nothing (pose, mouth, lids, brows, gaze); {_mirror(found)}"
    ]
    for lack in found.lacks[:8]:
        where = f"{len(lack.frames)} of the target's faces, {share_text(len(lack.frames) / count)}"
        out.append(f"you lack: {lack.words} ({where}: {spans(found, lack)})")
    if found.dark > 0.02:
        out.append(f"the light of {share_text(found.dark)} of the target's faces is nowhere in the source")
    if found.other_persons:
        out.append(f"{found.other_persons} faces of others are in the source's set; they are not used")
    for crops, what in (
        (found.strangers, f"of {found.described} that were described look like somebody else"),
        (found.blurred, "are blurred"),
        (
            found.repeated,
            f"of {len(found.source.sampled)} show what another shows better",
        ),
    ):
        if crops:
            out.append(
                f"{len(crops)} source crops {what}: {', '.join(crops[:3])}{' …' if len(crops) > 3 else ''}"
            )
    return out


def share_text(value: float) -> str:
    """A share as per cent."""
    return f"{100 * value:.0f} %" if value >= 0.01 or value == 0 else "under 1 %"


def _mirror(found: Readiness) -> str:
    if found.mirrored - found.served > 0.02:
        return f"with the source's mirror images {share_text(found.mirrored)} (training can flip them)"
    return "mirror images of the source would not help"


def spans(found: Readiness, lack: coverage.Lack, most: int = 3) -> str:
    """The longest runs of frames that need it."""
    frames = sorted({found.target.records[place].frame for place in lack.frames})
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame - runs[-1][1] <= 5:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    longest = sorted(sorted(runs, key=lambda run: run[0] - run[1])[:most])
    text = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in longest)
    single = len(runs) == 1 and runs[0][0] == runs[0][1]
    return f"frame{'' if single else 's'} {text}" + (" and others" if len(runs) > most else "")


def crops_of(
    faces: FaceSet, records: Sequence[FaceRecord], side: int = 192
) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Crops for people to look at."""
    return [
        cv2.resize(faces.read_crop(record), (side, side), interpolation=cv2.INTER_AREA) for record in records
    ]

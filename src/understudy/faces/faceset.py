"""A face set on disk: the faces of some footage, each with its crop, landmarks, alignment, identity and person.

    faceset.toml    format, crop mode, size; facts about the footage
    faces.jsonl     append-only: a line a face, and lines that say how far a file has been read
    crops/          000123_0.jpg, frame and number of the face; what is deleted or moved away is rejected
    edits.jsonl     append-only: decisions of a person about faces, by crop name

The last line about a thing wins. A torn last line is passed over. Deleting a crop keeps a face out of training; a
target's face is still swapped unless it is rejected by name (``FaceSet.reject``).
"""

from __future__ import annotations

import base64
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float32, UInt8

from understudy import durable
from understudy.contracts import Alignment, Face
from understudy.errors import FaceSetError
from understudy.faces.metadata import decode_crop
from understudy.image.geometry import invert, transform_points

FORMAT = 1
"""Version of the layout; a newer one is refused."""
MESH_SCALE = 8192.0
"""Landmarks are kept as int16 in units of 1/8192 of the unit square's side: 0.03 px of a 256-pixel face."""


def pack_mesh(points: Float32[np.ndarray, "478 3"], alignment: Alignment) -> str:
    """Landmarks in frame pixels as text."""
    unit = transform_points(alignment.matrix, points)
    return base64.b64encode(np.clip(np.rint(unit * MESH_SCALE), -32768, 32767).astype("<i2").tobytes()).decode()


def unpack_mesh(text: str, alignment: Alignment) -> Float32[np.ndarray, "478 3"]:
    """What ``pack_mesh`` packed."""
    unit = np.frombuffer(base64.b64decode(text), "<i2").reshape(-1, 3) / MESH_SCALE
    return transform_points(invert(alignment.matrix), unit).astype(np.float32)


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """One line of the table; what is large in it is unpacked when it is asked for."""

    data: Mapping[str, Any]
    """The line as it stands."""
    person: int
    """Group of faces taken for one person; 0 is seen most; -1 before the grouping."""

    @property
    def crop(self) -> str:
        """File name of its crop."""
        return self.data["crop"]

    @property
    def source(self) -> str:
        """File name of the footage."""
        return self.data["source"]

    @property
    def frame(self) -> int:
        """Number of the frame."""
        return self.data["frame"]

    @property
    def track(self) -> int:
        """Number of the track, unique in the face set."""
        return self.data["track"]

    @cached_property
    def alignment(self) -> Alignment:
        """From frame pixels to the unit square of the crop."""
        return Alignment(matrix=np.array(self.data["matrix"], np.float64), mode=self.data["mode"])

    @property
    def points(self) -> Float32[np.ndarray, "478 3"]:
        """Landmarks in frame pixels."""
        return unpack_mesh(self.data["mesh"], self.alignment)

    @property
    def identity(self) -> Float32[np.ndarray, "d"] | None:
        """Identity vector of this very face; None for most, see ``FaceSet.identities``."""
        text = self.data.get("identity")
        return np.frombuffer(base64.b64decode(text), "<f4") if text else None

    @property
    def face(self) -> Face:
        """The face as extraction found it."""
        data = self.data
        return Face(
            frame=data["frame"],
            time=data["time"],
            index=data["index"],
            track=data["track"],
            box=np.array(data["box"], np.float64),
            presence=data["presence"],
            points=self.points,
            alignment=self.alignment,
            found=data["found"],
            pose=cast("tuple[float, float, float]", tuple(data["pose"])),
            sharpness=data["sharpness"],
        )


class FaceSet:
    """A face set for reading; ``open`` it.

    Args:
        path: its folder.
        about: content of ``faceset.toml``.
        table: lines of ``faces.jsonl``.
        edits: lines of ``edits.jsonl``.
    """

    def __init__(
        self, path: Path, about: dict[str, Any], table: list[dict[str, Any]], edits: list[dict[str, Any]]
    ) -> None:
        self.path = path
        self.about = about
        faces: dict[str, dict[str, Any]] = {}
        persons: dict[str, int] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        for line in table:
            if "crop" in line:
                faces[line["crop"]] = line
            elif "persons" in line:
                persons = line["persons"]
            elif "read" in line:
                self.sources[line["read"]] = line
        self.rejected = {edit["crop"] for edit in edits if edit.get("do") == "reject"}
        for edit in edits:  # in order: the last decision about a crop stands
            if edit.get("do") == "restore":
                self.rejected.discard(edit["crop"])
            elif edit.get("do") == "reject":
                self.rejected.add(edit["crop"])
        self.records = [FaceRecord(line, persons.get(str(line["track"]), -1)) for line in faces.values()]
        self.chosen: tuple[int, ...] = (0,) if persons else (-1,)

    @classmethod
    def open(cls, path: Path) -> FaceSet:
        """Reads a face set.

        Raises:
            FaceSetError: there is none, it is of a newer version, or its table is damaged.
        """
        return cls(path, _read_about(path), _read_lines(path / "faces.jsonl"), _read_lines(path / "edits.jsonl"))

    def choose(self, persons: Sequence[int]) -> FaceSet:
        """This face set with other persons chosen than its main one."""
        other = FaceSet.__new__(FaceSet)
        other.__dict__.update(self.__dict__)
        other.chosen = tuple(persons)
        return other

    @cached_property
    def identities(self) -> dict[int, Float32[np.ndarray, "d"]]:
        """Identity vector of every track: the mean of its described faces."""
        vectors: dict[int, list[np.ndarray]] = {}
        for record in self.records:
            if (vector := record.identity) is not None:
                vectors.setdefault(record.track, []).append(vector)
        return {track: np.mean(found, axis=0).astype(np.float32) for track, found in vectors.items()}

    def person_identity(self, person: int) -> Float32[np.ndarray, "d"] | None:
        """Mean identity vector of a person over their described faces."""
        found = [v for r in self.records if r.person == person and (v := r.identity) is not None]
        return np.mean(found, axis=0).astype(np.float32) if found else None

    def persons(self) -> dict[int, int]:
        """Number of faces of every person."""
        counts: dict[int, int] = {}
        for record in self.records:
            counts[record.person] = counts.get(record.person, 0) + 1
        return dict(sorted(counts.items()))

    def nearest_person(self, vector: Float32[np.ndarray, "d"]) -> tuple[int, float]:
        """The person most like an identity vector, and the distance.

        Raises:
            FaceSetError: no face was described.
        """
        near = [
            (float(np.linalg.norm(identity - vector)), person)
            for person in self.persons()
            if (identity := self.person_identity(person)) is not None
        ]
        if not near:
            raise FaceSetError(f"{self.path}: no face in it has an identity vector; extract it again")
        distance, person = min(near)
        return person, distance

    def for_training(self) -> list[FaceRecord]:
        """Faces of the chosen persons whose crop is there and that nobody rejected; interpolated ones are left out."""
        present = {entry.name for entry in (self.path / "crops").iterdir()} if self._has_crops() else set[str]()
        return [
            record
            for record in self.records
            if record.person in self.chosen
            and record.crop in present
            and record.crop not in self.rejected
            and record.data["found"]
        ]

    def for_merging(self, source: str) -> dict[int, list[FaceRecord]]:
        """Faces of the chosen persons in a file, by frame: also those whose crop is gone, but none rejected by name."""
        out: dict[int, list[FaceRecord]] = {}
        for record in self.records:
            if record.source == source and record.person in self.chosen and record.crop not in self.rejected:
                out.setdefault(record.frame, []).append(record)
        return out

    def read_crop(self, record: FaceRecord) -> UInt8[np.ndarray, "s s 3"]:
        """The stored crop of a face, RGB.

        Raises:
            FaceSetError: it is damaged.
        """
        return decode_crop(self.path / "crops" / record.crop)

    def digest(self) -> str:
        """Hash of what training sees of the set: which faces, and the decisions about them."""
        import hashlib

        digest = hashlib.sha256(json.dumps(self.about, sort_keys=True, default=str).encode())
        for record in self.for_training():
            digest.update(f"{record.crop} {record.data['mesh']}\n".encode())
        return digest.hexdigest()

    def reject(self, crops: Iterable[str]) -> None:
        """Decide that these faces are neither learned from nor swapped."""
        self._edit("reject", crops)
        self.rejected |= set(crops)

    def restore(self, crops: Iterable[str]) -> None:
        """Take rejections back."""
        self._edit("restore", crops)
        self.rejected -= set(crops)

    def _edit(self, action: str, crops: Iterable[str]) -> None:
        lines = [json.dumps({"do": action, "crop": crop}) for crop in crops]
        durable.append_lines(self.path / "edits.jsonl", lines, flush=True)

    def _has_crops(self) -> bool:
        return (self.path / "crops").is_dir()


def _read_about(path: Path) -> dict[str, Any]:
    file = path / "faceset.toml"
    if not file.is_file():
        raise FaceSetError(f"{path} is no face set (it has no faceset.toml); make one: understudy extract --input VIDEO -o {path}")
    try:
        about = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FaceSetError(f"{file}: cannot be read ({error}); extract the face set again") from None
    if about.get("format") != FORMAT:
        raise FaceSetError(
            f"{file}: format {about.get('format')!r}, this version reads {FORMAT}; use a newer understudy, or extract again"
        )
    return about


def _read_lines(file: Path) -> list[dict[str, Any]]:
    """Objects of a table; a torn last line is passed over, any other broken line is an error."""
    if not file.is_file():
        return []
    lines = file.read_bytes().split(b"\n")
    out: list[dict[str, Any]] = []
    broken = 0
    for line in lines:
        if not line:
            continue
        try:
            out.append(json.loads(line))
        except ValueError:
            broken += 1  # what a crash tore; the next append began on a line of its own
    if broken > max(3, len(out)):
        raise FaceSetError(f"{file}: {broken} of {broken + len(out)} lines are damaged; extract the face set again")
    return out

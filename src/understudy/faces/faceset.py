"""A face set on disk: the faces of some footage, with crop, landmarks, alignment, identity and person.

    faceset.toml    format, crop mode, size; facts about the footage
    faces.jsonl     append-only: a line a face, and lines that say how far a file has been read
    crops/          000123_0.jpg, frame and number of the face; what is deleted or moved away is rejected
    masks/          000123_0.png, where somebody painted or made one
    edits.jsonl     append-only: decisions of a person about faces, by crop name

The last line about a thing wins. A torn line is passed over. Deleting a crop keeps a face out of training; a
target's face is still swapped unless it is rejected by name (``FaceSet.reject``). A crop may be renamed,
saved again in another format, or put there from another set: it is known by its name, or by the description
that it carries.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from understudy import durable
from understudy.errors import FaceSetError
from understudy.faces.metadata import decode_crop, read_description
from understudy.faces.records import FaceRecord, is_face, read_lines

FORMAT = 1
"""Version of the layout; a newer one is refused."""


class FaceSet:
    """A face set for reading; ``open`` it.

    Args:
        path: its folder.
        about: content of ``faceset.toml``.
        table: lines of ``faces.jsonl``.
        edits: lines of ``edits.jsonl``.
    """

    def __init__(
        self,
        path: Path,
        about: dict[str, Any],
        table: Sequence[Mapping[str, Any]],
        edits: Sequence[Mapping[str, Any]],
    ) -> None:
        self.path = path
        self.about = about
        faces: dict[str, Mapping[str, Any]] = {}
        persons: dict[str, int] = {}
        self.sources: dict[str, Mapping[str, Any]] = {}
        for line in table:
            if is_face(line):
                faces[line["crop"]] = line
            elif "persons" in line:
                persons = line["persons"]
            elif "read" in line:
                self.sources[line["read"]] = line
        self.rejected: set[str] = set()
        decided: dict[str, int] = {}
        for edit in edits:  # in order: the last decision about a crop stands
            crop = edit.get("crop", "")
            if edit.get("do") == "reject":
                self.rejected.add(crop)
            elif edit.get("do") == "restore":
                self.rejected.discard(crop)
            elif edit.get("do") == "person":
                decided[crop] = edit["person"]
        self.records = [
            FaceRecord(line, decided.get(crop, persons.get(str(line["track"]), -1)))
            for crop, line in faces.items()
        ]
        self.chosen: tuple[int, ...] = (0,) if persons else (-1,)

    @classmethod
    def open(cls, path: Path) -> FaceSet:
        """Reads a face set.

        Raises:
            FaceSetError: there is none, it is of a newer version, or its table is damaged.
        """
        about = _read_about(path)
        return cls(path, about, read_lines(path / "faces.jsonl"), read_lines(path / "edits.jsonl"))

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
        """Faces of the chosen persons whose crop is there and that nobody rejected; no interpolated ones."""
        known, adopted, _ = self._sort_crops()
        return [
            record if known[record.crop] == record.crop else replace(record, file=known[record.crop])
            for record in self.records
            if record.crop in known
            and record.person in self.chosen
            and record.found
            and record.crop not in self.rejected
        ] + [record for record in adopted if record.found and record.crop not in self.rejected]

    def for_merging(self, source: str) -> dict[int, list[FaceRecord]]:
        """Faces of the chosen persons in a file, by frame.

        A face whose crop is gone is among them; one that was rejected by name is not.
        """
        out: dict[int, list[FaceRecord]] = {}
        for record in self.records:
            if record.source == source and record.person in self.chosen and record.crop not in self.rejected:
                out.setdefault(record.frame, []).append(record)
        return out

    def read_crop(self, record: FaceRecord) -> UInt8[np.ndarray, "s s 3"]:
        """The stored crop of a face, RGB.

        Raises:
            FaceSetError: it is damaged or gone.
        """
        return decode_crop(self.path / "crops" / (record.file or record.crop))

    def mask_path(self, record: FaceRecord) -> Path:
        """Where the mask of a face lies if it has one: grey PNG of the crop's size, white is face."""
        return self.path / "masks" / f"{Path(record.crop).stem}.png"

    def read_mask(self, record: FaceRecord) -> UInt8[np.ndarray, "s s"] | None:
        """The mask of a face; None when it has none.

        Raises:
            FaceSetError: it is damaged.
        """
        path = self.mask_path(record)
        return decode_crop(path)[..., 0] if path.is_file() else None

    def write_mask(self, record: FaceRecord, mask: UInt8[np.ndarray, "s s"]) -> None:
        """Keep a mask for a face."""
        path = self.mask_path(record)
        with durable.explained(path):
            path.parent.mkdir(exist_ok=True)
        durable.write_bytes(path, cv2.imencode(".png", mask)[1].tobytes())

    def digest(self) -> str:
        """Hash of what training sees of the set: which faces, and the decisions about them."""
        digest = hashlib.sha256(json.dumps(self.about, sort_keys=True, default=str).encode())
        for record in self.for_training():
            digest.update(f"{record.crop} {record.data['size']} {record.data['matrix']}\n".encode())
        return digest.hexdigest()

    def check(self) -> Iterator[str]:
        """What is odd about the crops, a sentence each; looks into every one of them."""
        known, adopted, strange = self._sort_crops()
        tables = {known[record.crop]: record.data for record in self.records if record.crop in known}
        for name in sorted((*tables, *strange)):
            try:
                said = read_description(self.path / "crops" / name)
            except FaceSetError as error:
                yield str(error)
                continue
            if name in strange:
                yield f"crops/{name}: no face of this set, and it does not say whose it is; it is left out"
            elif said is not None:
                table = tables[name]
                differing = [key for key in table if said.get(key) != table[key]]
                if differing:
                    keys = ", ".join(differing)
                    yield f"crops/{name}: differs from the table in {keys}; the table is taken"
        for record in adopted:
            yield f"crops/{record.file}: not in the table; a face of {record.source} all the same"

    def reject(self, crops: Iterable[str]) -> None:
        """Decide that these faces are neither learned from nor swapped."""
        self._edit("reject", crops)
        self.rejected |= set(crops)

    def restore(self, crops: Iterable[str]) -> None:
        """Take rejections back."""
        self._edit("restore", crops)
        self.rejected -= set(crops)

    def assign(self, crops: Iterable[str], person: int) -> None:
        """Decide whose faces these are; seen when the set is opened again."""
        self._edit("person", crops, person=person)

    def _edit(self, action: str, crops: Iterable[str], **more: int) -> None:
        lines = [json.dumps({"do": action, "crop": crop, **more}) for crop in crops]
        durable.append_lines(self.path / "edits.jsonl", lines, flush=True)

    def _sort_crops(self) -> tuple[dict[str, str], list[FaceRecord], set[str]]:
        """What lies in ``crops``.

        Returns:
            File name of each face of the table whose crop is there, by the name it was given; faces that are
            not in the table but say what they are; names of other files.
        """
        folder = self.path / "crops"
        files = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set[str]()
        known = {record.crop: record.crop for record in self.records if record.crop in files}
        others = sorted(name for name in files - known.keys() if not name.startswith("."))
        if not others:
            return known, [], set()
        missing = {Path(record.crop).stem: record for record in self.records if record.crop not in known}
        adopted: list[FaceRecord] = []
        strange: set[str] = set()
        for name in others:
            said = _description(folder / name)
            stems = (Path(name).stem, Path(said["crop"]).stem) if said else (Path(name).stem,)
            # a crop that says that it shows another face is not the missing one, whatever it is called
            fits = (s for s in stems if s in missing and (not said or _same_face(missing[s], said)))
            stem = next(fits, None)
            if stem:
                known[missing.pop(stem).crop] = name
            elif said:
                adopted.append(FaceRecord({**said, "crop": name}, self.chosen[0], file=name))
            else:
                strange.add(name)
        return known, adopted, strange


def _same_face(record: FaceRecord, said: dict[str, Any]) -> bool:
    """Whether a crop's description is that of a face of the table."""
    return all(record.data[key] == said.get(key) for key in ("source", "frame", "index"))


def _description(path: Path) -> dict[str, Any] | None:
    """What a picture says about itself if that is all that a face needs; None for everything else."""
    try:
        said = read_description(path)
    except FaceSetError:
        return None  # ``check`` speaks of it
    return said if said is not None and is_face(said) else None


def _read_about(path: Path) -> dict[str, Any]:
    file = path / "faceset.toml"
    if not file.is_file():
        raise FaceSetError(
            f"{path} is no face set (it has no faceset.toml); "
            f"make one: understudy extract --input VIDEO -o {path}"
        )
    try:
        about = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FaceSetError(f"{file}: cannot be read ({error}); extract the face set again") from None
    version = about.get("format")
    if not isinstance(version, int):
        raise FaceSetError(f"{file}: it names no format, so this is no face set of understudy's")
    if version != FORMAT:
        raise FaceSetError(
            f"{file}: format {version}, this version reads {FORMAT}; use a newer understudy, or extract again"
        )
    return about

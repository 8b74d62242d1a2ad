"""Makes a face set, or goes on with one that was interrupted.

Faces of a file are written first, then a line that says how far the file has been read: after an interruption
the file is read again from there, and faces that were written after the last such line are written again
under the same names.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from understudy import durable
from understudy.config import to_toml
from understudy.contracts import Face
from understudy.errors import FaceSetError
from understudy.faces.faceset import FORMAT, FaceSet
from understudy.faces.metadata import encode_crop
from understudy.faces.records import pack_mesh


class FaceSetWriter:
    """An open face set; a context manager.

    Args:
        path: its folder; made when missing.
        about: mode, size, picture format, and what else is to be known of the whole set.

    Raises:
        FaceSetError: the folder holds something else, or a face set made with other settings.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self.about: dict[str, Any] = {"format": FORMAT, **about}
        if (path / "faceset.toml").is_file():
            known = FaceSet.open(path)
            if known.records:
                self._check(known.about)
            elif known.sources:  # read to the end and nothing found: other settings may find more
                durable.write_text(path / "faces.jsonl", "")
                durable.write_text(path / "faceset.toml", to_toml(self.about))
        else:
            if path.is_dir() and any(_is_foreign(entry) for entry in path.iterdir()):
                raise FaceSetError(
                    f"{path} holds other files and no face set; choose an empty or a new folder"
                )
            with durable.explained(path):
                (path / "crops").mkdir(parents=True, exist_ok=True)
            durable.write_text(path / "faceset.toml", to_toml(self.about))
        with durable.explained(path):
            (path / "crops").mkdir(exist_ok=True)
        durable.sweep(path)
        durable.sweep(path / "crops")
        self.known = FaceSet.open(path)
        self._tracks = max((record.track for record in self.known.records), default=-1) + 1
        self._names = list(self.known.sources)
        self._begun: dict[str, str] = {}
        self._pending: list[str] = []

    def __enter__(self) -> FaceSetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Everything is on disk after every ``read_to``; nothing is left to do."""

    def begin(self, source: str, fingerprint: str) -> int:
        """Starts or continues a file.

        Args:
            source: its name.
            fingerprint: of its content.

        Returns:
            The number of its first frame that has not been read; -1 when it has been read to its end.

        Raises:
            FaceSetError: another file of that name is in the face set.
        """
        known = self.known.sources.get(source)
        other = self._begun.setdefault(source, fingerprint) != fingerprint
        if other or (known and known["fingerprint"] != fingerprint):
            raise FaceSetError(
                f"{self.path} has faces of another file named {source}; "
                "rename the file, or choose a new folder"
            )
        if source not in self._names:
            self._names.append(source)
        self._source, self._fingerprint, self._offset = source, fingerprint, self._tracks
        start = 0 if known is None else -1 if known["complete"] else int(known["frames"])
        if start >= 0:
            self._remove_unlisted(start)
        return start

    def add(
        self,
        face: Face,
        picture: UInt8[np.ndarray, "s s 3"],
        identity: Float32[np.ndarray, "d"] | None = None,
    ) -> None:
        """Adds a face of the file that was begun; its track is numbered anew, unique in the set."""
        name = f"{self._prefix()}{face.frame:06d}_{face.index}.{self.about['picture']}"
        track = self._offset + face.track
        self._tracks = max(self._tracks, track + 1)
        data: dict[str, Any] = {
            "crop": name,
            "source": self._source,
            "frame": face.frame,
            "time": round(face.time, 6),
            "index": face.index,
            "track": track,
            "box": np.round(face.box, 2).tolist(),
            "presence": round(face.presence, 4),
            "found": face.found,
            "pose": [round(angle, 2) for angle in face.pose],
            "sharpness": round(face.sharpness, 2),
            "mode": face.alignment.mode,
            "size": int(picture.shape[0]),
            "matrix": face.alignment.matrix.tolist(),
            "mesh": pack_mesh(face.points, face.alignment),
        }
        if identity is not None:
            data["identity"] = base64.b64encode(identity.astype("<f4").tobytes()).decode()
        path = self.path / "crops" / name
        durable.write_bytes(path, encode_crop(picture, data, self.about["picture"]), flush=False)
        self._pending.append(json.dumps(data, separators=(",", ":")))

    def read_to(self, frames: int, *, complete: bool = False, **facts: Any) -> None:  # noqa: ANN401  # plain data
        """Puts the faces since the last call into the table, and how far the file has been read.

        Args:
            frames: number of frames of the file that have been read.
            complete: whether that is all of it.
            facts: what else is to be known of the file.
        """
        mark = {
            "read": self._source,
            "fingerprint": self._fingerprint,
            "frames": frames,
            "complete": complete,
            **facts,
        }
        durable.append_lines(self.path / "faces.jsonl", [*self._pending, json.dumps(mark)], flush=True)
        self._pending.clear()

    def write_persons(self, persons: Mapping[int, int]) -> None:
        """Puts the person of every track into the table."""
        line = json.dumps({"persons": {str(track): person for track, person in persons.items()}})
        durable.append_lines(self.path / "faces.jsonl", [line], flush=True)

    def _prefix(self) -> str:
        """What names of this file's crops begin with: its number, but for the first file."""
        place = self._names.index(self._source)
        return f"{place:02d}_" if place else ""

    def _remove_unlisted(self, start: int) -> None:
        """Remove crops of frames to come, which an interrupted call wrote but did not list."""
        name = re.compile(rf"{self._prefix()}(\d{{6,}})_\d+\.(?:jpg|png|webp)")
        for path in (self.path / "crops").iterdir():
            if (match := name.fullmatch(path.name)) and int(match[1]) >= start:
                path.unlink()

    def _check(self, about: Mapping[str, Any]) -> None:
        for key in ("mode", "size", "picture", "finding"):
            if about.get(key) != self.about.get(key):
                raise FaceSetError(
                    f"{self.path} was made with {key} {about.get(key)!r}, now {self.about.get(key)!r} is "
                    "asked for; use the same setting, or choose a new folder"
                )


def _is_foreign(entry: Path) -> bool:
    """Not what a call leaves behind that was killed while it made the folder."""
    if entry.name.startswith("."):
        return False
    return entry.name != "crops" or not entry.is_dir() or any(entry.iterdir())

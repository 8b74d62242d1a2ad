"""One line of a face set's table, and reading a table of a hundred thousand of them in a second or two.

Nine tenths of a line are the landmarks: they stay on disk until they are asked for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float32

from understudy.contracts import Alignment, Face
from understudy.errors import FaceSetError
from understudy.image.geometry import invert, transform_points

MESH_SCALE = 8192.0
"""Landmarks are kept as int16 in units of 1/8192 of the unit square's side: 0.03 px of a 256-pixel face."""
REQUIRED = frozenset(
    (
        *("crop", "source", "frame", "time", "index", "track", "box", "presence", "found", "pose"),
        *("sharpness", "mode", "size", "matrix", "mesh"),
    )
)
"""What a line must hold to be a face."""
_HEAD = REQUIRED - {"mesh"}

_MESH = b',"mesh":"'


def pack_mesh(points: Float32[np.ndarray, "478 3"], alignment: Alignment) -> str:
    """Landmarks in frame pixels as text."""
    unit = np.rint(transform_points(alignment.matrix, points) * MESH_SCALE)
    return base64.b64encode(np.clip(unit, -32768, 32767).astype("<i2").tobytes()).decode()


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
    file: str = ""
    """File name that its crop has now, when a person renamed it."""

    @property
    def crop(self) -> str:
        """File name that its crop was given; the face's name in edits."""
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

    @property
    def found(self) -> bool:
        """False when the face was interpolated."""
        return self.data["found"]

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


class _Line(Mapping[str, Any]):
    """A line of the table whose landmarks are read from the file when they are asked for."""

    __slots__ = ("_file", "_length", "_start", "head")

    def __init__(self, head: dict[str, Any], file: Path, start: int, length: int) -> None:
        self.head, self._file, self._start, self._length = head, file, start, length

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401  # plain data
        if key != "mesh":
            return self.head[key]
        with self._file.open("rb") as file:
            file.seek(self._start)
            return file.read(self._length).decode()

    def __iter__(self) -> Iterator[str]:
        yield from self.head
        yield "mesh"

    def __len__(self) -> int:
        return len(self.head) + 1

    def __contains__(self, key: object) -> bool:
        return key == "mesh" or key in self.head


def is_face(line: Mapping[str, Any]) -> bool:
    """Whether a line of the table, or what a crop says of itself, is all that a face needs."""
    return line.head.keys() >= _HEAD if isinstance(line, _Line) else line.keys() >= REQUIRED


def read_lines(file: Path) -> list[Mapping[str, Any]]:
    """Objects of a table; lines that a crash tore are passed over.

    Raises:
        FaceSetError: it cannot be read, or most of it is damaged.
    """
    if not file.is_file():
        return []
    out: list[Mapping[str, Any]] = []
    broken = start = 0
    try:
        with file.open("rb") as lines:
            for line in lines:
                found = _parse(line, file, start) if line.strip() else None
                start += len(line)
                if found is not None:
                    out.append(found)
                elif line.strip():
                    broken += 1  # torn by a crash; what was appended next begins on a line of its own
    except OSError as error:
        raise FaceSetError(f"{file}: cannot be read ({error.strerror}); check its permissions") from None
    if broken > max(3, len(out)):
        raise FaceSetError(
            f"{file}: {broken} of {broken + len(out)} lines are damaged; extract the face set again"
        )
    return out


def _parse(line: bytes, file: Path, start: int) -> Mapping[str, Any] | None:
    begin = line.find(_MESH)
    end = line.find(b'"', begin + len(_MESH)) if begin > 0 else -1
    try:
        if end < 0:
            whole: object = json.loads(line)
            return cast("dict[str, Any]", whole) if isinstance(whole, dict) else None
        head: dict[str, Any] = json.loads(line[:begin] + line[end + 1 :])
    except ValueError:
        return None
    begin += len(_MESH)
    return _Line(head, file, start + begin, end - begin)

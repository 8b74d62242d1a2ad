"""Faces framed for a model, decoded once: in memory, or in a scratch file when they are too many.

A face is five planes of bytes: red, green, blue, where the face is, where eyes and mouth are. Those in a
file are read row by row with plain reads, not through a mapping: the process stays as small as its batches,
and what the system keeps of the file it can drop at any time.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from understudy import durable
from understudy.errors import FaceSetError, ShapeError
from understudy.image.expression import EXPRESSION
from understudy.training.augment import MARGIN, store_side

PLANES = 5
"""Red, green, blue, the face, eyes and mouth."""
_CHUNK = 256
"""Rows that are moved to a GPU at once."""


class Framed(NamedTuple):
    """One face as a store takes it in."""

    picture: UInt8[np.ndarray, "s s 3"]
    """RGB, ``augment.MARGIN`` times as wide as the model's square."""
    mask: UInt8[np.ndarray, "s s"]
    """Where the face is."""
    features: UInt8[np.ndarray, "s s"]
    """Where eyes and mouth are."""
    expression: Float[np.ndarray, "11"] | None = None
    """What it does, see ``image.expression``; None where nothing needs it."""


class RowFile:
    """Equal rows of bytes in a file; any thread may read.

    Args:
        path: the file; more may follow behind the rows.
        shape: number of rows, then the shape of one.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._size = int(np.prod(shape[1:]))
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()
        self.close = weakref.finalize(self, self._file.close)
        """Close the file, which may then be removed; it is closed when nobody reads from it any more, too."""

    def read(self, rows: Int[np.ndarray, " b"], out: UInt8[np.ndarray, "..."]) -> None:
        """Read rows by number into ``out``, (b, *shape[1:]) and contiguous."""
        for place, row in enumerate(rows):
            view = memoryview(out[place]).cast("B")
            with self._lock:
                self._file.seek(int(row) * self._size)
                while len(view):
                    got = self._file.readinto(view)
                    if not got:
                        raise FaceSetError(f"{self._file.name}: cut short while it was in use; start again")
                    view = view[got:]


class FaceStore:
    """The faces of one person, framed for one model.

    Args:
        faces: (n, 5, S, S), in memory or in a file.
        expressions: what each face does, see ``image.expression``; None where nothing needs it.
        margin: how many times the model's square the pictures are wide.
    """

    def __init__(
        self,
        faces: UInt8[np.ndarray, "..."] | RowFile,
        expressions: Float[np.ndarray, "n 11"] | None = None,
        *,
        margin: float = MARGIN,
    ) -> None:
        shape = faces.shape
        if len(shape) != 4 or shape[1] != PLANES or shape[2] != shape[3]:
            raise ShapeError("faces", "(n, 5, S, S)", shape)
        if not shape[0]:
            raise FaceSetError("there is no face to learn from; extract some, or undo some rejections")
        self.faces = faces
        self.expressions = np.zeros((shape[0], len(EXPRESSION))) if expressions is None else expressions
        self.margin = margin
        self._resident: Tensor | None = None

    @classmethod
    def collect(
        cls, faces: Iterable[Framed], count: int, resolution: int, *, file: Path | None = None
    ) -> FaceStore:
        """``gather`` without stopping on the way."""
        gathering = cls.gather(faces, count, resolution, file=file)
        while True:
            try:
                next(gathering)
            except StopIteration as end:
                return end.value

    @classmethod
    def gather(
        cls,
        faces: Iterable[Framed],
        count: int,
        resolution: int,
        *,
        file: Path | None = None,
        digest: str = "",
    ) -> Generator[int, None, FaceStore]:
        """Takes faces in one by one, so that they are in memory once or not at all.

        Args:
            faces: framed by ``warp.crop(stored, matrix, store_side(resolution))`` with the matrix of
                ``alignment.crop_matrix(side, coverage * MARGIN)`` behind the inverse of the stored crop's.
            count: how many there are at most.
            resolution: of the model, the larger of input and output.
            file: keep them there instead of in memory; written whole or not at all.
            digest: of what the faces were made from, see ``open``.

        Yields:
            How many have been taken in, after each.

        Raises:
            FaceSetError: there is none.
            ShapeError: a picture or mask of another size.
            OutputError: the file cannot be written.
        """
        side = store_side(resolution)
        expressions = np.zeros((count, len(EXPRESSION)))
        if file is None:
            held = np.empty((count, PLANES, side, side), np.uint8)
            filled = 0
            for face in faces:
                _check(face, side)
                _lay(face, held[filled], expressions[filled])
                filled += 1
                yield filled
            return cls(held[:filled], expressions[:filled])
        row = np.empty((PLANES, side, side), np.uint8)
        filled = 0
        with durable.new_file(file, flush=False, size=count * row.nbytes) as part:
            with part.open("wb") as out:
                for face in faces:
                    _check(face, side)
                    _lay(face, row, expressions[filled])
                    out.write(row.data)
                    filled += 1
                    yield filled
                out.write(expressions[:filled].data)
            if not filled:
                raise FaceSetError("there is no face to learn from; extract some, or undo some rejections")
        about = {"digest": digest, "shape": [filled, PLANES, side, side]}
        durable.write_text(_about(file), json.dumps(about), flush=False)
        return cls(RowFile(file, (filled, PLANES, side, side)), expressions[:filled])

    @classmethod
    def open(cls, file: Path, digest: str) -> FaceStore | None:
        """A file that ``gather`` wrote; None where there is none that was made from the same things."""
        try:
            about: dict[str, Any] = json.loads(_about(file).read_text())
            shape = tuple(int(length) for length in about["shape"])
            size, tail = int(np.prod(shape)), shape[0] * len(EXPRESSION) * 8
            if about["digest"] != digest or file.stat().st_size != size + tail:
                return None
            expressions = np.fromfile(file, np.float64, offset=size).reshape(shape[0], len(EXPRESSION))
        except (OSError, ValueError, KeyError, IndexError):
            return None  # not there, or torn: it is made again
        return cls(RowFile(file, shape), expressions)

    def __len__(self) -> int:
        return self.faces.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all faces."""
        return int(np.prod(self.faces.shape))

    def close(self) -> None:
        """Let go of the file, if there is one."""
        if isinstance(self.faces, RowFile):
            self.faces.close()

    def read(self, indices: Int[np.ndarray, " b"], out: UInt8[np.ndarray, "b 5 s s"]) -> None:
        """Faces by number into ``out``."""
        if isinstance(self.faces, RowFile):
            self.faces.read(indices, out)
        else:
            np.take(self.faces, indices, axis=0, out=out, mode="clip")  # raise would copy once more

    def rows(self, indices: Int[np.ndarray, " b"], device: torch.device) -> UInt8[Tensor, "b 5 s s"]:
        """Faces by number, on the device; a GPU that has the room keeps them all."""
        if device.type == "cuda" and self._resident is None and self.nbytes < _free_on(device) / 4:
            self._resident = self._moved(device)
        if self._resident is not None and self._resident.device == device:
            return self._resident[torch.as_tensor(indices).to(device, non_blocking=True)]
        held = np.empty((len(indices), *self.faces.shape[1:]), np.uint8)
        self.read(indices, held)
        rows = torch.as_tensor(held)
        return rows.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else rows.to(device)

    def _moved(self, device: torch.device) -> UInt8[Tensor, "n 5 s s"]:
        """All faces on the device."""
        out = torch.empty(self.faces.shape, dtype=torch.uint8, device=device)
        for start in range(0, len(self), _CHUNK):
            places = np.arange(start, min(start + _CHUNK, len(self)))
            chunk = torch.empty((len(places), *self.faces.shape[1:]), dtype=torch.uint8)
            self.read(places, chunk.numpy())
            out[start : start + len(places)] = chunk.to(device)
        torch.cuda.synchronize(device)  # other streams read it too
        return out


def bytes_of(count: int, resolution: int) -> int:
    """Bytes that so many faces take in a store."""
    return count * PLANES * store_side(resolution) ** 2


def available_memory() -> int:
    """Bytes of memory that can be had without pushing others out; 0 where the system does not say."""
    found: list[int] = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current"))
        found.append(max(0, int(limit) - int(used)))
    except (OSError, ValueError):
        pass  # no Linux, or no container with a limit ("max")
    if not found and hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=0)


def _about(file: Path) -> Path:
    return file.with_suffix(".json")


def _check(face: Framed, side: int) -> None:
    picture, mask, features = face[:3]
    if picture.shape != (side, side, 3) or mask.shape != (side, side) or features.shape != mask.shape:
        raise ShapeError("face", f"({side}, {side}, 3) and its masks", picture.shape)


def _lay(face: Framed, row: UInt8[np.ndarray, "5 s s"], expression: Float[np.ndarray, "11"]) -> None:
    """One face into its row."""
    row[:3] = face.picture.transpose(2, 0, 1)
    row[3], row[4] = face.mask, face.features
    if face.expression is not None:
        expression[:] = face.expression


def _free_on(device: torch.device) -> int:
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)

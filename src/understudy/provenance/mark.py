"""The invisible mark of this installation: its key, the station that puts it into frames, and finding it.

Layout of ``UNDERSTUDY_HOME/keys/mark`` (open to its owner only; ``understudy keys backup`` takes it along):

    key.bin           32 secret bytes; whoever has them can find our marks, forge them and remove them
    earlier/*.bin     keys before it: what they marked is still found

The number in a mark is made from what the result is made from, so that a render that was interrupted goes on
with the same one.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy import durable
from understudy.contracts import Frame
from understudy.errors import OutputError
from understudy.provenance.keys import private_folder, require_private, write_private
from understudy.provenance.marker import WHOLE, Marker, Reading, Region
from understudy.provenance.spread import GROUP, SpreadMarker
from understudy.provenance.store import ManifestStore
from understudy.video.reader import open_reader
from understudy.weights.home import understudy_home

FOUND = 1e-6
"""A p-value below which a mark counts as found."""
SURE = 1e-12
"""A p-value at which looking ends."""
LOOKS = (16, 48, 128)
"""After how many frames is looked; one that is found early costs little."""
_BYTES = 32


# ------------------------------------------------------------------------------------------------------ key


class MarkKeys:
    """The secret of one ``UNDERSTUDY_HOME`` from which marks are made.

    Args:
        home: state folder; None for ``understudy_home()``.
    """

    def __init__(self, home: Path | None = None) -> None:
        self.folder = (understudy_home() if home is None else home) / "keys" / "mark"
        self.file = self.folder / "key.bin"
        self.earlier = self.folder / "earlier"

    def load(self) -> bytes:
        """The key; made at first use.

        Raises:
            OutputError: it is readable by others, damaged, or cannot be written.
        """
        if not self.file.exists():
            private_folder(self.file.parent.parent)
            private_folder(self.folder)
            write_private(self.file, os.urandom(_BYTES))
        return _read(self.file)

    def every(self) -> list[bytes]:
        """The key and those before it; none where there was never one.

        Raises:
            OutputError: one of them is readable by others, or damaged.
        """
        files = [self.file] if self.file.exists() else []
        return [_read(file) for file in [*files, *sorted(self.earlier.glob("*.bin"), reverse=True)]]

    def rotate(self) -> bytes:
        """Puts the key aside and makes a new one; earlier marks are still found.

        Raises:
            OutputError: the folder cannot be written.
        """
        if self.file.exists():
            private_folder(self.earlier)
            stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
            with durable.explained(self.earlier):
                self.file.rename(self.earlier / f"{stamp}.bin")
        return self.load()


def _read(file: Path) -> bytes:
    require_private(file)
    key = file.read_bytes()
    if len(key) != _BYTES:
        raise OutputError(
            f"{file}: wanted {_BYTES} bytes, got {len(key)}; put your backup back (understudy keys restore "
            "FILE), or delete the file: marks of that key are then no longer found"
        )
    return key


def key_name(key: bytes) -> str:
    """What may be told of a key: enough to tell two apart."""
    return hmac.new(key, b"understudy mark, name of the key", hashlib.sha256).hexdigest()[:12]


def number_for(key: bytes, facts: Iterable[str]) -> int:
    """The number of a result's mark, from what the result is made from; nobody without the key can guess it.

    Args:
        key: the installation's.
        facts: texts that tell results apart: hashes, the output's name.
    """
    digest = hmac.new(key, "\0".join(["understudy mark, number", *facts]).encode(), hashlib.sha256)
    return int.from_bytes(digest.digest()[:4], "big")


# -------------------------------------------------------------------------------------------------- marking


class MarkStation:
    """Puts the mark into every frame: a station of the merge.

    A frame depends on those before it in its group, so whoever renders a part renders whole groups; they
    are counted from ``first``. A frame that does not follow the one before it begins a group too.

    Args:
        number: what the mark says; see ``number_for``.
        marker: the method; None for ``SpreadMarker`` with this installation's key.
        home: state folder; None for ``understudy_home()``.
        first: number of the first frame of the whole render.
        group: frames of a group.
        psnr: of a marked frame, decibels, for our own method; None: by the frame's size.
    """

    def __init__(
        self,
        number: int,
        *,
        marker: Marker | None = None,
        home: Path | None = None,
        first: int = 0,
        group: int = GROUP,
        psnr: float | None = None,
    ) -> None:
        self.number, self.first, self.group, self.home = number, first, group, home
        self.psnr = psnr
        self.secret = "given" if marker is not None else key_name(MarkKeys(home).load())
        self.marker = marker or SpreadMarker(MarkKeys(home).load(), psnr=psnr)
        self._stamp: Callable[[Frame], Frame] | None = None
        self._next = -1

    def __call__(self, frame: Frame) -> Frame:
        """The frame with the mark in its luma."""
        begins = (frame.index - self.first) % self.group == 0
        if self._stamp is None or begins or frame.index != self._next:
            self._stamp = self.marker.begin(self.number)
        self._next = frame.index + 1
        return self._stamp(frame)

    def reset(self) -> None:
        """The next frame begins a shot."""
        self._stamp = None

    def key(self) -> dict[str, Any]:
        """Plain data, without the secret."""
        return {
            "mark": f"{self.number:08x}",
            "algorithm": self.marker.algorithm,
            "key": self.secret,
            "psnr": self.psnr,
            "first": self.first,
            "group": self.group,
        }

    @classmethod
    def from_key(cls, key: Mapping[str, Any]) -> MarkStation:
        """The same station in another process of this installation.

        Raises:
            OutputError: the installation's key is another by now.
        """
        station = cls(int(key["mark"], 16), first=key["first"], group=key["group"], psnr=key["psnr"])
        if station.key() != dict(key):
            raise OutputError(
                f"{MarkKeys().file}: the mark's key or method is another than when this render began; "
                "begin it anew"
            )
        return station


# -------------------------------------------------------------------------------------------------- finding


@dataclass(frozen=True, kw_only=True)
class MarkReport:
    """The answer to "is this file marked by us?"."""

    id: int | None
    """The mark's number, for ``store.find``; None when a mark is there whose number is not legible."""
    p_value: float
    """Chance that a file without our mark looks as marked, over everything that was tried."""
    score: float
    """Agreement with the mark, in standard deviations."""
    frames: int
    """How many were pooled."""
    crop: Region
    """The part of the marked picture that the file shows: x0, y0, x1, y1 in fractions of it."""
    known: bool
    """Whether the store has the number."""
    algorithm: str
    """The method's name."""

    @property
    def cropped(self) -> bool:
        """Whether only a part of the marked picture is there."""
        return max(abs(seen - whole) for seen, whole in zip(self.crop, WHOLE, strict=True)) > 0.01

    @property
    def value(self) -> str:
        """The number as it stands in a manifest; empty when it is not legible."""
        return "" if self.id is None else f"{self.id:08x}"


def find_mark(
    path: Path,
    *,
    home: Path | None = None,
    markers: Iterable[Marker] | None = None,
    known: Collection[int] | None = None,
    crops: bool = True,
    threshold: float = FOUND,
) -> MarkReport | None:
    """Looks for this installation's mark in a file.

    Args:
        path: a video, a picture, or a folder of pictures.
        home: state folder; None for ``understudy_home()``.
        markers: methods and keys to try; None: our own with every key of this installation.
        known: numbers that are expected; None: those of the store.
        crops: look for a part of a marked picture too, where the whole is not found; takes seconds.
        threshold: p-value below which the answer is a report; 1 gives one always.

    Returns:
        The likeliest mark; None when nothing is below the threshold, or nothing was ever marked here.

    Raises:
        VideoError: not one frame can be decoded.
        OutputError: the key is readable by others.
    """
    methods = [SpreadMarker(key) for key in MarkKeys(home).every()] if markers is None else list(markers)
    if not methods:
        return None
    expected = ManifestStore(home).numbers() if known is None else set(known)
    look = _Look(methods, expected)
    with open_reader(path, tolerate_damage=True) as reader, closing(reader.frames(0, LOOKS[-1])) as frames:
        sure = look.along(frames)
    if crops and not sure:
        look.once(deep=True)
    if look.best is None or look.best[0] > threshold:
        return None
    p_value, reading, method = look.best
    return MarkReport(
        id=reading.number,
        p_value=p_value,
        score=reading.score,
        frames=reading.frames,
        crop=reading.region,
        known=reading.known,
        algorithm=method.algorithm,
    )


class _Look:
    """Looks for the marks of several methods in the same frames, and keeps the likeliest."""

    def __init__(self, methods: Sequence[Marker], expected: Collection[int]) -> None:
        self.gatherers = [(method, method.gatherer()) for method in methods]
        self.expected = expected
        self.best: tuple[float, Reading, Marker] | None = None

    def along(self, frames: Iterable[Frame]) -> bool:
        """Takes frames in and looks now and then; True as soon as there is nothing left to doubt."""
        count = 0
        for count, frame in enumerate(frames, 1):
            for _, gatherer in self.gatherers:
                gatherer.add(frame)
            if count in LOOKS and self.once():
                return True
        return count not in LOOKS and self.once()

    def once(self, *, deep: bool = False) -> bool:
        """Reads what is there; True when there is nothing left to doubt."""
        for method, gatherer in self.gatherers:
            reading = gatherer.search(self.expected) if deep else gatherer.read(self.expected)
            p_value = min(1.0, reading.p_value * len(self.gatherers))
            if self.best is None or p_value < self.best[0]:
                self.best = (p_value, reading, method)
        return self.best is not None and self.best[0] <= SURE and self.best[1].number is not None

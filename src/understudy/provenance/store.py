"""The local store of manifests: what a mark in a stripped or re-encoded file leads back to.

Layout of ``UNDERSTUDY_HOME/manifests`` (open to its owner only):

    index.jsonl           append-only: a line a result
    <sha256>.c2pa         the manifests, each under the hash of its bytes

An entry has the mark's number, hashes, the result's path on this machine and the day; no name of a person
and nothing of a face. A line that a power cut tore is skipped. The store is for finding things again and
proves nothing by itself: the signature in the manifest does.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from understudy import durable
from understudy.errors import OutputError
from understudy.provenance.keys import private_folder
from understudy.weights.home import understudy_home


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One marked result."""

    number: int
    """What its mark says."""
    path: str
    """Where the result lay when it was made."""
    sha256: str
    """Of the result's bytes."""
    manifest: str
    """SHA-256 of its manifest's bytes; empty where it had none."""
    date: str
    """When it was made, ISO 8601, UTC."""
    records: tuple[str, ...] = ()
    """Hashes of the consent records that it was made under."""
    width: int = 0
    """Of the picture, pixels; helps to find a crop's place. 0: not known."""
    height: int = 0


class ManifestStore:
    """The manifests of one ``UNDERSTUDY_HOME``.

    Args:
        home: state folder; None for ``understudy_home()``.
    """

    def __init__(self, home: Path | None = None) -> None:
        self.folder = (understudy_home() if home is None else home) / "manifests"
        self.index = self.folder / "index.jsonl"

    def add(
        self,
        number: int,
        path: Path,
        sha256: str,
        *,
        manifest: bytes | None = None,
        records: Sequence[str] = (),
        size: tuple[int, int] = (0, 0),
    ) -> Entry:
        """Files a result; its line is on the disk when this returns.

        Args:
            number: what its mark says.
            path: the result.
            sha256: hash of the result's bytes.
            manifest: its manifest; None where it has none.
            records: hashes of the consent records that it was made under.
            size: width and height of the picture.

        Raises:
            OutputError: the store cannot be written.
        """
        digest = hashlib.sha256(manifest).hexdigest() if manifest is not None else ""
        entry = Entry(
            number=number,
            path=str(path.resolve()),
            sha256=sha256,
            manifest=digest,
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            records=tuple(records),
            width=size[0],
            height=size[1],
        )
        try:
            private_folder(self.folder)
            if manifest is not None and not self._manifest_file(digest).is_file():
                durable.write_bytes(self._manifest_file(digest), manifest)
            durable.append_line(self.index, json.dumps(asdict(entry)), flush=True)
        except OutputError as error:
            raise OutputError(
                f"the result was made, but cannot be filed in the store of manifests, so that a copy of it "
                f"without its manifest would not be found again: {error}"
            ) from error
        return entry

    def entries(self) -> Iterator[Entry]:
        """Everything filed, the oldest first; lines that are no entries are skipped.

        Raises:
            OutputError: the store is there and cannot be read.
        """
        try:
            lines = self.index.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(
                f"{self.index}: the store of manifests cannot be read ({error.strerror}); "
                "change its permissions"
            ) from error
        for line in lines:
            if (entry := _entry(line)) is not None:
                yield entry

    def find(self, number: int) -> Entry | None:
        """The newest result with that number in its mark."""
        found = [entry for entry in self.entries() if entry.number == number]
        return found[-1] if found else None

    def numbers(self) -> set[int]:
        """The numbers of all marks that were given."""
        return {entry.number for entry in self.entries()}

    def manifest(self, entry: Entry) -> bytes | None:
        """An entry's manifest; None where it had none, or its bytes are no longer what they were."""
        if not entry.manifest:
            return None
        try:
            data = self._manifest_file(entry.manifest).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == entry.manifest else None

    def derived(self, record: str) -> list[Entry]:
        """What was made under a consent record.

        Args:
            record: its hash.
        """
        return [entry for entry in self.entries() if record in entry.records]

    def forget(self, numbers: Collection[int]) -> int:
        """Removes results with those numbers, and manifests that nothing else uses; for ``consent purge``.

        Returns:
            How many entries went.

        Raises:
            OutputError: the store cannot be written.
        """
        every = list(self.entries())
        kept = [entry for entry in every if entry.number not in numbers]
        if len(kept) == len(every):
            return 0
        durable.write_text(self.index, "".join(f"{json.dumps(asdict(entry))}\n" for entry in kept))
        for digest in {entry.manifest for entry in every} - {entry.manifest for entry in kept} - {""}:
            with durable.explained(self.folder):
                self._manifest_file(digest).unlink(missing_ok=True)
        return len(every) - len(kept)

    def _manifest_file(self, digest: str) -> Path:
        return self.folder / f"{digest}.c2pa"


def _entry(line: bytes) -> Entry | None:
    try:
        data: dict[str, Any] = json.loads(line)
        data["records"] = tuple(data["records"])
        return Entry(**data)
    except (ValueError, TypeError, KeyError):
        return None


def find(number: int, *, home: Path | None = None) -> Entry | None:
    """The newest result with that number in its mark; see ``ManifestStore``."""
    return ManifestStore(home).find(number)

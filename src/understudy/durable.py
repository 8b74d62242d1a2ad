"""Files that survive a power cut: every write, flush and rename of the program goes through here.

A file is written under a temporary name beside its place (``.name.PID.part``), flushed to the disk and
renamed, so that a reader sees the old content or the new one, never a torn one. Folders are made in the same
way. Tables to which lines are appended (``append_line``) can end in a torn line; the next append starts on a
line of its own.

Tests stop the real program at every one of these operations. The variable ``UNDERSTUDY_FAULT`` is read here
and nowhere else: ``7:before`` and ``7:after`` kill the process round the seventh operation, ``7:half`` kills
it when half of a write has reached the file, ``7:full`` lets the operation fail as a full disk does, and
``count:FILE`` appends one line per operation to FILE and changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shutil
import signal
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import BinaryIO

from understudy.errors import OutputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) if hasattr(errno, "EDQUOT") else (errno.ENOSPC, errno.EFBIG)
"""What the system says of a disk without room."""
_counter = itertools.count(1)


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def sole_writer(folder: Path) -> Generator[None, None, None]:
    """Nobody else writes into this folder within the block.

    The lock is the system's and ends with the process, however it ends. It is held on the file ``.lock``,
    which stays. Where the system has no such locks (Windows, some network disks) nothing is locked.

    Raises:
        OutputError: another process is at work there, or the folder cannot be written to.
    """
    if fcntl is None:
        yield
        return
    with explained(folder):
        file = (folder / ".lock").open("a+b")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{folder}: another understudy is at work there; wait for its end, or choose another folder"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        yield


# ------------------------------------------------------------------------------------------------ files


def write_bytes(path: Path, data: bytes, *, flush: bool = True) -> None:
    """Put ``data`` into the file, all or nothing.

    Args:
        path: the file; its folder must exist. An existing file is replaced.
        data: the whole content.
        flush: wait until the disk has it. False only for what may be lost at a power cut (``status.json``).

    Raises:
        OutputError: no space, no permission, no folder.
    """
    with new_file(path, flush=flush, size=len(data)) as part:
        fill(part, [data])


def write_text(path: Path, text: str, *, flush: bool = True) -> None:
    """Put ``text`` as UTF-8 into the file, all or nothing; see ``write_bytes``."""
    write_bytes(path, text.encode(), flush=flush)


def fill(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write a new file in pieces, neither flushed nor renamed: for use in ``new_file`` and ``new_folder``.

    Args:
        path: the temporary file, or a file in the temporary folder.
        chunks: the content.
    """
    try:
        with path.open("wb") as file:
            _write(file, chunks)
    except OSError as error:
        error.filename = str(path)  # a failed write does not know it; the block round us asks
        raise


@contextlib.contextmanager
def new_file(path: Path, *, flush: bool = True, size: int = 0) -> Generator[Path, None, None]:
    """A temporary path to write to, which takes the place of ``path`` when the block ends well.

    For writers that want a file name (PyAV). If the block raises, the temporary file is removed and ``path``
    is as it was.

    Args:
        path: the file to be; the temporary name keeps its suffix last, for writers that go by it.
        flush: see ``write_bytes``.
        size: bytes that will be written, where known, for the message when the disk is full.
    """
    part = part_name(path)
    try:
        with explained(path, size, within=part):
            yield part
        with explained(path, size):
            if flush:
                _flush(part)
            _operate("rename", path, lambda: part.replace(path))
            if flush:
                _flush(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def append_line(path: Path, text: str, *, flush: bool = False) -> None:
    """Add one line to a table, in one write.

    A line that was torn by a power cut stays as it is; this one begins after it. Readers skip what is no
    record.

    Args:
        path: the table; made if it does not exist.
        text: the line, without a line break in it or at its end.
        flush: wait until the disk has it.

    Raises:
        OutputError: no space, no permission, no folder.
    """
    append_lines(path, [text], flush=flush)


def append_lines(path: Path, lines: list[str], *, flush: bool = False) -> None:
    """Add several lines to a table, in one write; see ``append_line``."""
    assert not any("\n" in line for line in lines), "a record must be one line"
    data = "".join(f"{line}\n" for line in lines).encode()
    with explained(path, len(data)), path.open("a+b") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                data = b"\n" + data
        _write(file, [data])
        if flush:
            _operate("flush", path, lambda: os.fsync(file.fileno()))


# ------------------------------------------------------------------------------------------------ folders


@contextlib.contextmanager
def new_folder(path: Path, *, size: int = 0) -> Generator[Path, None, None]:
    """A temporary folder to fill, which becomes ``path`` when the block ends well; see ``replace_folder``.

    Args:
        path: the folder to be.
        size: bytes that will be written, where known, for the message when the disk is full.
    """
    part = part_name(path)
    try:
        with explained(path, size):
            shutil.rmtree(part, ignore_errors=True)  # a predecessor with our process number left it
            part.mkdir()
        with explained(path, size, within=part):
            yield part
        replace_folder(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def replace_folder(part: Path, path: Path) -> None:
    """Flush every file of ``part`` to the disk and give it the name ``path``.

    A folder that is there already is first moved aside and then removed: between the two renames there is
    none, so what must never be missing is named by a text file (``latest``), not by a folder.

    Raises:
        OutputError: no space, no permission.
    """
    with explained(path, 0):
        for file in sorted(part.rglob("*")):
            _flush(file)
        _flush(part)
        if path.exists():
            remove_folder(path)
        _operate("rename", path, lambda: part.replace(path))
        _flush(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder so that a half-removed one never bears its name."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.gone.part")
    with explained(path, 0):
        shutil.rmtree(aside, ignore_errors=True)
        _operate("rename", path, lambda: path.replace(aside))
        shutil.rmtree(aside)


def sweep(folder: Path) -> list[Path]:
    """Remove what processes that are no more left unfinished in ``folder``; says what it removed."""
    removed: list[Path] = []
    for path in sorted(folder.glob(".*.part*")):
        named = re.fullmatch(r"\..+\.(\d+)(\.gone)?\.part(\.[^.]+)?", path.name)
        if not named or _alive(int(named[1])):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
        removed.append(path)
    return removed


def part_name(path: Path) -> Path:
    """The temporary name beside ``path``: hidden, this process's own, same suffix."""
    return path.with_name(f".{path.name}.{os.getpid()}.part{path.suffix}")


def require_space(folder: Path, size: int) -> None:
    """Check that the disk that holds ``folder`` has room.

    Raises:
        OutputError: it has less than ``size`` bytes free, or the folder cannot be written to.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OutputError(
            f"{folder}: {_amount(size)} are needed and {_amount(free)} are free; "
            "make room or choose another place"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"{folder}: not allowed to write there; change its permissions or choose another place"
        )


# ------------------------------------------------------------------------------------------------ operations


def _write(file: BinaryIO, chunks: Iterable[bytes | memoryview]) -> None:
    def act() -> None:
        for chunk in chunks:
            file.write(chunk)
        file.flush()

    def tear() -> None:
        data = b"".join(chunks)
        file.write(data[: len(data) // 2])
        file.flush()

    _operate("write", Path(file.name), act, tear)


def _flush(path: Path) -> None:
    """Wait until the disk has the file, or the folder's names."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handle for a folder, and journals the names itself

    def act() -> None:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    _operate("flush", path, act)


def _operate(
    kind: str, path: Path, act: Callable[[], object], tear: Callable[[], object] | None = None
) -> None:
    """Do one operation; it is the numbered place at which a test may stop the process."""
    fault = os.environ.get("UNDERSTUDY_FAULT")
    if not fault:
        act()
        return
    number = next(_counter)
    where, _, how = fault.partition(":")
    if where == "count":
        with Path(how).open("a") as file:
            file.write(f"{number} {kind} {path.name}\n")
    if where != str(number):
        act()
        return
    if how == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    if how == "half" and tear:
        tear()
    elif how != "before":
        act()
    os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


@contextlib.contextmanager
def explained(path: Path, size: int = 0, within: Path | None = None) -> Generator[None, None, None]:
    """Turn what the system says about a failed write into what a person can do about it.

    Args:
        path: what is being written.
        size: bytes it needs, 0 when unknown.
        within: given round code of others, whose errors are ours only if they name this path or a full disk.
    """
    try:
        yield
    except OSError as error:
        ours = error.errno in FULL or within is None or str(error.filename).startswith(str(within))
        if not ours:
            raise
        raise OutputError(_reason(path, size, error)) from error


def _reason(path: Path, size: int, error: OSError) -> str:
    if error.errno in FULL:
        wanted = f"{_amount(size)} are needed" if size else "more room is needed"
        try:
            room = f" and {_amount(shutil.disk_usage(path.parent).free)} are free"
        except OSError:
            room = ""
        return f"{path}: the disk is full ({wanted}{room}); make room and try again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path}: not allowed to write there ({error.strerror}); change that or choose another place"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{path}: there is no such folder ({error.strerror}); make it or choose another place"
    return f"{path}: cannot be written: {error.strerror or error}"


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

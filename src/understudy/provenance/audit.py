"""The audit log: a line for every training, merge, export and verification, each bound to the one before it.

``UNDERSTUDY_HOME/audit.jsonl`` (open to its owner only). A line is JSON in canonical form; ``hash`` is the
SHA-256 of the line without it, ``before`` the hash of the line before. Whoever edits a line has to
write every later one anew, and even then the results tell: a manifest names the newest hash at its signing
(``provenance.claim.Edit.audit``), and that hash is then gone from the log. What the log cannot show is a line
that was never written.

A power cut may tear the last line; the next one then follows the line before it, and ``check`` says so.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from understudy import __version__, durable
from understudy.errors import OutputError
from understudy.provenance.keys import private_folder
from understudy.provenance.record import canonical
from understudy.weights.home import understudy_home

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FILE = "audit.jsonl"
What = Literal["train", "merge", "export", "verify"]
OWN = ("hash", "before", "number", "time", "what", "understudy")
"""Names that every line has; facts have others."""
_TAIL = 1 << 16  # bytes from the end in which the last whole line is looked for first


@dataclass(frozen=True)
class Entry:
    """One line."""

    line: int
    """Its number in the file, from 1."""
    data: Mapping[str, Any]
    """All of it."""

    @property
    def hash(self) -> str:
        """What the next line and a manifest name it by."""
        return str(self.data["hash"])


@dataclass(frozen=True)
class Checked:
    """What a look through the log found."""

    entries: int
    """Whole lines."""
    head: str
    """Hash of the last one; empty if there is none."""
    wrong: tuple[str, ...]
    """What shows that somebody changed it, a sentence each with the line's number."""
    remarks: tuple[str, ...]
    """What a power cut explains, or a clock that was set: consent ends by the clock, so that shows."""


class AuditLog:
    """The log of one ``UNDERSTUDY_HOME``.

    Args:
        home: state folder; None for ``understudy_home()``.
    """

    def __init__(self, home: Path | None = None) -> None:
        self.path = (understudy_home() if home is None else home) / FILE

    def append(self, what: What, facts: Mapping[str, Any]) -> str:
        """Adds a line and flushes it to the disk.

        Args:
            what: what was done.
            facts: plain data: text, whole numbers, true, false, lists, tables with ASCII names; no person's
                name and no picture.

        Returns:
            Its hash, for the manifest of what was made.

        Raises:
            OutputError: it cannot be written.
        """
        assert not set(facts) & set(OWN), "the names of every line"
        with self._alone():
            last = self._last()
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            number: object = last.get("number") if last else 0
            data = {
                **_plain(facts),
                "number": number + 1 if isinstance(number, int) else 1,
                "time": now.replace("+00:00", "Z"),
                "what": what,
                "understudy": __version__,
                "before": _plain(last["hash"]) if last else "",
            }
            digest = _hash(data)
            durable.append_line(self.path, canonical({**data, "hash": digest}).decode(), flush=True)
        return digest

    def head(self) -> str:
        """Hash of the last whole line; empty if there is none."""
        last = self._last()
        return str(last["hash"]) if last else ""

    def entries(self) -> Iterator[Entry]:
        """Every line that can be read, in order."""
        for number, data in self._lines():
            if data is not None:
                yield Entry(number, data)

    def check(self) -> Checked:
        """Goes through the whole log."""
        wrong: list[str] = []
        remarks: list[str] = []
        torn: list[int] = []
        before, latest, count = "", "", 0
        for number, data in self._lines():
            if data is None:
                torn.append(number)
                continue
            count += 1
            if _hash({key: value for key, value in data.items() if key != "hash"}) != data["hash"]:
                wrong.append(f"line {number} was edited: it does not fit its own hash")
            if data["before"] != before:
                where = f"before line {number}" if not torn else f"at line {torn[-1]}"
                wrong.append(f"{where} something was edited, left out or put in: the chain is broken there")
                torn.clear()
            remarks += [f"line {each} is torn, and the one after it follows the one before" for each in torn]
            torn.clear()
            before, time = str(data["hash"]), str(data.get("time", ""))
            if time[:16] < latest[:16]:  # to the minute: clocks are set right by seconds
                remarks.append(f"line {number} is of {time}, after one of {latest}: the clock was set back")
            latest = max(latest, time)
        remarks += [f"line {each}, the last one, is torn" for each in torn]
        return Checked(count, before, tuple(wrong), tuple(remarks))

    def knows(self, digest: str) -> bool:
        """Whether the log has a line of that hash."""
        return any(entry.hash == digest for entry in self.entries())

    def _lines(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Number and content of every line; None for one that is no record."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _record(line)

    def _last(self) -> dict[str, Any] | None:
        """The last whole line."""
        if not self.path.is_file():
            return None
        with self.path.open("rb") as file:
            length = file.seek(0, 2)
            file.seek(max(0, length - _TAIL))
            for line in reversed(file.read().splitlines()):
                if (data := _record(line)) is not None:
                    return data
        last = None
        for _, data in self._lines():
            last = data or last
        return last

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Nobody else appends within the block; two processes wait for each other."""
        if not self.path.parent.is_dir():
            private_folder(self.path.parent)
        with durable.explained(self.path):
            self.path.touch(mode=0o600)
            lock = self.path.open("rb")
        with lock:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # a network disk without locks
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def note(what: What, facts: Mapping[str, Any], *, home: Path | None = None) -> tuple[str, str]:
    """Adds a line if the log can be written.

    A state folder on a read-only disk does not stop the work; the result then binds no hash, and the
    sentence that is given back is to be said.

    Returns:
        The line's hash, and a sentence; one of them is empty.
    """
    try:
        return AuditLog(home).append(what, facts), ""
    except OutputError as error:
        return "", f"this {what} is not in the audit log: {error}"


def _hash(data: Mapping[str, Any]) -> str:
    """Of a line; empty for one that no program of ours has written."""
    try:
        return hashlib.sha256(canonical(data)).hexdigest()
    except (ValueError, RecursionError):
        return ""


def _plain(value: Any) -> Any:  # noqa: ANN401  # plain data of any shape
    """Plain data whose texts can be written: a file's name need not be one."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in cast("list[Any]", value)]
    return value


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        data: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    found = cast("dict[str, Any]", data)
    return found if all(isinstance(found.get(name), str) for name in ("hash", "before", "what")) else None

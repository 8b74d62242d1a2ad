"""What an output says about itself: a tag in the container and a sidecar file beside it.

The tag names the picture as AI-modified (IPTC's ``compositeWithTrainedAlgorithmicMedia``); the sidecar
``<output>.json`` says what was done, with which run, from which files, by their hashes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from understudy import __version__, durable
from understudy.video.stills import image_files

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term for a recording into which a trained algorithm has composited."""


def container_tags(run: str) -> dict[str, str]:
    """Metadata for the container of a swapped video.

    Args:
        run: name of the run folder; it names no person.
    """
    text = f"AI modified: face replaced with understudy {__version__}, run {run}; {DIGITAL_SOURCE_TYPE}"
    return {"comment": text, "description": text}


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(paths: tuple[Path, ...]) -> str:
    """A quick identity of files: SHA-256 over names, sizes, and the first and last mebibyte of each.

    For a folder or a sequence's name (``shot.####.exr``), over its pictures, 4 KiB at either end of each;
    nothing else in it counts.
    """
    digest = hashlib.sha256()
    for path in paths:
        several = not path.is_file()
        part = 1 << 12 if several else 1 << 20
        for each in image_files(path) if several else [path]:
            size = each.stat().st_size
            digest.update(f"{each.name}:{size};".encode())
            with each.open("rb") as file:
                digest.update(file.read(part))
                file.seek(max(0, size - part))
                digest.update(file.read(part))
    return digest.hexdigest()


def sidecar_path(output: Path) -> Path:
    """Where the sidecar of an output lies."""
    return output.with_name(output.name + ".json")


def write_sidecar(output: Path, facts: Mapping[str, Any]) -> Path:
    """Writes the sidecar of an output.

    Args:
        output: the finished file or folder; a file's hash is taken here.
        facts: what was done, as plain data.

    Returns:
        The sidecar's path.
    """
    path = sidecar_path(output)
    record = {
        "what": "AI modified: a face was replaced",
        "digital_source_type": DIGITAL_SOURCE_TYPE,
        "software": f"understudy {__version__}",
        "output": output.name,
        "sha256": file_hash(output) if output.is_file() else None,
        **facts,
    }
    durable.write_text(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return path

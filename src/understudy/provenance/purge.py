"""What derives from a consent record: face sets, runs, models and results that carry its hash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from understudy import durable
from understudy.provenance.labels import sidecar_path
from understudy.provenance.manifest import DETACHED, EMBEDDABLE, list_path, manifest_path
from understudy.provenance.standing import FILE
from understudy.provenance.verify import read_consent

MODELS = (".safetensors", ".onnx", ".dfm", ".npy", ".dat")
"""Endings of what training and export write; DeepFaceLab's have their manifest only."""
_ENDS = 1 << 20  # bytes that are searched: safetensors say it in their first ones, ONNX in their last


@dataclass(frozen=True)
class Derived:
    """Something that derives from a record."""

    kind: Literal["face set", "run", "model", "model card", "result"]
    path: Path


def derived(record: str, folder: Path) -> Iterator[Derived]:
    """Everything below a folder that carries a record's hash.

    Args:
        record: the hash.
        folder: where to look; what lies in a face set or run that is found is not listed again.
    """
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name.startswith("."):
            continue
        if path.is_dir():
            kind = _kind_of_folder(record, path)
            if kind is None:
                yield from derived(record, path)
            else:
                yield Derived(kind, path)
        elif path.suffix.lower() in MODELS and _mentions(record, path):
            yield Derived("model", path)
        elif path.suffix.lower() == ".md" and record in path.read_text("utf-8", errors="replace"):
            yield Derived("model card", path)
        elif path.suffix.lower() in (*EMBEDDABLE, *DETACHED) and record in read_consent(path):
            yield Derived("result", path)
        elif path.suffix == ".sha256" and record in read_consent(path):
            yield Derived("result", path.with_suffix(""))


def remove(found: Derived) -> None:
    """Deletes it, with what lies beside it: manifest, sidecar, list of hashes.

    Raises:
        OutputError: it cannot be deleted.
    """
    path = found.path
    beside = [manifest_path(path), sidecar_path(path), list_path(path), manifest_path(list_path(path))]
    with durable.explained(path):
        if path.is_dir():
            durable.remove_folder(path)
        else:
            path.unlink()
        if found.kind in ("result", "model"):
            for each in beside:
                each.unlink(missing_ok=True)


def _kind_of_folder(record: str, folder: Path) -> Literal["face set", "run"] | None:
    file = folder / FILE
    if file.is_file():
        try:
            said: Any = json.loads(file.read_text("utf-8"))
        except ValueError:
            said = None
        if isinstance(said, dict) and said.get("record") == record:
            return "face set"
    origin = folder / "origin.toml"
    if origin.is_file() and record in origin.read_text("utf-8", errors="replace"):
        return "run"
    return None


def _mentions(record: str, path: Path) -> bool:
    """Whether a model file, what lies beside it, or its manifest names the record."""
    with path.open("rb") as file:
        head = file.read(_ENDS)
        file.seek(max(0, path.stat().st_size - _ENDS))
        if record.encode() in head or record.encode() in file.read(_ENDS):
            return True
    cards = (path.with_suffix(".json"), sidecar_path(path))
    if any(card.is_file() and record in card.read_text("utf-8", errors="replace") for card in cards):
        return True
    return manifest_path(path).is_file() and record in read_consent(path)

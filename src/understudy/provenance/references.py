"""Where the reference pictures of consent records lie: a record itself has nothing but their hashes.

``UNDERSTUDY_HOME/consent-references.json`` (open to its owner only) is a convenience: pictures that were
moved are given again with ``understudy consent attach --references``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from understudy.provenance.consent import ConsentStore, Record
from understudy.provenance.keys import private_folder, write_private
from understudy.provenance.labels import file_hash

FILE = "consent-references.json"


def remember(files: Mapping[str, Path], store: ConsentStore) -> None:
    """Keeps where pictures lie, by their hashes."""
    file = store.folder.parent / FILE
    private_folder(file.parent)
    known = {**_paths(file), **{digest: str(path.resolve()) for digest, path in files.items()}}
    write_private(file, json.dumps(known, indent=1).encode() + b"\n")


def reference_files(record: Record, store: ConsentStore) -> list[Path]:
    """Pictures of a record that are still where they were, and what they were."""
    known = _paths(store.folder.parent / FILE)
    found = [(digest, Path(known[digest])) for digest in record.references if digest in known]
    return [path for digest, path in found if path.is_file() and file_hash(path) == digest]


def _paths(file: Path) -> dict[str, str]:
    try:
        return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}
    except ValueError:
        return {}

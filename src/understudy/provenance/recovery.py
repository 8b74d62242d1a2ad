"""Finding a file again by its invisible mark: what it was made from, although its manifest is gone.

A mark leads to a line of the local store (``provenance.store``) and to the manifest that is kept there. What
that says holds for the result as it was made; the file at hand is a copy of it, cut, encoded or edited.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.errors import UnderstudyError
from understudy.provenance.claim import NAMESPACE
from understudy.provenance.manifest import media_type
from understudy.provenance.signer import quiet_context
from understudy.provenance.store import ManifestStore
from understudy.video.encoding import CONTAINERS
from understudy.video.stills import is_stills


@dataclass(frozen=True, kw_only=True)
class Found:
    """A mark of this installation, and the result that it leads to."""

    p_value: float
    """Chance that a file without our mark looks as marked."""
    frames: int
    """Frames that were looked at."""
    number: str
    """What the mark says, as a manifest writes it; empty when it is not legible."""
    cropped: bool
    """Whether only a part of the marked picture is there."""
    result: str = ""
    """Name of the result; empty if the store does not know it."""
    made: str = ""
    """When it was made."""
    consent: Mapping[str, Any] | None = None
    """What its manifest says of consent."""
    signer: str = ""
    """Who its manifest says has signed it."""


def look(path: Path, *, crops: bool = True, home: Path | None = None) -> Found | None:
    """Looks for our mark in a file or a folder of pictures.

    Args:
        path: any file; what holds no pictures has no mark.
        crops: look for a part of a marked picture too, which takes seconds.
        home: state folder; None for ``understudy_home()``.
    """
    from understudy.provenance.mark import find_mark  # it counts with scipy, for which help has a stand-in

    if not (is_stills(path) or path.suffix.lower() in CONTAINERS):
        return None
    try:
        report = find_mark(path, home=home, crops=crops)
    except UnderstudyError:
        return None  # no frame can be read, which the answer says anyhow
    if report is None:
        return None
    about: dict[str, Any] = {}
    store = ManifestStore(home)
    entry = store.find(report.id) if report.id is not None else None
    if entry is not None:
        about = {"result": Path(entry.path).name, "made": entry.date}
        about |= _told(store.manifest(entry), Path(entry.path))
    return Found(
        p_value=report.p_value, frames=report.frames, number=report.value, cropped=report.cropped, **about
    )


def _told(manifest: bytes | None, result: Path) -> dict[str, Any]:
    """What a kept manifest says; it is read without its picture, which need not be there."""
    from c2pa import C2paError, Reader

    if manifest is None:
        return {}
    try:
        with (
            quiet_context() as context,
            Reader(media_type(result), io.BytesIO(), manifest, context=context) as reader,
        ):
            found = json.loads(reader.json())
    except (C2paError, ValueError):
        return {}
    active = found["manifests"].get(found.get("active_manifest"), {})
    data = {each["label"].split("__")[0]: each["data"] for each in active.get("assertions", [])}
    about = active.get("signature_info") or {}
    return {"consent": data.get(f"{NAMESPACE}.consent"), "signer": about.get("common_name", "")}

"""The journal of a render: its finished segments lie beside the output until the last one is there.

.result.mp4.parts/key.json      what the segments were made from; others are thrown away
.result.mp4.parts/parts.jsonl   append-only: a line a finished segment
.result.mp4.parts/000000.mp4    the segments, each a whole file
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from understudy import config, durable
from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.pipelines.merge_settings import MergeSettings, Station
from understudy.provenance.labels import file_hash, fingerprint

PART_FRAMES = 300
"""Frames of a segment: at most so many are made again after an interruption."""


class Journal:
    """The finished segments of a render.

    Args:
        output: the result.
        key: what it is made from, see ``render_key``.
    """

    def __init__(self, output: Path, key: dict[str, Any]) -> None:
        self.folder = parts_folder(output)
        self.suffix = output.suffix
        self.parts: list[Path] = []
        self.counts: Counter[int] = Counter()
        self._open(key)

    def _open(self, key: dict[str, Any]) -> None:
        about = self.folder / "key.json"
        if _read_key(about) != key:
            if self.folder.exists():
                durable.remove_folder(self.folder)
            with durable.explained(self.folder):
                self.folder.mkdir(parents=True)
            durable.write_text(about, json.dumps(key, indent=1))
            return
        durable.sweep(self.folder)
        table = self.folder / "parts.jsonl"
        for line in table.read_text("utf-8").splitlines() if table.is_file() else ():
            with contextlib.suppress(ValueError):  # a line that a crash tore: its segment is made again
                record = json.loads(line)
                if not (self.folder / record["part"]).is_file():
                    break
                self.parts.append(self.folder / record["part"])
                self.counts.update({int(number): count for number, count in record["counts"].items()})

    @property
    def frames(self) -> int:
        """Frames in the finished segments."""
        return sum(self.counts.values())

    def next_part(self) -> Path:
        """Where the next segment is to be written."""
        return self.folder / f"{len(self.parts):06d}{self.suffix}"

    def add(self, part: Path, counts: Counter[int]) -> None:
        """A segment is finished.

        Args:
            part: its file.
            counts: how many of its frames had how many faces.
        """
        self.parts.append(part)
        self.counts.update(counts)
        plain = {str(number): count for number, count in counts.items()}
        line = json.dumps({"part": part.name, "counts": plain})
        durable.append_line(self.folder / "parts.jsonl", line, flush=True)

    def remove(self) -> None:
        """The result is there; the segments are not wanted any more."""
        durable.remove_folder(self.folder)


def parts_folder(output: Path) -> Path:
    """Where the segments of an unfinished result lie."""
    return output.with_name(f".{output.name}.parts")


def weights_file(swapper: Path) -> Path:
    """The weight file of a swapper folder, or the file itself."""
    return swapper / "weights.safetensors" if swapper.is_dir() else swapper


def render_key(
    swapper: Path,
    target: Path,
    settings: MergeSettings,
    faces: FaceSet,
    records: Sequence[FaceRecord],
    stations: Sequence[Station] = (),
) -> dict[str, Any]:
    """What the segments of a render are made from; those made from anything else are thrown away."""
    plain = config.dump(settings)
    plain.pop("device")
    chosen = hashlib.sha256(
        json.dumps([(record.frame, record.data["mesh"]) for record in records]).encode()
    ).hexdigest()
    masks = [faces.mask_path(record) for record in records]
    stamps = [(path.name, path.stat().st_mtime_ns) for path in masks if path.is_file()]
    return {
        "run": swapper.resolve().parent.name,
        "swapper": file_hash(weights_file(swapper)),
        "target": fingerprint((target,)),
        "settings": plain,
        "faces": chosen,
        "masks": hashlib.sha256(json.dumps(stamps).encode()).hexdigest(),
        "stations": [station.key() for station in stations],
    }


def _read_key(file: Path) -> object:
    """What a folder of segments was made from; None when it does not say."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None

"""Proof that a face set shows a synthetic person: frames are drawn again from the seed and compared.

``consent.json`` of such a face set keeps with what settings each file of its footage was drawn
(``{"lane": "performer", "seed": 7, "drawn": {"a.mp4": {…}}}``). Of every file a few crops are drawn again.
Drawing a person takes seconds, so this machine keeps a receipt of what it has compared
(``UNDERSTUDY_HOME/proofs.txt``); it fits these settings and these pixels only, and does not travel.

Training comes here too, on machines that have no video library: what needs one is loaded where it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from jaxtyping import UInt8

from understudy import durable
from understudy.errors import ConsentError, DataError, OutputError
from understudy.faces.faceset import FaceSet
from understudy.faces.records import FaceRecord
from understudy.image.warp import crop
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import render
from understudy.performers.scene import Occluder, Scene
from understudy.provenance.keys import private_folder
from understudy.provenance.record import canonical
from understudy.provenance.standing import (
    FILE,
    Standing,
    consent_of,
    declare,
    prove_performer,
    without_record,
)
from understudy.weights.home import understudy_home

TOLERANCE = 6.0
"""Mean difference in code values up to which a crop is the drawn one. Through H.264 and JPEG it is 1.7 to 3
(256 and 192 pixels high, measured on three performers); another performer in the same scene is 14 to 36
away."""
COMPARED = 3
"""Crops of a file that are drawn again: the first, the middle and the last one found."""
_REACH_SECONDS = 4.0  # a hand before the face comes and goes in that time, see performers.draw


def declare_performers(face_set: Path, footage: Iterable[Path], *, home: Path | None = None) -> bool:
    """Puts a face set into the lane ``performer`` if everything in it was drawn here and can be proved.

    Args:
        face_set: its folder.
        footage: the files it was extracted from, with their truth folders beside them.
        home: state folder; None for ``understudy_home()``.

    Returns:
        Whether it is in that lane now. One that stands on something else stays as it is.
    """
    from understudy.performers.truth import drawn_with, truth_folder

    said = _said(face_set)
    if said and said.get("lane") != "performer":
        return False
    drawn = dict(cast("dict[str, Any]", said.get("drawn") or {}))
    for path in footage:
        with contextlib.suppress(DataError):
            drawn[path.name] = drawn_with(truth_folder(path))
    faces = FaceSet.open(face_set)
    if not faces.sources or set(faces.sources) - set(drawn):
        return False
    declared = {"lane": "performer", "seed": _seeds(drawn, faces)[0], "drawn": drawn}
    if doubt(faces, declared, home=home):
        return False
    if declared != said:
        declare(face_set, declared)
    return True


def declare_drawn(faces: FaceSet, seed: int, truth: Path | None = None, *, home: Path | None = None) -> str:
    """Puts a face set into the lane ``performer`` by hand, if it can be proved.

    Args:
        faces: the face set.
        seed: of the performer that it shows.
        truth: the truth folder of its footage; None: what is known from the extraction.
        home: state folder; None for ``understudy_home()``.

    Returns:
        Why not; empty when it is in that lane now.
    """
    from understudy.performers.truth import drawn_with

    drawn = dict(cast("dict[str, Any]", _said(faces.path).get("drawn") or {}))
    if truth is not None:
        drawn = dict.fromkeys(faces.sources, drawn_with(truth))
    others = {each for source in drawn if (each := int(drawn[source]["seed"])) != seed}
    if others:
        return f"its footage was drawn from seed {others.pop()}"
    declared = {"lane": "performer", "seed": seed, "drawn": drawn}
    why = doubt(faces, declared, home=home)
    if not why:
        declare(faces.path, declared)
    return why


def proved(face_set: Path, standing: Standing, *, home: Path | None = None) -> Standing:
    """The standing, as far as it can be proved: a performer that cannot be is a face set without a record.

    Args:
        face_set: its folder.
        standing: from ``standing.consent_of``.
        home: state folder; None for ``understudy_home()``.
    """
    if standing.lane != "performer":
        return standing
    why = doubt(FaceSet.open(face_set), _said(face_set), home=home)
    if not why:
        return standing
    plain = without_record(face_set)
    return replace(
        plain, sentence=f"{face_set.name} is said to show a synthetic person, but {why}: {plain.sentence}"
    )


def standing_now(face_set: Path, *, home: Path | None = None) -> Standing:
    """On what a face set stands, proved; see ``standing.consent_of``."""
    return proved(face_set, consent_of(face_set, home=home), home=home)


def doubt(faces: FaceSet, said: Mapping[str, Any], *, home: Path | None = None) -> str:
    """Why a face set does not show the performers that it declares; empty when it does.

    Args:
        faces: the face set.
        said: content of its ``consent.json``.
        home: state folder; None for ``understudy_home()``.

    Raises:
        ConsentError: the declaration is damaged.
    """
    drawn: dict[str, Any] = dict(said.get("drawn") or {})
    for source in faces.sources:
        if source not in drawn:
            return f"nothing tells how {source} was drawn"
        records = [record for record in faces.records if record.source == source and record.found]
        pictures = _stored(faces, records)
        if not pictures:
            return f"no crop of {source} is left to compare"
        settings = _settings(drawn[source], faces.path)
        receipt = _receipt(drawn[source], pictures)
        if receipt in _receipts(home):
            continue
        known = {record.frame: record for record, _ in pictures}

        def again(frame: int, settings: _Drawn = settings, known: Any = known) -> np.ndarray:  # noqa: ANN401  # bound now, not when it is called
            return draw_crop(settings, known[frame], faces)

        if not prove_performer({r.frame: p for r, p in pictures}, again, TOLERANCE):
            return f"{source} is not what seed {settings.seed} draws"
        _keep_receipt(receipt, home)
    return ""


def draw_crop(settings: _Drawn, record: FaceRecord, faces: FaceSet) -> UInt8[np.ndarray, "s s 3"]:
    """A face of the set, drawn again from the seed and cut out as it was."""
    side = int(record.data["size"])
    picture = cv2.convertScaleAbs(_draw(settings, record.frame), alpha=255.0)
    return crop(picture, record.alignment.crop_matrix(side), side)


def _draw(settings: _Drawn, frame: int) -> np.ndarray:
    """Frame of the clip that ``performers.draw`` writes with these settings."""
    seconds = frame / settings.fps
    reach = 0.5 - 0.5 * math.cos(2 * math.pi * seconds / _REACH_SECONDS)
    scene = Scene.from_seed(settings.scene, settings.occluder)
    if settings.background is not None:
        scene = replace(scene, background=settings.background)
    state = Motion.from_seed(settings.motion).state(seconds)
    return render(_person(settings.seed), state, scene, settings.size, reach).picture


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """What of ``performers.draw.PerformersSettings`` a frame depends on."""

    seed: int
    motion: int
    scene: int
    background: int | None
    occluder: Occluder
    fps: int
    size: tuple[int, int]


@lru_cache(maxsize=2)
def _person(seed: int) -> Performer:
    return Performer.from_seed(seed)


def _stored(faces: FaceSet, records: list[FaceRecord]) -> list[tuple[FaceRecord, np.ndarray]]:
    """The crops that are compared: spread over the footage, those that are there."""
    there = [record for record in records if (faces.path / "crops" / record.crop).is_file()]
    if not there:
        return []
    places = sorted({round(share * (len(there) - 1) / (COMPARED - 1)) for share in range(COMPARED)})
    return [(there[place], faces.read_crop(there[place])) for place in places]


def _settings(plain: Mapping[str, Any], face_set: Path) -> _Drawn:
    try:
        seed, (width, height) = int(plain["seed"]), plain["size"]
        motion, scene, background = (plain.get(name) for name in ("motion", "scene", "background"))
        return _Drawn(
            seed=seed,
            motion=seed if motion is None else int(motion),
            scene=seed if scene is None else int(scene),
            background=None if background is None else int(background),
            occluder=plain.get("occluder", "none"),
            fps=int(plain["fps"]),
            size=(int(width), int(height)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConsentError(
            f"{face_set / FILE}: cannot be read ({error}); attach the face set again"
        ) from None


def _seeds(drawn: Mapping[str, Any], faces: FaceSet) -> list[int]:
    return [int(drawn[source]["seed"]) for source in faces.sources]


def _said(face_set: Path) -> dict[str, Any]:
    file = face_set / FILE
    if not file.is_file():
        return {}
    try:
        said: object = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ConsentError(f"{file}: cannot be read ({error}); attach the face set again") from None
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}


def _receipt(settings: Mapping[str, Any], pictures: list[tuple[FaceRecord, np.ndarray]]) -> str:
    digest = hashlib.sha256(canonical(dict(settings)))
    for record, picture in pictures:
        digest.update(f"{record.frame} {record.data['matrix']}".encode())
        digest.update(np.ascontiguousarray(picture).tobytes())
    return digest.hexdigest()


def _receipts(home: Path | None) -> set[str]:
    file = _receipt_file(home)
    return set(file.read_text("utf-8").split()) if file.is_file() else set()


def _keep_receipt(receipt: str, home: Path | None) -> None:
    """Without a receipt, on a read-only disk, the next call draws again."""
    file = _receipt_file(home)
    with contextlib.suppress(OutputError):
        if not file.parent.is_dir():
            private_folder(file.parent)
        durable.append_line(file, receipt)


def _receipt_file(home: Path | None) -> Path:
    return (understudy_home() if home is None else home) / "proofs.txt"

"""On what a face set stands: a consent record, a synthetic person, a public data set, or nothing.

A face set says it in ``consent.json`` beside its table, which changes nothing else about it:

    {"lane": "record", "record": HASH, "id": ID}
    {"lane": "performer", "seed": 7}
    {"lane": "research", "dataset": NAME, "licence": LICENCE}

Without the file training, swapping and export still run, and every frame of the result carries a visible
label. A record that was withdrawn, has ended, was altered or does not cover the use stops them.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from understudy import durable
from understudy.errors import ConsentError, FaceSetError
from understudy.provenance.consent import ConsentStore
from understudy.provenance.legible import legible
from understudy.provenance.record import Agreement, Permission

FILE = "consent.json"
Lane = Literal["record", "performer", "research", "none"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """On what a face set stands, and what follows for its results."""

    lane: Lane
    label: str
    """Preset of the visible label (``provenance.visible``) that results carry."""
    sentence: str
    """For a person, at the start of a run; with the command that mends it where there is one."""
    record: str = ""
    """Hash of the consent record; this and never a name goes into models and results."""
    id: str = ""
    """The record's id."""
    refusal: str = ""
    """Why it must not be used; empty when it may."""


def consent_of(face_set: Path, *, home: Path | None = None, today: datetime.date | None = None) -> Standing:
    """On what a face set stands.

    Args:
        face_set: its folder.
        home: state folder; None for ``understudy_home()``.
        today: the day that counts; None for now, UTC.

    Raises:
        ConsentError: ``consent.json`` is damaged.
    """
    file = face_set / FILE
    if not file.is_file():
        return without_record(face_set)
    try:
        said: Any = json.loads(file.read_text("utf-8"))
        lane = said["lane"]
        if lane == "record":
            name = legible(str(said.get("id", "")))
            return _of_record(face_set, ConsentStore(home), str(said["record"]), name, today)
        if lane == "performer":
            sentence = f"{face_set.name} shows a synthetic person (seed {said['seed']})"
            return Standing(lane="performer", label="credits-only", sentence=sentence)
        if lane == "research":
            sentence = (
                f"{face_set.name} is of the data set {said['dataset']} ({said['licence']}): for research"
            )
            sentence = legible(sentence)
            return Standing(lane="research", label="research", sentence=sentence)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConsentError(f"{file}: cannot be read ({error}); attach the face set again") from None
    raise ConsentError(f"{file}: wanted a lane of record, performer or research, got {lane!r}")


def without_record(face_set: Path) -> Standing:
    """The standing of a face set that rests on nothing."""
    return Standing(
        lane="none",
        label="eu-modified-always",
        sentence=f"{face_set.name} has no consent record: every frame of the result will carry the label "
        f"AI MODIFIED. To change that: understudy consent attach {face_set} --record ID",
    )


def _of_record(
    face_set: Path, store: ConsentStore, digest: str, name: str, today: datetime.date | None
) -> Standing:
    agreement = store.by_hash(digest)
    refusal = refusal_of(digest, agreement, name, store, today)
    label = agreement.record.disclosure if agreement else "eu-modified-always"
    until = f", until {agreement.record.until}" if agreement else ""
    sentence = f"{face_set.name} stands on consent record {name}{until}"
    return Standing(lane="record", label=label, sentence=sentence, record=digest, id=name, refusal=refusal)


def refusal_of(
    digest: str,
    agreement: Agreement | None,
    name: str,
    store: ConsentStore,
    today: datetime.date | None = None,
) -> str:
    """Why a record forbids any use now; empty when it does not."""
    if day := store.withdrawn().get(digest):
        return f"consent record {name} was withdrawn on {day}"
    if agreement is None:
        return (
            f"consent record {name} is not on this machine, or was altered; put its file into {store.folder}"
        )
    if agreement.damage:
        return f"consent record {name} does not hold: {agreement.damage}"
    day = (today or datetime.datetime.now(datetime.UTC).date()).isoformat()
    record = agreement.record
    if day > record.until:
        return f"consent record {name} ended on {record.until}; ask again, and make a new one"
    if day < record.start:
        return f"consent record {name} begins on {record.start}"
    return ""


def require_usable(
    face_set: Path,
    permission: Permission = "replacement",
    *,
    project: str = "",
    home: Path | None = None,
    today: datetime.date | None = None,
) -> Standing:
    """The standing of a face set that may be used so.

    Args:
        face_set: its folder.
        permission: what is to be done.
        project: name of the project; empty: not asked for.
        home: state folder; None for ``understudy_home()``.
        today: the day that counts; None for now, UTC.

    Raises:
        ConsentError: its record was withdrawn, has ended, was altered, or does not cover that; it is named.
    """
    standing = consent_of(face_set, home=home, today=today)
    if standing.refusal:
        raise ConsentError(f"{face_set}: {standing.refusal}. What derives from it: understudy consent purge")
    if standing.lane == "record":
        agreement = ConsentStore(home).by_hash(standing.record)
        assert agreement, "it was there a moment ago"
        record = agreement.record
        if permission not in record.permits:
            permitted = ", ".join(record.permits)
            raise ConsentError(
                f"{face_set}: consent record {record.id} permits {permitted}, not {permission}; ask for it, "
                "and make a new record"
            )
        if project and project not in record.projects:
            projects = ", ".join(record.projects)
            raise ConsentError(f"{face_set}: consent record {record.id} is for {projects}, not for {project}")
    return standing


def require_not_withdrawn(records: Iterable[str], what: Path, *, home: Path | None = None) -> None:
    """Refuses a model whose consent records were withdrawn or have ended.

    Args:
        records: hashes that the model carries.
        what: the model, for the message.
        home: state folder; None for ``understudy_home()``.

    Raises:
        ConsentError: one was. A record that is not on this machine is no ground: models travel.
    """
    store = ConsentStore(home)
    for digest in records:
        agreement = store.by_hash(digest)
        name = agreement.record.id if agreement else digest[:16]
        if agreement is None and digest not in store.withdrawn():
            continue
        if refusal := refusal_of(digest, agreement, name, store):
            raise ConsentError(f"{what}: {refusal}. What derives from it: understudy consent purge {name}")


def attach(face_set: Path, agreement: Agreement) -> Path:
    """Binds a face set to a record.

    Raises:
        ConsentError: the record is not signed, was altered, or was withdrawn.
        FaceSetError: it is no face set.
    """
    record = agreement.record
    if agreement.damage or agreement.withdrawn:
        why = agreement.damage or f"it was withdrawn on {agreement.withdrawn}"
        raise ConsentError(f"consent record {record.id} cannot be bound to a face set: {why}")
    return declare(face_set, {"lane": "record", "record": record.hash, "id": record.id})


def declare(face_set: Path, content: Mapping[str, Any]) -> Path:
    """Writes ``consent.json`` of a face set.

    Raises:
        FaceSetError: it is no face set.
    """
    if not (face_set / "faceset.toml").is_file():
        raise FaceSetError(f"{face_set} is no face set (it has no faceset.toml)")
    durable.write_text(face_set / FILE, json.dumps(dict(content), ensure_ascii=False) + "\n")
    return face_set / FILE


# ------------------------------------------------------------------------------------------------- likeness


@dataclass(frozen=True)
class Stranger:
    """A crop that does not show the person of the record."""

    crop: str
    distance: float


def strangers(
    crops: Mapping[str, Float[np.ndarray, "d"]],
    references: Sequence[Float[np.ndarray, "d"]],
    same_person: float,
) -> list[Stranger]:
    """Crops whose identity is far from every reference picture's.

    Args:
        crops: identity vectors by the crop's name.
        references: identity vectors of the record's reference pictures.
        same_person: Euclidean distance below which two vectors are one person (``Embedder.same_person``).

    Returns:
        The strangers, the farthest first.

    Raises:
        ConsentError: there is no reference.
    """
    if not references:
        raise ConsentError("no face was found in the record's reference pictures; give a clear one")
    known = np.stack([np.asarray(each, np.float64) for each in references])
    out: list[Stranger] = []
    for name, vector in crops.items():
        distance = float(np.linalg.norm(known - np.asarray(vector, np.float64), axis=1).min())
        if not distance < same_person:  # a vector that is not a number is nobody
            out.append(Stranger(name, distance))
    return sorted(out, key=lambda each: -each.distance)


def prove_performer(
    stored: Mapping[int, UInt8[np.ndarray, "h w 3"]],
    render: Callable[[int], UInt8[np.ndarray, "h w 3"]],
    tolerance: float = 2.0,
) -> bool:
    """Whether frames are what the renderer draws from the declared seed.

    Args:
        stored: frames as kept, by number.
        render: draws a frame again from the seed.
        tolerance: mean absolute difference in code values that lossy coding may leave.
    """
    if not stored:
        return False
    differences = [
        np.abs(render(number).astype(np.float64) - picture.astype(np.float64)).mean()
        for number, picture in stored.items()
    ]
    return bool(max(differences) <= tolerance)

"""What a consent record holds, and how it is read from what strangers send."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar, cast

SCHEMA = "understudy-consent/1"
Permission = Literal["replacement", "reenactment", "editing", "dataset", "release"]
"""What may be done: three kinds of manipulation, giving the faces on as a data set, giving the model on."""
PERMISSIONS: tuple[Permission, ...] = ("replacement", "reenactment", "editing", "dataset", "release")
Disclosure = Literal["eu-modified", "gb45438", "credits-only", "research"]
DISCLOSURES: tuple[Disclosure, ...] = ("eu-modified", "gb45438", "credits-only", "research")
Role = Literal["person", "representative", "producer"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a person agreed to."""

    person: str
    """Name or pseudonym; it stays in the record and goes into no model and no result."""
    pseudonym: bool = False
    """Whether that is not the person's own name."""
    adult: bool = True
    """Whether the person is of age."""
    representative: str = ""
    """Who answers for a person who is not of age, cannot decide, or has died, and as what."""
    permits: tuple[Permission, ...] = ("replacement",)
    projects: tuple[str, ...] = ()
    """Names of the projects; none: no project is covered."""
    media: tuple[str, ...] = ("any",)
    territory: tuple[str, ...] = ("any",)
    start: str = ""
    """First day, YYYY-MM-DD (UTC)."""
    until: str = ""
    """Last day, YYYY-MM-DD (UTC)."""
    references: tuple[str, ...] = ()
    """SHA-256 of the person's pictures and clips."""
    disclosure: Disclosure = "eu-modified"
    """How it must be said that the picture is not real: a preset of ``provenance.visible``."""
    statement: str = ""
    """The text that the person read or signed."""
    code: str = ""
    """Words that the person speaks in the video statement, so that it is of this record."""
    evidence: tuple[str, ...] = ()
    """SHA-256 of video statements and signed papers."""
    id: str = ""
    """Sixteen hexadecimal digits, drawn by lot."""
    schema: str = SCHEMA

    def content(self) -> bytes:
        """The bytes that are signed."""
        return canonical(asdict(self))

    @property
    def hash(self) -> str:
        """SHA-256 of ``content``, hexadecimal."""
        return hashlib.sha256(self.content()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One signature of a record."""

    role: Role
    key: str
    """The public key, base64."""
    signature: str
    """Base64."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A record with its signatures."""

    record: Record
    signatures: tuple[Signature, ...] = ()
    withdrawn: str = ""
    """Day of the withdrawal."""
    damage: str = field(default="", compare=False)
    """Why it cannot be believed; empty when it can."""


def canonical(data: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """JSON in the one form that gives the same bytes everywhere (RFC 8785).

    Args:
        data: text, whole numbers, true, false, null, lists, and tables with ASCII names.
    """
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def complaints(record: Record) -> list[str]:
    """What is missing in a record, or contradicts itself."""
    out: list[str] = []
    if not record.person.strip():
        out.append("wanted a name or a pseudonym")
    if not record.adult and not record.representative.strip():
        out.append("the person is not of age, so wanted a representative who answers for them")
    if not record.permits or set(record.permits) - set(PERMISSIONS):
        out.append(f"wanted something that is permitted, of {', '.join(PERMISSIONS)}")
    if record.disclosure not in DISCLOSURES:
        out.append(f"wanted a disclosure of {', '.join(DISCLOSURES)}")
    if not record.projects:
        out.append("wanted at least one project: consent is for a use, not for everything")
    days: list[datetime.date] = []
    for name in ("start", "until"):
        text: str = getattr(record, name)
        try:
            days.append(datetime.date.fromisoformat(text))
        except ValueError:
            text = ""
        if len(text) != len("YYYY-MM-DD") or "W" in text:  # days are compared as texts: there is one form
            out.append(f"{name}: wanted a day as YYYY-MM-DD, got {getattr(record, name)!r}")
    if len(days) == 2 and days[0] > days[1]:
        out.append(f"it ends on {record.until}, before it begins on {record.start}")
    if not record.references:
        out.append("wanted at least one picture of the person, to compare faces with")
    return out


T = TypeVar("T", Record, Signature)


def agreement_from(data: object) -> Agreement:
    """A record with its signatures from plain data, whoever wrote it.

    Raises:
        ValueError: it has another shape; it says which.
    """
    if not isinstance(data, dict):
        raise ValueError("wanted a table")  # the file is wrong, not the program
    told = cast("dict[str, Any]", data)
    record = _from_plain(Record, told.get("record"))
    signed: object = told.get("signatures")
    if not isinstance(signed, list):
        raise ValueError("signatures: wanted a list")
    if not re.fullmatch(r"[0-9a-f]{16}", record.id):  # files are called so
        raise ValueError(f"id: wanted sixteen hexadecimal digits, got {record.id!r}")
    record.content()  # what has no bytes cannot have been signed
    signatures = tuple(_from_plain(Signature, each) for each in cast("list[object]", signed))
    return Agreement(record=record, signatures=signatures)


def _from_plain(kind: type[T], data: object) -> T:
    if not isinstance(data, dict):
        raise ValueError(f"{kind.__name__.lower()}: wanted a table")
    told, known = cast("dict[str, Any]", data), {each.name: each for each in fields(kind)}
    if strange := sorted(set(told) - set(known)):
        raise ValueError(f"{', '.join(strange)}: not known here")
    if lacking := [name for name, each in known.items() if each.default is MISSING and name not in told]:
        raise ValueError(f"{', '.join(lacking)}: missing")
    shaped: dict[str, Any] = {name: _shaped(name, value, known[name].default) for name, value in told.items()}
    return kind(**shaped)


def _shaped(name: str, value: object, like: object) -> object:
    """A value of the kind that the field has: true or false, texts, or a text."""
    if isinstance(like, bool) and isinstance(value, bool):
        return value
    if isinstance(like, tuple) and isinstance(value, list):
        every = cast("list[object]", value)
        if all(isinstance(each, str) for each in every):
            return tuple(every)
    if not isinstance(like, (bool, tuple)) and isinstance(value, str):
        return value
    wanted = (
        "true or false"
        if isinstance(like, bool)
        else "a list of texts"
        if isinstance(like, tuple)
        else "a text"
    )
    raise ValueError(f"{name}: wanted {wanted}, got {value!r}")

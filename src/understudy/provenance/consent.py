"""Consent records: who agreed to what, until when, in bytes that are signed.

A record is JSON in canonical form (RFC 8785 for what occurs in it: text, true, false, lists), and its hash is
the SHA-256 of those bytes. The person, or who answers for them, signs it with Ed25519; then the
producer signs the record together with the person's key, and so answers for whose key that is. Who sat at the
keyboard no program can prove: that is what the evidence is for (a video statement in which the person speaks
the record's code).

Layout of ``UNDERSTUDY_HOME/consent`` (open to its owner only):

    ID.json           the record and its signatures
    withdrawn.jsonl   a line a withdrawn record; an old copy of the record does not bring it back

The producer's key, and keys of persons who signed on this machine, lie in ``UNDERSTUDY_HOME/keys/consent``.
"""

from __future__ import annotations

import base64
import datetime
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from understudy import durable
from understudy.errors import ConsentError
from understudy.provenance.keys import private_folder, require_private, write_private
from understudy.provenance.record import (
    SCHEMA,
    Agreement,
    Record,
    Role,
    Signature,
    agreement_from,
    canonical,
    complaints,
)
from understudy.weights.home import understudy_home

CODE_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "indigo", "juniper")


# ------------------------------------------------------------------------------------------------- making


def new_record(record: Record) -> Record:
    """A record that is ready to be signed: with an id and a code.

    Raises:
        ConsentError: something is missing or contradicts itself.
    """
    wrong = complaints(record)
    if wrong:
        raise ConsentError("consent record: " + "; ".join(wrong))
    words = f"{secrets.choice(CODE_WORDS)}-{secrets.randbelow(90) + 10}-{secrets.choice(CODE_WORDS)}"
    return replace(record, id=record.id or secrets.token_hex(8), code=record.code or words)


def sign(agreement: Agreement, role: Role, key: Ed25519PrivateKey) -> Agreement:
    """Adds a signature.

    Args:
        agreement: the record; the person signs before the producer.
        role: who signs.
        key: their key.

    Raises:
        ConsentError: the wrong one signs, or not in order.
    """
    record = agreement.record
    first = first_role(record)
    if role not in (first, "producer"):
        raise ConsentError(
            f"record {record.id} is to be signed by the {first} and by the producer, not the {role}"
        )
    others = tuple(each for each in agreement.signatures if each.role != role)
    if role == "producer":
        data = _producers_content(agreement)
    else:
        data, others = record.content(), ()  # what the producer signed was about another key
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    made = Signature(role=role, key=_text(public), signature=_text(key.sign(data)))
    return replace(agreement, signatures=(*others, made))


def first_role(record: Record) -> Role:
    """Who signs first: the person, or who answers for them."""
    return "representative" if record.representative else "person"


def _producers_content(agreement: Agreement) -> bytes:
    first = next((each for each in agreement.signatures if each.role != "producer"), None)
    if first is None:
        role = first_role(agreement.record)
        raise ConsentError(f"record {agreement.record.id}: the {role} signs first, then the producer")
    return canonical({"record": asdict(agreement.record), "person_key": first.key})


def check(agreement: Agreement, producers: Sequence[str]) -> str:
    """Whether the signatures are whole.

    Args:
        agreement: the record.
        producers: public keys (base64) of producers who are trusted here.

    Returns:
        What is wrong, a sentence; empty if nothing.
    """
    record = agreement.record
    by_role = {each.role: each for each in agreement.signatures}
    for role in (first_role(record), "producer"):
        made = by_role.get(role)
        if made is None:
            return f"the {role} has not signed it"
        try:
            data = _producers_content(agreement) if role == "producer" else record.content()
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(made.key, validate=True))
            public.verify(base64.b64decode(made.signature, validate=True), data)
        except (InvalidSignature, ValueError):
            return f"it was altered after the {role} signed it"
    if by_role["producer"].key not in producers:
        return "its producer's key is not known here"
    wrong = complaints(record)
    return wrong[0] if wrong else ""


# ------------------------------------------------------------------------------------------------- the store


class ConsentStore:
    """The records of one ``UNDERSTUDY_HOME``.

    Args:
        home: state folder; None for ``understudy_home()``.
    """

    def __init__(self, home: Path | None = None) -> None:
        home = understudy_home() if home is None else home
        self.folder = home / "consent"
        self.keys = home / "keys" / "consent"

    def save(self, agreement: Agreement) -> Path:
        """Writes a record.

        Raises:
            ConsentError: another record is called so.
            OutputError: it cannot be written.
        """
        private_folder(self.folder)
        path = self.folder / f"{agreement.record.id}.json"
        if path.is_file() and not _same(there := self.read(path), agreement.record):
            raise ConsentError(
                f"{path}: another record, of {there.record.person}, is called so already, and is not replaced"
            )
        data = {
            "record": asdict(agreement.record),
            "signatures": [asdict(each) for each in agreement.signatures],
        }
        write_private(path, json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n")
        return path

    def all(self) -> list[Agreement]:
        """Every record, by id."""
        return [self.read(path) for path in sorted(self.folder.glob("*.json"))]

    def find(self, name: str) -> Agreement:
        """A record by its id, the beginning of its id or hash, or its file.

        Raises:
            ConsentError: there is none, or more than one.
        """
        if not name.strip():
            raise ConsentError("consent record: wanted an id, its beginning, or a file, got nothing")
        if Path(name).is_file():
            return self.read(Path(name))
        every = self.all()
        found = [
            each for each in every if each.record.id.startswith(name) or each.record.hash.startswith(name)
        ]
        if len(found) != 1:
            known = ", ".join(each.record.id for each in every) or "none"
            count = "no" if not found else "more than one"
            raise ConsentError(f"{count} consent record is called {name!r}; there are: {known}")
        return found[0]

    def by_hash(self, digest: str) -> Agreement | None:
        """A record by its whole hash."""
        return next((each for each in self.all() if each.record.hash == digest), None)

    def read(self, path: Path) -> Agreement:
        """A record from its file, with whether it can be believed.

        Raises:
            ConsentError: the file is no record.
        """
        try:
            agreement = agreement_from(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            raise ConsentError(f"{path}: no consent record that can be read ({error})") from None
        record = agreement.record
        if record.schema != SCHEMA:
            raise ConsentError(f"{path}: a record of kind {record.schema}; this version reads {SCHEMA}")
        agreement = replace(agreement, withdrawn=self.withdrawn().get(record.hash, ""))
        return replace(agreement, damage=check(agreement, self.producers()))

    def withdraw(self, agreement: Agreement, reason: str = "") -> None:
        """Withdraws a record, for good: whoever sits here may, and no signature is asked for."""
        private_folder(self.folder)
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        line = {"record": agreement.record.hash, "id": agreement.record.id, "day": today, "reason": reason}
        durable.append_line(self.folder / "withdrawn.jsonl", json.dumps(line), flush=True)

    def withdrawn(self) -> dict[str, str]:
        """Hashes of withdrawn records, with the day.

        Raises:
            ConsentError: the list is damaged: rather none is used than a withdrawn one.
        """
        file = self.folder / "withdrawn.jsonl"
        lines = file.read_text("utf-8").splitlines() if file.is_file() else []
        try:
            return {line["record"]: line["day"] for line in map(json.loads, filter(None, lines))}
        except (ValueError, KeyError, TypeError):
            raise ConsentError(
                f"{file}: the list of withdrawn records is damaged; mend the broken line first"
            ) from None

    def key(self, name: str) -> Ed25519PrivateKey:
        """A signing key of this machine, made when it is not there.

        Args:
            name: ``producer``, or the id of a record whose person signs here.
        """
        private_folder(self.keys.parent)
        private_folder(self.keys)
        path = self.keys / f"{name}.key"
        if not path.is_file():
            make_key(path)
        return load_key(path)

    def producers(self) -> list[str]:
        """Public keys of producers who are trusted here: our own, and ``keys/*.pub``."""
        out: list[str] = []
        for path in sorted(self.keys.glob("producer*.key")):
            public = load_key(path).public_key()
            out.append(_text(public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)))
        return out + [path.read_text("utf-8").strip() for path in sorted(self.keys.glob("*.pub"))]


def _same(there: Agreement, record: Record) -> bool:
    """Whether that is the record, which may get its evidence until it is signed."""
    if there.signatures:
        return there.record == record
    return replace(there.record, evidence=()) == replace(record, evidence=())


def make_key(path: Path) -> None:
    """Writes a new key, readable by its owner only."""
    key = Ed25519PrivateKey.generate()
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(path, data)


def load_key(path: Path) -> Ed25519PrivateKey:
    """A key from its file.

    Raises:
        ConsentError: it is no Ed25519 key.
        OutputError: others can read it.
    """
    require_private(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConsentError(f"{path}: no key that can be read ({error})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConsentError(f"{path}: wanted an Ed25519 key, got another kind")
    return key


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()

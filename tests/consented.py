"""Consent for face sets that tests make: a signed record whose label stands in the credits only."""

from __future__ import annotations

import datetime
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from understudy.provenance.consent import Agreement, ConsentStore, Record, new_record, sign
from understudy.provenance.standing import attach
from understudy.weights.home import understudy_home


def agreement(**more: object) -> Agreement:
    """A record that is signed by both and kept in this test's state folder."""
    store = ConsentStore()
    today = datetime.datetime.now(datetime.UTC).date()
    about = {
        "person": "A. Person",
        "projects": ("tests",),
        "start": (today - datetime.timedelta(days=2)).isoformat(),
        "until": (today + datetime.timedelta(days=400)).isoformat(),
        "references": ("ab" * 32,),
        "permits": ("replacement", "release"),
        "disclosure": "credits-only",
        **more,
    }
    made = sign(Agreement(record=new_record(Record(**about))), "person", Ed25519PrivateKey.generate())
    return store.read(store.save(sign(made, "producer", store.key("producer"))))


@cache
def _usual(home: Path) -> Agreement:
    return agreement()


def bind(face_set: Path, record: Agreement | None = None) -> Agreement:
    """Binds a face set to a record; without one, to the usual one of this state folder."""
    record = record or _usual(understudy_home())
    attach(face_set, record)
    return record


def said(record: Agreement | None = None) -> dict[str, dict[str, str]]:
    """What a swapper says that was trained on face sets under a record; see ``provenance.rights.told``."""
    record = record or _usual(understudy_home())
    about = {"lane": "record", "record": record.record.hash, "id": record.record.id}
    one = {**about, "label": record.record.disclosure, "faces": "cd" * 32}
    return {"source": one, "target": one}

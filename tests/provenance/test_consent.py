"""Consent records: each refusal has its test; signatures are checked by hand where that is the point."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from understudy.cli.consent import run
from understudy.errors import ConsentError, FaceSetError, OutputError
from understudy.provenance.audit import AuditLog
from understudy.provenance.claim import Edit
from understudy.provenance.consent import Agreement, ConsentStore, Record, canonical, new_record, sign
from understudy.provenance.keys import KeyStore
from understudy.provenance.manifest import sign_file
from understudy.provenance.standing import (
    attach,
    consent_of,
    declare,
    prove_performer,
    refusal_of,
    require_not_withdrawn,
    require_usable,
    strangers,
)
from understudy.provenance.store import ManifestStore

DAY = datetime.date(2030, 6, 1)


def record(**more: object) -> Record:
    """A record of a film; valid in 2030."""
    about = {
        "person": "A. Person",
        "projects": ("film",),
        "start": "2030-01-01",
        "until": "2030-12-31",
        "references": ("ab" * 32,),
        "permits": ("replacement", "release"),
        **more,
    }
    return new_record(Record(**about))


@pytest.fixture
def store(home: Path) -> ConsentStore:
    return ConsentStore()


@pytest.fixture
def agreement(store: ConsentStore) -> Agreement:
    """Signed by both, and kept."""
    made = Agreement(record=record())
    made = sign(made, "person", Ed25519PrivateKey.generate())
    made = sign(made, "producer", store.key("producer"))
    return store.read(store.save(made))


@pytest.fixture
def face_set(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    folder.mkdir()
    (folder / "faceset.toml").write_text("format = 1\n")
    return folder


def change(path: Path, old: str, new: str) -> None:
    """Edits a file as with a text editor."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_bytes_are_canonical() -> None:
    assert canonical({"b": "ß", "a": [True, None, 1]}) == '{"a":[true,null,1],"b":"ß"}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": float("nan")})


def test_a_signed_record_holds(agreement: Agreement, store: ConsentStore) -> None:
    assert agreement.damage == ""
    path = store.folder / f"{agreement.record.id}.json"
    assert path.stat().st_mode & 0o077 == 0
    assert store.folder.stat().st_mode & 0o077 == 0
    kept = json.loads(path.read_text())
    content = json.dumps(kept["record"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(content).hexdigest() == agreement.record.hash
    person = next(each for each in kept["signatures"] if each["role"] == "person")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(person["key"]))
    public.verify(base64.b64decode(person["signature"]), content)  # raises if it does not fit


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"person": " "}, "a name or a pseudonym"),
        ({"adult": False}, "not of age"),
        ({"projects": ()}, "at least one project"),
        ({"until": "2029-12-31"}, "before it begins"),
        ({"until": "soon"}, "YYYY-MM-DD, got 'soon'"),
        ({"permits": ()}, "something that is permitted"),
        ({"references": ()}, "picture of the person"),
    ],
)
def test_a_record_that_says_too_little_is_not_made(more: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConsentError, match=complaint):
        record(**more)


def test_an_altered_record_does_not_hold(agreement: Agreement, store: ConsentStore) -> None:
    path = store.folder / f"{agreement.record.id}.json"
    change(path, '"until": "2030-12-31"', '"until": "2039-12-31"')
    assert store.read(path).damage == "it was altered after the person signed it"


def test_a_producer_cannot_sign_alone_or_first(store: ConsentStore) -> None:
    unsigned = Agreement(record=record())
    with pytest.raises(ConsentError, match="person signs first"):
        sign(unsigned, "producer", store.key("producer"))
    half = sign(unsigned, "person", Ed25519PrivateKey.generate())
    assert store.read(store.save(half)).damage == "the producer has not signed it"


def test_a_persons_key_cannot_be_exchanged(agreement: Agreement, store: ConsentStore) -> None:
    other = sign(Agreement(record=agreement.record), "person", Ed25519PrivateKey.generate())
    producer = next(each for each in agreement.signatures if each.role == "producer")
    forged = replace(other, signatures=(*other.signatures, producer))
    assert store.read(store.save(forged)).damage == "it was altered after the producer signed it"


def test_a_strange_producer_is_not_believed(agreement: Agreement, store: ConsentStore) -> None:
    forged = sign(agreement, "producer", Ed25519PrivateKey.generate())
    assert store.read(store.save(forged)).damage == "its producer's key is not known here"


def test_who_answers_for_another_signs_instead(store: ConsentStore) -> None:
    child = Agreement(record=record(adult=False, representative="B. Person, mother"))
    with pytest.raises(ConsentError, match="signed by the representative"):
        sign(child, "person", Ed25519PrivateKey.generate())
    made = sign(child, "representative", Ed25519PrivateKey.generate())
    made = sign(made, "producer", store.key("producer"))
    assert store.read(store.save(made)).damage == ""


def test_a_key_that_others_can_read_is_refused(store: ConsentStore) -> None:
    store.key("producer")
    (store.keys / "producer.key").chmod(0o640)
    with pytest.raises(OutputError, match="can be read by others"):
        store.key("producer")


def test_without_a_record_it_may_be_used_and_is_labelled(face_set: Path, home: Path) -> None:
    standing = require_usable(face_set)
    assert (standing.lane, standing.label) == ("none", "eu-modified-always")
    assert "understudy consent attach" in standing.sentence


def test_a_face_set_follows_its_record(agreement: Agreement, face_set: Path) -> None:
    attach(face_set, agreement)
    assert agreement.record.person not in (face_set / "consent.json").read_text()
    standing = require_usable(face_set, project="film", today=DAY)
    assert (standing.lane, standing.label, standing.record) == (
        "record",
        "eu-modified",
        agreement.record.hash,
    )
    with pytest.raises(
        ConsentError, match=f"{agreement.record.id} permits replacement, release, not editing"
    ):
        require_usable(face_set, "editing", today=DAY)
    with pytest.raises(ConsentError, match=f"{agreement.record.id} is for film, not for advertisement"):
        require_usable(face_set, project="advertisement", today=DAY)


@pytest.mark.parametrize(("day", "why"), [("2029-12-31", "begins on 2030"), ("2031-01-01", "ended on 2030")])
def test_a_record_counts_within_its_days(day: str, why: str, agreement: Agreement, face_set: Path) -> None:
    attach(face_set, agreement)
    for good in ("2030-01-01", "2030-12-31"):
        require_usable(face_set, today=datetime.date.fromisoformat(good))
    with pytest.raises(ConsentError, match=f"{agreement.record.id} {why}"):
        require_usable(face_set, today=datetime.date.fromisoformat(day))


def test_a_withdrawn_record_stays_withdrawn(
    agreement: Agreement, store: ConsentStore, face_set: Path
) -> None:
    attach(face_set, agreement)
    copy = (store.folder / f"{agreement.record.id}.json").read_bytes()
    store.withdraw(agreement)
    with pytest.raises(ConsentError, match=f"{agreement.record.id} was withdrawn on"):
        require_usable(face_set, today=DAY)
    (store.folder / f"{agreement.record.id}.json").write_bytes(copy)
    with pytest.raises(ConsentError, match="was withdrawn"):
        require_usable(face_set, today=DAY)
    (store.folder / f"{agreement.record.id}.json").unlink()
    with pytest.raises(ConsentError, match="was withdrawn"):
        require_usable(face_set, today=DAY)
    with pytest.raises(ConsentError, match="was withdrawn"):
        require_not_withdrawn([agreement.record.hash], Path("model.safetensors"))
    require_not_withdrawn(["99" * 32], Path("model.safetensors"))
    with (store.folder / "withdrawn.jsonl").open("a") as file:
        file.write("{torn")
    with pytest.raises(ConsentError, match="list of withdrawn records is damaged"):
        require_usable(face_set, today=DAY)


def test_a_record_that_is_not_here_is_no_record(
    agreement: Agreement, store: ConsentStore, face_set: Path
) -> None:
    attach(face_set, agreement)
    change(store.folder / f"{agreement.record.id}.json", "A. Person", "B. Person")
    with pytest.raises(ConsentError, match="not on this machine, or was altered"):
        require_usable(face_set, today=DAY)


def test_only_a_record_that_holds_is_bound(store: ConsentStore, face_set: Path) -> None:
    unsigned = store.read(store.save(Agreement(record=record())))
    with pytest.raises(ConsentError, match="the person has not signed"):
        attach(face_set, unsigned)
    with pytest.raises(FaceSetError, match="no face set"):
        declare(face_set.parent, {"lane": "performer", "seed": 1})


def test_the_lanes_without_a_person(face_set: Path, home: Path) -> None:
    declare(face_set, {"lane": "performer", "seed": 7})
    assert (consent_of(face_set).lane, consent_of(face_set).label) == ("performer", "credits-only")
    declare(face_set, {"lane": "research", "dataset": "FaceForensics++", "licence": "research only"})
    assert (consent_of(face_set).lane, consent_of(face_set).label) == ("research", "research")
    declare(face_set, {"lane": "anything"})
    with pytest.raises(ConsentError, match="wanted a lane"):
        consent_of(face_set)


def test_a_performer_is_proved_by_drawing_it_again() -> None:
    def render(number: int) -> np.ndarray:
        return np.random.default_rng(number).integers(0, 250, (8, 8, 3), dtype=np.uint8)

    kept = {number: render(number) + np.uint8(1) for number in (0, 5)}  # as after lossy coding
    assert prove_performer(kept, render)
    assert not prove_performer({**kept, 9: render(8)}, render)
    assert not prove_performer({}, render)


def test_strangers_are_named_farthest_first() -> None:
    references = [np.array([0.0, 0.0], np.float32), np.array([1.0, 0.0], np.float32)]
    crops = {
        "same.png": np.array([0.9, 0.3], np.float32),
        "near.png": np.array([1.0, 0.61], np.float32),
        "far.png": np.array([-3.0, 4.0], np.float32),
        "nobody.png": np.array([np.nan, 0.0], np.float32),
    }
    found = strangers(crops, references, same_person=0.6)
    assert {each.crop for each in found} == {"near.png", "far.png", "nobody.png"}
    distances = {each.crop: each.distance for each in found}
    assert distances["far.png"] == pytest.approx(5.0)
    assert distances["near.png"] == pytest.approx(0.61)
    with pytest.raises(ConsentError, match="reference"):
        strangers(crops, [], same_person=0.6)


def test_the_producers_key_is_in_the_backup(
    agreement: Agreement, store: ConsentStore, tmp_path: Path
) -> None:
    backup = KeyStore().backup(tmp_path / "keys.tar")
    other = KeyStore(tmp_path / "other")
    other.load()
    ConsentStore(tmp_path / "other").key("producer")
    other.restore(backup)
    elsewhere = ConsentStore(tmp_path / "other")
    assert elsewhere.read(store.folder / f"{agreement.record.id}.json").damage == ""
    KeyStore().rotate(lost=True)
    assert "not known here" in store.find(agreement.record.id).damage


def test_purge_forgets_the_kept_manifests_after_they_were_listed(
    agreement: Agreement, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest, name = agreement.record.hash, agreement.record.id
    kept, folder = ManifestStore(), tmp_path / "empty"
    folder.mkdir()
    kept.add(7, tmp_path / "elsewhere/mine.mp4", "1" * 64, manifest=b"one", records=(digest,))
    kept.add(8, tmp_path / "other.mp4", "2" * 64, manifest=b"two", records=("ef" * 32,))
    AuditLog().append("merge", {"output": "mine.mp4", "records": [digest]})
    words = ["purge", name, "--folder", str(folder)]
    assert run(words) == 0
    listed = capsys.readouterr().out
    assert f"kept manifest: of {tmp_path}/elsewhere/mine.mp4" in listed
    assert "other.mp4" not in listed
    assert "add --yes" in listed, "though nothing lies below the folder"
    assert kept.numbers() == {7, 8}
    assert run([*words, "--yes"]) == 0
    assert f"deleted kept manifest: of {tmp_path}/elsewhere/mine.mp4" in capsys.readouterr().out
    assert (kept.numbers(), kept.derived(digest)) == ({8}, [])
    assert [file.read_bytes() for file in kept.folder.glob("*.c2pa")] == [b"two"]
    assert AuditLog().check().wrong == (), "what was done stays written; it has no name in it"
    outside = [file for file in home.rglob("*") if file.is_file() and "consent" not in file.parts]
    assert not [file for file in outside if agreement.record.person.encode() in file.read_bytes()]
    assert run(words) == 0
    assert "add --yes" not in capsys.readouterr().out


def test_the_commands(
    home: Path, face_set: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    video, folder = make_video(), face_set.parent
    words = [
        "--person",
        "A. Person",
        "--projects",
        "film",
        "--until",
        "2999-01-01",
        "--references",
        str(video),
    ]
    assert run(["new", *words]) == 0
    (found,) = re.findall(r"record (\w{16}):", capsys.readouterr().out)
    assert run(["sign", found, "--role", "person", "--evidence", str(video)]) == 0
    with pytest.raises(ConsentError, match="evidence belongs"):
        run(["sign", found, "--role", "person", "--evidence", str(video)])
    assert run(["sign", found[:6], "--role", "producer"]) == 0
    assert run(["show", found]) == 0
    assert "it holds" in capsys.readouterr().out
    assert run(["attach", str(face_set), "--record", found]) == 0
    digest = consent_of(face_set).record
    sign_file(video, Edit(plate=video, consent=[digest], lane="record"))
    other = make_video("other.mp4", seed=2)
    (folder / "model.safetensors").write_bytes(b"\0" * 8 + digest.encode())
    (folder / "run").mkdir()
    (folder / "run/origin.toml").write_text(f'consent = ["{digest}"]\n')
    assert run(["withdraw", found]) == 0
    assert run(["show", found]) == 1
    capsys.readouterr()
    assert run(["purge", found, "--folder", str(folder)]) == 0
    listed = capsys.readouterr().out
    for line in ("face set: {}/faces", "run: {}/run", "model: {}/model.safetensors", "result: {}/plate.mp4"):
        assert line.format(folder) in listed
    assert video.exists()
    assert run(["purge", found, "--folder", str(folder), "--yes"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["home", "other.mp4"]
    assert other.exists()
    store = ConsentStore()
    assert "withdrawn" in refusal_of(digest, store.by_hash(digest), found, store)
    assert run(["lisst"]) == 2

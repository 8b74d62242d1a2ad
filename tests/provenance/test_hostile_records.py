"""Consent records as strangers might send them: none is written elsewhere, and no day is for ever."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import consented
from understudy.cli.consent import run
from understudy.errors import ConsentError
from understudy.provenance.consent import ConsentStore, new_record, sign
from understudy.provenance.record import Agreement, Record
from understudy.provenance.standing import refusal_of

TODAY = datetime.datetime.now(datetime.UTC).date()


@pytest.fixture
def whole(home: Path) -> Agreement:
    """A record that holds."""
    made = consented.agreement()
    assert ConsentStore().find(made.record.id).damage == ""
    return made


@pytest.fixture
def sent(whole: Agreement, tmp_path: Path) -> Callable[..., Path]:
    """Writes the record as a stranger's file, with some values exchanged."""

    def write(**values: Any) -> Path:
        path = tmp_path / "sent.json"
        signatures = [asdict(each) for each in whole.signatures]
        path.write_text(json.dumps({"record": {**asdict(whole.record), **values}, "signatures": signatures}))
        return path

    return write


@pytest.mark.parametrize("name", ["../../../escaped", "", "a" * 15, "A" * 16, "/escaped", None, 7])
def test_an_id_is_no_path(name: object, sent: Callable[..., Path], home: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    path = sent(id=name)
    with pytest.raises(ConsentError, match="no consent record that can be read"):
        run(["sign", str(path), "--role", "person"])
    assert sorted(tmp_path.rglob("*")) == sorted({*before, path})


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"until": 20271231}, "until: wanted a text, got 20271231"),
        ({"projects": "film"}, "projects: wanted a list of texts, got 'film'"),
        ({"permits": [["replacement"]]}, "permits: wanted a list of texts"),
        ({"adult": "no"}, "adult: wanted true or false, got 'no'"),
        ({"media": float("nan")}, "media: wanted a list of texts"),
        ({"statement": "\ud800"}, "surrogates not allowed"),
        ({"more": 1}, "more: not known here"),
    ],
)
def test_another_shape_is_named(values: dict[str, Any], why: str, sent: Callable[..., Path]) -> None:
    with pytest.raises(ConsentError, match=why):
        ConsentStore().read(sent(**values))


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"record": [], "signatures": []}',
        '{"record": {}, "signatures": []}',
        '{"record": {"person": "P", "id": "0123456789abcdef"}, "signatures": {}}',
        '{"record": {"person": "P", "id": "0123456789abcdef"}, "signatures": [{"role": "person"}]}',
        "[" * 100_000,
        "\x00",
    ],
)
def test_what_is_no_record_is_named(text: str, home: Path, tmp_path: Path) -> None:
    (tmp_path / "sent.json").write_text(text)
    with pytest.raises(ConsentError, match=r"sent\.json: no consent record that can be read"):
        ConsentStore().read(tmp_path / "sent.json")


def test_another_record_of_the_same_name_replaces_none(whole: Agreement, sent: Callable[..., Path]) -> None:
    store = ConsentStore()
    before = (store.folder / f"{whole.record.id}.json").read_bytes()
    with pytest.raises(ConsentError, match=r"another record, of A\. Person, is called so already"):
        run(["sign", str(sent(person="Mallory")), "--role", "person"])
    assert (store.folder / f"{whole.record.id}.json").read_bytes() == before
    assert run(["sign", str(sent()), "--role", "person"]) == 0, "the same one may be signed again"


@pytest.mark.parametrize("until", ["%Y%m%d", "%G-W%V-%u", "%G-W%V"])
def test_a_day_in_another_form_is_refused_since_it_would_never_end(until: str, home: Path) -> None:
    """Days are compared as texts, in which every other form of ISO 8601 lies behind every day of its year."""
    past = (TODAY - datetime.timedelta(days=1)).strftime(until)
    about = Record(person="P", projects=("film",), references=("ab" * 32,), start="2020-01-01", until=past)
    with pytest.raises(ConsentError, match="until: wanted a day as YYYY-MM-DD"):
        new_record(about)
    record = dataclasses.replace(about, id="0123456789abcdef")  # by a program that does not ask
    agreement = sign(Agreement(record=record), "person", Ed25519PrivateKey.generate())
    store = ConsentStore()
    store.save(sign(agreement, "producer", store.key("producer")))
    assert "does not hold" in refusal_of(record.hash, store.by_hash(record.hash), "it", store)


def test_no_name_is_not_the_only_record(whole: Agreement) -> None:
    for words in (["withdraw", ""], ["purge", "", "--yes"], ["show", " "]):
        with pytest.raises(ConsentError, match="got nothing"):
            run(words)
    assert not ConsentStore().withdrawn()


def test_a_name_cannot_draw_on_the_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = consented.agreement(person="A\x1b[2J\nnow            it holds")
    for words in (["show", made.record.id], ["list"]):
        run(words)
        text = capsys.readouterr().out
        assert "\x1b" not in text
        assert sum(line.startswith("now ") for line in text.splitlines()) == (words[0] == "show")

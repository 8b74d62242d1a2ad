"""What somebody who means ill, or a broken disk, leaves in the state folder and beside files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from understudy.cli import audit
from understudy.cli.verify import run
from understudy.errors import ConfigError, OutputError, VideoError
from understudy.provenance.answer import facts
from understudy.provenance.audit import AuditLog
from understudy.provenance.claim import Edit
from understudy.provenance.consent import ConsentStore
from understudy.provenance.keys import KeyStore
from understudy.provenance.manifest import list_path, sign_file, sign_folder
from understudy.provenance.pictures import require_signing
from understudy.provenance.signer import SigningSettings
from understudy.provenance.verify import verify


def test_a_backup_does_not_bring_back_what_was_declared_lost(home: Path, tmp_path: Path) -> None:
    store = KeyStore()
    first = store.load()
    backup = store.backup(tmp_path / "keys.tar")
    store.rotate()
    second_backup = store.backup(tmp_path / "second.tar")
    store.rotate(lost=True)
    now = store.load()
    for file, why in (
        (second_backup, "its key was declared lost on"),
        (backup, "its root's key was declared"),
    ):
        with pytest.raises(ConfigError, match=why):
            store.restore(file)
    assert store.load() == now
    assert store.own_roots() == [store.signing / "root.pem"]
    assert not list(store.retired.parent.glob("*.part"))
    (store.signing / "chain.pem").write_bytes(first.chain)  # by hand, past the command
    (store.signing / "key.pem").write_bytes(first.key)
    (store.signing / "root.pem").write_bytes((next(store.retired.glob("*")) / "root.pem").read_bytes())
    with pytest.raises(OutputError, match="declared lost, so nothing is signed with it"):
        store.load()
    assert store.rotate(lost=True) != first


def test_a_producers_lost_key_stays_lost_and_losses_of_two_machines_are_added(
    home: Path, tmp_path: Path
) -> None:
    store, consent = KeyStore(), ConsentStore()
    consent.key("producer")
    (lost,) = consent.producers()
    store.load()
    other = KeyStore(tmp_path / "other")
    other.restore(store.backup(tmp_path / "keys.tar"))
    assert ConsentStore(tmp_path / "other").producers() == [lost]
    other.rotate(lost=True)  # there the keys were copied; here they are not known to be
    assert other.lost()
    fresh = KeyStore(tmp_path / "fresh")
    fresh.rotate()
    fresh.rotate(lost=True)
    here = fresh.lost()
    fresh.restore(other.backup(tmp_path / "other.tar"))
    assert fresh.lost() == {**here, **other.lost()}
    assert ConsentStore(tmp_path / "fresh").producers() == []


def test_a_damaged_trusted_certificate_is_named_and_the_picture_is_not_blamed(
    home: Path, make_images: Callable[..., Path]
) -> None:
    picture = make_images(count=1) / "000000.png"
    sign_file(picture, Edit(operation="synthesis"))
    bad = KeyStore().trusted / "studio.pem"
    bad.parent.mkdir(parents=True)
    for content in (b"torn", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        bad.write_bytes(content)
        with pytest.raises(ConfigError, match=r"studio\.pem: a trusted certificate that cannot be read"):
            verify(picture, mark="no")
    bad.unlink()
    (KeyStore().folder / "lost.txt").write_bytes(b"\xff\xfe\n17 2026-01-01\n")
    assert KeyStore().lost() == {"17": "2026-01-01"}
    assert verify(picture, mark="no").exit_code == 0


@pytest.mark.parametrize(
    "line",
    [
        '{"hash":"a","before":"","what":"x","v":NaN}',
        '{"hash":"a","before":"\\ud800","what":"x","v":"\\ud800"}',
        '{"hash":"\\ud800","before":"","what":"x","number":null}',
        '{"hash":"a","before":"","what":"x","number":1e999}',
        '{"hash":"a","before":"","what":"\\u001b[2J","number":"z"}',
        "[" * 100_000,
    ],
)
def test_a_line_that_somebody_put_into_the_log_stops_nothing_and_is_found(
    line: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = AuditLog()
    log.append("train", {})
    with log.path.open("a") as file:
        file.write(line + "\n")
    log.append("merge", {"output": "scene.mp4"})
    assert audit.run(["check"]) == 7 or line.startswith("[")
    assert audit.run(["show"]) == 0
    text = capsys.readouterr().out
    assert "scene.mp4" in text
    assert "\x1b" not in text
    assert re.search(r"line 2 (was edited|is torn)", text)


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_files_name_that_is_no_text(
    home: Path, make_images: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = make_images(count=1) / "000000.png"
    sign_file(picture, Edit(operation="synthesis"))
    named = Path(os.fsdecode(os.fsencode(picture.parent) + b"/\xff\x1b[31m\n.png"))
    picture.rename(named)
    assert run([str(named), "--quick"]) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if ".png" in line]) == 1
    assert run([str(named), "--quick", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["path"].endswith("\udcff\x1b[31m\n.png")
    assert AuditLog().check().wrong == ()


def test_a_list_beside_a_folder_that_nobody_has_signed_says_nothing(
    home: Path, make_images: Callable[..., Path]
) -> None:
    folder = make_images(count=2)
    for content in (b"\xff\xfe\0", b"00  ../../etc/passwd\nnonsense\n"):
        list_path(folder).write_bytes(content)
        assert verify(folder, mark="no").verdict == "unsigned"
    sign_folder(folder, Edit(operation="synthesis"))
    list_path(folder).write_bytes(b"\xff\xfe\n" + list_path(folder).read_bytes())
    answer = verify(folder, mark="no")
    assert (answer.exit_code, answer.codes) == (7, ("assertion.dataHash.mismatch",))


@pytest.mark.skipif(os.name == "nt", reason="commands of another kind")
@pytest.mark.parametrize(
    ("command", "why"),
    [
        (
            "sh -c 'echo no card in the reader >&2; exit 3'",
            "exit status 3: no card in the reader; nothing was",
        ),
        ("true", "gave no signature: it wrote nothing"),
        ("no-such-program-anywhere", "gave no signature: .*No such file"),
        ("head -c 64", "the signature does not match|signature value|COSE signature invalid"),
    ],
)
def test_a_key_service_that_fails_says_why_and_leaves_the_file(
    command: str, why: str, home: Path, make_images: Callable[..., Path], tmp_path: Path
) -> None:
    picture = make_images(count=1) / "000000.png"
    before = picture.read_bytes()
    (tmp_path / "chain.pem").write_bytes(KeyStore().load().chain)
    settings = SigningSettings(certificate=tmp_path / "chain.pem", service=command)
    for sign in (
        lambda: require_signing(settings),
        lambda: sign_file(picture, Edit(operation="synthesis"), settings),
    ):
        with pytest.raises(OutputError, match=why):
            sign()
    assert picture.read_bytes() == before
    assert [file.name for file in picture.parent.iterdir()] == ["000000.png"]


def test_a_command_that_is_none(home: Path, tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_bytes(KeyStore().load().chain)
    with pytest.raises(ConfigError, match="is no command"):
        require_signing(SigningSettings(certificate=tmp_path / "chain.pem", service="'open"))


@pytest.mark.parametrize("seed", range(3))
def test_bytes_at_random_are_never_intact_nor_an_accident(
    seed: int, home: Path, make_images: Callable[..., Path]
) -> None:
    """Only what C2PA leaves out may differ: frames and padding of the manifest itself."""
    picture = make_images(count=1) / "000000.png"
    sign_file(picture, Edit(operation="synthesis"))
    content, random = picture.read_bytes(), np.random.default_rng(seed)
    start = content.index(b"caBX")
    end = start + 4 + int.from_bytes(content[start - 4 : start], "big")
    for _ in range(60):
        spoilt = bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            spoilt[place] ^= random.integers(1, 256)
        picture.write_bytes(spoilt)
        answer = verify(picture, mark="no")
        json.dumps(answer.as_data())
        facts(answer)
        if answer.verdict == "intact":
            assert (spoilt[:start], spoilt[end:]) == (content[:start], content[end:])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_is_not_waited_for(home: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match="neither a file nor a folder"):
        verify(tmp_path / "pipe.mp4")

"""Timestamps: a good answer is told with who gave it, a bad one is done without, a clock is no signer."""

from __future__ import annotations

import datetime
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from time_service import DAY, PEM, REFUSED, TimeService, of_something_else, serving, with_another_number

from understudy.cli import keys
from understudy.cli.verify import run
from understudy.provenance.claim import Edit
from understudy.provenance.keys import KeyStore
from understudy.provenance.manifest import sign_file
from understudy.provenance.revocation import take_list
from understudy.provenance.signer import SigningSettings

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the answers")
EDIT = Edit(operation="synthesis")


@pytest.fixture
def clock(tmp_path: Path, home: Path) -> TimeService:
    """A service whom nobody trusts yet."""
    return TimeService(tmp_path / "clock")


@pytest.fixture
def picture(make_images: Callable[..., Path], home: Path) -> Path:
    """A picture that is not signed yet."""
    return make_images(count=1) / "000000.png"


def ask(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    """Exit code, answer, and what a person reads."""
    capsys.readouterr()
    run([str(path), "--quick"])
    text = capsys.readouterr().out
    code = run([str(path), "--json", "--quick"])
    return code, json.loads(capsys.readouterr().out)[0], text


def test_a_good_answer_is_embedded_and_told_with_who_gave_it(
    clock: TimeService, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = datetime.datetime.now(datetime.UTC)
    with serving(clock.answer) as address:
        signed = sign_file(picture, EDIT, SigningSettings(timestamp=address))
    assert (signed.timestamped, signed.remarks, clock.asked) == (True, (), 1)
    code, answer, text = ask(picture, capsys)
    told = datetime.datetime.fromisoformat(answer["signer"]["time"])
    assert abs((told - before).total_seconds()) < 30
    assert (code, answer["signer"]["time_by"], answer["signer"]["time_root"]) == (
        0,
        "A Clock (Time for All)",
        "",
    )
    assert (
        f"time not confirmed: {answer['signer']['time']}, says A Clock (Time for All), unknown here" in text
    )
    assert keys.run(["trust", str(clock.root), "--time"]) == 0
    (root,) = KeyStore().time_roots()
    code, answer, text = ask(picture, capsys)
    assert (code, answer["signer"]["root"], answer["signer"]["time_root"]) == (
        0,
        "this installation",
        root.name,
    )
    assert f"by A Clock (Time for All), vouched for by {root.name}" in text
    keys.run(["show"])
    assert f"time     {root}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        (lambda _clock, _query: b"no DER at all", 200),
        (lambda _clock, _query: b"", 200),
        (lambda _clock, _query: REFUSED, 200),
        (lambda clock, query: clock.answer(query), 500),
        (lambda clock, query: clock.answer(query)[:-40], 200),
        (lambda clock, query: clock.answer(with_another_number(query)), 200),
        (lambda clock, query: clock.answer(of_something_else(query)), 200),
    ],
    ids=["garbage", "nothing", "refused", "an error's page", "cut short", "another nonce", "another hash"],
)
def test_a_wrong_answer_is_done_without_and_said(
    spoil: Callable[[TimeService, bytes], bytes],
    status: int,
    clock: TimeService,
    picture: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    KeyStore().trust(clock.root, time=True)
    with serving(lambda query: spoil(clock, query), status) as address:
        signed = sign_file(picture, EDIT, SigningSettings(timestamp=address))
    assert not signed.timestamped
    (remark,) = signed.remarks
    assert f"signed without a timestamp, since {address} gave none" in remark
    code, answer, text = ask(picture, capsys)
    assert (code, answer["verdict"], answer["signer"]["time"]) == (0, "intact", "")
    assert "time not confirmed by anybody" in text


def below(service: TimeService, folder: Path, end: datetime.datetime) -> SigningSettings:
    """A signer's certificate that the root of a timestamp service issued, as such roots do for anybody."""
    key = ec.generate_private_key(ec.SECP256R1())
    public, above = key.public_key(), service.root_key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Anybody")]))
        .issuer_name(service.root_certificate.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - 9 * DAY)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(service.root_key, hashes.SHA256())
    )
    private = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "signer.key").touch(mode=0o600)
    (folder / "signer.key").write_bytes(key.private_bytes(PEM, *private))
    (folder / "signer.pem").write_bytes(certificate.public_bytes(PEM))
    return SigningSettings(certificate=folder / "signer.pem", key=folder / "signer.key")


def test_whose_root_is_believed_about_the_time_vouches_for_no_signer(
    clock: TimeService, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = below(clock, tmp_path, datetime.datetime.now(datetime.UTC) + DAY)
    sign_file(picture, EDIT, settings)
    KeyStore().trust(clock.root, time=True)
    code, answer, _ = ask(picture, capsys)
    assert (code, answer["verdict"], answer["signer"]["root"]) == (3, "stranger", "")
    root = KeyStore().trust(clock.root)  # a person may say so of both
    code, answer, _ = ask(picture, capsys)
    assert (code, answer["signer"]["root"]) == (0, root.name)


def test_a_timestamp_outlives_the_certificate_but_saves_no_revoked_one(
    clock: TimeService, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The word of a service that nobody trusts saves nothing either: anybody can set up a clock."""
    studio, stranger = TimeService(tmp_path / "studio", "A Studio"), TimeService(tmp_path / "stranger")
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
    settings = below(studio, tmp_path, end)
    with serving(clock.answer) as address:
        sign_file(picture, EDIT, SigningSettings(**{**vars(settings), "timestamp": address}))
    time.sleep(max(0.0, (end - datetime.datetime.now(datetime.UTC)).total_seconds()) + 1.1)
    store = KeyStore()
    root = store.trust(studio.root)
    store.trust(stranger.root, time=True)
    assert ask(picture, capsys)[0] == 9
    both = store.trust(clock.root)  # trusted as a signer: its word about the time makes nobody ours
    store.load()
    code, answer, _ = ask(picture, capsys)
    assert (code, answer["verdict"], answer["signer"]["root"]) == (3, "stranger", "")
    both.unlink()
    store.trust(clock.root, time=True)
    code, answer, _ = ask(picture, capsys)
    assert (code, answer["verdict"], answer["signer"]["root"]) == (0, "intact", root.name)
    assert settings.certificate is not None
    serial = x509.load_pem_x509_certificate(settings.certificate.read_bytes()).serial_number
    now = datetime.datetime.now(datetime.UTC)
    revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
    listed = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(studio.root_certificate.subject)
        .last_update(now)
        .next_update(now + DAY)
        .add_revoked_certificate(revoked)
        .sign(studio.root_key, hashes.SHA256())
    )
    (tmp_path / "studio.crl").write_bytes(listed.public_bytes(PEM))
    take_list(store, tmp_path / "studio.crl")
    code, answer, _ = ask(picture, capsys)
    assert (code, answer["verdict"], answer["signer"]["root"]) == (9, "doubtful", "")
    assert "its issuer revoked the certificate" in answer["reasons"][0]


def test_the_time_of_a_plate_is_told_too(
    clock: TimeService, picture: Path, make_images: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(clock.answer) as address:
        sign_file(picture, EDIT, SigningSettings(timestamp=address))
    second = make_images("second", count=1, seed=4) / "000000.png"
    sign_file(second, Edit(plate=picture))
    root = KeyStore().trust(clock.root, time=True)
    _, answer, text = ask(second, capsys)
    (plate,) = answer["origins"]
    assert (answer["signer"]["time"], plate["signer"]["time_root"]) == ("", root.name)
    assert f"time confirmed: {plate['signer']['time']}, by A Clock" in text

"""The tamper matrix: what can be done to a signed file, each with its own answer, code and exit status.

Every case goes through the command. Certificates are made here: expired ones, strangers', ones that lack the
usage. Revocation: the library checks OCSP answers that were stapled when signing, and we fetch nothing. So a
key of our own that is revoked is told by ``understudy keys rotate --lost``, and a revoked certificate of a
stranger by the list of its issuer, ``understudy keys revoked LIST``.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from provenance_frames import frames

from understudy.cli import keys
from understudy.cli.verify import run
from understudy.errors import ConfigError, OutputError
from understudy.provenance import manifest, xmp
from understudy.provenance.certificates import make_root
from understudy.provenance.claim import Edit
from understudy.provenance.history import OWN
from understudy.provenance.keys import KeyStore
from understudy.provenance.manifest import manifest_path, sign_file
from understudy.provenance.revocation import overdue, revoked, take_list
from understudy.provenance.signer import SigningSettings, quiet_context
from understudy.video.stills import StillsWriter
from understudy.video.writer import VideoWriter


class Bench(NamedTuple):
    """Signed files that the cases spoil copies of, and the state folder whose key signed them."""

    folder: Path
    home: Path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A plate with sound, results in several containers, signed once."""
    folder, home = tmp_path_factory.mktemp("signed"), tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERSTUDY_HOME", str(home))
        tone(folder / "tone.m4a")
        for name, seed in (("plate.mp4", 0), ("result.mp4", 1), ("result.mov", 1), ("other.mp4", 9)):
            with VideoWriter(folder / name, sound_from=folder / "tone.m4a") as writer:
                for frame in frames(12, seed):
                    writer.write(frame)
        with VideoWriter(folder / "result.mkv") as writer:
            for frame in frames(12, 1):
                writer.write(frame)
        with StillsWriter(folder / "stills") as writer:
            writer.write(next(frames(1)))
        shutil.move(folder / "stills" / "000000.png", folder / "result.png")
        for name in ("result.mp4", "result.mov", "result.mkv", "result.png"):
            sign_file(folder / name, Edit(plate=folder / "plate.mp4", references=["ab" * 32]))
        yield Bench(folder, home)


@pytest.fixture
def place(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of everything, with the state folder that signed it."""
    shutil.copytree(bench.folder, tmp_path / "files")
    shutil.copytree(bench.home, tmp_path / "home")
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    return tmp_path / "files"


def tone(path: Path) -> None:
    """Half a second of sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        for start in range(0, 24576, 1024):
            wave = np.random.default_rng(start).normal(0, 0.1, (1, 1024)).astype(np.float32)
            block = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            block.sample_rate, block.pts = 48000, start
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))


def packet_place(path: Path, kind: str) -> int:
    """Amid the first packet of a kind."""
    with av.open(str(path)) as container:
        packet = next(p for p in container.demux() if p.stream.type == kind and p.size > 40)
        return int(packet.pos) + packet.size // 2


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x55
    path.write_bytes(content)


def replaced(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    assert len(old) == len(new)
    path.write_bytes(content.replace(old, new, 1))


def again(path: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    """Muxes the pictures' packets anew, changed, and leaves everything else out."""
    out = path.with_name("again.mp4")
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        for number, packet in enumerate(change(packets)):
            packet.stream, packet.pts, packet.dts = stream, number * 512, number * 512
            target.mux(packet)
    out.replace(path)


def encode_again(path: Path, crf: str = "20", crop: int = 0) -> None:
    out = path.with_name("again.mp4")
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"crf": crf})
        stream.width, stream.height, stream.pix_fmt = 160 - crop, 96 - crop, "yuv420p"
        for frame in source.decode(video=0):
            picture = frame.to_ndarray(format="rgb24")[crop:, crop:]
            target.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
        target.mux(stream.encode(None))
    out.replace(path)


def graft(path: Path, donor: Path) -> None:
    """The donor's manifest box put into a clip that has none."""
    start, size = next((s, n) for kind, s, n in xmp.boxes(donor) if kind == b"uuid")
    head = next(s + n for kind, s, n in xmp.boxes(path) if kind == b"ftyp")
    content = path.read_bytes()
    path.write_bytes(content[:head] + donor.read_bytes()[start : start + size] + content[head:])


def screenshot(path: Path) -> None:
    with av.open(str(path)) as source:
        picture = next(source.decode(video=0)).to_ndarray(format="bgr24")
    cv2.imwrite(str(path.with_suffix(".png")), picture)


def repaint(path: Path) -> None:
    """One pixel painted over and the file saved by another program."""
    picture = cv2.imread(str(path))
    picture[10, 10] = 0
    cv2.imwrite(str(path), picture)


BMFF, DATA, MANIFEST = (
    "assertion.bmffHash.mismatch",
    "assertion.dataHash.mismatch",
    "assertion.hashedURI.mismatch",
)


class Case(NamedTuple):
    """What is done to which file, and what is answered."""

    name: str
    do: Callable[[Path], object]
    exit: int
    code: str = ""
    file: str = "result.mp4"


def box_byte(kind: bytes, offset: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        start = next(s for name, s, _ in xmp.boxes(path) if name == kind)
        flip(path, start + offset)

    return change


CASES = [
    Case("untouched", lambda _: None, 0),
    Case("untouched mov", lambda _: None, 0, file="result.mov"),
    Case("untouched, manifest beside", lambda _: None, 0, file="result.mkv"),
    Case("renamed", lambda path: path.rename(path.with_name("new.mp4")), 0, file="result.mp4>new.mp4"),
    Case("a byte of the picture", lambda path: flip(path, packet_place(path, "video")), 7, BMFF),
    Case("a byte of the picture, mov", lambda p: flip(p, packet_place(p, "video")), 7, BMFF, "result.mov"),
    Case("a byte of the sound", lambda path: flip(path, packet_place(path, "audio")), 7, BMFF),
    Case("a byte of the header", lambda path: flip(path, path.read_bytes().index(b"mvhd") + 8), 7, BMFF),
    Case(
        "a byte of the samples' table",
        lambda path: flip(path, path.read_bytes().index(b"stsz") + 20),
        7,
        BMFF,
    ),
    Case("the metadata", lambda p: replaced(p, b"<Iptc4xmpExt:D", b"<Iptc4xmpExt:X"), 7, BMFF),
    Case("a word of the manifest", lambda p: replaced(p, b"a face was rep", b"a face was ret"), 7, MANIFEST),
    Case(
        "the plate's hash in the manifest", lambda p: replaced(p, b"sha256:abab", b"sha256:acab"), 7, MANIFEST
    ),
    Case("an action left out", lambda p: replaced(p, b"c2pa.placed", b"c2pa.cropped"[:11]), 7, MANIFEST),
    Case(
        "a box behind the end", lambda p: p.write_bytes(p.read_bytes() + b"\0\0\0\x10abcd--------"), 7, BMFF
    ),
    # boxes of padding are left out of the hash by C2PA: nothing that is shown or heard lies in them
    Case("padding behind the end", lambda p: p.write_bytes(p.read_bytes() + b"\0\0\0\x10free--------"), 0),
    Case("cut short", lambda path: path.write_bytes(path.read_bytes()[:-200]), 6),
    Case("a frame dropped", lambda path: again(path, lambda p: p[:-1]), 4),
    Case("a frame doubled", lambda path: again(path, lambda p: [*p, p[-1]]), 4),
    Case("cut at the start", lambda path: again(path, lambda p: p[:4]), 4),
    Case("muxed again", lambda path: again(path, lambda p: p), 4),
    Case("encoded again", encode_again, 4),
    Case("a part of the picture", lambda path: encode_again(path, crop=16), 4),
    Case("a screenshot", screenshot, 4, file="result.mp4>result.png"),
    Case("a manifest of another clip", lambda p: graft(p, p.with_name("result.mp4")), 7, BMFF, "other.mp4"),
    Case(
        "a byte of a picture file",
        lambda p: flip(p, p.read_bytes().rindex(b"IDAT") + 40),
        7,
        DATA,
        "result.png",
    ),
    Case("a picture saved again", repaint, 4, file="result.png"),
    Case("a byte beside its manifest", lambda p: flip(p, p.stat().st_size // 2), 7, DATA, "result.mkv"),
    Case("its manifest lost", lambda p: manifest_path(p).unlink(), 4, file="result.mkv"),
    Case(
        "the manifest of another beside it",
        lambda p: shutil.copy(manifest_path(p.with_name("result.mkv")), manifest_path(p)),
        7,
        DATA,
        "result.webm",
    ),
    Case("no file of its kind", lambda path: path.write_bytes(b"\0" * 400), 6),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_answer_fits_what_was_done(case: Case, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, _, asked = case.file.partition(">")
    if file == "result.webm":
        with VideoWriter(place / file) as writer:
            for frame in frames(4, 3):
                writer.write(frame)
    case.do(place / file)
    code, answer = ask(place / (asked or file), capsys)
    assert (code, answer["codes"]) == (case.exit, [case.code] if case.code else [])
    assert answer["reasons"]
    assert not any(
        "." in word.strip(".,:;()") and "Hash" in word for word in " ".join(answer["reasons"]).split()
    )


def ask(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Exit code and answer."""
    capsys.readouterr()
    code = run([str(path), "--json", "--quick"])
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == code
    return code, answer


def test_an_edited_parent(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(place / "result.mp4", packet_place(place / "result.mp4", "video"))
    sign_file(place / "other.mp4", Edit(plate=place / "result.mp4"))
    code, answer = ask(place / "other.mp4", capsys)
    assert (code, answer["codes"], answer["origins"][0]["codes"]) == (5, [], [BMFF])


# -------------------------------------------------------------------------------------------- certificates

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def studio(
    folder: Path,
    begin: datetime.datetime = NOW - DAY,
    end: datetime.datetime = NOW + 100 * DAY,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION,
) -> tuple[SigningSettings, bytes]:
    """A studio's certificate with these dates and that usage, and its root, whose key lies in the folder."""
    root_key, root = make_root()
    (folder / "root.key").write_bytes(root_key)
    issuer = serialization.load_pem_private_key(root_key, None)
    above = x509.load_pem_x509_certificate(root)
    assert isinstance(issuer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "A Studio")]))
        .issuer_name(above.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .sign(issuer, hashes.SHA256())
    )
    chain, private = folder / "studio.pem", folder / "studio.key"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return SigningSettings(certificate=chain, key=private), root


def test_a_foreign_certificate_and_then_its_root_in_the_trust_list(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, root = studio(place)
    sign_file(place / "other.mp4", Edit(plate=place / "plate.mp4"), settings)
    code, answer = ask(place / "other.mp4", capsys)
    assert (code, answer["verdict"], answer["codes"]) == (3, "stranger", ["signingCredential.untrusted"])
    (place / "root.pem").write_bytes(root)
    KeyStore().trust(place / "root.pem")
    assert ask(place / "other.mp4", capsys)[0] == 0
    assert keys.run(["distrust", str(place / "root.pem")]) == 0
    assert ask(place / "other.mp4", capsys)[0] == 3
    with pytest.raises(ConfigError, match="not among those that are trusted here"):
        keys.run(["distrust", str(place / "root.pem")])


def revocation_list(folder: Path, serial: int, issued: datetime.datetime = NOW) -> Path:
    """A list of the studio's root with one certificate on it."""
    key = serialization.load_pem_private_key((folder / "root.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(serial)
        .revocation_date(NOW - DAY)
        .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
        .build()
    )
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.load_pem_x509_certificate((folder / "root.pem").read_bytes()).subject)
        .last_update(issued)
        .next_update(issued + 7 * DAY)
        .add_revoked_certificate(entry)
        .sign(key, hashes.SHA256())
    )
    file = folder / "studio.crl"
    file.write_bytes(crl.public_bytes(serialization.Encoding.DER))
    return file


def test_a_certificate_that_its_issuer_revoked(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, root = studio(place)
    (place / "root.pem").write_bytes(root)
    sign_file(place / "other.mp4", Edit(plate=place / "plate.mp4"), settings)
    assert settings.certificate is not None
    serial = x509.load_pem_x509_certificate(settings.certificate.read_bytes()).serial_number
    with pytest.raises(ConfigError, match="keys trust"):  # a list of somebody unknown says nothing
        take_list(KeyStore(), revocation_list(place, serial))
    KeyStore().trust(place / "root.pem")
    assert keys.run(["revoked", str(revocation_list(place, serial + 1))]) == 0
    assert ask(place / "other.mp4", capsys)[0] == 0  # another certificate is on it
    assert keys.run(["revoked", str(revocation_list(place, serial))]) == 0
    assert "1 revoked, as of" in capsys.readouterr().out
    code, answer = ask(place / "other.mp4", capsys)
    assert (code, answer["verdict"], answer["signer"]["root"]) == (9, "doubtful", "")
    assert answer["reasons"][0].endswith(f"revoked the certificate on {NOW - DAY:%Y-%m-%d} (keyCompromise)")


@pytest.mark.parametrize("generations", [1, 2])
def test_the_signer_of_something_it_was_made_from_was_revoked(
    generations: int, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, root = studio(place)
    (place / "root.pem").write_bytes(root)
    sign_file(place / "plate.mp4", Edit(operation="synthesis"), settings)
    sign_file(place / "other.mp4", Edit(plate=place / "plate.mp4"))
    if generations == 2:
        shutil.copy(place / "result.mov", place / "final.mov")
        sign_file(place / "final.mov", Edit(plate=place / "other.mp4"))
    last = place / ("other.mp4", "final.mov")[generations - 1]

    def plate(answer: dict[str, Any]) -> dict[str, Any]:
        for _ in range(generations):
            (answer,) = [each for each in answer["origins"] if each["relation"] == "parentOf"]
        return answer

    code, answer = ask(last, capsys)
    assert (code, plate(answer)["signer"]["root"]) == (0, ""), "a plate of somebody unknown is no fault"
    trusted = KeyStore().trust(place / "root.pem")
    KeyStore().trust(KeyStore().signing / "root.pem")  # one's own is one's own, whatever else is said
    code, answer = ask(last, capsys)
    assert (code, plate(answer)["signer"]["root"], answer["signer"]["root"]) == (0, trusted.name, OWN)
    assert settings.certificate is not None
    serial = x509.load_pem_x509_certificate(settings.certificate.read_bytes()).serial_number
    take_list(KeyStore(), revocation_list(place, serial + 1))
    assert ask(last, capsys)[0] == 0, "another certificate is on it"
    take_list(KeyStore(), revocation_list(place, serial))
    code, answer = ask(last, capsys)
    assert (code, answer["verdict"], answer["codes"], answer["signer"]["root"]) == (9, "doubtful", [], OWN)
    assert (plate(answer)["state"], plate(answer)["signer"]["root"]) == ("doubtful", "")
    day = f"{NOW - DAY:%Y-%m-%d} (keyCompromise)"
    assert answer["reasons"] == [
        f"plate.mp4, from which it was made: its issuer revoked the certificate on {day}",
        "it is as it was signed",
    ]
    run([str(last), "--quick"])
    text = capsys.readouterr().out
    assert "A SIGNER IS NO LONGER BELIEVED" in text.splitlines()[0]
    assert "plate.mp4: its own manifest was whole, but who signed it is NO LONGER BELIEVED" in text
    assert f"(A Studio), its issuer revoked the certificate on {day}" in text


def test_the_manifest_of_a_parent_is_changed_within_the_file(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sign_file(place / "other.mp4", Edit(plate=place / "result.mp4"))
    words = (b"a face was rep", b"a face was ret")
    content = (place / "other.mp4").read_bytes()
    assert content.count(words[0]) == 2
    (place / "other.mp4").write_bytes(content.replace(*words, 1))  # the parent's comes first
    code, answer = ask(place / "other.mp4", capsys)
    (parent,) = answer["origins"]
    assert (code, answer["codes"], parent["state"]) == (7, [], "changed")
    assert (parent["late"], parent["signer"]["root"]) == (["ingredient.manifest.mismatch", MANIFEST], "")
    assert answer["reasons"] == [
        "result.mp4, from which it was made: the manifest of what it was made from was exchanged, "
        "the manifest was changed after signing"
    ]


def test_a_name_cannot_draw_on_the_terminal(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plate's name that would write a line of its own, in green, over the one that is true."""
    forged = "plate\x1b[2K\n  signed by   you\u202e[bold]"
    plate = (place / "result.mp4").rename(place / f"{forged}.mp4")
    sign_file(place / "other.mp4", Edit(plate=plate))
    flip(place / "other.mp4", packet_place(place / "other.mp4", "video"))
    run([str(place / "other.mp4"), "--quick"])
    text = capsys.readouterr().out
    assert not {"\x1b", "\u202e"} & set(text)
    assert "plate\ufffd[2K\ufffd  signed by   you\ufffd[bold].mp4" in text
    assert sum(line.lstrip().startswith("signed by") for line in text.splitlines()) == 1


def test_whom_another_program_trusted_is_not_trusted_here(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It wrote down that it trusted the plate's signer: its word, which does not lower its own standing."""
    settings, root = studio(place)
    sign_file(place / "plate.mp4", Edit(operation="synthesis"), settings)
    monkeypatch.setattr(manifest, "quiet_context", lambda: quiet_context(root.decode()))
    sign_file(place / "other.mp4", Edit(plate=place / "plate.mp4"))
    code, answer = ask(place / "other.mp4", capsys)
    (plate,) = answer["origins"]
    assert (code, answer["signer"]["root"], plate["state"], plate["signer"]["root"]) == (0, OWN, "intact", "")


def test_a_revocation_list_is_neither_old_nor_forged(place: Path) -> None:
    _, root = studio(place)
    (place / "root.pem").write_bytes(root)
    KeyStore().trust(place / "root.pem")
    taken, _ = take_list(KeyStore(), revocation_list(place, 1, NOW - 20 * DAY))
    assert "was due for renewal on" in overdue(taken)
    take_list(KeyStore(), revocation_list(place, 1))
    assert not overdue(taken)
    with pytest.raises(ConfigError, match="older than the list that is here"):
        take_list(KeyStore(), revocation_list(place, 1, NOW - 10 * DAY))
    flip(place / "studio.crl", len((place / "studio.crl").read_bytes()) - 3)
    with pytest.raises(ConfigError, match=r"fits it|no certificate revocation list"):
        take_list(KeyStore(), place / "studio.crl")
    with pytest.raises(ConfigError, match="no certificate revocation list"):
        take_list(KeyStore(), place / "plate.mp4")
    taken.with_suffix(".crl").write_bytes(b"torn")
    with pytest.raises(ConfigError, match=r"damaged .* keys revoked LIST"):
        revoked(taken, "1")


def test_no_trust_list_at_all(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "nobody"))
    code, answer = ask(place / "result.mp4", capsys)
    assert (code, answer["verdict"], answer["codes"]) == (3, "stranger", ["signingCredential.untrusted"])


@pytest.mark.parametrize(
    ("begin", "end"),
    [(NOW - 9 * DAY, NOW - 2 * DAY), (NOW + 2 * DAY, NOW + 9 * DAY)],
    ids=["expired", "the clock is wrong: it has not begun"],
)
def test_a_certificate_outside_its_dates_signs_nothing(
    begin: datetime.datetime, end: datetime.datetime, place: Path
) -> None:
    settings, _ = studio(place, begin, end)
    before = (place / "other.mp4").read_bytes()
    with pytest.raises(
        OutputError, match=r"this machine's clock says .* set the clock, or sign with another"
    ):
        sign_file(place / "other.mp4", Edit(plate=place / "plate.mp4"), settings)
    assert (place / "other.mp4").read_bytes() == before


def test_a_certificate_that_has_ended_since(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Signed while it held, with a life of seconds; without a timestamp nothing tells that it did."""
    import time

    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    settings, root = studio(place, end=end)
    (place / "root.pem").write_bytes(root)
    KeyStore().trust(place / "root.pem")
    sign_file(place / "result.png", Edit(operation="synthesis"), settings)
    time.sleep(max(0.0, (end - datetime.datetime.now(datetime.UTC)).total_seconds()) + 1.1)
    code, answer = ask(place / "result.png", capsys)
    ended = "the certificate has ended, and no timestamp tells when it was used"
    assert (code, answer["verdict"]) == (9, "doubtful")
    assert "signingCredential.expired" in answer["codes"]
    assert answer["reasons"][0] == ended
    sign_file(place / "other.mp4", Edit(plate=place / "result.png"))  # taken in after its end
    code, answer = ask(place / "other.mp4", capsys)
    assert (code, answer["codes"], answer["origins"][0]["state"]) == (9, [], "doubtful")
    assert answer["reasons"][0] == f"result.png, from which it was made: {ended}"
    flip(place / "result.png", (place / "result.png").read_bytes().rindex(b"IDAT") + 40)
    code, answer = ask(place / "result.png", capsys)
    assert (code, answer["codes"][-1]) == (7, DATA), "an end does not hide a change"


def test_a_certificate_without_the_needed_usage_signs_nothing(place: Path) -> None:
    settings, _ = studio(place, usage=ExtendedKeyUsageOID.SERVER_AUTH)
    with pytest.raises(OutputError, match=r"refused for signing|could not be signed"):
        sign_file(place / "other.mp4", Edit(plate=place / "plate.mp4"), settings)


def test_our_own_key_that_was_declared_lost(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    KeyStore().rotate(lost=True)
    code, answer = ask(place / "result.mp4", capsys)
    assert (code, answer["verdict"]) == (9, "doubtful")
    assert "declared lost" in answer["reasons"][0]
    sign_file(
        place / "other.mp4", Edit(plate=place / "result.mp4")
    )  # with the new key, of a result of the old
    code, answer = ask(place / "other.mp4", capsys)
    assert (code, answer["signer"]["root"], answer["origins"][0]["state"]) == (
        9,
        "this installation",
        "doubtful",
    )
    assert "result.mp4, from which it was made: it was signed with a key of yours" in answer["reasons"][0]

"""Signing against real files; read back by the library itself, not by our reader."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import c2pa
import cv2
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from PIL import Image

from understudy.errors import ConfigError, OutputError
from understudy.provenance import xmp
from understudy.provenance.certificates import issue, make_root
from understudy.provenance.claim import GENERATED, Edit, Mark
from understudy.provenance.keys import KeyStore
from understudy.provenance.labels import DIGITAL_SOURCE_TYPE
from understudy.provenance.manifest import (
    list_path,
    manifest_path,
    media_type,
    sign_file,
    sign_folder,
    signed_file,
)
from understudy.provenance.signer import SigningSettings

REFERENCE, RECORD, WEIGHTS = "ab" * 32, "cd" * 32, "ef" * 32


def read(path: Path, root: bytes | None = None) -> tuple[str, dict[str, Any], list[str]]:
    """State, manifest and failure codes, by the library."""
    settings = {"trust": {"user_anchors": root.decode()}} if root else {}
    beside = manifest_path(path)
    data = beside.read_bytes() if beside.is_file() else None
    with (
        c2pa.Context.from_dict(settings) as context,
        path.open("rb") as file,
        c2pa.Reader(media_type(path), file, data, context=context) as reader,
    ):
        found = json.loads(reader.json())
    active = found["manifests"][found["active_manifest"]]
    failures = [each["code"] for each in found["validation_results"]["activeManifest"]["failure"]]
    return found["validation_state"], {**active, "store": found["manifests"]}, failures


def assertion(manifest: dict[str, Any], label: str) -> dict[str, Any]:
    """Content of one assertion."""
    return next(each["data"] for each in manifest["assertions"] if each["label"] == label)


def names(folder: Path) -> list[str]:
    """What lies there."""
    return sorted(path.name for path in folder.iterdir())


def edit(plate: Path) -> Edit:
    """A whole one."""
    return Edit(
        plate=plate,
        references=[REFERENCE],
        model="liae",
        model_hash=WEIGHTS,
        parameters={"blend": "feather"},
        frames=[(0, 3), (7, 11)],
        consent=[RECORD],
        lane="record",
        label="eu-modified",
        mark=Mark(algorithm="org.understudy.spread.1", value="0123"),
    )


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".webm"])
def test_a_video_is_signed(suffix: str, home: Path, tmp_path: Path, make_video: Callable[..., Path]) -> None:
    plate = make_video()
    output = tmp_path / f"result{suffix}"
    with signed_file(output, edit(plate)) as (part, done):
        make_video(part, seed=1)
        assert not output.exists()
    root = (home / "keys/signing/root.pem").read_bytes()
    state, manifest, failures = read(output, root)
    assert (state, failures) == ("Trusted", [])
    assert read(output)[2] == ["signingCredential.untrusted"]
    assert manifest_path(output).exists() == (suffix in (".mkv", ".webm"))
    assert done[0].size < 10_000
    with av.open(str(output)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12
    actions = assertion(manifest, "c2pa.actions.v2")["actions"]
    assert [each["action"] for each in actions] == [
        *("c2pa.opened", "c2pa.placed", "c2pa.edited", "c2pa.watermarked.bound"),
    ]
    assert actions[2]["digitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert json.loads(actions[2]["parameters"]["org.understudy.settings"]) == {"blend": "feather"}
    spans = [each["region"][0]["frame"] for each in actions[2]["changes"]]
    assert spans == [{"start": 0, "end": 3}, {"start": 7, "end": 11}]
    relations = {each["relationship"]: each for each in manifest["ingredients"]}
    assert relations["parentOf"]["title"] == "plate.mp4"
    assert relations["componentOf"]["instance_id"] == f"sha256:{REFERENCE}"
    assert not any("thumbnail" in each for each in [manifest, *manifest["ingredients"]])
    assert assertion(manifest, "org.understudy.consent")["records"] == [RECORD]
    assert assertion(manifest, "c2pa.ai-disclosure")["modelIdentifier"] == f"sha256:{WEIGHTS}"
    entries = assertion(manifest, "cawg.training-mining")["entries"]
    assert entries["cawg.ai_generative_training"] == {"use": "notAllowed"}
    assert assertion(manifest, "c2pa.soft-binding")["blocks"][0]["value"] == "0123"
    assert [path for path in tmp_path.iterdir() if "part" in path.name] == []


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"])
def test_a_picture_is_signed_and_says_its_source_type(
    suffix: str, home: Path, make_images: Callable[..., Path], make_video: Callable[..., Path]
) -> None:
    picture = make_images(suffix=suffix) / f"000000{suffix}"
    before = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    sign_file(picture, Edit(plate=make_video(), label="gb45438"))
    assert read(picture, (home / "keys/signing/root.pem").read_bytes())[0] == "Trusted"
    np.testing.assert_array_equal(before, cv2.imread(str(picture), cv2.IMREAD_UNCHANGED))
    with Image.open(picture) as image:  # Pillow finds the packet where each format has it
        image.load()
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or image.tag_v2[700]
    text = packet if isinstance(packet, str) else packet.decode()
    assert f">{DIGITAL_SOURCE_TYPE}<" in text
    label = re.search(r"<TC260:AIGC>(.*?)</TC260:AIGC>", text)
    assert label
    assert json.loads(label[1])["Label"] == "1"


@pytest.mark.parametrize("quality", [80, 101])
@pytest.mark.parametrize("channels", [3, 4])
def test_metadata_goes_into_every_kind_of_webp(quality: int, channels: int, tmp_path: Path) -> None:
    picture = tmp_path / "picture.webp"
    samples = np.random.default_rng(0).integers(0, 255, (37, 53, channels), dtype=np.uint8)
    cv2.imwrite(str(picture), samples, [cv2.IMWRITE_WEBP_QUALITY, quality])
    before = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    assert xmp.embed(picture, xmp.packet(GENERATED))
    assert xmp.source_type_of(xmp.read(picture) or b"") == GENERATED
    np.testing.assert_array_equal(before, cv2.imread(str(picture), cv2.IMREAD_UNCHANGED))
    with Image.open(picture) as image:
        assert image.size == (53, 37)
        assert GENERATED.encode() in image.info["xmp"]
    assert not xmp.embed(picture, xmp.packet(GENERATED)), "a second packet would contradict the first"


def test_a_generated_picture_has_no_parent(home: Path, make_images: Callable[..., Path]) -> None:
    picture = make_images() / "000000.png"
    sign_file(picture, Edit(operation="synthesis", lane="performer"))
    _, manifest, _ = read(picture)
    (action,) = assertion(manifest, "c2pa.actions.v2")["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", GENERATED)


def test_a_signed_plate_keeps_its_manifest(
    home: Path, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    first, second = make_video("first.mp4", seed=1), make_video("second.mp4", seed=2)
    sign_file(first, Edit(plate=make_video()))
    sign_file(second, Edit(plate=first))
    _, manifest, _ = read(second)
    parent = next(each for each in manifest["ingredients"] if each["relationship"] == "parentOf")
    assert len(manifest["store"]) == 2
    assert manifest["store"][parent["active_manifest"]]["title"] == "first.mp4"


@pytest.mark.parametrize("plate", ["mkv", "folder", "signed folder"])
def test_a_plate_of_any_kind_is_a_parent(
    plate: str, home: Path, make_video: Callable[..., Path], make_images: Callable[..., Path]
) -> None:
    path = make_video("plate.mkv") if plate == "mkv" else make_images("plate")
    if plate == "signed folder":
        sign_folder(path, Edit(operation="synthesis"))
    result = make_video("result.mp4", seed=3)
    sign_file(result, Edit(plate=path))
    _, manifest, failures = read(result)
    assert [each["title"] for each in manifest["ingredients"]] == [path.name]
    assert failures == ["signingCredential.untrusted"]


def test_a_folder_is_signed_as_a_list_of_hashes(home: Path, make_images: Callable[..., Path]) -> None:
    folder = make_images(suffix=".bmp")
    signed = sign_folder(folder, Edit(plate=folder))
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", list_path(folder).name], cwd=folder.parent, check=True
    )
    assert done.returncode == 0
    assert signed.manifest == manifest_path(list_path(folder))
    assert read(list_path(folder), (home / "keys/signing/root.pem").read_bytes())[0] == "Trusted"


# ------------------------------------------------------------------------------------------------ faults


def test_what_fails_before_signing_leaves_nothing(
    home: Path, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    plate = make_video()
    (tmp_path / "result.mp4").write_bytes(b"of yesterday")

    def merge() -> None:
        with signed_file(tmp_path / "result.mp4", edit(plate)) as (part, _):
            make_video(part)
            raise ValueError("merging failed")

    with pytest.raises(ValueError, match="merging failed"):
        merge()
    assert (tmp_path / "result.mp4").read_bytes() == b"of yesterday"
    assert names(tmp_path) == ["plate.mp4", "result.mp4"]


FULL = """
import resource, signal, sys
from pathlib import Path
from understudy.errors import OutputError
from understudy.provenance.claim import Edit
from understudy.provenance.manifest import signed_file
output, plate, unsigned = map(Path, sys.argv[1:4])
try:
    with signed_file(output, Edit(plate=plate)) as (part, _):
        part.write_bytes(unsigned.read_bytes())
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(unsigned.read_bytes()) + 3000,) * 2)
except OutputError as error:
    print(error)
    raise SystemExit(7)
"""


def test_a_disk_that_is_full_while_signing_leaves_nothing(
    home: Path, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    plate, unsigned = make_video(), make_video("unsigned.mp4")
    KeyStore().load()
    words = [sys.executable, "-c", FULL, str(tmp_path / "result.mp4"), str(plate), str(unsigned)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert "result.mp4" in done.stdout
    assert names(tmp_path) == ["home", "plate.mp4", "unsigned.mp4"]


def test_a_key_that_is_missing_or_open_to_others_is_refused(
    home: Path, make_video: Callable[..., Path]
) -> None:
    video = make_video()
    before = video.read_bytes()
    sign_file(video, Edit(plate=video))
    video.write_bytes(before)
    key = home / "keys/signing/key.pem"
    key.chmod(0o644)
    with pytest.raises(OutputError, match=r"can be read by others.*chmod 600"):
        sign_file(video, Edit(plate=video))
    key.chmod(0o600)
    key.rename(home / "moved.pem")
    with pytest.raises(OutputError, match=r"key.pem is missing.*keys restore"):
        sign_file(video, Edit(plate=video))
    assert video.read_bytes() == before


def test_a_timestamp_service_that_is_down_is_done_without(
    home: Path, make_video: Callable[..., Path]
) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    address = f"http://127.0.0.1:{server.server_port}/"
    server.server_close()  # nobody listens there now
    video = make_video()
    signed = sign_file(video, Edit(plate=video), SigningSettings(timestamp=address))
    assert not signed.timestamped
    assert "without a timestamp" in signed.remarks[0]
    assert read(video)[0] == "Valid"


def test_a_studio_signs_with_its_own_certificate_or_a_service(
    home: Path, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    root_key, root = make_root()
    pair = issue(root_key, root)
    (tmp_path / "studio.pem").write_bytes(pair.chain)
    (tmp_path / "studio.key").write_bytes(pair.key)
    (tmp_path / "studio.key").chmod(0o600)
    video = make_video()
    own = SigningSettings(certificate=tmp_path / "studio.pem", key=tmp_path / "studio.key")
    sign_file(video, Edit(plate=video), own)
    assert read(video, root)[0] == "Trusted"
    service = tmp_path / "service.py"
    service.write_text(
        "import sys\nfrom cryptography.hazmat.primitives import hashes, serialization\n"
        "from cryptography.hazmat.primitives.asymmetric import ec\n"
        f"data = open({str(tmp_path / 'studio.key')!r}, 'rb').read()\n"
        "key = serialization.load_pem_private_key(data, None)\n"
        "sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256())))\n"
    )
    other = make_video("other.mp4")
    settings = SigningSettings(certificate=own.certificate, service=f"{sys.executable} {service}")
    sign_file(other, Edit(plate=other), settings)
    assert read(other, root)[0] == "Trusted"
    assert not (home / "keys").exists(), "no key of our own was needed"
    with pytest.raises(ConfigError, match="together"):
        SigningSettings(certificate=own.certificate)


def test_a_certificate_of_an_authority_is_refused(
    home: Path, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    root_key, root = make_root()
    (tmp_path / "studio.pem").write_bytes(root)
    (tmp_path / "studio.key").write_bytes(root_key)
    (tmp_path / "studio.key").chmod(0o600)
    settings = SigningSettings(certificate=tmp_path / "studio.pem", key=tmp_path / "studio.key")
    video = make_video()
    before = video.read_bytes()
    with pytest.raises(OutputError, match="sign"):
        sign_file(video, Edit(plate=video), settings)
    assert video.read_bytes() == before


def test_killed_before_the_last_rename_there_is_nothing_under_the_name(
    home: Path, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    plate, source = make_video(), make_video("unsigned.mp4", seed=1)
    KeyStore().load()
    code = (
        "import sys; from pathlib import Path; from understudy.provenance.claim import Edit\n"
        "from understudy.provenance.manifest import sign_file\n"
        "source, plate, output = map(Path, sys.argv[1:])\n"
        "sign_file(source, Edit(plate=plate), output=output)"
    )
    environment = {**os.environ, "UNDERSTUDY_FAULT": "2:before"}  # the first operation is the flush
    words = [sys.executable, "-c", code, str(source), str(plate), str(tmp_path / "result.mp4")]
    assert subprocess.run(words, env=environment).returncode == -signal.SIGKILL
    assert not (tmp_path / "result.mp4").exists()


# -------------------------------------------------------------------------------------------------- keys


def test_keys_are_for_their_owner_only_and_name_nobody(home: Path) -> None:
    pair = KeyStore().load()
    for path in (home / "keys").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    words = pair.certificate.subject.rfc4514_string() + pair.certificate.issuer.rfc4514_string()
    for secret in (os.environ.get("USER", ""), os.uname().nodename, str(Path.home())):
        assert not secret or secret not in words
    assert KeyStore().load() == pair, "made once"


def test_rotation_keeps_the_root_unless_the_key_was_lost(home: Path) -> None:
    store = KeyStore()
    first = store.load()
    root = (store.signing / "root.pem").read_bytes()
    second = store.rotate()
    assert second.key != first.key
    assert store.own_roots() == [store.signing / "root.pem"]
    assert (store.signing / "root.pem").read_bytes() == root
    third = store.rotate(lost=True)
    assert third.chain != second.chain
    assert (store.signing / "root.pem").read_bytes() != root
    assert list(store.lost()) == [str(second.certificate.serial_number)]
    assert store.own_roots() == [store.signing / "root.pem"], "nothing under the lost root is ours any more"


def test_a_backup_brings_the_same_key_back(home: Path, tmp_path: Path) -> None:
    store = KeyStore()
    pair = store.load()
    backup = store.backup(tmp_path / "keys.tar")
    assert backup.stat().st_mode & 0o077 == 0
    elsewhere = KeyStore(tmp_path / "elsewhere")
    elsewhere.load()
    elsewhere.restore(backup)
    assert elsewhere.load() == pair
    assert len(elsewhere.own_roots()) == 2, "the key that was there is retired, not lost"
    (tmp_path / "empty.tar").write_bytes(b"no archive")
    with pytest.raises(ConfigError, match="no backup"):
        elsewhere.restore(tmp_path / "empty.tar")
    assert elsewhere.load() == pair


def test_the_certificate_has_what_validators_ask_for(home: Path) -> None:
    certificate = KeyStore().load().certificate
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {each.dotted_string for each in purposes} == {"1.3.6.1.5.5.7.3.4", "1.3.6.1.4.1.62558.2.1"}
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.public_bytes(serialization.Encoding.PEM)

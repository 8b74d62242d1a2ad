"""The tamper cases, each with its own answer and exit code, through the command itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import pytest
from provenance_frames import frames

from understudy.cli.verify import run
from understudy.provenance import xmp
from understudy.provenance.claim import Edit
from understudy.provenance.keys import KeyStore
from understudy.provenance.labels import container_tags, write_sidecar
from understudy.provenance.manifest import list_path, manifest_path, sign_file, sign_folder
from understudy.video.writer import VideoWriter

REFERENCE = "ab" * 32


@pytest.fixture
def signed(home: Path, make_video: Callable[..., Path]) -> Path:
    """A signed video."""
    plate, result = make_video(), make_video("result.mp4", seed=1)
    sign_file(result, Edit(plate=plate, references=[REFERENCE], consent=["cd" * 32], lane="record"))
    return result


def ask(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Exit code and answer."""
    code = run([str(path), "--json"])
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == code
    return code, answer


def box(path: Path, kind: bytes) -> tuple[int, int]:
    """Offset and size of the first top-level box of a kind."""
    return next((start, size) for name, start, size in xmp.boxes(path) if name == kind)


def flip(path: Path, place: int) -> None:
    """Changes one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)


def test_a_signed_file_says_everything(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = ask(signed, capsys)
    assert (code, answer["verdict"], answer["manifest"]) == (0, "intact", "inside")
    assert answer["signer"]["root"] == "this installation"
    assert answer["source_type"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert answer["consent"]["records"] == ["cd" * 32]
    put_in, plate = sorted(answer["origins"], key=lambda each: each["relation"])
    assert (put_in["hash"], plate["title"], plate["state"]) == (REFERENCE, "plate.mp4", "unsigned")
    run([str(signed)])
    text = capsys.readouterr().out
    for word in ("INTACT", "this installation", "made from", "plate.mp4", "a face was replaced", "cdcdcdcd"):
        assert word in text


def test_one_byte_of_the_picture(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start, size = box(signed, b"mdat")
    flip(signed, start + size // 2)
    code, answer = ask(signed, capsys)
    assert (code, answer["codes"]) == (7, ["assertion.bmffHash.mismatch"])
    assert answer["reasons"] == ["picture, sound or metadata was changed after signing"]


def test_one_byte_of_the_header(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start, size = box(signed, b"moov")
    flip(signed, signed.read_bytes().index(b"mvhd", start, start + size) + 8)
    assert ask(signed, capsys)[0] == 7


def test_the_metadata(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = signed.read_bytes()
    place = content.rindex(b"compositeWithTrainedAlgorithmicMedia")  # the packet is the last box
    signed.write_bytes(content[:place] + b"digitalCapture" + content[place + 14 :])
    assert ask(signed, capsys)[0] == 7


def test_a_word_of_the_manifest(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = signed.read_bytes()
    assert content.count(b"a face was replaced") == 1
    signed.write_bytes(content.replace(b"a face was replaced", b"a face was retouche"))
    code, answer = ask(signed, capsys)
    assert (code, answer["codes"]) == (7, ["assertion.hashedURI.mismatch"])
    assert answer["reasons"] == ["the manifest was changed after signing"]


def test_a_manifest_grafted_on_another_clip(
    signed: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_video("other.mp4", seed=9)
    start, size = box(signed, b"uuid")
    head = sum(box(other, b"ftyp"))
    content = other.read_bytes()
    manifest = signed.read_bytes()[start : start + size]
    other.write_bytes(content[:head] + manifest + content[head:])
    code, answer = ask(other, capsys)
    assert (code, answer["codes"]) == (7, ["assertion.bmffHash.mismatch"])


def test_cut_short(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signed.write_bytes(signed.read_bytes()[:-200])
    code, answer = ask(signed, capsys)
    assert (code, answer["verdict"]) == (6, "unreadable")


def test_muxed_again(signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy.mp4"
    with av.open(str(signed)) as source, av.open(str(copy), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    code, answer = ask(copy, capsys)
    assert (code, answer["verdict"], answer["manifest"]) == (4, "unsigned", "none")


def test_saved_again(
    home: Path, make_images: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = make_images() / "000000.png"
    sign_file(picture, Edit(operation="synthesis"))
    cv2.imwrite(str(picture), cv2.imread(str(picture)))
    assert ask(picture, capsys)[0] == 4


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_one_byte_of_a_picture(
    suffix: str, home: Path, make_images: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = make_images(suffix=suffix) / f"000000{suffix}"
    place = len(picture.read_bytes()) // 2  # amid the samples, which lie before everything that is added
    before = picture.read_bytes()[place : place + 40]
    sign_file(picture, Edit(operation="synthesis"))
    flip(picture, picture.read_bytes().index(before))
    code, answer = ask(picture, capsys)
    assert (code, answer["codes"]) == (7, ["assertion.dataHash.mismatch"])


def test_an_edited_parent_is_named_although_the_top_is_whole(
    signed: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    start, size = box(signed, b"mdat")
    flip(signed, start + size // 2)
    second, third = make_video("second.mp4", seed=2), make_video("third.mp4", seed=3)
    sign_file(second, Edit(plate=signed))
    code, answer = ask(second, capsys)
    assert (code, answer["codes"], answer["signer"]["root"]) == (5, [], "this installation")
    assert "result.mp4, from which it was made, had been altered" in answer["reasons"][0]
    sign_file(third, Edit(plate=second))  # and one generation further down
    assert ask(third, capsys)[0] == 5


def test_a_sound_parent_is_walked(
    signed: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    second = make_video("second.mp4", seed=2)
    sign_file(second, Edit(plate=signed))
    code, answer = ask(second, capsys)
    (parent,) = answer["origins"]
    assert (code, parent["state"], len(parent["origins"])) == (0, "intact", 2)


def test_a_strangers_signature_becomes_trusted_with_their_root(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = KeyStore().signing / "root.pem"
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "broadcaster"))
    code, answer = ask(signed, capsys)
    assert (code, answer["verdict"], answer["signer"]["root"]) == (3, "stranger", "")
    trusted = KeyStore().trust(root)
    code, answer = ask(signed, capsys)
    assert (code, answer["signer"]["root"]) == (0, trusted.name)
    assert not (tmp_path / "broadcaster/keys/signing").exists(), "reading makes no key"


def test_after_rotation_it_is_still_ours_and_after_loss_it_is_not(
    signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    KeyStore().rotate()
    assert ask(signed, capsys)[0] == 0
    sign_file(signed, Edit(plate=signed))
    KeyStore().rotate(lost=True)
    code, answer = ask(signed, capsys)
    assert code == 9
    assert "declared lost" in answer["reasons"][0]


def test_a_manifest_beside_the_file(
    home: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video("result.mkv", seed=1)
    sign_file(video, Edit(plate=make_video()))
    code, answer = ask(video, capsys)
    assert (code, answer["manifest"]) == (0, "beside")
    flip(video, video.stat().st_size // 2)
    code, answer = ask(video, capsys)
    assert (code, answer["codes"]) == (7, ["assertion.dataHash.mismatch"])
    manifest_path(video).unlink()
    assert ask(video, capsys)[0] == 4


def test_a_folder_of_images(
    home: Path, make_images: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_images(count=3)
    assert ask(folder, capsys)[0] == 4
    sign_folder(folder, Edit(operation="synthesis"))
    assert ask(folder, capsys)[0] == 0
    shutil.copy(folder / "000000.png", folder / "000003.png")
    (folder / "000001.png").unlink()
    flip(folder / "000002.png", 60)
    code, answer = ask(folder, capsys)
    assert code == 7
    assert answer["reasons"][:3] == [
        "000001.png is missing",
        "000003.png was added after signing",
        "000002.png was changed after signing",
    ]
    listing = list_path(folder)
    listing.write_text(listing.read_text().replace("000001", "000009"))
    assert ask(folder, capsys)[1]["codes"] == ["assertion.dataHash.mismatch"]


def test_metadata_and_sidecar_are_told_but_prove_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "result.mp4"
    with VideoWriter(path, metadata=container_tags("run")) as writer:
        for frame in frames(3):
            writer.write(frame)
    write_sidecar(path, {})
    code, answer = ask(path, capsys)
    assert (code, answer["sidecar"]) == (4, "fits")
    assert "AI modified" in answer["metadata"]["comment"]
    assert "anyone can write" in answer["reasons"][1]
    flip(path, path.stat().st_size - 1)
    assert ask(path, capsys)[1]["sidecar"] == "of another file"


def test_several_files_give_the_highest_code(
    signed: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(signed), str(make_video("plain.mp4"))]) == 4
    assert "NOT SIGNED" in capsys.readouterr().out
    assert run(["--jsno", str(signed)]) == 2

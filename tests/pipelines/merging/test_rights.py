"""What a render does for the people in it: label, mark, signature, audit line; refusals before any work."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import consented
from merge_footage import Footage, make_faces, make_footage
from understudy.errors import ConfigError, ConsentError, OutputError
from understudy.events import Event, Warned
from understudy.pipelines.merging.merge import MergeSettings, merge, parts_folder
from understudy.pipelines.merging.plan import MergePlan
from understudy.pipelines.merging.rights import public, stretches
from understudy.provenance.audit import AuditLog
from understudy.provenance.consent import ConsentStore
from understudy.provenance.keys import KeyStore
from understudy.provenance.labels import file_hash
from understudy.provenance.signer import SigningSettings
from understudy.provenance.standing import FILE
from understudy.provenance.store import ManifestStore
from understudy.provenance.verify import read_audit, verify
from understudy.training.rundir import load_swapper_files, save_swapper
from understudy.video.encoding import Encoding
from understudy.video.reader import open_reader

LOSSLESS = MergeSettings(encode=Encoding(lossless=True, preset="ultrafast"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """Ten frames, everybody under a record whose label stands in the credits."""
    return make_footage(tmp_path_factory.mktemp("footage"), frames=10)


@pytest.fixture
def bare(footage: Footage, tmp_path: Path) -> Footage:
    """The same without any record."""
    faces = make_faces(tmp_path / "bare", footage.target, 10)
    (faces.path / FILE).unlink()
    files = load_swapper_files(footage.swapper)
    save_swapper(tmp_path / "plain" / "swapper", files)
    return Footage(footage.target, faces, tmp_path / "plain" / "swapper")


def run(footage: Footage, output: Path, settings: MergeSettings = LOSSLESS, **more: object) -> list[Event]:
    return list(merge(footage.swapper, footage.target, footage.faces, output, settings, **more))


def said(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned)]


def lumas(path: Path) -> np.ndarray:
    with open_reader(path) as reader:
        return np.stack([frame.planes[0].astype(int) for frame in reader.frames()])


def corner(path: Path) -> np.ndarray:
    """Share of white pixels where the label lies on these dark frames: top right."""
    return (lumas(path)[:, 6:26, 50:154] > 180).mean(axis=(1, 2))


def test_without_a_record_every_frame_carries_the_label(bare: Footage, tmp_path: Path) -> None:
    events = run(bare, tmp_path / "out.mp4")
    (sentence, *_) = said(events)
    assert "every frame of the result will carry the label AI MODIFIED" in sentence
    assert "understudy consent attach" in sentence
    assert len(corner(tmp_path / "out.mp4")) == 10
    assert corner(tmp_path / "out.mp4").min() > 0.05 > corner(bare.target).max()
    answer = verify(tmp_path / "out.mp4", mark="no")
    assert answer.consent == {
        "lane": "none",
        "records": [],
        "label": "eu-modified-always",
        "audit": AuditLog().head(),
    }


def test_with_a_record_the_label_follows_it_and_the_chain_is_whole(footage: Footage, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    events = run(footage, output)
    assert not any("consent" in message for message in said(events))
    assert corner(output).max() < 0.05
    answer = verify(output)
    assert (answer.verdict, answer.sidecar, answer.manifest) == ("intact", "fits", "inside")
    assert answer.found is not None
    assert answer.found.p_value < 1e-6
    assert answer.found.number == answer.mark["blocks"][0]["value"]  # type: ignore[index]
    steps = [action["action"] for action in answer.actions]
    assert steps == ["c2pa.opened", "c2pa.placed", "c2pa.edited", "c2pa.watermarked.bound"]
    spans = [each["region"][0]["frame"] for each in answer.actions[2]["changes"]]
    assert spans == [{"start": 0, "end": 9}]
    assert answer.consent is not None
    assert answer.consent["records"] == [consented.said()["source"]["record"]]
    assert read_audit(output) == AuditLog().head()
    entry = ManifestStore().find(int(answer.found.number, 16))
    assert entry is not None
    assert Path(entry.path) == output
    assert len(ManifestStore().manifest(entry) or b"") < 10_000
    assert "A. Person" not in output.read_bytes().decode("latin-1")


def test_a_copy_without_manifest_is_found_again(footage: Footage, tmp_path: Path) -> None:
    import av

    output, copy = tmp_path / "out.mp4", tmp_path / "copy.mkv"
    run(footage, output)
    with av.open(str(output)) as source, av.open(str(copy), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    answer = verify(copy, mark="whole pictures")
    assert (answer.verdict, answer.exit_code) == ("recovered", 8)
    assert answer.found is not None
    assert answer.found.result == "out.mp4"
    assert answer.found.consent is not None
    assert answer.found.consent["lane"] == "record"


def test_a_master_is_clean_and_needs_records(footage: Footage, bare: Footage, tmp_path: Path) -> None:
    settings = dataclasses.replace(LOSSLESS, master=True)
    declared = make_faces(tmp_path / "labelled", footage.target, 10)
    consented.bind(declared.path, consented.agreement(disclosure="eu-modified"))
    events = run(Footage(footage.target, declared, footage.swapper), tmp_path / "out.mp4", settings)
    assert any("whoever delivers it owes eu-modified" in message for message in said(events))
    plate, master = lumas(footage.target), lumas(tmp_path / "out.mp4")
    np.testing.assert_array_equal(master[:, :, 150:], plate[:, :, 150:], "far from the face it is the plate")
    answer = verify(tmp_path / "out.mp4")
    assert (answer.verdict, answer.found, answer.mark) == ("intact", None, None)
    assert answer.consent is not None
    assert (answer.consent["master"], answer.consent["owed"]) == (True, "eu-modified")
    with pytest.raises(ConsentError, match="a master carries neither label nor mark"):
        run(bare, tmp_path / "no.mp4", settings)
    assert not (tmp_path / "no.mp4").exists()


def test_a_withdrawn_record_stops_it_before_any_work(footage: Footage, tmp_path: Path) -> None:
    agreement = consented.agreement()
    faces = make_faces(tmp_path / "faces", footage.target, 10)
    consented.bind(faces.path, agreement)
    ConsentStore().withdraw(agreement)
    with pytest.raises(ConsentError, match=f"{agreement.record.id} was withdrawn"):
        run(Footage(footage.target, faces, footage.swapper), tmp_path / "out.mp4")
    files = load_swapper_files(footage.swapper)
    save_swapper(tmp_path / "model" / "swapper", files, consent=consented.said(agreement))
    with pytest.raises(ConsentError, match="was withdrawn"):
        run(Footage(footage.target, footage.faces, tmp_path / "model" / "swapper"), tmp_path / "out.mp4")
    assert not parts_folder(tmp_path / "out.mp4").exists()


def test_a_record_attached_after_training_counts_when_the_face_set_is_named(
    bare: Footage, footage: Footage, tmp_path: Path
) -> None:
    source = make_faces(tmp_path / "source", footage.target, 10)
    mixed = Footage(footage.target, footage.faces, bare.swapper)
    run(mixed, tmp_path / "out.mp4", dataclasses.replace(LOSSLESS, source_faces=source.path))
    assert corner(tmp_path / "out.mp4").max() < 0.05
    other = consented.said()
    save_swapper(tmp_path / "other" / "swapper", load_swapper_files(footage.swapper), consent=other)
    mixed = Footage(footage.target, footage.faces, tmp_path / "other" / "swapper")
    with pytest.raises(ConfigError, match="is not the face set that this model was trained on"):
        run(mixed, tmp_path / "no.mp4", dataclasses.replace(LOSSLESS, source_faces=source.path))


def test_everybody_in_the_cast_counts(footage: Footage, bare: Footage, tmp_path: Path) -> None:
    """Two persons, the second with a swapper of its own: the strictest label holds, each record is named."""
    two = make_faces(tmp_path / "two", footage.target, 10, lambda _: [(45, 60, 0.2), (115, 60, 0.2)])
    files, other = load_swapper_files(footage.swapper), consented.agreement(disclosure="eu-modified")
    about = consented.said(other)
    about["source"]["faces"] = "ef" * 32
    save_swapper(tmp_path / "second" / "swapper", files, consent=about)

    def cast(swapper: Path, whom: str = "person", number: int = 1) -> MergePlan:
        entry = {whom: number, "swapper": str(swapper)}
        return MergePlan({"version": 1, "cast": [entry]}, tmp_path / "merge.toml")

    mine, output = Footage(footage.target, two, footage.swapper), tmp_path / "out.mp4"
    second = tmp_path / "second" / "swapper"
    run(mine, output, persons=(0, 1), plan=cast(second))
    assert corner(output).min() > 0.05, "the first swapper's record alone owes no label"
    answer = verify(output, mark="no")
    assert answer.verdict == "intact"
    assert answer.consent is not None
    assert answer.consent["records"] == [consented.said()["source"]["record"], other.record.hash]
    assert answer.consent["label"] == "eu-modified"
    assert [each.hash for each in answer.origins if each.relation == "componentOf"] == ["cd" * 32, "ef" * 32]
    (settings,) = [
        each["parameters"]["org.understudy.settings"] for each in answer.actions if "changes" in each
    ]
    assert json.loads(settings)["cast"] == [file_hash(second / "weights.safetensors")]
    assert "swapper" not in json.loads(settings), "no path of this machine"

    events = run(mine, tmp_path / "bare.mp4", persons=(0, 1), plan=cast(bare.swapper))
    assert any("says of no consent record of its source" in message for message in said(events))
    answer = verify(tmp_path / "bare.mp4", mark="no")
    assert answer.consent is not None
    assert (answer.consent["lane"], answer.consent["label"]) == ("none", "eu-modified-always")

    run(mine, tmp_path / "alone.mp4", persons=(0,), plan=cast(second, "track", 7))
    answer = verify(tmp_path / "alone.mp4", mark="no")
    assert answer.consent is not None
    assert answer.consent["records"] == [consented.said()["source"]["record"]], "nobody of the cast is in it"

    ConsentStore().withdraw(other)
    with pytest.raises(ConsentError, match=f"{other.record.id} was withdrawn"):
        run(mine, tmp_path / "no.mp4", persons=(0, 1), plan=cast(second))
    assert not parts_folder(tmp_path / "no.mp4").exists()


def test_a_key_that_cannot_sign_is_found_before_the_work(
    footage: Footage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = KeyStore()
    store.load()
    key = store.signing / "key.pem"
    key.chmod(0o644)
    try:
        with pytest.raises(OutputError, match="can be read by others"):
            run(footage, tmp_path / "out.mp4")
    finally:
        key.chmod(0o600)
    assert not parts_folder(tmp_path / "out.mp4").exists()
    gone = SigningSettings(certificate=tmp_path / "studio.pem", key=tmp_path / "studio.key")
    with pytest.raises(OutputError, match=r"studio.pem: the certificate cannot be read"):
        run(footage, tmp_path / "out.mp4", dataclasses.replace(LOSSLESS, sign=gone))


def test_a_failure_while_signing_leaves_nothing_and_the_next_call_goes_on(
    footage: Footage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    output = tmp_path / "out.mp4"
    with monkeypatch.context() as patch:
        patch.setattr("understudy.provenance.manifest._sign_once", full)
        with pytest.raises(OutputError, match="disk is full"):
            run(footage, output)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.mp4.parts"]
    events = run(footage, output)
    assert any("going on at frame 10" in message for message in said(events))
    assert verify(output, mark="no").verdict == "intact"


def test_a_store_and_a_log_that_cannot_be_written_are_said_and_stop_nothing(
    footage: Footage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: object, *_: object, **__: object) -> None:
        raise OutputError(f"{place}: not allowed to write there (Read-only file system)")

    monkeypatch.setattr("understudy.provenance.store.private_folder", refuse)
    monkeypatch.setattr(AuditLog, "append", refuse)
    messages = said(run(footage, tmp_path / "out.mp4"))
    assert any("not in the audit log" in message for message in messages)
    assert any("cannot be filed in the store of manifests" in message for message in messages)
    answer = verify(tmp_path / "out.mp4", mark="no")
    assert (answer.verdict, read_audit(tmp_path / "out.mp4")) == ("intact", "")


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_other_containers(suffix: str, footage: Footage, tmp_path: Path) -> None:
    output = tmp_path / f"out{suffix}"
    run(footage, output)
    answer = verify(output, mark="no")
    assert (answer.verdict, answer.manifest) == ("intact", "beside" if suffix == ".mkv" else "inside")


def test_every_picture_of_a_folder_is_signed_and_the_list_of_them(tmp_path: Path) -> None:
    stills = make_footage(tmp_path, name="stills", frames=9)
    run(stills, tmp_path / "out", MergeSettings())
    assert verify(tmp_path / "out", mark="no").verdict == "intact"
    for picture in (tmp_path / "out").iterdir():
        answer = verify(picture, mark="no")
        assert (answer.verdict, answer.manifest) == ("intact", "inside")
        assert [origin.title for origin in answer.origins if origin.relation == "parentOf"] == ["stills"]
    (tmp_path / "out" / "shot.1001.png").unlink()
    assert verify(tmp_path / "out", mark="no").exit_code == 7


def test_what_is_said_outside_tells_nothing_of_keys_and_places(tmp_path: Path) -> None:
    sign = SigningSettings(certificate=tmp_path / "studio.pem", key=tmp_path / "studio.key")
    plain = public(MergeSettings(sign=sign, source_faces=tmp_path / "alice"))
    assert str(tmp_path) not in json.dumps(plain, default=str)
    assert "composite" in plain


def test_many_stretches_are_joined_where_gaps_are_least() -> None:
    assert stretches([0, 1, 2, 5, 6, 9]) == [(0, 2), (5, 6), (9, 9)]
    assert stretches([0, 1, 10, 12, 40], most=3) == [(0, 1), (10, 12), (40, 40)]
    assert stretches([]) == []
    assert len(stretches(range(0, 1000, 2))) == 24

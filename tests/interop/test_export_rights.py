"""Exported models: a card and a signed manifest with the same chain; what no record permits is refused."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import consented
from merge_footage import make_swapper
from understudy.errors import CheckpointError, ConsentError, OutputError
from understudy.events import Warned
from understudy.interop import export_rights
from understudy.interop.exporting import export
from understudy.provenance.audit import AuditLog
from understudy.provenance.consent import ConsentStore
from understudy.provenance.labels import file_hash
from understudy.provenance.purge import derived, remove
from understudy.provenance.rights import said_by_model
from understudy.provenance.verify import read_audit, verify
from understudy.training.rundir import load_swapper_files, save_swapper


def under(record: object, folder: Path, swapper: Path) -> Path:
    """The same swapper, trained under another record; None: under none."""
    about = {"consent": consented.said(record)} if record else {}
    save_swapper(folder / "swapper", load_swapper_files(swapper), **about)
    return folder / "swapper"


@pytest.fixture(scope="module")
def swapper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_swapper(tmp_path_factory.mktemp("model"))


def test_an_exported_model_carries_card_and_chain(swapper: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    events = list(export(swapper, output))
    assert not any(isinstance(event, Warned) for event in events)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.safetensors",
        "model.safetensors.c2pa",
        "model.safetensors.md",
    ]
    answer = verify(output)
    assert (answer.verdict, answer.manifest) == ("intact", "beside")
    assert answer.source_type.endswith("/trainedAlgorithmicData")
    assert answer.consent is not None
    digest = consented.said()["source"]["record"]
    assert answer.consent["records"] == [digest]
    assert read_audit(output) == AuditLog().head()
    assert [origin.hash for origin in answer.origins] == ["cd" * 32, "cd" * 32]
    card = (tmp_path / "model.safetensors.md").read_text()
    assert digest in card
    assert "A. Person" not in card + output.read_bytes().decode("latin-1")
    assert said_by_model(output) == consented.said()
    output.write_bytes(output.read_bytes()[:-1] + b"\1")
    assert verify(output).exit_code == 7


def test_deepfacelabs_files_have_one_each(swapper: Path, tmp_path: Path) -> None:
    list(export(swapper, tmp_path / "model", name="new"))
    files = [path for path in (tmp_path / "model").iterdir() if path.suffix != ".c2pa"]
    assert files
    for file in files:
        assert verify(file).verdict == "intact", file


def test_whatever_was_exported_is_found_for_purging(swapper: Path, tmp_path: Path) -> None:
    for name in ("a.onnx", "c.safetensors", "model"):
        list(export(swapper, tmp_path / name, name="new"))
    shutil.copy(tmp_path / "a.onnx", tmp_path / "b.dfm")  # which is an ONNX file too
    (tmp_path / "notes.md").write_text("not of this record")
    for manifest in tmp_path.glob("*.c2pa"):
        manifest.unlink()  # the files themselves say it too; DeepFaceLab's say it in their manifests only
    found = list(derived(consented.said()["source"]["record"], tmp_path))
    assert {each.path.name: each.kind for each in found if each.path.parent == tmp_path} == {
        "a.onnx.md": "model card",
        "a.onnx": "model",
        "b.dfm": "model",
        "c.safetensors.md": "model card",
        "c.safetensors": "model",
    }
    assert len([each for each in found if each.path.parent.name == "model"]) == 5
    assert not list(derived("ef" * 32, tmp_path))
    for each in found:
        remove(each)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["notes.md"]


def test_without_a_record_it_is_exported_and_said(swapper: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    events = list(export(under(None, tmp_path / "bare", swapper), output))
    (warned,) = [event.message for event in events if isinstance(event, Warned)]
    assert "without a consent record" in warned
    answer = verify(output)
    assert answer.consent is not None
    assert (answer.consent["lane"], answer.verdict) == ("none", "intact")
    assert '| consent | "none" |' in (tmp_path / "model.safetensors.md").read_text()


def test_what_a_record_does_not_permit_is_refused(swapper: Path, tmp_path: Path) -> None:
    kept = consented.agreement(permits=("replacement",))
    with pytest.raises(ConsentError, match=f"{kept.record.id} permits replacement, not release"):
        list(export(under(kept, tmp_path / "kept", swapper), tmp_path / "model.safetensors"))
    gone = consented.agreement()
    ConsentStore().withdraw(gone)
    with pytest.raises(
        ConsentError, match=f"{gone.record.id}: .*was withdrawn|{gone.record.id} was withdrawn"
    ):
        list(export(under(gone, tmp_path / "gone", swapper), tmp_path / "model.safetensors"))
    assert not (tmp_path / "model.safetensors").exists()


def test_the_line_in_the_log_names_the_weights(swapper: Path, tmp_path: Path) -> None:
    list(export(swapper, tmp_path / "model.safetensors"))
    last = list(AuditLog().entries())[-1].data
    assert (last["what"], last["model"]) == ("export", file_hash(swapper / "weights.safetensors"))
    assert json.dumps(dict(last)).count("Person") == 0


def names_of(folder: Path) -> set[str]:
    """What lies in a folder and below, temporary names left out."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if ".part" not in str(path)}


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "model"])
def test_what_could_not_be_signed_has_no_name(
    swapper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fails(staged: Path, *_: object) -> None:
        assert staged.stat().st_size
        raise OutputError("no signature today")

    monkeypatch.setattr(export_rights, "sign_staged", fails)
    with pytest.raises(OutputError, match="today"):
        list(export(swapper, tmp_path / name))
    assert not list(tmp_path.rglob("*"))


KILLED = """
import os, signal, sys
from pathlib import Path
from understudy.interop import export_rights
from understudy.interop import export_rights
from understudy.interop.exporting import export

real = export_rights.sign_staged

def dies(*words):
    if sys.argv[3] == "after":
        real(*words)
    os.kill(os.getpid(), signal.SIGKILL)

export_rights.sign_staged = dies
list(export(Path(sys.argv[1]), Path(sys.argv[2])))
"""


@pytest.mark.parametrize(("name", "when"), [("model.safetensors", "after"), ("model", "before")])
def test_killed_round_the_signature_nothing_has_the_name(
    swapper: Path, tmp_path: Path, name: str, when: str
) -> None:
    words = [sys.executable, "-c", KILLED, str(swapper), str(tmp_path / name), when]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert names_of(tmp_path) <= {"model.safetensors.c2pa"}
    list(export(swapper, tmp_path / name))
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]
    files = [tmp_path / name] if "." in name else list((tmp_path / name).glob("*.npy"))
    for file in files:
        assert verify(file).verdict == "intact"


def test_a_page_of_the_users_is_not_replaced_by_a_card(swapper: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.md").write_text("what I think of it")
    with pytest.raises(OutputError, match="is no model card"):
        list(export(swapper, tmp_path / "model.safetensors"))
    assert (tmp_path / "model.safetensors.md").read_text() == "what I think of it"
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        list(export(swapper, tmp_path / "folder.onnx"))
    with pytest.raises(OutputError, match="is the model itself"):
        list(export(swapper, swapper / "weights.safetensors"))
    assert names_of(tmp_path) == {"model.safetensors.md", "folder.onnx"}


def test_what_is_no_swapper_is_said(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(bytes(300))
    (tmp_path / "faces").mkdir()
    for name, words in (("gone", "no such file"), ("film.mp4", "none of these"), ("faces", "none of these")):
        with pytest.raises(CheckpointError, match=f"{name}: wanted a run, the swapper folder .*{words}"):
            list(export(tmp_path / name, tmp_path / "model.onnx"))


def test_a_full_disk_is_said_of_the_model(
    swapper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("understudy.durable.fill", full)
    with pytest.raises(OutputError, match=r"model\.safetensors: the disk is full"):
        list(export(swapper, tmp_path / "model.safetensors"))
    assert not list(tmp_path.iterdir())

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from understudy.errors import OutputError
from understudy.provenance import store as module
from understudy.provenance.store import ManifestStore


@pytest.fixture
def store(tmp_path):
    return ManifestStore(tmp_path / "home")


def test_what_is_filed_is_found(store, tmp_path):
    assert store.find(7) is None
    assert store.numbers() == set()
    entry = store.add(7, tmp_path / "a.mp4", "ab" * 32, manifest=b"claim", records=("r1",), size=(640, 360))
    store.add(8, tmp_path / "b.mp4", "cd" * 32)
    again = ManifestStore(tmp_path / "home")
    assert again.find(7) == entry
    assert (entry.path, entry.width, entry.height) == (str(tmp_path / "a.mp4"), 640, 360)
    assert again.manifest(entry) == b"claim"
    assert again.numbers() == {7, 8}
    found = module.find(8, home=tmp_path / "home")
    assert found is not None
    assert again.manifest(found) is None


def test_the_newest_of_one_number_wins(store, tmp_path):
    store.add(7, tmp_path / "old.mp4", "1" * 64)
    store.add(7, tmp_path / "new.mp4", "2" * 64)
    assert store.find(7).sha256 == "2" * 64


def test_only_its_owner_enters(store, tmp_path):
    store.add(7, tmp_path / "a.mp4", "1" * 64)
    if os.name != "nt":
        assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_a_torn_line_is_skipped_and_harms_no_other(store, tmp_path):
    store.add(7, tmp_path / "a.mp4", "1" * 64)
    with store.index.open("ab") as file:
        file.write(b'{"number": 9, "path": "x')
    store.add(8, tmp_path / "b.mp4", "2" * 64)
    assert [entry.number for entry in store.entries()] == [7, 8]


def test_a_manifest_that_was_altered_is_not_given(store, tmp_path):
    entry = store.add(7, tmp_path / "a.mp4", "1" * 64, manifest=b"claim")
    (store.folder / f"{hashlib.sha256(b'claim').hexdigest()}.c2pa").write_bytes(b"other")
    assert store.manifest(entry) is None


def test_forgetting(store, tmp_path):
    store.add(7, tmp_path / "a.mp4", "1" * 64, manifest=b"one", records=("r1", "r2"))
    store.add(8, tmp_path / "b.mp4", "2" * 64, manifest=b"two", records=("r2",))
    store.add(9, tmp_path / "c.mp4", "3" * 64, manifest=b"two")
    gone = store.derived("r2")
    assert [entry.number for entry in gone] == [7, 8]
    assert store.forget({entry.number for entry in gone}) == 2
    assert store.numbers() == {9}
    assert {file.suffix for file in store.folder.iterdir()} == {".jsonl", ".c2pa"}
    assert len(list(store.folder.glob("*.c2pa"))) == 1  # entry 9 still needs it
    assert store.forget({7}) == 0


@pytest.mark.skipif(os.name == "nt", reason="permissions of another kind")
def test_a_store_that_cannot_be_written_says_what_that_means(store, tmp_path, monkeypatch):
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write anywhere, so permissions prove nothing
    with pytest.raises(OutputError, match=r"store of manifests.*not allowed to write"):
        store.add(7, tmp_path / "a.mp4", "1" * 64)


def test_a_store_that_cannot_be_read_says_so(store):
    store.folder.mkdir(parents=True)
    store.index.mkdir()
    with pytest.raises(OutputError, match="cannot be read"):
        list(store.entries())

"""The cache, with small files of our own; the real ones are checked where they are used."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
import zipfile

import pytest

from understudy.contracts import WeightFiles
from understudy.errors import OutputError, WeightsError
from understudy.events import Progress, Saved, StageDone, StageStarted
from understudy.weights import PipArchive, WeightFile, WeightStore, WeightTable

FIRST, SECOND = b"first weights" * 1000, b"second weights" * 500
MEMBERS = {"tiny/models/first.tflite": FIRST, "tiny/models/second.dat": SECOND}


def sha(data):
    return hashlib.sha256(data).hexdigest()


def wheel_bytes(members=MEMBERS, version="1.0"):
    out = io.BytesIO()
    info = f"tiny-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
        "tiny/code.py": b"raise SystemExit",
        **members,
    }
    with zipfile.ZipFile(out, "w") as box:
        for name, data in files.items():
            box.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def table_for(archive):
    source = PipArchive(
        requirement="tiny==1.0",
        file_name="tiny-1.0-py3-none-any.whl",
        sha256=sha(archive),
        size=len(archive),
        arguments=("--only-binary=:all:",),
    )
    return WeightTable(
        WeightFile(
            name=name.split("/")[-1].split(".")[0],
            file_name=name.split("/")[-1],
            sha256=sha(data),
            size=len(data),
            license="CC0-1.0",
            purpose="a test",
            source=source,
            member=name,
        )
        for name, data in MEMBERS.items()
    )


@pytest.fixture
def store(tmp_path):
    return WeightStore(tmp_path / "home", table_for(wheel_bytes()))


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for its package index; nothing leaves the machine."""
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / "tiny-1.0-py3-none-any.whl").write_bytes(wheel_bytes())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return folder


def leftovers(store):
    return [
        path.name for path in store.folder.rglob("*") if "part" in path.name or path.name.startswith("pip-")
    ]


# ------------------------------------------------------------------------------------------------ fetch


def test_fetch_through_pip(store, index):
    check: WeightFiles = store
    events = list(store.fetch(["first"]))
    assert check.path("first").read_bytes() == FIRST
    assert store.path("second").read_bytes() == SECOND  # its neighbour came with it
    assert isinstance(events[0], StageStarted)
    assert isinstance(events[-1], StageDone)
    assert {event.path.name for event in events if isinstance(event, Saved)} == {"first.tflite", "second.dat"}
    done = [event for event in events if isinstance(event, Progress)]
    assert done[-1].done == done[-1].total
    assert not leftovers(store)
    assert not list((store.folder / "archives").iterdir())


def test_fetch_again_does_nothing(store, index):
    list(store.fetch())
    (index / "tiny-1.0-py3-none-any.whl").unlink()
    (event,) = store.fetch()
    assert isinstance(event, StageDone)
    assert event.skipped


def test_an_archive_that_is_there_is_used(store, index):
    """An earlier call was stopped between the download and the end of the extraction."""
    archives = store.folder / "archives"
    archives.mkdir(parents=True)
    (archives / "tiny-1.0-py3-none-any.whl").write_bytes(wheel_bytes())
    (index / "tiny-1.0-py3-none-any.whl").unlink()
    list(store.fetch())
    assert store.path("first").read_bytes() == FIRST


def test_a_damaged_archive_that_is_there_is_fetched_again(store, index):
    archives = store.folder / "archives"
    archives.mkdir(parents=True)
    (archives / "tiny-1.0-py3-none-any.whl").write_bytes(wheel_bytes()[:-10])
    list(store.fetch())
    assert store.path("first").read_bytes() == FIRST


def test_pip_refuses_an_archive_of_another_hash(store, index):
    other = wheel_bytes({"tiny/models/first.tflite": b"something else", "tiny/models/second.dat": SECOND})
    (index / "tiny-1.0-py3-none-any.whl").write_bytes(other)
    with pytest.raises(WeightsError) as caught:
        list(store.fetch())
    message = str(caught.value)
    assert sha(wheel_bytes()) in message
    assert sha(other) in message
    assert not store.has("first")
    assert not leftovers(store)


def test_unreachable_index_says_what_to_do(store, index):
    (index / "tiny-1.0-py3-none-any.whl").unlink()
    with pytest.raises(WeightsError) as caught:
        list(store.fetch())
    message = str(caught.value)
    assert "pip download --no-deps --only-binary=:all: tiny==1.0" in message
    assert "understudy weights import tiny-1.0-py3-none-any.whl" in message


def test_without_pip_it_says_what_to_do(store, monkeypatch):
    monkeypatch.setattr("understudy.weights.download.pip_command", lambda: None)
    with pytest.raises(WeightsError, match="no pip here") as caught:
        list(store.fetch())
    assert "understudy weights import tiny-1.0-py3-none-any.whl" in str(caught.value)


def test_pip_on_the_path_will_do(monkeypatch):
    from understudy.weights import download

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: "/somewhere/pip" if name == "pip" else None)
    assert download.pip_command() == ["/somewhere/pip"]
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert download.pip_command() is None


def test_a_place_that_cannot_be_written(tmp_path, index):
    (tmp_path / "file").write_text("not a folder")
    store = WeightStore(tmp_path / "file", table_for(wheel_bytes()))
    with pytest.raises(OutputError, match="UNDERSTUDY_HOME"):
        list(store.fetch())


# ------------------------------------------------------------------------------------------------ path


def test_a_missing_file_says_how_to_get_it(store):
    with pytest.raises(WeightsError) as caught:
        store.path("first")
    message = str(caught.value)
    assert "understudy weights fetch first" in message
    assert "pip download --no-deps --only-binary=:all: tiny==1.0" in message


def test_an_altered_file_is_noticed_and_mended(store, index):
    list(store.fetch())
    path = store.path("first")
    path.write_bytes(b"x" + FIRST[1:])
    os.utime(path, ns=(1, 1))
    assert not store.has("first")
    with pytest.raises(WeightsError) as caught:
        store.path("first")
    assert sha(FIRST) in str(caught.value)
    assert sha(b"x" + FIRST[1:]) in str(caught.value)
    list(store.fetch())
    assert store.path("first").read_bytes() == FIRST


def test_the_hash_is_not_computed_every_time(store, index, monkeypatch):
    list(store.fetch())
    calls = []
    monkeypatch.setattr("understudy.weights.store.hash_of", lambda path: calls.append(path) or sha(FIRST))
    store.path("first")
    assert not calls
    os.utime(store.folder / "first.tflite", ns=(5, 5))
    store.path("first")
    assert len(calls) == 1
    store.path("first")
    assert len(calls) == 1


def test_a_file_put_there_by_hand_is_checked(store):
    store.folder.mkdir(parents=True)
    (store.folder / "first.tflite").write_bytes(FIRST)
    assert store.path("first").read_bytes() == FIRST
    (store.folder / "second.dat").write_bytes(b"wrong")
    with pytest.raises(WeightsError, match="altered"):
        store.path("second")


def test_missing_lists_what_fetch_would_get(store, index):
    assert [file.name for file in store.missing()] == ["first", "second"]
    list(store.fetch(["first"]))
    assert store.missing() == []


# ------------------------------------------------------------------------------------------------ import


@pytest.mark.parametrize("name", ["first.tflite", "renamed.bin"])
def test_import_of_the_file_itself(store, tmp_path, name):
    (tmp_path / name).write_bytes(FIRST)
    assert store.import_file(tmp_path / name) == [store.path("first")]
    assert (tmp_path / name).exists()


def test_import_of_a_wheel(store, tmp_path):
    (tmp_path / "any.whl").write_bytes(wheel_bytes(version="2.0"))
    assert len(store.import_file(tmp_path / "any.whl")) == 2
    assert store.missing() == []
    assert not (store.folder / "code.py").exists()


def test_import_of_a_source_archive(store, tmp_path):
    with tarfile.open(tmp_path / "tiny-1.0.tar.gz", "w:gz") as box:
        for name, data in MEMBERS.items():
            info = tarfile.TarInfo(f"tiny-1.0/{name}")
            info.size = len(data)
            box.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("tiny-1.0/../../first.tflite")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        box.addfile(link)
    assert len(store.import_file(tmp_path / "tiny-1.0.tar.gz")) == 2
    assert store.path("second").read_bytes() == SECOND


def test_import_of_a_wrong_file_names_both_hashes(store, tmp_path):
    (tmp_path / "first.tflite").write_bytes(b"wrong")
    with pytest.raises(WeightsError) as caught:
        store.import_file(tmp_path / "first.tflite")
    assert sha(FIRST) in str(caught.value)
    assert sha(b"wrong") in str(caught.value)


def test_import_of_a_wrong_member_names_both_hashes_and_leaves_nothing(store, tmp_path):
    (tmp_path / "any.zip").write_bytes(wheel_bytes({"a/first.tflite": b"wrong"}))
    with pytest.raises(WeightsError) as caught:
        store.import_file(tmp_path / "any.zip")
    assert sha(FIRST) in str(caught.value)
    assert sha(b"wrong") in str(caught.value)
    assert not list(store.folder.glob("*first*"))
    assert not leftovers(store)


@pytest.mark.parametrize("name", ["x.dat", "x.zip", "x.tar.gz", "x.whl"])
@pytest.mark.parametrize("content", [b"", b"junk" * 100])
def test_import_of_what_is_nothing_known(store, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        store.import_file(tmp_path / name)


def test_import_of_a_foreign_archive(store, tmp_path):
    (tmp_path / "x.zip").write_bytes(wheel_bytes({"a/b.txt": b""}))
    with pytest.raises(WeightsError, match=r"holds none.*first\.tflite"):
        store.import_file(tmp_path / "x.zip")


@pytest.mark.parametrize("name", ["tiny.whl", "tiny.tar.gz"])
def test_import_of_a_damaged_archive(store, tmp_path, name):
    path = tmp_path / name
    data = os.urandom(300_000)
    if name.endswith(".whl"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as box:
            box.writestr("first.tflite", data)
        content = bytearray(path.read_bytes())
        content[1000:1100] = bytes(100)
    else:
        with tarfile.open(path, "w:gz") as box:
            info = tarfile.TarInfo("first.tflite")
            info.size = len(data)
            box.addfile(info, io.BytesIO(data))
        content = bytearray(path.read_bytes()[:100_000])
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged archive"):
        store.import_file(path)
    assert not leftovers(store)


def test_import_of_no_file(store, tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        store.import_file(tmp_path / "absent.whl")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_files_can_be_read_by_others(store, tmp_path):
    (tmp_path / "first.tflite").write_bytes(FIRST)
    (path,) = store.import_file(tmp_path / "first.tflite")
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from drawn_footage import footage

from understudy.errors import OutputError
from understudy.provenance.mark import MarkKeys, MarkStation, find_mark, key_name, number_for
from understudy.provenance.spread import SpreadMarker
from understudy.provenance.store import ManifestStore
from understudy.video.encoding import Encoding
from understudy.video.stills import StillsWriter
from understudy.video.writer import VideoWriter

NUMBER = 0x00C0FFEE


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def plain():
    return footage(8, 320, 240)


def write(path: Path, frames) -> Path:
    with VideoWriter(path, encoding=Encoding(codec="h264", quality=26)) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.mark.skipif(os.name == "nt", reason="permissions of another kind")
def test_the_key_is_made_once_and_for_its_owner_only(home):
    keys = MarkKeys()
    assert keys.every() == []
    key = keys.load()
    assert len(key) == 32
    assert MarkKeys().load() == key
    assert stat.S_IMODE(keys.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    keys.file.chmod(0o644)
    with pytest.raises(OutputError, match="chmod 600"):
        keys.load()


def test_a_damaged_key_is_named(home):
    keys = MarkKeys()
    keys.load()
    keys.file.write_bytes(b"short")
    with pytest.raises(OutputError, match="wanted 32 bytes, got 5"):
        keys.load()


def test_a_marked_file_leads_to_its_entry_and_an_unmarked_does_not(home, plain, tmp_path):
    unmarked = write(tmp_path / "plain.mp4", plain)
    assert find_mark(unmarked) is None  # there is no key
    station = MarkStation(NUMBER)
    marked = write(tmp_path / "marked.mp4", [station(frame) for frame in plain])
    ManifestStore().add(NUMBER, marked, "0" * 64)
    report = find_mark(marked)
    assert report is not None
    assert (report.id, report.value, report.known, report.cropped) == (NUMBER, "00c0ffee", True, False)
    assert report.p_value < 1e-12
    assert report.frames == len(plain)
    entry = ManifestStore().find(report.id)
    assert entry is not None
    assert entry.path == str(marked)
    assert find_mark(unmarked, crops=False) is None
    doubtful = find_mark(unmarked, crops=False, threshold=1.0)
    assert doubtful is not None
    assert doubtful.p_value > 1e-6


def test_a_single_picture_and_an_older_key(home, plain, tmp_path):
    station = MarkStation(NUMBER)
    with StillsWriter(tmp_path / "frames") as writer:
        writer.write(station(plain[0]))
    old = MarkKeys().load()
    assert MarkKeys().rotate() != old
    assert MarkKeys().every()[1] == old
    report = find_mark(tmp_path / "frames", crops=False)
    assert report is not None
    assert (report.id, report.frames) == (NUMBER, 1)


def test_a_group_that_is_made_alone_is_what_it_is_in_one_go(home, plain):
    whole = MarkStation(NUMBER, first=2, group=3)
    frames = [whole(frame) for frame in plain[2:]]
    alone = MarkStation.from_key(MarkStation(NUMBER, first=2, group=3).key())
    for frame, again in zip(frames[3:6], map(alone, plain[5:8]), strict=True):
        np.testing.assert_array_equal(frame.planes[0], again.planes[0])
    held = MarkStation(NUMBER, first=2, group=72)
    assert any(
        (held(frame).planes[0] != other.planes[0]).any()
        for frame, other in zip(plain[2:], frames, strict=True)
    )


def test_what_a_station_tells_holds_no_secret_and_another_key_is_refused(home):
    station = MarkStation(NUMBER)
    said = station.key()
    secret = MarkKeys().load()
    assert secret.hex() not in str(said)
    assert said["key"] == key_name(secret)
    MarkKeys().rotate()
    with pytest.raises(OutputError, match="another than when this render began"):
        MarkStation.from_key(said)


def test_numbers_come_from_facts_and_key():
    assert number_for(b"k", ["a", "b"]) == number_for(b"k", ["a", "b"])
    numbers = {number_for(key, facts) for key in (b"k", b"l") for facts in (["a", "b"], ["ab"], ["b", "a"])}
    assert len(numbers) == 6
    assert all(0 <= number < 1 << 32 for number in numbers)


def test_a_method_that_is_given_is_used(home, plain, tmp_path):
    marker = SpreadMarker(b"studio", psnr=44.0)
    station = MarkStation(NUMBER, marker=marker)
    marked = write(tmp_path / "marked.mp4", [station(frame) for frame in plain])
    assert find_mark(marked, crops=False) is None
    report = find_mark(marked, markers=[SpreadMarker(b"other"), marker], crops=False)
    assert report is not None
    assert report.id == NUMBER

"""Segments in several processes: the same result, and whatever ends one ends all of them."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from pathlib import Path

import pytest
import torch

from merge_footage import Footage, make_footage, packets_of
from understudy.errors import ConfigError, FaceSetError, UnderstudyError
from understudy.events import Progress
from understudy.pipelines.merging import workers as merge_workers
from understudy.pipelines.merging.merge import MergeSettings, merge, parts_folder
from understudy.pipelines.merging.segments import Journal, SegmentReport
from understudy.pipelines.merging.workers import SegmentQueue
from understudy.video.encoding import Encoding

ONE = MergeSettings(segment=8, encode=Encoding(preset="ultrafast"))
TWO = dataclasses.replace(ONE, workers=2)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def footage(tmp_path: Path) -> Footage:
    return make_footage(tmp_path, frames=20)


@pytest.fixture
def started(monkeypatch) -> list[subprocess.Popen]:
    """The processes that were started."""
    out: list[subprocess.Popen] = []

    class Noted(subprocess.Popen):
        def __init__(self, *words, **more) -> None:
            super().__init__(*words, **more)
            out.append(self)

    monkeypatch.setattr(merge_workers.subprocess, "Popen", Noted)
    return out


def output_in(folder: Path) -> Path:
    """Always the same name: the invisible mark stands for it too."""
    folder.mkdir()
    return folder / "out.mp4"


def run(footage: Footage, output: Path, settings: MergeSettings, **more) -> list:
    return list(merge(footage.swapper, footage.target, footage.faces, output, settings, **more))


@pytest.mark.slow
def test_two_processes_give_the_same_packets(footage, started, tmp_path):
    one, two = output_in(tmp_path / "one"), output_in(tmp_path / "two")
    run(footage, one, ONE)
    assert not started
    events = run(footage, two, TWO)
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)
    assert packets_of(two) == packets_of(one)
    assert events[-1].summary["frames"] == 20
    assert not parts_folder(two).exists()


@pytest.mark.slow
def test_an_error_of_a_process_is_the_users_error_and_ends_the_others(footage, started, tmp_path):
    record = footage.faces.records[17]
    mask = footage.faces.mask_path(record)
    mask.parent.mkdir()
    mask.write_bytes(b"no picture")
    with pytest.raises(FaceSetError, match=mask.name):
        run(footage, tmp_path / "out.mp4", TWO)
    assert all(process.poll() is not None for process in started)
    assert not (tmp_path / "out.mp4").exists()
    mask.unlink()
    run(footage, tmp_path / "out.mp4", TWO)
    assert len(packets_of(tmp_path / "out.mp4")) == 20


@pytest.mark.slow
def test_a_killed_process_is_told_of_and_a_stopped_render_leaves_none(footage, started, tmp_path):
    events = merge(footage.swapper, footage.target, footage.faces, tmp_path / "out.mp4", TWO)
    for event in events:
        if isinstance(event, Progress):
            break
    os.kill(started[0].pid, signal.SIGKILL)
    with pytest.raises(UnderstudyError, match=r"killed by signal 9.*goes on from there"):
        list(events)
    assert all(process.poll() is not None for process in started)
    started.clear()
    events = merge(footage.swapper, footage.target, footage.faces, tmp_path / "out.mp4", TWO)
    next(event for event in events if isinstance(event, Progress))
    events.close()  # as Ctrl-C does
    assert started
    assert all(process.poll() is not None for process in started)
    run(footage, tmp_path / "out.mp4", TWO)
    one = output_in(tmp_path / "one")
    run(footage, one, ONE)
    assert packets_of(tmp_path / "out.mp4") == packets_of(one)


@dataclasses.dataclass(frozen=True)
class HereOnly:
    def __call__(self, frame):
        return frame

    def key(self):
        return {}


def test_a_station_that_cannot_travel_is_refused(footage, tmp_path):
    with pytest.raises(ConfigError, match=r"HereOnly.*--workers 1"):
        run(footage, tmp_path / "out.mp4", TWO, stations=[HereOnly()])


# ---------------------------------------------------------------------------------------- which one is next


def report(number: int, *, frames: int = 8, more: bool = True) -> SegmentReport:
    return SegmentReport(number=number, first=8 * number, frames=frames, more=more, part="x")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "out.mp4", {"a": 1})


def drain(queue: SegmentQueue) -> list[int]:
    out = []
    while (number := queue.next()) is not None:
        queue.take(number)
        out.append(number)
    return out


def test_footage_longer_than_its_index_says(journal):
    queue = SegmentQueue(journal, 2)
    assert drain(queue) == [0, 1]
    queue.done(report(0))
    assert queue.next() is None
    queue.done(report(1))
    assert drain(queue) == [2]
    queue.done(report(2, frames=3, more=False))
    assert queue.next() is None
    assert journal.complete


def test_footage_shorter_than_its_index_says(journal):
    queue = SegmentQueue(journal, 4)
    assert drain(queue) == [0, 1, 2, 3]
    queue.done(report(3, frames=0, more=False))
    queue.done(report(2, frames=0, more=False))
    queue.done(report(0))
    assert not journal.complete
    queue.done(report(1))  # it was not seen that nothing follows
    assert journal.complete
    assert journal.frames == 16


def test_what_lies_behind_damage_does_not_count(journal):
    queue = SegmentQueue(journal, 4)
    drain(queue)
    for number in (3, 2, 0):
        queue.done(report(number, more=number != 3))
    queue.done(report(1, frames=5, more=False))
    assert journal.complete
    assert sorted(journal.done) == [0, 1]
    assert journal.frames == 13

"""What goes wrong on a user's machine: a clear message, an exit code, nothing lost, the next call goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import SMALL, CommandServer, Ended
from merge_footage import packets_of
from understudy.faces.faceset import FaceSet
from understudy.video.reader import VideoReader

pytestmark = pytest.mark.slow

SIDE, FRAMES = 192, 24


@pytest.fixture(scope="module")
def server() -> Iterator[CommandServer]:
    server = CommandServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def footage(server: CommandServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short videos of performers: ``alice.mp4`` and ``scene.mp4``."""
    folder = tmp_path_factory.mktemp("footage")
    for name, seed in (("alice", 7), ("scene", 4)):
        words = ["--seed", seed, "--frames", FRAMES, "--size", SIDE, SIDE, "-o", folder / f"{name}.mp4"]
        ended = server.run("performers", *words)
        assert ended.code == 0, ended.text
    return folder


@pytest.fixture(scope="module")
def finished(server: CommandServer, footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``swap`` was run to its end, with the result ``out.mp4``."""
    folder = tmp_path_factory.mktemp("finished")
    ended = swap(server, footage, folder / "out.mp4")
    assert ended.code == 0, ended.text
    return folder


def swap(server: CommandServer, footage: Path, output: Path, *more: object, **faults: object) -> Ended:
    words = ["--source", footage / "alice.mp4", "--target", footage / "scene.mp4", "-o", output, "--steps", 3]
    return server.run("swap", *words, *SMALL, *more, **faults)


def assert_refused(ended: Ended, *words: str) -> None:
    """A message for a person, with these words, and no traceback."""
    assert ended.code == 1, ended
    assert "error:" in ended.text
    assert "Traceback" not in ended.text, ended.text
    for word in words:
        assert word in ended.text.replace("\n", " "), f"{word!r} is not in: {ended.text}"


def frames_of(video: Path) -> int:
    with VideoReader(video) as reader:
        return sum(1 for _ in reader.frames())


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if ".part" in path.name]


# ------------------------------------------------------------------------------------------------ it works


def test_a_finished_job_is_not_done_again(server: CommandServer, footage: Path, finished: Path):
    before = (finished / "out.mp4").stat().st_mtime_ns
    ended = swap(server, footage, finished / "out.mp4")
    assert ended.code == 0, ended.text
    assert ended.text.count("done before") == 4  # two extractions, the training, the merge
    assert (finished / "out.mp4").stat().st_mtime_ns == before
    assert frames_of(finished / "out.mp4") == FRAMES
    assert not leftovers(finished)


def test_the_sidecar_says_what_was_done(finished: Path):
    told = json.loads((finished / "out.mp4.json").read_text())
    assert told["frames"] == FRAMES
    assert told["frames_by_number_of_faces"] == {"1": FRAMES}
    assert "compositeWithTrainedAlgorithmicMedia" in told["digital_source_type"]


# ------------------------------------------------------------------------------------------------ refused


def test_source_equal_to_target(server: CommandServer, footage: Path, tmp_path: Path):
    video = footage / "alice.mp4"
    ended = server.run("swap", "--source", video, "--target", video, "-o", tmp_path / "o.mp4", *SMALL)
    assert_refused(ended, "two persons")
    assert not list(tmp_path.iterdir())


def test_no_steps(server: CommandServer, footage: Path, tmp_path: Path):
    assert_refused(swap(server, footage, tmp_path / "o.mp4", "--steps", 0), "steps", "1 or more")
    assert_refused(swap(server, footage, tmp_path / "o.mp4", "--time", "soon"), "time", "10m")
    assert not list(tmp_path.iterdir())


def test_missing_file_and_empty_folder(server: CommandServer, footage: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for source, word in ((tmp_path / "none.mp4", "no such file"), (tmp_path / "empty", "empty")):
        words = ["--source", source, "--target", footage / "scene.mp4", "-o", tmp_path / "o.mp4"]
        assert_refused(server.run("swap", *words, *SMALL), source.name, word)


def test_an_output_that_cannot_be_written(server: CommandServer, footage: Path, tmp_path: Path):
    assert_refused(swap(server, footage, tmp_path / "no" / "such" / "o.mp4"), "no folder")
    assert_refused(swap(server, footage, tmp_path / "o.xyz"), ".xyz")
    ended = swap(server, footage, tmp_path / "o.webm")  # the sound is AAC
    assert_refused(ended, "aac", "webm", ".mkv")
    assert not list(tmp_path.iterdir())


def test_a_video_without_faces(server: CommandServer, footage: Path, tmp_path: Path):
    import cv2
    import numpy as np

    folder = tmp_path / "clouds"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(10):
        noise = cv2.resize(random.integers(0, 255, (6, 6, 3), np.uint8), (SIDE, SIDE))
        cv2.imwrite(str(folder / f"{number}.png"), noise)
    words = ["--source", folder, "--target", footage / "scene.mp4", "-o", tmp_path / "o.mp4"]
    assert_refused(server.run("swap", *words, *SMALL), "no face was found", "clouds")


def test_garbage_instead_of_a_video(server: CommandServer, footage: Path, tmp_path: Path):
    (tmp_path / "bad.mp4").write_bytes(os.urandom(5000))
    words = ["--source", tmp_path / "bad.mp4", "--target", footage / "scene.mp4", "-o", tmp_path / "o.mp4"]
    assert_refused(server.run("swap", *words, *SMALL), "bad.mp4")


def test_a_project_of_other_footage(server: CommandServer, footage: Path, finished: Path):
    words = ["--source", footage / "scene.mp4", "--target", footage / "alice.mp4", "-o", finished / "out.mp4"]
    assert_refused(server.run("swap", *words, "--steps", 3, *SMALL), "another source", "--project")


# ------------------------------------------------------------------------------------------------ damage


def test_a_truncated_target_gives_the_frames_before_the_damage(
    server: CommandServer, footage: Path, tmp_path: Path
):
    words = ["--seed", 5, "--frames", 40, "--size", SIDE, SIDE, "-o", tmp_path / "long.mkv"]
    assert server.run("performers", *words).code == 0
    data = (tmp_path / "long.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    words = ["--source", footage / "alice.mp4", "--target", tmp_path / "cut.mkv", "-o", tmp_path / "o.mkv"]
    ended = server.run("swap", *words, "--steps", 2, *SMALL)
    assert ended.code == 0, ended.text
    assert "warning:" in ended.text
    assert re.search(r"frame \d+", ended.text)
    assert 5 < frames_of(tmp_path / "o.mkv") < 40


def test_a_damaged_crop_is_named(server: CommandServer, footage: Path, finished: Path, tmp_path: Path):
    project = tmp_path / "out.understudy"
    shutil.copytree(finished / "out.understudy", project)
    shutil.rmtree(project / "runs")
    state = (project / "project.toml").read_text()
    (project / "project.toml").write_text(re.sub(r'run = ".*"', 'run = ""', state))
    crops = sorted((project / "faces" / "source" / "crops").iterdir())
    crops[3].write_bytes(crops[3].read_bytes()[:40])
    assert_refused(swap(server, footage, tmp_path / "out.mp4"), crops[3].name, "delete it")
    crops[3].unlink()  # what the message says
    ended = swap(server, footage, tmp_path / "out.mp4")
    assert ended.code == 0, ended.text
    assert len(FaceSet.open(project / "faces" / "source").for_training()) == FRAMES - 1


def test_a_damaged_checkpoint_is_passed_over(
    server: CommandServer, footage: Path, finished: Path, tmp_path: Path
):
    project = tmp_path / "out.understudy"
    shutil.copytree(finished / "out.understudy", project)
    (run,) = (project / "runs").iterdir()
    ended = swap(server, footage, tmp_path / "out.mp4", "--steps", 5)
    assert ended.code == 0, ended.text
    newest = sorted(path for path in (run / "checkpoints").iterdir() if path.is_dir())[-1]
    weights = newest / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    ended = swap(server, footage, tmp_path / "out.mp4", "--steps", 7)
    assert ended.code == 0, ended.text
    assert "warning:" in ended.text
    assert newest.name.lstrip("0") in ended.text
    assert "steps 7" in ended.text


# ------------------------------------------------------------------------------------------------ killed


def count_operations(server: CommandServer, footage: Path, folder: Path) -> int:
    log = folder / "operations.txt"
    ended = swap(server, footage, folder / "out.mp4", fault=f"count:{log}")
    assert ended.code == 0, ended.text
    return len(log.read_text().splitlines())


def test_killed_anywhere_the_next_call_goes_on(server: CommandServer, footage: Path, tmp_path: Path):
    """The whole command is killed round operations spread over its stages, in one and the same folder."""
    (tmp_path / "count").mkdir()
    total = count_operations(server, footage, tmp_path / "count")
    assert total > 60
    project, output = tmp_path / "out.understudy", tmp_path / "out.mp4"
    kills = 0
    for number in range(1, total, max(1, total // 10)):
        for moment in ("before", "half", "after"):
            ended = swap(server, footage, output, fault=f"{number}:{moment}")
            kills += ended.code == -signal.SIGKILL
            assert ended.code in (0, -signal.SIGKILL), ended.text
            if ended.code == 0:
                shutil.rmtree(project)
                output.unlink()
    assert kills > 8
    ended = swap(server, footage, output)
    assert ended.code == 0, ended.text
    assert frames_of(output) == FRAMES
    for faces in ("source", "target"):
        assert len(FaceSet.open(project / "faces" / faces).for_training()) == FRAMES
    assert not leftovers(tmp_path)


def test_full_disk_is_said_and_the_next_call_goes_on(server: CommandServer, footage: Path, tmp_path: Path):
    (tmp_path / "count").mkdir()
    total = count_operations(server, footage, tmp_path / "count")
    output = tmp_path / "out.mp4"
    refused = 0
    for number in range(2, total, max(1, total // 10)):
        ended = swap(server, footage, output, fault=f"{number}:full")
        if ended.code:
            assert_refused(ended)
            refused += 1
    assert refused >= 3
    assert swap(server, footage, output).code == 0
    assert frames_of(output) == FRAMES


def merge_words(finished: Path, footage: Path, output: Path) -> list[object]:
    """``merge`` with the face set and the swapper of a finished job, in segments of six frames."""
    (run,) = (finished / "out.understudy" / "runs").iterdir()
    words = ["--swapper", run / "swapper", "--target", footage / "scene.mp4", "--segment", 6]
    return [*words, "--faces", finished / "out.understudy" / "faces" / "target", "-o", output]


@pytest.mark.parametrize("how", ["half", "full"])
def test_a_merge_that_is_stopped_in_every_segment_is_the_one_in_one_go(
    server: CommandServer, footage: Path, finished: Path, tmp_path: Path, how: str
):
    """Killed, or out of disk, at the seventh operation of every call: a little further each time."""
    outputs = tmp_path / "whole" / "o.mp4", tmp_path / "stopped" / "o.mp4"
    for output in outputs:
        output.parent.mkdir()
    whole, stopped = (merge_words(finished, footage, output) for output in outputs)
    assert server.run("merge", *whole).code == 0
    table = outputs[1].parent / ".o.mp4.parts" / "parts.jsonl"
    known = []
    for _ in range(6):
        ended = server.run("merge", *stopped, fault=f"7:{how}")
        if ended.code == 0:
            break  # of the last operations some are only told of when they fail
        if how == "full":
            assert_refused(ended)
        else:
            assert ended.code == -signal.SIGKILL, ended.text
        known.append(len(table.read_text().splitlines()) if table.is_file() else 0)
        if known[-1] == 4:
            break
        assert not outputs[1].exists()
    assert known[:4] == [0, 1, 2, 3]
    if ended.code:
        ended = server.run("merge", *stopped)
        assert "going on at frame 24" in ended.text
    assert ended.code == 0, ended.text
    packets = [packets_of(output) for output in outputs]
    assert packets[0] == packets[1]
    assert not leftovers(tmp_path)


def test_a_file_size_limit_is_a_full_disk(
    server: CommandServer, footage: Path, finished: Path, tmp_path: Path
):
    (run,) = (finished / "out.understudy" / "runs").iterdir()
    words = ["--swapper", run / "swapper", "--target", footage / "scene.mp4"]
    words += ["--faces", finished / "out.understudy" / "faces" / "target", "-o", tmp_path / "o.mp4"]
    assert_refused(server.run("merge", *words, file_size=4000), "o.mp4")
    assert not (tmp_path / "o.mp4").exists()
    assert server.run("merge", *words).code == 0
    assert frames_of(tmp_path / "o.mp4") == FRAMES


# ------------------------------------------------------------------------------------------------ Ctrl-C


def interrupt_when(arguments: list[object], seen: Path, pattern: str = "*") -> Ended:
    """Starts the real command, sends it SIGINT as soon as something that matches lies in a folder."""
    # a test run in the background of a shell, whose children would ignore SIGINT
    start = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    start += "from understudy.cli.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", start, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    limit = time.monotonic() + 90
    while not any(seen.glob(pattern)) and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    return Ended(process.returncode, text)


def test_interrupted_in_every_stage(server: CommandServer, footage: Path, tmp_path: Path):
    project, output = tmp_path / "out.understudy", tmp_path / "out.mp4"
    words = [
        "swap",
        "--source",
        footage / "alice.mp4",
        "--target",
        footage / "scene.mp4",
        "-o",
        output,
        *SMALL,
    ]
    ended = interrupt_when([*words, "--steps", 3], project / "faces" / "source" / "crops")
    assert (ended.code, "Traceback" in ended.text) == (130, False), ended.text
    assert "same command goes on" in ended.text
    ended = interrupt_when([*words, "--steps", 100000], project / "runs", "*/status.json")
    assert (ended.code, "Traceback" in ended.text) == (130, False), ended.text
    assert "understudy merge --swapper" in ended.text
    (run,) = (project / "runs").iterdir()
    assert (run / "swapper" / "weights.safetensors").is_file()
    command = next(line for line in ended.text.splitlines() if "understudy merge" in line).split()
    merged = server.run(*command[1:])  # the very command that was printed
    assert merged.code == 0, merged.text
    assert frames_of(output) == FRAMES


def test_interrupted_while_merging(server: CommandServer, footage: Path, finished: Path, tmp_path: Path):
    (run,) = (finished / "out.understudy" / "runs").iterdir()
    words = ["merge", "--swapper", run / "swapper", "--target", footage / "scene.mp4"]
    words += ["--faces", finished / "out.understudy" / "faces" / "target", "-o", tmp_path / "o.mp4"]
    ended = interrupt_when(words, tmp_path, ".o.mp4.parts/key.json")
    assert (ended.code, "Traceback" in ended.text) == (130, False), ended.text
    assert not (tmp_path / "o.mp4").exists()
    assert server.run(*words).code == 0
    assert frames_of(tmp_path / "o.mp4") == FRAMES

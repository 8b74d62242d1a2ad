from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from understudy import durable
from understudy.errors import OutputError

PROGRAM = """
import sys
from pathlib import Path
from understudy import durable
folder = Path(sys.argv[1])
durable.write_text(folder / "latest", "new" * 100)
durable.append_line(folder / "table.jsonl", '{"line": 2}', flush=True)
with durable.new_folder(folder / "made") as part:
    durable.fill(part / "a", [b"a" * 1000, b"b" * 1000])
durable.write_text(folder / "named", "made")
"""


def run(folder: Path, fault: str = "") -> int:
    environment = {**os.environ, "UNDERSTUDY_FAULT": fault}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], env=environment, check=False
    ).returncode


def fresh(folder: Path) -> Path:
    folder.mkdir()
    (folder / "latest").write_text("old")
    (folder / "table.jsonl").write_text('{"line": 1}\n')
    return folder


def test_killed_round_every_operation_old_or_new_is_there(tmp_path):
    count = tmp_path / "count"
    assert run(fresh(tmp_path / "whole"), f"count:{count}") == 0
    operations = count.read_text().splitlines()
    expected = (
        "write flush rename flush  write flush  write flush flush rename flush  write flush rename flush"
    )
    assert [line.split()[1] for line in operations] == expected.split()
    for number in range(1, len(operations) + 1):
        for how in ("before", "half", "after"):
            folder = fresh(tmp_path / f"{number}{how}")
            assert run(folder, f"{number}:{how}") == -signal.SIGKILL
            assert (folder / "latest").read_text() in ("old", "new" * 100)
            assert (folder / "table.jsonl").read_text().startswith('{"line": 1}\n')
            if (folder / "made").exists():
                assert (folder / "made" / "a").read_bytes() == b"a" * 1000 + b"b" * 1000
            if (folder / "named").exists():
                assert (folder / "made").is_dir()
            assert run(folder) == 0  # and the next call goes on
            assert (folder / "table.jsonl").read_text().endswith('\n{"line": 2}\n')
            durable.sweep(folder)
            assert sorted(path.name for path in folder.iterdir()) == [
                "latest",
                "made",
                "named",
                "table.jsonl",
            ]


def test_full_disk_says_how_much_is_needed_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable, "_write", refuse)
    with pytest.raises(OutputError, match=r"disk is full \(12\.0 MB are needed and .* are free\); make room"):
        durable.write_bytes(path, b"x" * 12_000_000)
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_file_size_limit_is_a_full_disk(tmp_path):
    program = (
        "import resource, sys; from pathlib import Path; from understudy import durable\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "durable.write_bytes(Path(sys.argv[1]) / 'file', b'x' * 2000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "OutputError" in done.stderr
    assert "disk is full" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_and_forbidden_folder(tmp_path):
    with pytest.raises(OutputError, match="there is no such folder"):
        durable.write_text(tmp_path / "missing" / "file", "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="there is no such folder"):
        durable.write_text(tmp_path / "file" / "below", "x")


def test_errors_of_the_callers_own_code_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), durable.new_file(tmp_path / "file"):
        (tmp_path / "input").read_bytes()
    with pytest.raises(ZeroDivisionError), durable.new_folder(tmp_path / "folder") as part:
        (part / "a").write_text(str(1 / 0))
    assert list(tmp_path.iterdir()) == []


def test_replaced_folder_is_the_new_one(tmp_path):
    for text in ("old", "new"):
        with durable.new_folder(tmp_path / "folder") as part:
            (part / text).write_text(text)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new"]


def test_sweep_leaves_what_lives(tmp_path):
    mine = durable.part_name(tmp_path / "clip.mp4")
    mine.write_text("")
    assert mine.suffix == ".mp4"
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    dead = tmp_path / f".000100.{finished.pid}.part"
    dead.mkdir()
    (tmp_path / ".hidden.part").write_text("a person's own")
    assert durable.sweep(tmp_path) == [dead]
    assert mine.exists()


def test_required_space(tmp_path):
    durable.require_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(OutputError, match=r"are needed and .* are free"):
        durable.require_space(tmp_path, 10**18)


LOCKED = """
import sys
from pathlib import Path
from understudy import durable
from understudy.errors import OutputError
try:
    with durable.sole_writer(Path(sys.argv[1])):
        print("mine")
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks are fcntl's")
def test_a_second_process_is_kept_out_while_the_first_is_at_work(tmp_path):
    def other() -> str:
        command = [sys.executable, "-c", LOCKED, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with durable.sole_writer(tmp_path):
        assert "another understudy is at work there" in other()
    assert other() == "mine\n"
    with pytest.raises(OutputError, match="no such folder"), durable.sole_writer(tmp_path / "none"):
        pass

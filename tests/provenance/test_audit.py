"""The audit log: an edited, missing or added line is found where it is; a log written anew by its results."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from understudy.cli.audit import run
from understudy.provenance.audit import AuditLog, note
from understudy.provenance.claim import Edit
from understudy.provenance.manifest import sign_file


@pytest.fixture
def log(home: Path) -> AuditLog:
    """Five lines."""
    log = AuditLog()
    for number in range(5):
        log.append("merge", {"output": f"{number}.mp4", "records": ["ab" * 32]})
    return log


def lines(log: AuditLog) -> list[str]:
    return log.path.read_text().splitlines()


def write(log: AuditLog, content: list[str]) -> None:
    log.path.write_text("".join(f"{line}\n" for line in content))


def test_a_line_is_bound_to_the_one_before(log: AuditLog) -> None:
    first, second, *_ = map(json.loads, lines(log))
    plain = {key: value for key, value in first.items() if key != "hash"}
    content = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    assert hashlib.sha256(content).hexdigest() == first["hash"] == second["before"]
    assert log.path.stat().st_mode & 0o077 == 0
    assert (log.check().wrong, log.check().entries) == ((), 5)
    assert log.head() == json.loads(lines(log)[-1])["hash"]


def hash_again(line: str) -> str:
    """A line whose own hash fits what it says."""
    data = json.loads(line)
    del data["hash"]
    content = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**data, "hash": hashlib.sha256(content).hexdigest()})


def edited(content: list[str]) -> list[str]:
    content[2] = content[2].replace("2.mp4", "9.mp4")
    return content


def edited_and_hashed(content: list[str]) -> list[str]:
    content[2] = hash_again(content[2].replace("2.mp4", "9.mp4"))
    return content


def left_out(content: list[str]) -> list[str]:
    del content[2]
    return content


def put_in(content: list[str]) -> list[str]:
    return [*content[:3], hash_again(content[0]), *content[3:]]


def exchanged(content: list[str]) -> list[str]:
    content[2], content[3] = content[3], content[2]
    return content


def spoiled(content: list[str]) -> list[str]:
    content[2] = content[2][:40]
    return content


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (edited, "line 3 was edited"),
        (edited_and_hashed, "before line 4 something was edited"),
        (left_out, "before line 3 something was edited, left out"),
        (put_in, "before line 4 something was edited"),
        (exchanged, "before line 3 something was edited"),
        (spoiled, "at line 3 something was edited"),
    ],
)
def test_a_change_is_found_where_it_is(
    change: Callable[[list[str]], list[str]], where: str, log: AuditLog, capsys: pytest.CaptureFixture[str]
) -> None:
    write(log, change(lines(log)))
    assert log.check().wrong[0].startswith(where)
    assert run(["check"]) == 7
    assert "CHANGED" in capsys.readouterr().out


def test_a_torn_line_is_no_edit(log: AuditLog) -> None:
    with log.path.open("a") as file:
        file.write('{"what": "mer')  # a power cut
    log.append("merge", {})
    found = log.check()
    assert (found.wrong, found.entries) == ((), 6)
    assert found.remarks == ("line 6 is torn, and the one after it follows the one before",)


def test_a_log_that_was_written_anew_is_told_by_a_result(
    home: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video()
    head, remark = note("merge", {"output": "plate.mp4"})
    assert not remark
    sign_file(video, Edit(plate=video, audit=head))
    assert run(["check", str(video)]) == 0
    assert "WHOLE: 1 lines" in capsys.readouterr().out
    AuditLog().path.unlink()
    note("merge", {"output": "other.mp4"})
    assert run(["check"]) == 0, "it is whole in itself"
    assert run(["check", str(video)]) == 7
    assert "not in the log any more" in capsys.readouterr().out
    assert run(["show", "1"]) == 0
    assert "other.mp4" in capsys.readouterr().out
    assert run(["shw"]) == 2


def test_two_at_once_wait_for_each_other(home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: AuditLog().append("verify", {"file": str(number)}), range(40)))
    found = AuditLog().check()
    assert (found.wrong, found.entries) == ((), 40)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_home_does_not_stop_the_work(home: Path) -> None:
    home.mkdir()
    home.chmod(0o500)
    try:
        head, remark = note("verify", {"file": "a.mp4"})
    finally:
        home.chmod(0o700)
    assert not head
    assert "not in the audit log" in remark


def test_a_home_that_cannot_be_made_does_not_stop_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    head, remark = note("verify", {"file": "a.mp4"}, home=tmp_path / "file" / "home")
    assert (head, "not in the audit log" in remark) == ("", True)


def test_a_clock_that_was_set_back_shows(log: AuditLog, capsys: pytest.CaptureFixture[str]) -> None:
    """Consent ends by the clock: whoever sets it back leaves a trace, and no line was edited."""
    content = lines(log)
    before = ""
    for place, time in enumerate(["2026-03-01T10:00:09Z", "2026-03-01T10:00:01Z", "2026-01-01T09:00:00Z"]):
        data = {**json.loads(content[place]), "time": time, "before": before}
        content[place] = hash_again(json.dumps(data))
        before = json.loads(content[place])["hash"]
    write(log, content[:3])
    found = log.check()
    assert (found.wrong, found.entries) == ((), 3)
    assert found.remarks == (
        "line 3 is of 2026-01-01T09:00:00Z, after one of 2026-03-01T10:00:09Z: the clock was set back",
    )
    assert run(["check"]) == 0
    assert "the clock was set back" in capsys.readouterr().out

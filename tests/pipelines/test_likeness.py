"""What extraction does for the people in a face set."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from understudy.events import Warned
from understudy.pipelines.likeness import leave_strangers_out
from understudy.provenance.standing import Standing


def test_a_command_to_copy_names_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    place = tmp_path / "Anna's take 2"
    standing = Standing(lane="record", label="credits-only", sentence="", record="ab" * 32, id="r1")
    (event,) = leave_strangers_out(place, standing, lambda _path: pytest.fail("nobody to describe"), 0.5)
    assert isinstance(event, Warned)
    words = shlex.split(event.message.partition("where they were: ")[2])
    assert words[:6] == ["understudy", "consent", "attach", str(place), "--record", "r1"]

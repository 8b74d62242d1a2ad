"""Tiny results, written by the program's own writers, and a state folder for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from provenance_frames import frames

from understudy.video.stills import StillsWriter
from understudy.video.writer import VideoWriter


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new state folder."""
    folder = tmp_path / "home"
    monkeypatch.setenv("UNDERSTUDY_HOME", str(folder))
    return folder


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes a video of noise."""

    def make(name: str | Path = "plate.mp4", seed: int = 0, count: int = 12) -> Path:
        path = tmp_path / name
        with VideoWriter(path) as writer:
            for frame in frames(count, seed):
                writer.write(frame)
        return path

    return make


@pytest.fixture
def make_images(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder of images of noise."""

    def make(name: str = "images", suffix: str = ".png", seed: int = 0, count: int = 2) -> Path:
        folder = tmp_path / name
        with StillsWriter(folder, suffix=suffix) as writer:
            for frame in frames(count, seed):
                writer.write(frame)
        return folder

    return make

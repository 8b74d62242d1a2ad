"""Tiny results, written by the program's own writers, and a state folder for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from understudy.contracts import ColorTags, Frame
from understudy.video.layout import layout_of
from understudy.video.stills import StillsWriter
from understudy.video.writer import VideoWriter


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new state folder."""
    folder = tmp_path / "home"
    monkeypatch.setenv("UNDERSTUDY_HOME", str(folder))
    return folder


def frames(
    count: int = 12, seed: int = 0, width: int = 160, height: int = 96, name: str = "yuv420p"
) -> Iterator[Frame]:
    """Frames of noise, mid grey on the average, 25 a second."""
    random = np.random.default_rng(seed)
    layout = layout_of(name)
    unit = 1 << (layout.depth - 8)
    dtype = np.uint8 if layout.depth == 8 else np.uint16
    small = (-(-height >> layout.shift_y), -(-width >> layout.shift_x))
    for index in range(count):
        luma = random.integers(40 * unit, 200 * unit, (height, width), dtype=dtype)
        planes = (luma, *(np.full(small, 128 * unit, dtype) for _ in range(2)))
        yield Frame(
            index=index,
            pts=index,
            time_base=Fraction(1, 25),
            planes=planes if layout.kind == "yuv" else (luma,),
            format=layout,
            color=ColorTags(),
            duration=1,
        )


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

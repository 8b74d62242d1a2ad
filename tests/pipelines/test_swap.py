"""What ``swap`` refuses before any work."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from understudy import config
from understudy.errors import ConfigError, OutputError
from understudy.events import Planned
from understudy.pipelines.swap import SwapSettings, swap


def write_pictures(folder: Path, count: int, shade: int) -> Path:
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((48, 64, 3), shade + number, np.uint8))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "alice", 8, 90)


def first_event(source: Path, target: Path, output: Path) -> object:
    return next(swap(SwapSettings(source=(source,), target=target, output=output), steps=1))


def test_a_target_of_too_few_frames_is_refused_before_extraction(source: Path, tmp_path: Path) -> None:
    target = write_pictures(tmp_path / "scene", 1, 20)
    with pytest.raises(ConfigError, match="the target has 1 frame, training needs at least 8 faces"):
        first_event(source, target, tmp_path / "result")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alice", "scene"]


def test_a_folder_of_other_things_is_no_place_for_pictures(source: Path, tmp_path: Path) -> None:
    target = write_pictures(tmp_path / "scene", 8, 20)
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "faceset.toml").touch()
    with pytest.raises(OutputError, match=r"faces holds faceset\.toml"):
        first_event(source, target, tmp_path / "faces")


def test_a_result_without_an_ending_is_announced_as_a_folder(source: Path, tmp_path: Path) -> None:
    target = write_pictures(tmp_path / "scene", 8, 20)
    event = first_event(source, target, tmp_path / "result")
    assert isinstance(event, Planned)
    assert any("result (a folder of pictures), project" in line for line in event.lines)


def test_what_the_model_cannot_do_is_refused_before_it_is_trained(source: Path, tmp_path: Path) -> None:
    target = write_pictures(tmp_path / "scene", 8, 20)
    settings = SwapSettings(source=(source,), target=target, output=tmp_path / "result")
    asked = {"train": {"model": "gan"}, "merge": {"composite": {"temporal": {"code": 2}}}}
    with pytest.raises(ConfigError, match=r"temporal\.code: wanted 0 with a swapper of the model 'gan'"):
        next(swap(config.merge(settings, asked), steps=1))

"""Folders of pictures as source, target and result, and a person chosen by a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import SMALL, CommandServer
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import render
from understudy.performers.scene import Scene

pytestmark = pytest.mark.slow

SIDE, COUNT = 192, 12


@pytest.fixture(scope="module")
def server() -> Iterator[CommandServer]:
    server = CommandServer()
    yield server
    server.close()


def write_pictures(folder: Path, seed: int) -> None:
    folder.mkdir()
    performer, motion, scene = Performer.from_seed(seed), Motion.from_seed(seed), Scene.from_seed(1)
    for number in range(COUNT):
        drawn = render(performer, motion.state(0.1 * number), scene, SIDE)
        cv2.imwrite(str(folder / f"shot {number + 1001}.png"), drawn.image[..., ::-1])


def test_pictures_in_pictures_out(server: CommandServer, tmp_path: Path):
    source, target, output = tmp_path / "her pictures", tmp_path / "scene", tmp_path / "result"
    write_pictures(source, 7)
    write_pictures(target, 13)
    words = ["--source", source, "--target", target, "-o", output, "--steps", 3, *SMALL]
    reference = sorted(source.iterdir())[0]
    ended = server.run("swap", *words, "--source-person", reference)
    assert ended.code == 0, ended.text
    assert [path.name for path in sorted(output.iterdir())] == [
        path.name for path in sorted(target.iterdir())
    ]
    before, after = (cv2.imread(str(folder / "shot 1005.png")) for folder in (target, output))
    assert before.shape == after.shape
    away = np.abs(before.astype(int) - after).max(-1)
    assert 0.01 < (away > 12).mean() < 0.6
    assert away[-8:].max() <= 6  # far from face and label there is nothing but the invisible mark


def test_pictures_to_a_video_and_a_video_to_pictures(server: CommandServer, tmp_path: Path):
    source, target = tmp_path / "source", tmp_path / "target"
    write_pictures(source, 7)
    write_pictures(target, 13)
    first = server.run(
        "swap", "--source", source, "--target", target, "-o", tmp_path / "a.mp4", "--steps", 2, *SMALL
    )
    assert first.code == 0, first.text
    words = ["--source", source, "--target", tmp_path / "a.mp4", "-o", tmp_path / "b", "--steps", 2, *SMALL]
    second = server.run("swap", *words)
    assert second.code == 0, second.text
    pictures = sorted((tmp_path / "b").iterdir())
    assert len(pictures) == COUNT
    assert np.asarray(cv2.imread(str(pictures[0]))).shape == (SIDE, SIDE, 3)


def test_a_reference_picture_without_a_face(server: CommandServer, tmp_path: Path):
    source, target = tmp_path / "source", tmp_path / "target"
    write_pictures(source, 7)
    write_pictures(target, 13)
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 99, np.uint8))
    words = ["--source", source, "--target", target, "-o", tmp_path / "r", "--steps", 2, *SMALL]
    ended = server.run("swap", *words, "--target-person", tmp_path / "grey.png")
    assert ended.code == 1
    assert "no face was found" in ended.text
    assert "Traceback" not in ended.text

"""Performers are proved by drawing them again; footage of anybody else is not."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from understudy.contracts import Face
from understudy.errors import ConsentError
from understudy.faces.faceset import FaceSet
from understudy.faces.writing import FaceSetWriter
from understudy.image.geometry import align
from understudy.image.warp import crop
from understudy.performers.draw import PerformersSettings, render_clip, scene_of
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.truth import truth_folder
from understudy.provenance import proof
from understudy.provenance.standing import FILE, consent_of

SETTINGS = PerformersSettings(seed=5, scene=3, background=8, frames=9, fps=5, size=(96, 96), occluder="hand")


@pytest.fixture(scope="module")
def face_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face set of a performer's clip, as the program's own clip writer draws it, and the clip's truth."""
    folder = tmp_path_factory.mktemp("performer")
    truth = truth_folder(folder / "clip.mp4")
    truth.mkdir()
    about = {"settings": dataclasses.asdict(SETTINGS)}
    (truth / "performer.json").write_text(json.dumps(about))
    person, motion = Performer.from_seed(5), Motion.from_seed(5)
    clip = render_clip(person, motion, scene_of(SETTINGS), 9, size=SETTINGS.size, fps=5)
    with FaceSetWriter(folder / "faces", {"mode": "whole", "size": 64, "picture": "jpg"}) as writer:
        writer.begin("clip.mp4", "print")
        for drawn in clip:
            points = drawn.frame.points.astype(np.float32)
            alignment = align(points, "whole")
            picture = cv2.convertScaleAbs(drawn.frame.picture, alpha=255.0)
            face = Face(
                frame=drawn.index,
                time=drawn.index / 5,
                index=0,
                track=0,
                box=np.array([*points[:, :2].min(0), *points[:, :2].max(0)], np.float64),
                presence=1.0,
                points=points,
                alignment=alignment,
            )
            writer.add(face, crop(picture, alignment.crop_matrix(64), 64))
        writer.read_to(9, complete=True)
        writer.write_persons({0: 0})
    return folder / "faces"


@pytest.fixture
def mine(face_set: Path, tmp_path: Path, home: Path) -> Path:
    """A copy of it, and of the truth beside the clip."""
    shutil.copytree(face_set.parent, tmp_path / "copy")
    return tmp_path / "copy" / "faces"


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames that are drawn again from now on."""
    drawn: list[int] = []
    real = proof._draw

    def draw(settings: Any, frame: int) -> np.ndarray:
        drawn.append(frame)
        return real(settings, frame)

    monkeypatch.setattr(proof, "_draw", draw)
    return drawn


def test_a_performer_is_proved_once_and_the_receipt_does_not_travel(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = counted(monkeypatch)
    assert proof.declare_performers(mine, [mine.parent / "clip.mp4"])
    assert drawn == [0, 4, 8]
    standing = proof.standing_now(mine)
    assert (standing.lane, standing.label, len(drawn)) == ("performer", "credits-only", 3)
    assert proof.standing_now(mine, home=tmp_path / "other").lane == "performer"
    assert len(drawn) == 6


def test_another_face_in_its_place_is_no_performer(mine: Path) -> None:
    assert proof.declare_performers(mine, [mine.parent / "clip.mp4"])
    path = mine / "crops" / "000004_0.jpg"
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    cv2.imwrite(str(path), cv2.GaussianBlur(picture, (0, 0), 4))
    standing = proof.standing_now(mine)
    assert (standing.lane, standing.label) == ("none", "eu-modified-always")
    assert "clip.mp4 is not what seed 5 draws" in standing.sentence
    assert "understudy consent attach" in standing.sentence


def test_a_wrong_seed_or_nothing_to_draw_from_is_no_proof(mine: Path) -> None:
    (mine / FILE).write_text('{"lane": "performer", "seed": 5}')
    assert "nothing tells how clip.mp4 was drawn" in proof.standing_now(mine).sentence
    truth = mine.parent / "clip.truth"
    assert proof.declare_drawn(FaceSet.open(mine), 6, truth) == "its footage was drawn from seed 5"
    assert proof.declare_drawn(FaceSet.open(mine), 5, truth) == ""
    assert consent_of(mine).lane == "performer"
    (mine / FILE).write_text('{"lane": "performer", "seed": 5, "drawn": {"clip.mp4": {"seed": 5}}}')
    with pytest.raises(ConsentError, match="attach the face set again"):
        proof.standing_now(mine)


def test_footage_without_truth_stays_without_a_record(mine: Path) -> None:
    shutil.rmtree(mine.parent / "clip.truth")
    assert not proof.declare_performers(mine, [mine.parent / "clip.mp4"])
    assert not (mine / FILE).exists()

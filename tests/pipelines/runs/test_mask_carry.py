"""Glasses that were outlined once are kept in every frame; what a person made is never written over."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from drawn_sets import draw_set
from understudy.cli.main import main
from understudy.cli.mask import Carry
from understudy.contracts import Face
from understudy.errors import ConfigError, FaceSetError
from understudy.events import Event, StageDone
from understudy.faces.faceset import FaceSet
from understudy.faces.polygons import Polygons, write_polygons
from understudy.faces.records import FaceRecord
from understudy.faces.writing import FaceSetWriter
from understudy.image.geometry import invert
from understudy.image.warp import warp
from understudy.performers.performer import Performer
from understudy.performers.renderer import render
from understudy.performers.scene import Scene
from understudy.performers.state import State
from understudy.pipelines.runs.mask_apply import count_masks
from understudy.pipelines.runs.mask_carry import carry_masks
from understudy.pipelines.runs.mask_faces import made_by, write_made_mask

SIZE, SIDE = 192, 128
YAWS = (0.0, 18.0, -18.0)


def summary_of(events: list[Event]) -> dict:
    return next(dict(event.summary) for event in events if isinstance(event, StageDone))


# ------------------------------------------------------------------------------------------- exact glasses


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceSet, list[np.ndarray]]:
    """A performer with glasses, and where exactly these are in each crop."""
    performer, scene = Performer.from_seed(300_012), Scene.from_seed(5, "glasses")
    bare = dataclasses.replace(scene, occluder="none")
    folder = tmp_path_factory.mktemp("glasses")
    rims: list[np.ndarray] = []
    with FaceSetWriter(folder, {"mode": "whole", "size": SIDE, "picture": "png"}) as writer:
        writer.begin("a.mp4", "hash")
        for number, yaw in enumerate(YAWS):
            drawn = render(performer, State(yaw=yaw), scene, SIZE)
            without = render(performer, State(yaw=yaw), bare, SIZE)
            alignment = drawn.alignment("whole")
            back = invert(alignment.crop_matrix(SIDE))
            face = Face(
                frame=number, time=number / 25, index=0, track=0, box=np.zeros(4), presence=1.0,
                points=drawn.points, alignment=alignment, pose=drawn.pose,
            )  # fmt: skip
            writer.add(face, warp(drawn.image, back, (SIDE, SIDE), "replicate"))
            seen = (np.abs(drawn.picture - without.picture).max(-1) > 0.1).astype(np.float32)
            rims.append(warp(seen, back, (SIDE, SIDE), "zero") > 0.5)
        writer.read_to(len(YAWS), complete=True)
        writer.write_persons({0: 0})
    return FaceSet.open(folder), rims


def paint(faces: FaceSet, record: FaceRecord, thing: np.ndarray) -> None:
    faces.write_mask(record, np.where(thing, 0, 255).astype(np.uint8))


def test_glasses_follow_the_head(worn):
    """By an outline three pixels wide of 128; moved by the crop alone it loses clearly more."""
    faces, rims = worn
    wide = [cv2.dilate(rim.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for rim in rims]
    paint(faces, faces.records[0], wide[0])
    done = summary_of(list(carry_masks(faces, ["000000_0"])))
    assert (done["masks"], done["left_as_they_were"]) == (2, 1)
    for record, rim in zip(faces.records[1:], rims[1:], strict=True):
        mask = faces.read_mask(record)
        assert mask is not None
        assert mask.shape == (SIDE, SIDE)
        lost = 1.0 - (mask[rim] < 128).mean()
        lost_flat = 1.0 - wide[0][rim].mean()
        assert lost < 0.3
        assert lost < 0.75 * lost_flat
        assert (mask < 128).sum() < 1.4 * wide[0].sum(), "not more than was drawn"


# ------------------------------------------------------------------------------------------- whose masks


@pytest.fixture
def faces(tmp_path: Path) -> FaceSet:
    made = draw_set(tmp_path / "faces", 6, (200, 160, 140))
    corners = np.array([[20.0, 30.0], [70.0, 30.0], [70.0, 45.0], [20.0, 45.0]])
    write_polygons(made, made.records[2], Polygons(size=96, include=(), exclude=(corners,)))
    return made


def test_polygons_are_carried_to_every_frame_and_again(faces):
    events = list(carry_masks(faces, ["000002_0.png"]))
    assert summary_of(events)["masks"] == 6, "the labelled face too: merging reads masks, not polygons"
    assert count_masks(faces) == {"polygons": 1, "painted": 0, "made": 5, "without": 0}
    own = faces.read_mask(faces.records[2])
    assert own is not None
    assert own[31:44, 22:68].max() == 0, "on its own crop it is where it was drawn"
    assert own[50:, :].min() == 255
    assert own[:, 75:].min() == 255
    said = made_by(faces.mask_path(faces.records[4]))
    assert said is not None
    assert said["from"] == "000002_0.png"
    before = faces.mask_path(faces.records[4]).read_bytes()
    assert summary_of(list(carry_masks(faces, ["000002_0"], stand_off=0.5)))["masks"] == 6
    assert faces.mask_path(faces.records[4]).read_bytes() != before, "made anew"


def test_what_others_made_stays(faces):
    painted, segmented = faces.records[0], faces.records[1]
    paint(faces, painted, np.zeros((96, 96), bool))
    write_made_mask(faces.mask_path(segmented), np.full((96, 96), 7, np.uint8), {"segmenter": "xseg"})
    before = [faces.mask_path(record).read_bytes() for record in (painted, segmented)]
    assert summary_of(list(carry_masks(faces, ["000002_0"])))["left_as_they_were"] == 2
    assert [faces.mask_path(record).read_bytes() for record in (painted, segmented)] == before


def test_the_drawing_of_the_nearest_pose(faces):
    """The second one is empty but for a dot: which one was used is seen."""
    dot = np.array([[47.0, 60.0], [50.0, 60.0], [50.0, 63.0]])
    last = faces.records[5]
    write_polygons(faces, last, Polygons(size=96, include=(), exclude=(dot,)))
    list(carry_masks(faces, ["000002_0", "000005_0"]))
    dark = [int((faces.read_mask(record) < 128).sum()) for record in faces.records]
    assert dark[5] < 20
    assert dark[2] > 300
    assert set(np.array(dark) > 100) == {True, False}


@pytest.mark.parametrize(
    ("names", "told"),
    [(["000009_0"], "did you mean 00000"), (["000003_0"], "nothing is drawn on it"), ([], "at least one")],
)
def test_what_cannot_be_carried(faces, names, told):
    with pytest.raises(FaceSetError, match=told):
        list(carry_masks(faces, names))


def test_the_command(faces, capsys):
    assert main(["mask", "carry", str(faces.path), "--labels", "000002_0"]) == 0
    assert (faces.path / "masks.png").is_file()
    assert "masks 6" in capsys.readouterr().err
    assert main(["mask", "carry", str(faces.path)]) != 0
    assert "--labels" in capsys.readouterr().err
    assert main(["mask", "carry", "--labels", "000002_0"]) != 0
    assert "one face set, got 0" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="stand_off"):
        Carry(stand_off=9.0)

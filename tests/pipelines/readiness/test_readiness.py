from __future__ import annotations

import json

import numpy as np
import pytest

from drawn_sets import SIZE, draw, draw_set, points_of
from understudy.cli import faces as command
from understudy.contracts import Face
from understudy.errors import ConfigError, NoFaceError, VideoError
from understudy.faces.faceset import FaceSet
from understudy.faces.writing import FaceSetWriter
from understudy.image.geometry import align, pose_of_points
from understudy.pipelines.measuring import Lent
from understudy.pipelines.readiness import readiness as pipeline
from understudy.pipelines.readiness.readiness import readiness
from understudy.pipelines.readiness.shot_needs import judge, light_of, look_at, sentences


def turned_set(path, yaws, *, copies: int = 1, blurred: int = 0, vectors=(0.0,)) -> FaceSet:
    """A face for every yaw, then copies of the first, then blurred ones; identity goes round ``vectors``."""
    with FaceSetWriter(path, {"mode": "whole", "size": SIZE, "picture": "png"}) as writer:
        writer.begin("a.mp4", f"hash {path.name}")
        every = [*yaws, *([yaws[0]] * (copies - 1)), *([yaws[-1] + 3] * blurred)]
        for number, yaw in enumerate(every):
            points = points_of(yaw)
            alignment = align(points, "whole")
            face = Face(
                frame=number, time=number / 25, index=0, track=0, presence=0.98, points=points,
                box=np.array([*points[:, :2].min(0), *points[:, :2].max(0)], np.float64), alignment=alignment,
                pose=pose_of_points(points),
                sharpness=5.0 if number >= len(every) - blurred else 80.0 + number,
            )  # fmt: skip
            vector = np.full(4, vectors[number % len(vectors)], np.float32)
            writer.add(face, draw(points, alignment.crop_matrix(SIZE), (200, 150, 120)), vector)
        writer.read_to(len(every), complete=True)
        writer.write_persons({0: 0})
    return FaceSet.open(path)


@pytest.fixture
def nobody_describes(monkeypatch):
    lent = Lent(embedder=None, landmarker=None, lacking=("identity",))
    monkeypatch.setattr(pipeline, "lend", lambda _: lent)


def test_a_source_that_looks_one_way_lacks_the_other(tmp_path, nobody_describes):
    turned_set(tmp_path / "source", np.linspace(-30, 0, 24).tolist())
    turned_set(tmp_path / "target", np.linspace(-30, 40, 40).tolist())
    summary = list(readiness(tmp_path / "source", tmp_path / "target", tmp_path / "out"))[-1].summary
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    wanted = (np.linspace(-30, 40, 40) <= 15.0).mean()
    assert data["served"] == pytest.approx(wanted, abs=0.06), "within 15 degrees of a source face"
    assert data["served_with_mirror_images"] == 1.0
    assert {lack["words"] for lack in data["lacks"]} == {
        "turned a little to the right",
        "turned to the right",
        "turned far to the right",
    }
    assert "you lack: turned to the right" in " ".join(data["sentences"])
    assert "mirror images 100 %" in data["sentences"][0]
    text = (tmp_path / "out" / "report.html").read_text()
    assert '<td class="lack">' in text
    assert "The shot, and the nearest you have" in text
    assert summary["lacking"] == 3


def test_a_set_is_ready_for_itself(tmp_path, nobody_describes):
    draw_set(tmp_path / "a", 30, (200, 150, 120))
    list(readiness(tmp_path / "a", tmp_path / "a", tmp_path / "out"))
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (data["served"], data["lacks"], data["light_lacking"]) == (1.0, [], 0.0)


def test_copies_and_blur_are_found(tmp_path):
    faces = turned_set(tmp_path / "s", [0.0, 12.0, 24.0], copies=5, blurred=2)
    looked = look_at(faces, "s")
    found = judge(faces, looked, looked, None)
    assert len(found.repeated) == 4 + 1, "four copies of the first, and of two blurred alike one"
    assert found.blurred == [record.crop for record in looked.records[-2:]]


def test_strangers_are_found_by_their_identity(tmp_path):
    faces = turned_set(tmp_path / "s", np.linspace(0, 9, 9).tolist(), vectors=(0.0, 0.0, 0.9))
    looked = look_at(faces, "s")
    found = judge(faces, looked, looked, None)
    assert found.described == 9
    assert found.strangers == [record.crop for record in looked.records[2::3]]


def test_strangers_of_crops_that_were_not_described(tmp_path):
    class Bright:
        side, dimension, same_person = 8, 4, 0.3

        def crop_matrix(self, points):
            return np.array([[0.1, 0, 0], [0, 0.1, 0]])

        def __call__(self, crops):
            return crops.mean((1, 2, 3))[:, None].repeat(1, 4) * 0

    faces = draw_set(tmp_path / "s", 8, (200, 90, 90), vector=0.9)
    looked = look_at(faces, "s")
    found = judge(faces, looked, looked, Bright())
    assert found.described == 8
    assert len(found.strangers) == 6, "every fourth was described when it was extracted"


def test_light_is_measured_in_stops():
    inside = np.ones((64, 64), np.float32)
    picture = np.full((64, 64, 3), 128, np.uint8)
    picture[:, :32] = 200
    sides, above, mean = light_of(picture, inside)
    assert sides == pytest.approx(2.2 * np.log2(200 / 128), abs=0.1)
    assert above == pytest.approx(0.0, abs=1e-6)
    linear = ((200 / 255) ** 2.2 + (128 / 255) ** 2.2) / 2
    assert mean == pytest.approx(np.log2(linear), abs=0.05)


def test_sentences_are_for_people(tmp_path):
    faces = turned_set(tmp_path / "s", [0.0, 2.0])
    target = turned_set(tmp_path / "t", [50.0] * 12)
    said = sentences(judge(faces, look_at(faces, "s"), look_at(target, "t"), None))
    assert said[0].startswith("0 % of the target's 12 faces")
    assert said[1] == "you lack: turned far to the right (12 of the target's faces, 100 %: frames 0 to 11)"


def test_a_set_without_usable_faces(tmp_path):
    faces = draw_set(tmp_path / "s", 2, (200, 90, 90))
    for crop in (tmp_path / "s" / "crops").iterdir():
        crop.unlink()
    with pytest.raises(NoFaceError, match="no face in it can be used"):
        look_at(faces, "s")


def test_what_the_command_wants(tmp_path, capsys):
    assert command.run([]) == 2
    assert "faces report faces/source --for faces/target" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="did you mean 'report'"):
        command.run(["reprot"])
    with pytest.raises(ConfigError, match="SOURCE --for TARGET"):
        command.run(["report", str(tmp_path)])
    with pytest.raises(VideoError, match="there is no such face set"):
        command.run(["report", str(tmp_path), "--for", str(tmp_path / "gone")])
    (tmp_path / "notes.txt").write_text("no footage")
    with pytest.raises(VideoError, match=r"notes\.txt: this is no video"):
        command.run(["report", str(tmp_path / "notes.txt"), "--for", str(tmp_path / "notes.txt")])
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"], "no empty report is left"


def test_the_command_says_it_in_the_terminal(tmp_path, capsys, nobody_describes):
    turned_set(tmp_path / "s", [0.0, 2.0])
    turned_set(tmp_path / "t", [50.0] * 12)
    assert command.run(["report", str(tmp_path / "s"), "--for", str(tmp_path / "t")]) == 0
    assert "you lack: turned far to the right" in capsys.readouterr().out
    assert (tmp_path / "s.readiness" / "report.html").is_file()

"""From labels and performers to masks in a face set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from understudy.cli.main import main
from understudy.contracts import Context, Face
from understudy.errors import CheckpointError, ConfigError, FaceSetError
from understudy.events import Measured, Progress, Saved, StageDone, Warned
from understudy.faces.faceset import FaceSet
from understudy.faces.polygons import Polygons, write_polygons
from understudy.faces.writing import FaceSetWriter
from understudy.image.geometry import align
from understudy.image.warp import crop
from understudy.performers import TEST_SEEDS_FROM
from understudy.performers.performer import Performer
from understudy.performers.renderer import render
from understudy.performers.scene import Scene
from understudy.performers.state import State
from understudy.pipelines.runs import mask_apply, mask_faces, segmentation
from understudy.pipelines.runs.segmentation import MaskTrainSettings
from understudy.segmenters.person import Person
from understudy.segmenters.ternausnet import Ternausnet
from understudy.training.augment import MARGIN
from understudy.training.loop import LoopSettings
from understudy.weights import WeightStore

SIZE, FRAMES = 64, 10
TINY = Ternausnet(resolution=32, base=2)


def settings(**changes) -> MaskTrainSettings:
    loop = LoopSettings(steps=2, precision="fp32", threads=1, preview_every=0.0)
    return MaskTrainSettings(
        **{"batch": 2, "segmenter": TINY, "faces_each": 2, "device": "cpu", "loop": loop, **changes}
    )


@pytest.fixture(scope="module")
def frames():
    """A performer who turns; frames with landmarks and exact masks."""
    performer = Performer.from_seed(5)
    return [render(performer, State(yaw=3.0 * n, roll=2.0 * n), Scene(), 96) for n in range(FRAMES)]


@pytest.fixture(scope="module")
def original(frames, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("faces") / "set"
    with FaceSetWriter(path, {"mode": "whole", "size": SIZE, "picture": "png"}) as writer:
        writer.begin("a.mp4", "hash")
        for number, drawn in enumerate(frames):
            alignment = align(drawn.points, "whole")
            face = Face(
                frame=number * 8,
                time=0.0,
                index=0,
                track=0,
                box=np.array([0.0, 0.0, 96.0, 96.0]),
                presence=1.0,
                points=drawn.points,
                alignment=alignment,
            )
            writer.add(face, crop(drawn.image, alignment.crop_matrix(SIZE), SIZE))
        writer.read_to(FRAMES * 8, complete=True, performers=[5])
        writer.write_persons({0: 0})
    return path


@pytest.fixture
def faces(original, tmp_path) -> FaceSet:
    return FaceSet.open(shutil.copytree(original, tmp_path / "set"))


def square(record, x: float = 0.25) -> Polygons:
    corners = np.array([[x, 0.25], [0.75, 0.25], [0.75, 0.75], [x, 0.75]]) * SIZE
    return Polygons(size=SIZE, include=(corners,))


def red(crops: torch.Tensor) -> torch.Tensor:
    """Stands for a segmenter: face is what is red."""
    return crops[:, :1].clone()


class RedSegmenter:
    """Stands for a trained one."""

    settings = Ternausnet(crop="whole", resolution=96)

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        return red(crops)


# ------------------------------------------------------------------------------------------------ labels


def test_polygons_and_painted_masks_are_labels_and_made_ones_are_not(faces):
    first, second, third, _, fifth = faces.records[:5]
    write_polygons(faces, first, square(first))
    faces.write_mask(second, np.full((SIZE, SIZE), 255, np.uint8))
    mask_faces.write_made_mask(
        faces.mask_path(third), np.full((SIZE, SIZE), 255, np.uint8), {"segmenter": "xseg"}
    )
    write_polygons(faces, fifth, square(fifth))
    faces.reject([fifth.crop])
    found = [record.crop for _, record in mask_faces.labelled([faces])]
    assert found == [first.crop, second.crop]
    assert mask_faces.read_label(faces, third, SIZE) is None
    label = mask_faces.read_label(faces, first, SIZE)
    assert label is not None
    assert label.sum() == pytest.approx(SIZE**2 / 4, rel=0.02)


@pytest.mark.parametrize("mode", ["whole", "full", "head"])
def test_a_framed_label_lies_on_its_face(faces, frames, mode):
    record, drawn = faces.records[2], frames[2]
    stored = record.alignment.crop_matrix(SIZE)
    mask = crop(drawn.face_mask, stored, SIZE)
    faces.write_mask(record, (mask.clip(0, 1) * 255).astype(np.uint8))
    (framed,) = mask_faces.frame_labels([(faces, record)], mode, 80)
    matrix = align(drawn.points, mode).crop_matrix(80, MARGIN)
    wanted = crop(drawn.face_mask, matrix, 80)
    assert np.abs(framed.mask / 255 - wanted).mean() < 0.02
    picture = crop(drawn.image, matrix, 80).astype(float)
    known = framed.features == 255
    assert np.abs(framed.picture - picture)[known].mean() < 6
    # the stored crop is as wide as the network's square in its own mode; the margin round it is unknown
    side = np.linalg.det(matrix[:, :2]) / np.linalg.det(stored[:, :2]) * SIZE**2
    assert known.mean() == pytest.approx(min(1.0, side / 80**2), abs=0.08)


def test_held_out_faces_stay_when_more_are_labelled(faces):
    labels = [(faces, record) for record in faces.records]
    learned, held = mask_faces.split(labels, 0.3)
    assert held
    assert len(learned) + len(held) == FRAMES
    _, fewer = mask_faces.split(labels[:7], 0.3)
    places = {record.crop for _, record in held}
    assert {record.crop for _, record in fewer} <= places
    assert mask_faces.split(labels[:4], 0.0001)[1] == []
    assert len(mask_faces.split(labels[:5], 0.0001)[1]) == 1


def test_drawn_faces_have_their_exact_masks():
    drawn = list(mask_faces.draw_faces(3, 1, 6, "whole", 64))
    assert len(drawn) == 6
    again = mask_faces.draw_face(Performer.from_seed(3), 4, "whole", 64)
    assert np.array_equal(again.mask, drawn[4].mask)
    for face in drawn:
        assert face.picture.shape == (64, 64, 3)
        assert 0.08 < (face.mask > 127).mean() < 0.5
        assert (face.features == 255).mean() > 0.75
    with pytest.raises(FaceSetError, match="evaluation"):
        next(mask_faces.draw_faces(TEST_SEEDS_FROM - 1, 2, 1, "whole", 64))


# ------------------------------------------------------------------------------------------------ training


def test_train_on_labels_and_performers_then_go_on(faces, tmp_path):
    for record in faces.records[:8]:
        write_polygons(faces, record, square(record))
    run = segmentation.start(settings(performers=1), [faces], tmp_path / "run")
    assert segmentation.settings_of(run) == settings(performers=1)
    events = list(segmentation.train(run, [faces]))
    done = [event for event in events if isinstance(event, StageDone)][-1]
    assert done.summary["steps"] == 2
    figures = [event for event in events if isinstance(event, Measured)][-1].figures
    assert set(figures) == {"heldout/iou", "heldout/iou_labelled", "heldout/iou_drawn"}
    assert MaskTrainSettings().loop.figure in figures
    assert all(0 <= value <= 1 for value in figures.values())
    assert any(path.suffix == ".png" for path in run.previews.iterdir())
    context = Context(device=torch.device("cpu"), weights=WeightStore())
    segmenter = segmentation.load_segmenter(run.path, context)
    assert segmenter.settings.name == "ternausnet"
    assert segmenter(torch.rand(1, 3, 50, 50)).shape == (1, 1, 50, 50)
    write_polygons(faces, faces.records[9], square(faces.records[9]))
    (faces.path / "crops" / faces.records[0].crop).unlink()
    events = list(segmentation.train(run, [FaceSet.open(faces.path)], steps=3))
    assert [event for event in events if isinstance(event, StageDone)][-1].summary["steps"] == 3
    assert any(isinstance(event, Warned) and "have changed" in event.message for event in events)


def test_a_run_starts_from_another_ones_weights(faces, tmp_path):
    for record in faces.records:
        write_polygons(faces, record, square(record))
    first = segmentation.start(settings(), [faces], tmp_path / "first")
    list(segmentation.train(first, [faces]))
    start = Ternausnet(resolution=32, base=2, file=first.path)
    second = segmentation.start(
        settings(segmenter=start, loop=LoopSettings(steps=1)), [faces], tmp_path / "b"
    )
    planned = next(iter(segmentation.train(second, [faces])))
    assert "trained 2 steps" in " ".join(planned.lines)
    other = settings(segmenter=Ternausnet(resolution=32, base=4, file=first.path))
    third = segmentation.start(other, [faces], tmp_path / "c")
    with pytest.raises(CheckpointError, match="another network"):
        list(segmentation.train(third, [faces]))


def test_what_cannot_be_trained_is_refused_before_anything_is_written(faces, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(FaceSetError, match="no face has a label"):
        segmentation.start(settings(), [faces], run)
    with pytest.raises(FaceSetError, match="evaluation"):
        segmentation.start(settings(performers=2, first_performer=TEST_SEEDS_FROM - 2), [], run)
    with pytest.raises(ConfigError, match="cannot be trained"):
        segmentation.start(settings(segmenter=Person(), performers=1), [], run)
    with pytest.raises(ConfigError, match="drawn_share"):
        settings(drawn_share=1.0)
    assert not run.exists()
    run.mkdir()
    (run / "mine.txt").touch()
    with pytest.raises(ConfigError, match="something else"):
        segmentation.start(settings(performers=1), [], run)


def test_performers_of_the_test_half_are_refused_in_face_sets_too(original, tmp_path):
    path = shutil.copytree(original, tmp_path / "set")
    table = (path / "faces.jsonl").read_text()
    (path / "faces.jsonl").write_text(
        table.replace('"performers": [5]', f'"performers": [{TEST_SEEDS_FROM}]')
    )
    with pytest.raises(FaceSetError, match="evaluation"):
        mask_faces.labelled([FaceSet.open(path)])


# ------------------------------------------------------------------------------------------------ applying


@pytest.mark.parametrize(("mode", "side"), [("whole", 96), ("head", 128), ("whole", 32)])
def test_found_masks_lie_on_the_stored_crops(faces, mode, side):
    found = mask_apply.find_masks(red, faces, faces.records[:3], mode=mode, side=side)
    for record, mask in zip(faces.records[:3], found, strict=True):
        wanted = faces.read_crop(record)[..., 0].astype(float)
        inner = slice(4, -4)
        assert mask.shape == (SIZE, SIZE)
        assert np.abs(mask - wanted)[inner, inner].mean() < (12 if side < SIZE else 4)


def test_a_narrower_frame_leaves_the_rest_empty(faces):
    (mask,) = mask_apply.find_masks(red, faces, faces.records[:1], mode="half", side=96)
    assert mask[:4].max() == 0
    assert mask[SIZE // 2, SIZE // 2] > 0


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A place that holds a segmenter that finds what is red."""
    monkeypatch.setattr(mask_apply, "load_segmenter", lambda place, context: RedSegmenter())
    (tmp_path / "weights").write_bytes(b"any")
    return tmp_path / "weights"


def test_apply_goes_on_and_never_writes_over_a_person(faces, run):
    painted, drawn, done, plain = faces.records[:4]
    faces.write_mask(painted, np.full((SIZE, SIZE), 7, np.uint8))
    write_polygons(faces, drawn, square(drawn))
    mask_faces.write_made_mask(faces.mask_path(done), np.zeros((SIZE, SIZE), np.uint8), {"segmenter": "old"})
    events = list(mask_apply.apply_masks(run, faces, batch=3))
    assert events[-1].summary["masks"] == FRAMES - 2
    assert [event.done for event in events if isinstance(event, Progress)][-1] == FRAMES
    assert any(isinstance(event, Saved) and event.path == faces.path / "masks.png" for event in events)
    assert set(np.unique(faces.read_mask(painted))) == {7}
    assert faces.read_mask(done).max() == 0
    assert faces.read_mask(plain).max() > 100
    np.testing.assert_allclose(faces.read_mask(drawn) / 255, square(drawn).mask(drawn, SIZE), atol=0.01)
    made = mask_faces.made_by(faces.mask_path(plain))
    assert made is not None
    assert made["segmenter"] == "ternausnet"
    assert mask_faces.made_by(faces.mask_path(painted)) is None
    assert list(mask_apply.apply_masks(run, faces))[-1].skipped
    list(mask_apply.apply_masks(run, faces, again=True))
    assert faces.read_mask(done).max() > 100
    assert set(np.unique(faces.read_mask(painted))) == {7}


@pytest.mark.parametrize(("measured", "warned"), [([0.95, 0.08], True), ([0.08, 0.95], False), ([], False)])
def test_apply_warns_of_a_network_that_was_poor_on_held_out_faces(faces, run, measured, warned):
    folder = run.parent / "a run"
    (folder / "swapper").mkdir(parents=True)
    run.rename(folder / "swapper" / "weights.safetensors")
    (folder / "recipe.toml").touch()
    lines = [
        {"event": "Measured", "step": step, "figures": {"heldout/iou": value}}
        for step, value in enumerate(measured)
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    messages = [event.message for event in mask_apply.apply_masks(folder, faces) if isinstance(event, Warned)]
    assert len(messages) == warned
    if warned:
        assert "a run: on faces that it had not learned from" in messages[0]
        assert "by 0.08 (intersection over union; 0.9 is good). Look at masks.png" in messages[0]


def test_remove_leaves_what_a_person_did(faces, run):
    painted, drawn = faces.records[:2]
    faces.write_mask(painted, np.full((SIZE, SIZE), 7, np.uint8))
    write_polygons(faces, drawn, square(drawn))
    list(mask_apply.apply_masks(run, faces))
    assert mask_apply.count_masks(faces) == {"polygons": 1, "painted": 1, "made": FRAMES - 2, "without": 0}
    done = list(mask_apply.remove_masks(faces))[-1]
    assert done.summary == {"removed": FRAMES - 1, "left": 1}
    assert mask_apply.count_masks(faces) == {"polygons": 1, "painted": 1, "made": 0, "without": FRAMES - 2}
    list(mask_apply.remove_masks(faces, painted=True))
    assert faces.read_mask(painted) is None
    assert mask_apply.count_masks(faces)["polygons"] == 1


def test_nothing_to_show_is_no_sheet(faces):
    assert list(mask_apply.show_masks(faces)) == []
    assert not (faces.path / "masks.png").exists()


# ------------------------------------------------------------------------------------------------ commands


def test_commands(faces, tmp_path, capsys):
    for record in faces.records:
        write_polygons(faces, record, square(record))
    run = tmp_path / "run"
    words = ["mask", "train", str(faces.path), "-o", str(run), "--steps", "1", "--batch", "2"]
    words += ["--segmenter", "ternausnet", "--segmenter.resolution", "32", "--segmenter.base", "2"]
    words += ["--device", "cpu", "--loop.precision", "fp32", "--loop.threads", "1"]
    assert main(words) == 0
    assert main(["mask", "train", str(faces.path), "-o", str(run), "--steps", "2"]) == 0
    assert json.loads((run / "status.json").read_text())["step"] == 2
    assert main(["mask", "apply", str(faces.path), "--segmenter", str(run), "--device", "cpu"]) == 0
    assert main(["mask", "show", str(faces.path), "-o", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").is_file()
    assert main(["mask", "remove", str(faces.path)]) == 0
    assert not list((faces.path / "masks").glob("*.png"))
    assert main(["mask", "aply", str(faces.path)]) == 1
    assert main(["mask", "apply", str(faces.path)]) == 1
    assert "did you mean 'apply'" in capsys.readouterr().err

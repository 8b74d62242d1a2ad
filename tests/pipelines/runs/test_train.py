"""Training from face sets: what is held out, what is measured, what is not needed."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from drawn_sets import SIZE, TINY, draw_set, points_of
from understudy import config
from understudy.contracts import Landmarks, Region
from understudy.errors import CheckpointError, ConfigError
from understudy.events import Planned, Progress, StageDone, StageStarted, Warned
from understudy.faces.faceset import FaceSet
from understudy.learning import Drawing
from understudy.pipelines import measuring
from understudy.pipelines.measuring import Lent, SwapMeter, View
from understudy.pipelines.runs import train as training
from understudy.pipelines.runs.faces import divide, hold_out
from understudy.pipelines.runs.train import TrainSettings
from understudy.training.rundir import RunFolder


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceSet, FaceSet]:
    folder = tmp_path_factory.mktemp("sets")
    return (
        draw_set(folder / "source", 60, (200, 150, 120), seed=1, vector=1.0),
        draw_set(folder / "target", 80, (140, 110, 90), seed=2, vector=3.0),
    )


def settings(**changes: object) -> TrainSettings:
    return config.merge(config.merge(TrainSettings(), TINY), changes)


def lend(lent: Lent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "lend", lambda context: lent)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No networks to measure with."""
    lend(Lent(embedder=None, landmarker=None, lacking=("this", "that")), monkeypatch)


def figures_of(run: RunFolder) -> dict[str, float]:
    return [line["figures"] for line in run.history() if line["event"] == "Measured"][-1]


@pytest.mark.usefixtures("bare")
def test_a_run_from_face_sets_to_figures(sets, tmp_path):
    source, target = sets
    run = training.start(settings(), source, target, tmp_path)
    events = list(training.train(run, source, target))
    first = next(e for e in events if isinstance(e, StageStarted))
    assert (first.stage, first.total) == ("faces", 54 + 72)
    planned, needed = [e for e in events if isinstance(e, Planned)]
    assert re.fullmatch(r"needs about [\d.]+ GB, this machine has [\d.]+", needed.lines[0])
    assert "54 faces of the source and 72 of the target" in planned.lines[0]
    (warned,) = [e.message for e in events if isinstance(e, Warned)]
    assert "without this and without that" in warned
    assert isinstance(events[-1], StageDone)
    figures = figures_of(run)
    assert figures.keys() == {f"heldout/{w}_{p}" for w in ("psnr", "ssim") for p in ("source", "target")}
    assert 5 < figures["heldout/psnr_source"] < 30
    assert not (run.path / "cache").exists()


@pytest.mark.usefixtures("bare")
def test_held_out_faces_are_chosen_once_and_never_learned_from(sets, tmp_path):
    source, target = sets
    run = training.start(settings(), source, target, tmp_path)
    first = divide(sets, hold_out(run, sets, 16, 0))
    written = json.loads((run.path / "held_out.json").read_text())
    for name, division in zip(("source", "target"), first, strict=True):
        kept = set(written[name]["kept"])
        assert {r.crop for r in division.measured} == set(written[name]["measured"]) <= kept
        assert not kept & {r.crop for r in division.learned}
        assert division.measured
    again = divide(sets, hold_out(run, sets, 5, 99))  # what was written holds
    assert [r.crop for r in again[0].learned] == [r.crop for r in first[0].learned]
    (run.path / "held_out.json").write_text("[1]")
    with pytest.raises(CheckpointError, match=r"held_out\.json: damaged"):
        hold_out(run, sets, 16, 0)


@pytest.mark.usefixtures("bare")
def test_a_run_of_an_earlier_version_holds_nothing_out_when_it_goes_on(sets, tmp_path):
    source, target = sets
    run = training.start(settings(), source, target, tmp_path)
    recipe = run.recipe
    del recipe["train"]["held_out"]
    (run.path / "recipe.toml").write_text(config.to_toml(recipe))
    events = list(training.train(run, source, target))
    assert "60 faces of the source" in next(e for e in events if isinstance(e, Planned)).lines[0]
    assert figures_of(run).keys() == {"psnr_source", "psnr_target"}


@pytest.mark.usefixtures("bare")
def test_faces_in_a_file_are_learned_from_just_so(sets, tmp_path):
    source, target = sets
    losses: list[list[float]] = []
    for memory in (0.5, 0.0):
        run = training.start(settings(memory=memory), source, target, tmp_path)
        losses.append([])
        there: list[int] = []
        for _ in range(2):
            asked = iter(range(9))
            for event in training.train(run, source, target, stop=lambda asked=asked: next(asked) == 2):
                if isinstance(event, Progress) and event.stage == "train":
                    losses[-1].append(event.values["loss"])
            there.append(len(list(run.path.glob("cache/*.bin"))))
        assert there == ([2, 0] if memory == 0 else [0, 0])  # kept while the run may go on, and no longer
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4


@pytest.mark.usefixtures("bare")
def test_colours_and_poses_are_changed_by_plugins_and_settings(sets, tmp_path):
    source, target = sets
    seen = []
    for changes in ({}, {"color_transfer": "reinhard"}, {"sampling": "pose"}, {"augmentation": {"hsv": 0.3}}):
        run = training.start(settings(loop={"steps": 1}, **changes), source, target, tmp_path)
        events = list(training.train(run, source, target))
        progress = next(e for e in events if isinstance(e, Progress) and e.stage == "train")
        seen.append(progress.values["mse_source"])
    assert len(set(seen)) == 4


@pytest.mark.parametrize("wrong", [{"held_out": -1}, {"memory": 1.5}, {"memory": -0.1}, {"batch": 0}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        settings(**wrong)


# ------------------------------------------------------------------------------------------------ figures


class Eyes:
    """A landmarker that sees the mouth's middle only: the brighter, the wider open and the more turned."""

    def __init__(self, view: View) -> None:
        self.place = view.points[[13, 14], :2].mean(0)

    def region_of_detection(self, detection: object) -> Region:
        raise AssertionError("nothing is detected")

    def region_of_points(self, points: np.ndarray) -> Region:
        return Region(center=(0.0, 0.0), side=1.0)

    def __call__(self, image: np.ndarray, regions: list[Region]) -> list[Landmarks]:
        x, y = self.place.astype(int)
        value = float(image[y, x, 0]) / 255
        return [
            Landmarks(points=points_of(20 * value, 0, 1.2 * value), presence=1.0 if value < 0.99 else 0.2)
        ]


class Mean:
    """An embedder that knows a face by its mean colour."""

    side, dimension, same_person = 8, 3, 0.1

    def crop_matrix(self, points: np.ndarray) -> np.ndarray:
        return np.array([[8 / SIZE, 0, 0], [0, 8 / SIZE, 0]])

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        return crops.mean((2, 3))


@pytest.fixture
def views(sets) -> list[View]:
    _, target = sets
    return [View.of(target, record, settings().model) for record in target.for_training()[:5]]


def swapped(values: list[float], mask: float = 1.0) -> Drawing:
    face = torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    return Drawing(face, torch.full((len(values), 1, 32, 32), mask))


def test_a_swap_lies_where_the_model_drew_it(views):
    view = views[0]
    empty = view.paste(np.ones((32, 32, 3), np.float32), np.zeros((32, 32), np.float32))
    assert np.array_equal(empty, view.picture)
    full = view.paste(np.ones((32, 32, 3), np.float32), np.ones((32, 32), np.float32))
    share = (full[..., 0] - view.picture[..., 0].astype(float)) / (255.0 - view.picture[..., 0])
    changed = share > 0.5
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    linear = view.square[:, :2]
    inside = (corners - view.square[:, 2]) @ np.linalg.inv(linear).T
    area = abs(np.linalg.det(linear)) ** -1
    assert changed.sum() == pytest.approx(area, rel=0.06)
    ys, xs = np.nonzero(changed)
    assert (xs.min(), ys.min()) == pytest.approx(inside.min(0), abs=1.5)
    assert (xs.max() + 1, ys.max() + 1) == pytest.approx(inside.max(0), abs=1.5)


def test_identity_is_the_distance_to_both_persons(views):
    meter = SwapMeter(views, embedder=Mean(), persons=(np.ones(3), np.zeros(3)))
    white, black = meter(swapped([1.0] * 5)), meter(swapped([0.0] * 5))
    assert white.keys() == {"identity_to_source", "identity_to_target"}
    assert white["identity_to_source"] < black["identity_to_source"]
    assert white["identity_to_target"] > black["identity_to_target"]
    total = white["identity_to_source"] + white["identity_to_target"]
    assert total == pytest.approx(np.sqrt(3), abs=0.02)  # grey: both lie on one line


def test_pose_and_mouth_are_compared_with_those_of_the_target(views):
    meter = SwapMeter(views, landmarker=Eyes(views[0]), spread=np.full(11, 0.1))
    meter._before = [points_of(20 * value, 0, 1.2 * value) for value in (0.1, 0.3, 0.5, 0.7, 0.9)]
    same = meter(swapped([0.1, 0.3, 0.5, 0.7, 0.9]))
    assert same["found"] == 1.0
    assert same["pose_error"] == pytest.approx(0, abs=0.3)
    assert same["mouth_correlation"] == pytest.approx(1, abs=1e-3)
    assert same["expression_error"] < 0.05
    other = meter(swapped([0.9, 0.7, 0.5, 0.3, 0.1]))
    assert other["mouth_correlation"] == pytest.approx(-1, abs=1e-3)
    assert other["pose_error"] == pytest.approx(np.mean([16, 8, 0, 8, 16]), abs=0.5)
    assert other["expression_error"] > 0.1 + 5 * same["expression_error"]
    lost = meter(swapped([1.0, 1.0, 1.0, 1.0, 0.9]))
    assert lost["found"] == 0.2
    assert "expression_error" not in lost
    assert meter(swapped([1.0] * 5)) == {"found": 0.0}


def test_no_figures_of_identity_without_vectors_of_that_kind(sets):
    source, target = sets
    lent = Lent(embedder=Mean(), landmarker=None, lacking=())  # its vectors have 3 numbers, the sets' have 4
    assert (
        measuring.make_meter(lent, source, target, target.records[:2], settings().model, np.ones(11)) is None
    )


def test_without_a_library_training_goes_on_without_its_figures(sets, tmp_path):
    """PyAV, LiteRT and dlib cannot be imported; nothing has loaded them before."""
    source, target = sets
    run = training.start(settings(), source, target, tmp_path)
    program = f"""
import sys
for name in ("av", "ai_edge_litert", "dlib", "tyro", "rich"):
    sys.modules[name] = None
from pathlib import Path
from understudy.faces.faceset import FaceSet
from understudy.pipelines.runs.train import train
from understudy.training.rundir import RunFolder
sets = [FaceSet.open(Path(path)) for path in {[str(source.path), str(target.path)]!r}]
for event in train(RunFolder(Path({str(run.path)!r})), *sets):
    print(type(event).__name__, getattr(event, "message", ""))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert lines[-1].strip() == "StageDone"
    (warned,) = [line for line in lines if line.startswith("Warned")]
    assert "pose and expression (ai_edge_litert" in warned

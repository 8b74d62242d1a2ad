"""From face sets and performers to a file of weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from drawn_sets import draw_set
from understudy.cli.main import main
from understudy.contracts import Context
from understudy.enhancers.none import NoEnhancer
from understudy.enhancers.superres import SuperResolution
from understudy.errors import CheckpointError, ConfigError, FaceSetError
from understudy.events import Measured, Planned, StageDone, Warned
from understudy.faces.faceset import FaceSet
from understudy.performers import TEST_SEEDS_FROM
from understudy.pipelines.runs import enhance_show, enhancer
from understudy.pipelines.runs.enhancer import EnhanceTrainSettings, sharp_faces
from understudy.training.loop import LoopSettings
from understudy.training.rundir import load_swapper_files
from understudy.weights import WeightStore

TINY = EnhanceTrainSettings(
    batch=2,
    device="cpu",
    enhancer=SuperResolution(width=4, depth=1),
    resolution=64,
    crop="whole",
    patch=8,
    loop=LoopSettings(steps=2, precision="fp32", threads=1, preview_every=0.0),
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> FaceSet:
    return draw_set(tmp_path_factory.mktemp("faces") / "set", 12, (200, 150, 120))


def test_a_run_trains_goes_on_and_is_asked(faces, tmp_path):
    run = enhancer.start(TINY, [faces], tmp_path / "run")
    assert enhancer.settings_of(run) == TINY
    events = list(enhancer.train(run, [faces]))
    (plan,) = [event for event in events if isinstance(event, Planned)]
    assert "held out" in plan.lines[0]
    (measured,) = [event for event in events if isinstance(event, Measured)]
    assert "heldout/gain" in measured.figures
    events = list(enhancer.train(run, [faces], steps=3))
    assert [e.summary["steps"] for e in events if isinstance(e, StageDone) and e.stage == "train"] == [3]
    built = SuperResolution(file=run.path).build(Context(device=torch.device("cpu"), weights=WeightStore()))
    assert built(torch.rand(1, 3, 16, 16)).shape == (1, 3, 64, 64)


def test_performers_are_drawn(tmp_path, monkeypatch):
    """As many as asked for, those that are measured on behind them."""
    asked = []

    def draw(first, performers, each, mode, side):
        asked.append((first, performers, each, mode, side))
        for _ in range(performers * each):
            yield dataclasses.make_dataclass("Drawn", ["picture"])(np.full((side, side, 3), 90, np.uint8))

    monkeypatch.setattr(enhancer, "draw_faces", draw)
    settings = dataclasses.replace(TINY, performers=4, first_performer=50, faces_each=2, held_out=0.25)
    list(enhancer.train(enhancer.start(settings, [], tmp_path / "run"), []))
    assert asked == [(50, 4, 2, "whole", 64), (54, 1, 2, "whole", 64)]


def test_small_faces_are_left_out(faces):
    every = sharp_faces([faces], TINY)
    assert len(every) == 12
    assert len(sharp_faces([faces], dataclasses.replace(TINY, most_faces=5))) == 5
    with pytest.raises(FaceSetError, match=r"sharp enough to learn 256 pixels.*--resolution \d+"):
        sharp_faces([faces], dataclasses.replace(TINY, resolution=256))


def test_nothing_to_learn_from(tmp_path):
    with pytest.raises(FaceSetError, match="nothing to learn from"):
        enhancer.start(TINY, [], tmp_path / "run")
    with pytest.raises(FaceSetError, match="test half"):
        enhancer.start(
            dataclasses.replace(TINY, performers=2, first_performer=TEST_SEEDS_FROM), [], tmp_path / "run"
        )
    with pytest.raises(ConfigError, match="cannot be trained"):
        enhancer.trainable(NoEnhancer())


def test_other_places_are_refused(faces, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "film.mp4").touch()
    with pytest.raises(ConfigError, match="something else"):
        enhancer.start(TINY, [faces], tmp_path / "full")
    run = enhancer.start(TINY, [faces], tmp_path / "run")
    (run.path / "recipe.toml").write_text("[mask]\n")
    with pytest.raises(CheckpointError, match="not of an enhancer"):
        enhancer.settings_of(run)


def test_other_faces_are_said(faces, tmp_path):
    run = enhancer.start(TINY, [faces], tmp_path / "run")
    other = draw_set(tmp_path / "other", 6, (90, 90, 200), seed=4)
    assert any(isinstance(event, Warned) for event in enhancer.train(run, [other]))


@pytest.mark.parametrize("changes", [{"batch": 0}, {"held_out": 1.0}, {"resolution": 50}, {"performers": -1}])
def test_settings_out_of_reach(changes):
    with pytest.raises(ConfigError):
        EnhanceTrainSettings(**changes)


# ------------------------------------------------------------------------------------------- the command


def test_the_command_trains_into_a_file_and_shows(faces, tmp_path):
    file = tmp_path / "enhancer.safetensors"
    words = ["enhance", "train", str(faces.path), "-o", str(file), "--steps", "2", "--resolution", "64"]
    words += ["--crop", "whole", "--patch", "8", "--batch", "2", "--enhancer.width", "4", "--device", "cpu"]
    words += ["--enhancer.depth", "1", "--loop.threads", "1", "--loop.precision", "fp32"]
    assert main(words) == 0
    assert load_swapper_files(file).step == 2
    assert main([*words[:5], "--steps", "3"]) == 0, "it goes on with its own recipe"
    assert load_swapper_files(file).step == 3
    sheet = tmp_path / "sheet.png"
    assert main(["enhance", "show", str(faces.path), "--enhancer.file", str(file), "-o", str(sheet)]) == 0
    assert sheet.stat().st_size > 1000


@pytest.mark.parametrize("words", [["tarin"], ["train"], ["show"], ["train", "-o", "x"], ["show", "nowhere"]])
def test_mistakes_have_no_traceback(words, capsys):
    assert main(["enhance", *words]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_nothing_is_shown_of_nothing(faces, tmp_path):
    with pytest.raises(ConfigError, match="draws nothing"):
        list(enhance_show.show(faces, NoEnhancer(), tmp_path / "sheet.png"))

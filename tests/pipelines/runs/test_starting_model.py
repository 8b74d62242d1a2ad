"""The starting model that comes with understudy."""

from __future__ import annotations

from pathlib import Path

import pytest

from drawn_sets import draw_set
from understudy import config
from understudy.errors import CheckpointError, ConfigError
from understudy.events import Warned
from understudy.models import MODELS
from understudy.pipelines.runs.starting import pack_start, prepare, read_start, shipped
from understudy.pipelines.runs.train import TrainSettings, start, train
from understudy.pipelines.setup import make_context
from understudy.training.rundir import SwapperFiles, save_swapper


def test_the_starting_model_for_recipe_cpu_fits_it():
    settings = config.merge(TrainSettings(), config.read_recipe("cpu")["train"])
    file = shipped("cpu")
    assert file.stat().st_size <= 10e6
    given = prepare(settings.model, file, "error", make_context("cpu"))
    assert given.about["fresh"] == given.about["not_used"] == []
    assert given.about["kind"] == "starting model"
    stated = {k: v for k, v in config.dump(settings.model).items() if k != "name"}
    assert given.about["settings"] == stated


def test_a_model_of_another_size_does_without_and_says_so(tmp_path: Path):
    source, target = (draw_set(tmp_path / n, 20, c) for n, c in (("a", (200, 150, 120)), ("b", (90, 70, 60))))
    changes = {**config.read_recipe("cpu")["train"], "starting": "cpu", "held_out": 0}
    changes["loop"] = {"steps": 1, "threads": 1}
    changes["model"] = {**changes["model"], "resolution": 32, "e_dims": 8, "d_dims": 8}
    run = start(config.merge(TrainSettings(), changes), source, target, tmp_path / "runs")
    assert "start" not in run.origin
    said = [event.message for event in train(run, source, target) if isinstance(event, Warned)]
    assert any("the starting model 'cpu' is for other settings" in message for message in said)
    asked = config.merge(TrainSettings(), {**changes, "starting": "none"})
    with pytest.raises(CheckpointError, match="weights do not fit"):
        start(asked, source, target, tmp_path / "runs", start_from=shipped("cpu"))


def test_names_of_starting_models():
    with pytest.raises(ConfigError, match=r"no starting model is named 'cup' \(there are: none, cpu\)"):
        shipped("cup")


def test_packed_swappers_are_read_as_they_were(tmp_path: Path):
    settings = {"resolution": 32, "options": "d", "e_dims": 4, "ae_dims": 8, "d_dims": 4, "d_mask_dims": 2}
    model = MODELS["df"](**settings).build(make_context("cpu"))
    weights = dict(model.state_dict())
    save_swapper(tmp_path / "swapper", SwapperFiles(model="df", settings=settings, weights=weights, step=5))
    pack_start(tmp_path / "swapper", tmp_path / "packed.safetensors")
    given = read_start(tmp_path / "packed.safetensors")
    assert (given.about["model"], given.about["step"]) == ("df", 5)
    for name, weight in weights.items():
        expected = weights[name.replace("decoder_target", "decoder_source")]
        off = float((given.weights[name] - expected).abs().max())
        assert off <= float(expected.abs().max()) / 250 + 1e-6, (name, weight.shape)

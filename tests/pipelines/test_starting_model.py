"""The starting model that comes with understudy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from understudy import config
from understudy.errors import CheckpointError, ConfigError
from understudy.models import MODELS
from understudy.pipelines.setup import make_context
from understudy.pipelines.starting import pack_start, prepare, read_start, shipped
from understudy.pipelines.train import TrainSettings
from understudy.training.rundir import SwapperFiles, save_swapper


def test_recipe_cpu_begins_with_a_model_that_fits_it():
    settings = config.merge(TrainSettings(), config.read_recipe("cpu")["train"])
    file = shipped(settings.starting)
    assert file.stat().st_size <= 10e6
    given = prepare(settings.model, file, "error", make_context("cpu"))
    assert given.about["fresh"] == given.about["not_used"] == []
    assert given.about["kind"] == "starting model"
    stated = {k: v for k, v in config.dump(settings.model).items() if k != "name"}
    assert given.about["settings"] == stated


def test_a_model_of_another_size_is_told_what_to_do():
    settings = config.merge(TrainSettings(), config.read_recipe("cpu")["train"])
    other = dataclasses.replace(settings.model, e_dims=16)
    with pytest.raises(CheckpointError, match="do without a recipe's starting model: starting none"):
        prepare(other, shipped("cpu"), "error", make_context("cpu"))
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

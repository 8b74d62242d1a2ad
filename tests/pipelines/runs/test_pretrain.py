"""A crowd of performers, and a model that learns from it; interrupted, it goes on as if it had not been."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from understudy import config
from understudy.errors import ConfigError
from understudy.events import StageStarted
from understudy.pipelines.runs import pretrain as pretraining
from understudy.pipelines.runs.crowd import CrowdSettings, draw_crowd
from understudy.pipelines.runs.pretrain import PretrainSettings
from understudy.training.augment import store_side

TINY = {
    "batch": 2,
    "model": {"name": "df", "resolution": 32, "options": "d", "e_dims": 4, "ae_dims": 12, "d_dims": 4,
              "d_mask_dims": 2},
    "crowd": {"performers": 2, "faces": 3, "first_seed": 40},
    "losses": {"dssim": {}, "mse": {}, "expression": {}},
}  # fmt: skip


def settings() -> PretrainSettings:
    return config.merge(PretrainSettings(), TINY)


@pytest.fixture(scope="module")
def crowd():
    drawing = draw_crowd(settings().crowd, settings().model, store_side(32))
    while True:
        try:
            next(drawing)
        except StopIteration as end:
            return end.value


def test_a_crowd_is_framed_for_the_model(crowd):
    side = store_side(32)
    assert crowd.faces.shape == (6, 5, side, side)
    assert crowd.expressions.shape == (6, 11)
    assert crowd.persons.tolist() == [40, 40, 40, 41, 41, 41]
    hull, features = crowd.faces[:, 3], crowd.faces[:, 4]
    # the face fills the middle, the features lie in it, and every moment is another
    assert (hull[:, side // 2, side // 2] == 255).all()
    assert ((hull > 0).mean((1, 2)) > 0.2).all()
    assert (features <= hull).all()
    assert (features > 0).any((1, 2)).all()
    assert len(np.unique(crowd.faces.reshape(6, -1), axis=0)) == 6
    assert crowd.expressions.std(0).max() > 0.05


def test_two_persons_at_least_and_none_of_the_test_half():
    with pytest.raises(ConfigError, match="2 performers or more"):
        CrowdSettings(performers=1)
    with pytest.raises(ConfigError, match="test half"):
        CrowdSettings(first_seed=999_990, performers=20)


def test_pretraining_goes_on_where_it_stopped_and_draws_once(tmp_path: Path):
    whole = pretraining.start(settings(), tmp_path / "whole")
    list(pretraining.pretrain(whole, steps=4))
    parts = pretraining.start(settings(), tmp_path / "parts")
    asked = itertools.count()
    list(pretraining.pretrain(parts, steps=4, stop=lambda: next(asked) >= 2))
    assert not (parts.checkpoints / "00000004").exists()
    again = list(pretraining.pretrain(parts, steps=4))
    assert [e.stage for e in again if isinstance(e, StageStarted)] == ["train"]
    first, second = (
        (folder.path / "checkpoints" / "00000004" / "weights.safetensors").read_bytes()
        for folder in (whole, parts)
    )
    assert first == second
    assert (whole.swapper / "swapper.toml").is_file()

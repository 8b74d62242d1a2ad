"""What every segmenter promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from drawn_face import draw_face
from understudy.contracts import Context
from understudy.segmenters import SEGMENTERS
from understudy.segmenters.person import Person
from understudy.training.rundir import SwapperFiles, save_swapper
from understudy.training.segmenter import TrainableSegmenter
from understudy.weights import WeightStore


@pytest.fixture(scope="module")
def context():
    store = WeightStore()
    list(store.fetch())
    return Context(device=torch.device("cpu"), weights=store)


def settings_of(name: str, folder: Path):
    """Default settings; one that a user trains gets a small network with random weights."""
    plugin = SEGMENTERS[name]
    if not issubclass(plugin, TrainableSegmenter):
        return plugin()
    small = plugin(resolution=64, base=2)
    weights = dict(small.network().state_dict())
    save_swapper(folder, SwapperFiles(model=name, settings=small.described(), weights=weights, step=1))
    return plugin(file=folder)


@pytest.mark.parametrize("name", SEGMENTERS.names())
@pytest.mark.parametrize("side", [96, 256, 300])
def test_shape_and_range(name, side, context, tmp_path):
    crops = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    mask = settings_of(name, tmp_path).build(context)(crops)
    assert mask.shape == (2, 1, side, side)
    assert mask.dtype == crops.dtype
    assert 0 <= float(mask.min()) <= float(mask.max()) <= 1


def test_person_stands_out_from_the_background(context):
    picture = torch.from_numpy(draw_face()).permute(2, 0, 1)[None].float() / 255
    mask = Person().build(context)(picture)[0, 0]
    assert float(mask[200:400, 200:310].mean()) > 0.8
    assert float(mask[:60].mean()) < 0.2
    assert float(mask[:, :60].mean()) < 0.2

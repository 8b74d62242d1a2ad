"""What every enhancer promises, and the network that comes with one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from understudy.contracts import Context
from understudy.enhancers import ENHANCERS
from understudy.enhancers.superres import SuperResolution, enlarged
from understudy.errors import CheckpointError, ConfigError, WeightsError
from understudy.metrics.structure import psnr
from understudy.performers.performer import Performer
from understudy.performers.renderer import render
from understudy.performers.scene import Scene
from understudy.performers.state import State
from understudy.pipelines.compositing.detail import enlarge
from understudy.training import enhancer
from understudy.training.degrade import Degradation, degrade
from understudy.training.enhancer import TrainableEnhancer, weights_file, write_enhancer
from understudy.training.rundir import SwapperFiles, load_swapper_files, save_swapper
from understudy.weights import WeightStore

SMALL = SuperResolution(width=4, depth=2)


@pytest.fixture(scope="module")
def context() -> Context:
    return Context(device=torch.device("cpu"), weights=WeightStore())


def deliver(settings: SuperResolution, folder: Path, scale: float = 0.05) -> Path:
    """A run's weights, random where a new network has nothing."""
    torch.manual_seed(1)
    weights = {
        name: weight + scale * torch.randn_like(weight)
        for name, weight in settings.network().state_dict().items()
    }
    files = SwapperFiles(model=settings.name, settings=settings.described(), weights=weights, step=9)
    save_swapper(folder / "swapper", files)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return deliver(SMALL, tmp_path_factory.mktemp("run"))


@pytest.fixture(params=ENHANCERS.names())
def plugin(request, run):
    settings = ENHANCERS[request.param]()
    return dataclasses.replace(settings, file=run) if isinstance(settings, TrainableEnhancer) else settings


def faces(count: int = 2, side: int = 20) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(4))


def test_both_are_there():
    assert ENHANCERS.names() == ["none", "superres"]


def test_faces_come_back_at_the_wanted_size(plugin):
    for size in (9, 20, 33, 80, 200):
        made = enlarge(faces(), size, plugin)
        assert made.shape == (2, 3, size, size)
        assert made.dtype == torch.float32
        assert 0 <= made.min() <= made.max() <= 1
        assert not made.requires_grad


def test_no_faces(plugin):
    assert enlarge(faces(0), 40, plugin).shape == (0, 3, 40, 40)


def test_again_is_the_same_and_the_input_stays(plugin):
    given = faces()
    before = given.clone()
    assert torch.equal(enlarge(given, 50, plugin), enlarge(given, 50, plugin))
    assert torch.equal(given, before)


def test_an_item_does_not_depend_on_its_company(plugin):
    together = enlarge(faces(), 64, plugin)
    alone = torch.cat([enlarge(face, 64, plugin) for face in faces().split(1)])
    torch.testing.assert_close(together, alone, atol=2e-2, rtol=0)  # bfloat16 where the machine has it


def test_what_it_builds_enlarges_evenly(plugin, context):
    built = plugin.build(context)
    if built is None:
        return
    height, width = (
        length / given
        for length, given in zip(built(torch.rand(1, 3, 12, 16)).shape[-2:], (12, 16), strict=True)
    )
    assert height == width > 1


# ------------------------------------------------------------------------------------------- the network


@pytest.mark.parametrize("factor", [2, 4])
def test_a_new_network_interpolates(factor):
    network = SuperResolution(width=4, depth=1, factor=factor).network()
    torch.testing.assert_close(network(faces()), enlarged(faces(), factor))


def test_gradient_reaches_every_weight():
    torch.manual_seed(0)
    network = SMALL.network()
    torch.nn.init.normal_(network.up.weight, std=0.1)
    network(faces()).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_size_of_the_network():
    """Head, six blocks of two convolutions, tail, and the sub-pixel convolution to 4 x 4 RGB pixels."""
    wanted = (27 + 1) * 32 + (6 * 2 + 1) * (9 * 32 + 1) * 32 + (9 * 32 + 1) * 48
    counted = sum(parameter.numel() for parameter in SuperResolution().network().parameters())
    assert counted == wanted < 1_000_000


def test_sub_pixels_land_where_they_belong():
    network = SuperResolution(width=1, depth=1).network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.up.bias[0] = 1.0  # the red pixel at the top left of every 4 x 4
    added = network(torch.zeros(1, 3, 5, 5))[0]
    assert added[0, ::4, ::4].eq(1).all()
    assert added.sum() == 25


def test_amount(run, context):
    none, half, all_of_it = (
        SuperResolution(file=run, amount=amount).build(context)(faces()) for amount in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(none, enlarged(faces(), 4).clamp(0, 1))
    inside = (all_of_it > 0.02) & (all_of_it < 0.98) & (none > 0.02) & (none < 0.98)
    torch.testing.assert_close(half[inside], (0.5 * none + 0.5 * all_of_it)[inside], atol=1e-2, rtol=0)
    assert (all_of_it - none).abs().max() > 0.02


# ------------------------------------------------------------------------------------------- files


def test_the_network_of_the_package_is_better_than_interpolation():
    """On a performer that it was not trained on, four times smaller and soft."""
    drawn = render(Performer.from_seed(310_000), State(yaw=10.0), Scene.from_seed(3), 256)
    truth = torch.from_numpy(drawn.picture).permute(2, 0, 1)[None, :, 64:224, 48:208].contiguous()
    how = Degradation(least_blur=0.6, most_blur=0.7, noise=0.0, jpeg=0.0)
    small = degrade(truth, 4, np.random.default_rng(0), how)
    cubic, network = (psnr(enlarge(small, 160, ENHANCERS[name]()), truth) for name in ("none", "superres"))
    assert float(network) > float(cubic) + 1.0
    assert weights_file(None).stat().st_size < 2_000_000


def test_a_file_says_what_its_network_is(tmp_path, run, context):
    """In half precision, whatever the settings that load it say."""
    file = tmp_path / "new" / "enhancer.safetensors"
    write_enhancer(run, file)
    loaded = SuperResolution(file=file, width=77, factor=2).build(context)
    assert loaded.factor == 4
    original = load_swapper_files(weights_file(run)).weights
    for name, weight in loaded.network.state_dict().items():
        torch.testing.assert_close(weight, original[name], atol=1e-3, rtol=1e-3)
    assert load_swapper_files(file).step == 9


def test_weights_of_something_else(tmp_path, context):
    files = SwapperFiles(model="xseg", settings={}, weights={"a": torch.zeros(1)}, step=1)
    save_swapper(tmp_path, files)
    with pytest.raises(CheckpointError, match=r"weights of 'xseg', wanted those of 'superres'"):
        SuperResolution(file=tmp_path).build(context)
    with pytest.raises(CheckpointError):
        SuperResolution(file=tmp_path / "missing.safetensors").build(context)


def test_settings_that_do_not_fit_the_weights(tmp_path, context):
    weights = SMALL.network().state_dict()
    files = SwapperFiles(model="superres", settings={"width": 6, "depth": 2}, weights=weights, step=1)
    save_swapper(tmp_path, files)
    with pytest.raises(CheckpointError, match="this version can use"):
        SuperResolution(file=tmp_path).build(context)


def test_a_run_starts_from_other_weights(run):
    network = SMALL.network()
    assert SMALL.start(network) == 0
    assert dataclasses.replace(SMALL, file=run).start(network) == 9
    with pytest.raises(CheckpointError, match="another network"):
        SuperResolution(file=run, width=6).start(SuperResolution(width=6).network())


def test_an_installation_without_a_network(monkeypatch):
    monkeypatch.setattr(enhancer, "ASSET", "nothing.safetensors")
    with pytest.raises(WeightsError, match="enhance train"):
        weights_file(None)


@pytest.mark.parametrize("changes", [{"factor": 3}, {"amount": 1.5}, {"width": 0}])
def test_settings_out_of_reach(changes):
    with pytest.raises(ConfigError):
        SuperResolution(**changes)

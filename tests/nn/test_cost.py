from __future__ import annotations

import pytest
import torch
from torch import nn

from understudy.contracts import Context
from understudy.models import MODELS
from understudy.nn import window
from understudy.nn.cost import count_parameters, measure_cost
from understudy.nn.hollow import hollow

CPU = torch.device("cpu")


class TwoParts(nn.Module):
    """A part that is called, twice, and one whose own layer is called."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.second = nn.Sequential(nn.Linear(8 * 16 * 16, 10))
        self.unused = nn.Linear(4, 4)
        self.shared = self.first

    def forward(self, x):
        once = self.first(x)
        with torch.autocast(x.device.type, enabled=False):
            self.first(x.float())
        return self.second[0](once.flatten(1))


def test_counts_by_formula_and_by_part():
    cost = measure_cost(TwoParts(), (2, 3, 32, 32))
    convolution = 2 * (16 * 16 * 8) * (3 * 5 * 5)  # pictures x outputs x products an output
    dense = 2 * 10 * (8 * 16 * 16)
    assert cost.macs == 2 * convolution + dense
    assert cost.parameters == (8 * 75 + 8) + (10 * 2048 + 10) + 20, "a part that stands twice counts once"
    parts = {part.name: part for part in cost.parts}
    assert parts["first"].macs == 2 * convolution
    assert parts["second"].macs == dense, "its layer is called, not itself"
    assert (parts["second"].parameters, parts["second"].outputs) == (20490, ((2, 10),))
    assert (parts["unused"].macs, parts["unused"].outputs) == (0, ())


def test_df_by_the_figures_of_its_layers():
    with torch.device("meta"):
        model = MODELS["df"](resolution=64, options="", e_dims=8, ae_dims=16, d_dims=8, d_mask_dims=4).build(
            Context(device=torch.device("meta"), weights=None)
        )
    cost = measure_cost(model, (1, 3, 64, 64), call=model.swap)
    encoder = sum(
        25 * inputs * outputs * side**2
        for inputs, outputs, side in ((3, 8, 32), (8, 16, 16), (16, 32, 8), (32, 64, 4))
    )
    found = {part.name: part for part in cost.parts}
    assert found["encoder"].macs == encoder
    assert found["encoder"].outputs == ((1, 64 * 4 * 4),)
    assert found["decoder_target"].macs == 0
    assert cost.macs == sum(part.macs for part in cost.parts)
    assert all(parameter.device.type == "meta" for parameter in model.parameters())


def test_nothing_is_left_behind():
    network = TwoParts()
    weights = list(network.parameters())
    before = [weight.clone() for weight in weights]
    state = torch.get_rng_state()
    picture = torch.rand(1, 3, 32, 32)
    torch.set_rng_state(state)
    with hollow([network], CPU):
        network(torch.empty(1, 3, 32, 32)).sum().backward()
        window.gaussian_blur(torch.empty(1, 1, 16, 16), 2.0)
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(a is b for a, b in zip(network.parameters(), weights, strict=True))
    assert all(weight.grad is None for weight in weights)
    assert all(torch.equal(a, b) for a, b in zip(weights, before, strict=True))
    assert network.shared is network.first
    assert type(network(picture)) is torch.Tensor
    blurred = window.gaussian_blur(torch.ones(1, 1, 16, 16), 2.0)
    assert float(blurred[0, 0, 8, 8]) == pytest.approx(1.0), "the cached window is real again"


def test_weights_come_back_after_an_error():
    network = TwoParts()
    with pytest.raises(ZeroDivisionError), hollow([network], CPU):
        raise ZeroDivisionError
    assert network(torch.rand(1, 3, 32, 32)).isfinite().all()


def test_parameters_are_counted_once():
    layer = nn.Linear(3, 4)
    assert count_parameters(nn.Sequential(layer, nn.ReLU(), layer)) == 16

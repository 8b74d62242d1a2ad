from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from understudy.errors import ConfigError
from understudy.training.average import AverageSettings, WeightAverage
from understudy.training.optim import AdaBelief, OptimizerSettings, Stepper

GRADIENTS = np.random.default_rng(0).normal(size=(5, 3))


def steps_of(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> np.ndarray:
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
    return parameter.detach().numpy()


@pytest.mark.parametrize("foreach", [True, False])
@pytest.mark.parametrize("bias_correction", [True, False])
def test_adabelief_against_the_formula(bias_correction, foreach):
    parameter = nn.Parameter(torch.ones(3, dtype=torch.float64))
    made = AdaBelief([parameter], lr=0.1, bias_correction=bias_correction, foreach=foreach)
    got = steps_of(made, parameter)
    x, m, v = np.ones(3), np.zeros(3), np.zeros(3)
    for count, g in enumerate(GRADIENTS, 1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * (g - m) ** 2
        corrected = (m / (1 - 0.9**count), v / (1 - 0.999**count)) if bias_correction else (m, v)
        x -= 0.1 * corrected[0] / (np.sqrt(corrected[1]) + 1e-6)
    assert got == pytest.approx(x, rel=1e-10)


def test_rmsprop_against_the_formula():
    parameter = nn.Parameter(torch.ones(3, dtype=torch.float64))
    got = steps_of(OptimizerSettings(name="rmsprop", rate=0.1).build([parameter]), parameter)
    x, a = np.ones(3), np.zeros(3)
    for g in GRADIENTS:
        a = 0.9 * a + 0.1 * g**2
        x -= 0.1 * g / (np.sqrt(a) + 1e-6)
    assert got == pytest.approx(x, rel=1e-9)


def test_adam_against_the_formula():
    parameter = nn.Parameter(torch.ones(3, dtype=torch.float64))
    got = steps_of(OptimizerSettings(name="adam", rate=0.1).build([parameter]), parameter)
    x, m, v = np.ones(3), np.zeros(3), np.zeros(3)
    for count, g in enumerate(GRADIENTS, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x -= 0.1 * (m / (1 - 0.9**count)) / (np.sqrt(v / (1 - 0.999**count)) + 1e-8)
    assert got == pytest.approx(x, rel=1e-9)


def test_rate_warms_up_and_falls_along_a_cosine():
    settings = OptimizerSettings(rate=1.0, warm_up=10, final=0.01)
    assert settings.rate_at(0, 0.0) == pytest.approx(0.1)
    assert settings.rate_at(9, 0.0) == pytest.approx(1.0)
    assert settings.rate_at(50, 0.5) == pytest.approx(0.505)
    assert settings.rate_at(99, 1.0) == pytest.approx(0.01)
    assert OptimizerSettings(rate=1.0, schedule="constant").rate_at(5000, 0.9) == 1.0


def test_waves_go_down_to_nothing_and_up_again():
    settings = OptimizerSettings(rate=1.0, warm_up=0, schedule="waves")
    assert [settings.rate_at(step, 0.5) for step in (0, 125, 250, 500, 1250)] == pytest.approx(
        [1.0, 0.5, 0.0, 1.0, 0.0]
    )
    assert OptimizerSettings(rate=1.0, warm_up=0, schedule="waves", period=8).rate_at(10, 0.0) == (
        pytest.approx(0.5)
    )


def layer() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 1)).to(memory_format=torch.channels_last)


def descend(stepper: Stepper, module: nn.Module, rate: float = 0.1) -> None:
    module(torch.ones(2, 3, 5, 5)).square().sum().backward()
    stepper.step(rate)


def test_clip_shortens_the_gradient():
    module = layer()
    stepper = Stepper(OptimizerSettings(name="rmsprop", clip=1e-3), module)
    module(torch.ones(2, 3, 5, 5)).square().sum().backward()
    seen: list[float] = []
    stepper.optimizer.register_step_pre_hook(
        lambda *_: seen.append(float(torch.stack([p.grad.square().sum() for p in module.parameters()]).sum()))
    )
    stepper.step(0.1)
    assert seen[0] ** 0.5 == pytest.approx(1e-3, rel=1e-3)


def test_learning_rate_dropout_moves_only_a_share():
    module = layer()
    before = torch.cat([p.detach().flatten() for p in module.parameters()]).clone()
    descend(Stepper(OptimizerSettings(share=0.3), module), module)
    after = torch.cat([p.detach().flatten() for p in module.parameters()])
    assert (before != after).float().mean() == pytest.approx(0.3, abs=0.08)


def test_adabelief_together_is_adabelief_one_by_one():
    one, other = layer(), layer()
    alone, together = (
        AdaBelief(module.parameters(), lr=1e-2, foreach=foreach)
        for module, foreach in ((one, False), (other, True))
    )
    for step in range(20):
        for module, optimizer in ((one, alone), (other, together)):
            optimizer.zero_grad()
            module(torch.ones(2, 3, 5, 5)).square().sum().backward()
            if step < 5:  # one weight joins later, with a correction of its own
                module[1].bias.grad = None
            optimizer.step()
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-6, atol=1e-7)
    assert float(together.state[other[1].bias]["step"]) == 15


def test_which_weights_move_follows_from_the_seed_alone():
    def moved(seed: int, draws: int) -> list[torch.Tensor]:
        module = layer()
        before = [p.detach().clone() for p in module.parameters()]
        stepper = Stepper(OptimizerSettings(share=0.5, name="rmsprop"), module)
        module(torch.ones(2, 3, 5, 5)).square().sum().backward()
        torch.rand(draws)  # a model that draws at random itself
        stepper.step(0.1, seed=seed)
        return [p != b for p, b in zip(module.parameters(), before, strict=True)]

    assert all(map(torch.equal, moved(7, 0), moved(7, 100)))
    assert not all(map(torch.equal, moved(7, 0), moved(8, 0)))


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adabelief"])
def test_memory_saved_and_loaded_goes_on_bit_for_bit(name):
    first, second = layer(), layer()
    settings = OptimizerSettings(name=name)
    one = Stepper(settings, first)
    for _ in range(3):
        descend(one, first)
    other = Stepper(settings, second)
    second.load_state_dict(first.state_dict())
    # safetensors gives plain rows back; the layout of the weights must not matter
    other.load({key: value.contiguous().clone() for key, value in one.state().items()})
    for _ in range(3):
        descend(one, first)
        descend(other, second)
    for mine, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_average_follows_slowly_and_gives_the_weights_back():
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = WeightAverage(AverageSettings(decay=0.9, every=1), module)
    nn.init.ones_(module.weight)
    expected = 0.0
    for step in range(200):
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay)
        if step == 3:
            with average.applied():
                assert module.weight.item() == pytest.approx(expected, rel=1e-5)
            assert module.weight.item() == 1.0
    assert average.average["weight"].item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"rate": -1.0}, {"rate": float("nan")}, {"share": 0.0}, {"clip": 0.0}, {"period": 0}]
)
def test_settings_that_no_step_can_follow_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        OptimizerSettings(**wrong)

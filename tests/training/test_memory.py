from __future__ import annotations

import dataclasses

import pytest
import torch
from small_run import TextureTask, make_task
from torch import nn

from understudy.errors import UnderstudyError
from understudy.events import Planned, Warned
from understudy.training import memory
from understudy.training.average import AverageSettings
from understudy.training.bounds import LoopSettings
from understudy.training.memory import (
    MemoryEstimate,
    available_memory,
    estimate_training,
    forecast,
    gigabytes,
)
from understudy.training.optim import OptimizerSettings

CPU = torch.device("cpu")


class Chain:
    """Layers of known sizes: what autograd keeps of them can be told by hand."""

    def __init__(self, *, width: int = 512, layers: int = 6, rows: int = 64) -> None:
        steps = [part for _ in range(layers) for part in (nn.Linear(width, width), nn.Sigmoid())]
        self.module = nn.Sequential(*steps)
        self.critics = None
        self.shape = (rows, width)

    def batch(self, step):
        return torch.zeros(self.shape)

    def losses(self, batch):
        return {"mean": self.module(batch).mean()}

    def figures(self):
        return {}

    def preview(self):
        return None

    def deliver(self, folder, step):
        raise AssertionError

    def critic_losses(self):
        raise AssertionError


def estimate(task, *, average=0.999, precision="fp32", loop=None, **optimizer) -> MemoryEstimate:
    return estimate_training(
        task,
        loop or LoopSettings(),
        OptimizerSettings(**optimizer),
        AverageSettings(decay=average),
        precision,
    )


def tensors(found: MemoryEstimate) -> int:
    """Bytes without the constant for code."""
    return found.total - memory._CODE


@pytest.mark.parametrize(("name", "moments"), [("adam", 2), ("adabelief", 2), ("rmsprop", 1)])
def test_parts_that_follow_from_the_weights(name, moments):
    task = Chain(rows=8)
    weights = sum(parameter.nbytes for parameter in task.module.parameters())
    found = estimate(task, name=name)
    assert found.weights == found.average == weights
    assert found.optimizer == pytest.approx(moments * weights, rel=1e-3)  # counts of steps besides
    assert found.gradients <= weights
    assert estimate(task, average=0.0, name=name).average == 0


def test_activations_are_what_autograd_keeps():
    """At a large batch the most is needed when the forward pass ends; autograd itself says what it keeps."""
    task = Chain(width=32, rows=20_000)
    kept: dict[int, int] = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    batch = task.batch(0)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = task.losses(batch)
    weights = sum(kept.pop(p.untyped_storage().data_ptr(), 0) for p in task.module.parameters())
    assert weights
    assert result["mean"].requires_grad
    found = estimate(task)
    assert found.activations == pytest.approx(sum(kept.values()), rel=0.01)


def test_what_makes_a_step_larger_or_smaller():
    task = Chain(width=64, rows=4096)
    plain = tensors(estimate(task))
    assert tensors(estimate(Chain(width=64, rows=8192))) > 1.8 * plain
    assert tensors(estimate(task, loop=LoopSettings(accumulate=4))) < 0.6 * plain
    assert tensors(estimate(task, precision="bf16")) < 0.8 * plain
    small = Chain(rows=4)
    weights = sum(parameter.nbytes for parameter in small.module.parameters())
    more = estimate(small, share=0.5).total - estimate(small).total
    assert more == pytest.approx(weights, rel=0.3), "the old weights are kept during the update"


def test_compilation_does_not_matter():
    task = Chain(rows=4)
    assert estimate(task, loop=LoopSettings(compile="graphs")) == estimate(task)


def test_the_task_is_as_it_was():
    task, twin = make_task(), make_task()
    found = estimate(task)
    assert found.weights > sum(parameter.nbytes for parameter in task.module.parameters()) - 1
    assert "batch" not in vars(task)
    assert set(vars(task)) == set(vars(twin))
    for mine, other in zip(task.module.parameters(), twin.module.parameters(), strict=True):
        assert type(mine) is nn.Parameter
        assert mine.grad is None
        assert torch.equal(mine, other)
    mine, other = task.losses(task.batch(3)), twin.losses(twin.batch(3))
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_fixed_networks_count_and_learn_nothing():
    task = Chain(rows=4)
    fixed = nn.Linear(512, 4096).requires_grad_(False)
    losses = task.losses
    task.losses = lambda batch: {**losses(batch), "seen": fixed(task.module(batch)).mean()}
    with_fixed, without = estimate(task), estimate(Chain(rows=4))
    assert with_fixed.weights - without.weights == sum(parameter.nbytes for parameter in fixed.parameters())
    assert with_fixed.optimizer == without.optimizer


def test_a_model_on_the_device_meta_costs_the_same():
    with torch.device("meta"):
        empty = Chain(rows=4)
    real = estimate(Chain(rows=4))
    assert (
        estimate_training(empty, LoopSettings(), OptimizerSettings(), AverageSettings(), "fp32", device=CPU)
        == real
    )


def test_a_step_that_looks_at_numbers_is_named():
    task = Chain(rows=4)
    task.losses = lambda batch: {"few": task.module(batch)[batch[:, 0].nonzero()].sum()}
    with pytest.raises(UnderstudyError, match="real numbers"):
        estimate(task)
    events = list(forecast(task, LoopSettings(), OptimizerSettings(), AverageSettings(), CPU))
    assert [type(event) for event in events] == [Warned]


@pytest.mark.parametrize(("free", "warned"), [(2**40, False), (2**20, True)])
def test_a_person_is_told(monkeypatch, free, warned):
    monkeypatch.setattr(memory, "available_memory", lambda device: (free, 8 * 2**30))
    events = list(
        forecast(TextureTask(), LoopSettings(precision="fp32"), OptimizerSettings(), AverageSettings(), CPU)
    )
    assert isinstance(events[0], Planned)
    assert events[0].lines == ("needs about 0.1 GB, this machine has 8.0",)
    assert len(events) == 1 + warned
    if warned:
        assert isinstance(events[1], Warned)
        assert "loop.accumulate" in events[1].message


def test_sizes_in_words():
    words = {5.1: "5.1", 0.374: "0.37", 141.2: "141", 0.96: "1.0", 99.7: "100", 0.05: "0.05"}
    assert {size: gigabytes(size * 2**30) for size in words} == words


def test_memory_of_this_machine():
    free, total = available_memory(CPU)
    assert 0 <= free <= total


def test_total_is_the_sum():
    found = MemoryEstimate(weights=1, gradients=2, optimizer=4, average=8, activations=16, workspace=32)
    assert found.total == 63
    assert len(dataclasses.fields(found)) == 6

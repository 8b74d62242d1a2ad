"""A step: in parts, with scaled losses, compiled."""

from __future__ import annotations

import pytest
import torch
from small_run import ContestTask, TextureTask, make_task, make_trainer

from understudy.errors import ConfigError, UnderstudyError
from understudy.events import Progress
from understudy.training import checkpoint, process
from understudy.training.average import AverageSettings
from understudy.training.bounds import LoopSettings
from understudy.training.distributed import Group
from understudy.training.engine import Engine
from understudy.training.optim import OptimizerSettings
from understudy.training.precision import Arithmetic
from understudy.training.task import SwapTask


def losses_of(made) -> dict[int, dict[str, float]]:
    return {event.done: event.values for event in made.train() if isinstance(event, Progress)}


@pytest.mark.parametrize("task", [ContestTask, lambda: TextureTask(4)])
def test_parts_of_a_batch_learn_what_the_whole_does(tmp_path, task):
    names = ("mse", "fool", "critic_contest")
    whole, parts = (
        losses_of(make_trainer(tmp_path / str(count), task=task(), steps=6, accumulate=count))
        for count in (1, 4)
    )
    for step, values in whole.items():
        for name in set(names) & set(values):
            assert parts[step][name] == pytest.approx(values[name], rel=1e-6, abs=1e-8)


def test_parts_of_a_swap_batch(tmp_path):
    whole, parts = (
        losses_of(make_trainer(tmp_path / str(count), task=make_task(batch=4), steps=2, accumulate=count))
        for count in (1, 2)
    )
    assert parts[1]["loss"] == pytest.approx(whole[1]["loss"], rel=1e-6)
    assert parts[2]["loss"] == pytest.approx(whole[2]["loss"], rel=1e-5)


def test_a_batch_that_cannot_be_cut(tmp_path):
    with pytest.raises(ConfigError, match="batch of 2 cannot be cut into 3"):
        list(make_trainer(tmp_path, task=TextureTask(), steps=2, accumulate=3).train())


# ------------------------------------------------------------------------------------------------ float16


class Scaled(Arithmetic):
    """Single precision with scaled losses: what float16 adds, on a processor."""

    def __init__(self, name: str, device: torch.device) -> None:
        super().__init__("fp32", device)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)


class Overflowing(ContestTask):
    """Its gradient is no number at the sixth step."""

    def batch(self, step):
        self.step = step
        return super().batch(step)

    def losses(self, batch):
        terms = super().losses(batch)
        if self.step == 5:
            terms["root"] = (terms["mse"] * 0).sqrt()
        return terms


@pytest.fixture
def scaled(monkeypatch):
    monkeypatch.setattr("understudy.training.engine.Arithmetic", Scaled)


def test_float16_is_refused_on_a_processor(tmp_path):
    with pytest.raises(ConfigError, match="fp16 is for a GPU; on cpu it is slower"):
        make_trainer(tmp_path, task=TextureTask(), precision="fp16")
    assert process.resolve_precision("fp16", "cuda") == "fp16"
    assert process.resolve_precision("auto", "cpu") in ("bf16", "fp32")


def test_scaled_losses_change_nothing(tmp_path, scaled, monkeypatch):
    with_scale = losses_of(make_trainer(tmp_path / "scaled", task=ContestTask(), steps=8))
    monkeypatch.undo()
    without = losses_of(make_trainer(tmp_path / "plain", task=ContestTask(), steps=8))
    for step, values in without.items():
        assert with_scale[step]["loss"] == pytest.approx(values["loss"], rel=1e-5)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adabelief"])
def test_a_step_whose_gradient_is_no_number_is_left_out(tmp_path, scaled, name):
    task = Overflowing()
    made = make_trainer(tmp_path, task=task, steps=8, optimizer=OptimizerSettings(name=name, share=0.5))
    before: dict[str, torch.Tensor] = {}
    for event in made.train():
        if isinstance(event, Progress) and event.done in (5, 6):
            now = {key: value.clone() for key, value in task.module.state_dict().items()}
            if event.done == 6:
                assert all(torch.equal(now[key], before[key]) for key in now)
                assert made.engine.arithmetic.scaler.get_scale() == 2.0**10  # doubled after 3, halved now
            before = now
    assert made.step == 8
    assert made.engine.is_sound()


@pytest.mark.parametrize("name", ["adam", "adabelief"])
def test_scale_is_kept_over_a_stop_to_the_last_bit(tmp_path, scaled, name):
    settings = {"steps": 12, "optimizer": OptimizerSettings(name=name, warm_up=5, share=0.7)}
    whole = make_trainer(tmp_path / "whole", task=Overflowing(), **settings)
    expected = losses_of(whole)
    got: dict[int, dict[str, float]] = {}
    for end in (4, 7, 12):
        part = make_trainer(tmp_path / "parts", task=Overflowing(), **settings)
        part.stop = lambda part=part, end=end: part.step >= end
        got.update(losses_of(part))
    for step, values in expected.items():
        assert got[step]["loss"] == values["loss"]
        assert got[step]["critic_contest"] == values["critic_contest"]
    one, other = (checkpoint.load(t.run.checkpoints)[0] for t in (whole, part))
    assert one.state["scaler"] == other.state["scaler"]
    assert one.state["scaler"]["scale"] == 2.0**12
    assert all(torch.equal(one.weights[key], other.weights[key]) for key in one.weights)


# ----------------------------------------------------------------------------------------------- compiled


def test_the_step_is_compiled_as_asked(tmp_path, monkeypatch):
    seen: list[str] = []

    def compiled(function, *, mode, dynamic):
        seen.append(mode)
        return function

    monkeypatch.setattr(torch, "compile", compiled)
    plain = losses_of(make_trainer(tmp_path / "off", task=TextureTask(), steps=2))
    assert seen == []
    for asked in ("default", "graphs", "max-autotune"):
        made = losses_of(make_trainer(tmp_path / asked, task=TextureTask(), steps=2, compile=asked))
        assert made[2]["loss"] == plain[2]["loss"]
    assert seen == ["default", "reduce-overhead", "max-autotune"]


def test_what_cannot_be_compiled_says_what_to_do(tmp_path, monkeypatch):
    from torch._dynamo.exc import TorchDynamoException

    def failing(function, *, mode, dynamic):
        def call(*given):
            raise TorchDynamoException("no compiler")

        return call

    monkeypatch.setattr(torch, "compile", failing)
    with pytest.raises(UnderstudyError, match=r"\(no compiler\); set loop\.compile to off"):
        list(make_trainer(tmp_path, task=TextureTask(), steps=2, compile="default").train())


def test_trial_steps_change_nothing(tmp_path):
    task = TextureTask()
    task.module.append(torch.nn.BatchNorm2d(3))
    made = make_trainer(tmp_path, task=task)
    before = {key: value.clone() for key, value in task.module.state_dict().items()}
    assert made.engine.seconds_of_step() > 0
    assert all(torch.equal(value, before[key]) for key, value in task.module.state_dict().items())
    assert all(parameter.grad is None for parameter in task.module.parameters())


@pytest.mark.parametrize("wrong", [{"accumulate": 0}, {"patience": 0}, {"measure_every": 0}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LoopSettings(**wrong)


def test_backups_are_counted_in_the_disk_that_a_run_takes():
    module = torch.nn.Linear(10, 10)
    plain = LoopSettings().disk(module)
    assert LoopSettings(backups=True, time=7200.0).disk(module) == plain + (2 + 1) * 4 * 110 * 4
    assert LoopSettings(backups=True).disk(module) == plain + 54 * 4 * 110 * 4


# --------------------------------------------------------------------------------------------------- a GPU


class ContestOnGpu(ContestTask):
    def __init__(self) -> None:
        super().__init__()
        self.module.cuda()
        self.critics.cuda()

    def batch(self, step):
        return torch.rand(self.count, 3, 16, 16, device="cuda")


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("name", "precision"),
    [("adam", "bf16"), ("adam", "fp16"), ("rmsprop", "bf16"), ("adabelief", "bf16"), ("adabelief", "fp32")],
)
def test_a_step_does_not_wait_for_the_gpu(tmp_path, name, precision):
    optimizer = OptimizerSettings(name=name, share=0.5)
    engine = make_trainer(tmp_path, task=ContestOnGpu(), optimizer=optimizer, precision=precision).engine
    engine.prepare()
    for step in range(3):  # the first ones make what stays
        engine.step(step, 1e-3)
    torch.cuda.set_sync_debug_mode("error")
    try:
        terms = [engine.step(step, 1e-3) for step in range(3, 15)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(value > 0 for value in engine.read(terms[-1]).values())


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("compiled", ["default", "graphs"])
def test_compiled_on_a_gpu_learns_the_same(tmp_path, compiled):
    plain, other = (
        losses_of(make_trainer(tmp_path / how, task=ContestOnGpu(), steps=8, compile=how, tf32=False))
        for how in ("off", compiled)
    )
    for step, values in plain.items():
        assert other[step]["loss"] == pytest.approx(values["loss"], rel=1e-3)


@pytest.mark.gpu
def test_float16_on_a_gpu_learns_about_the_same(tmp_path):
    plain, half = (
        losses_of(make_trainer(tmp_path / how, task=ContestOnGpu(), steps=30, precision=how))
        for how in ("fp32", "fp16")
    )
    assert half[30]["loss"] == pytest.approx(plain[30]["loss"], rel=0.05)


@pytest.mark.parametrize("warp", ["none", "cells"])
def test_identity_of_liae_stays_where_nothing_is_warped(warp):
    task = make_task(name="liae", warp=warp)
    task.model.freeze_identity(True)  # as an earlier phase may have left it
    task = SwapTask(
        task.model, task.feed, task.pictures, task.settings, name="liae", model_settings=task.model_settings
    )
    engine = Engine(task, LoopSettings(steps=1), OptimizerSettings(), AverageSettings(), "fp32", Group())
    before = {name: p.detach().clone() for name, p in task.module.named_parameters()}
    engine.step(0, 1e-3)
    still = {name for name, p in task.module.named_parameters() if torch.equal(p, before[name])}
    of_identity = {name for name in before if name.startswith("inter_AB.")}
    assert of_identity <= engine.stepper.named.keys()
    assert still & of_identity == (of_identity if warp == "none" else set())
    assert not any(name.startswith("encoder.") for name in still)

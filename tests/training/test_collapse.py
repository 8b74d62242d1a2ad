"""What makes a run fall apart, and how it goes on."""

from __future__ import annotations

import math

import pytest
import torch
from small_run import TextureTask, make_trainer

from understudy.errors import UnderstudyError
from understudy.events import Saved, Warned
from understudy.training import checkpoint
from understudy.training.plateau import Plateau
from understudy.training.standing import Standing
from understudy.training.watch import LossWatch, PulseWatch


class FallingTask(TextureTask):
    """A task that does something bad at a step, so many times."""

    def __init__(self, how: str, at: int, times: int = 1) -> None:
        super().__init__()
        self.how, self.at, self.times, self.step = how, at, times, 0
        self.contrast = 1.0

    def batch(self, step):
        self.step = step
        return super().batch(step)

    def losses(self, batch):
        terms = super().losses(batch)
        if self.step < self.at or not self.times:
            return terms
        if self.how == "jump":
            return {"mse": terms["mse"] * 1e4}
        if self.step != self.at:
            return terms
        self.times -= 1
        if self.how == "nan":
            return {"mse": terms["mse"] * math.nan}
        # the root's slope at 0 is infinite: the loss is a number, its gradient is none
        return {"mse": terms["mse"], "root": (terms["mse"] * 0).sqrt()}

    def pulse(self):
        return self.contrast


def run(tmp_path, task, **settings):
    chosen = {"steps": 12, "save_every": 1e-6, **settings}
    made = make_trainer(tmp_path, task=task, **chosen)
    events = list(made.train())
    return made, events, [event.message for event in events if isinstance(event, Warned)]


@pytest.mark.parametrize(
    ("how", "told"), [("nan", "a loss is no number"), ("spoilt", "a weight is no number")]
)
def test_no_numbers(tmp_path, how, told):
    made, events, (message,) = run(tmp_path, FallingTask(how, 8))
    assert f"fell apart at step 9: {told}" in message
    assert "going on from step 8 at 0.5 of the rate" in message
    assert events[-1].summary["steps"] == 12
    assert made.engine.is_sound()
    assert checkpoint.load(made.run.checkpoints)[0].state["rate_factor"] == 0.5


def test_spoilt_weights_are_never_saved_at_the_end_either(tmp_path):
    made, _, (message,) = run(tmp_path, FallingTask("spoilt", 11), steps=12)
    assert "at step 12: a weight is no number" in message
    assert all(torch.isfinite(w).all() for w in checkpoint.load(made.run.checkpoints)[0].weights.values())


def test_spoilt_weights_are_not_saved_when_the_listener_leaves(tmp_path):
    made = make_trainer(tmp_path, task=FallingTask("spoilt", 3), steps=12)
    events = made.train()
    while made.step < 4:
        next(events)
    events.close()
    assert checkpoint.steps(made.run.checkpoints) == []


def test_a_jump_of_the_loss(tmp_path):
    task = FallingTask("jump", 120)
    made = make_trainer(tmp_path, task=task, steps=160, save_every=1e9)
    messages = []
    for event in made.train():
        if made.step == 110 and made.at.saved_step < 0:
            (made.run.inbox / "save").touch()
        if isinstance(event, Warned):
            messages.append(event.message)
            task.times = 0  # at the smaller rate it does not come again
    (message,) = messages
    assert "at step 121: the loss has risen to" in message
    assert "going on from step 111 at 0.5 of the rate" in message
    assert made.step == 160


def test_what_it_draws_goes_blank(tmp_path):
    task = FallingTask("", 1000)
    made = make_trainer(tmp_path, task=task, steps=200, save_every=1e9)
    messages = []
    for event in made.train():
        if made.step == 30:
            (made.run.inbox / "save").touch()
        if made.step == 50 and not messages:
            task.contrast = 0.001
        if isinstance(event, Warned):
            messages.append(event.message)
            task.contrast = 1.0
    (message,) = messages
    assert "at step 100: what it draws is one flat colour (0.1 % of the contrast" in message
    assert "from step 31" in message
    assert made.step == 200


def test_blank_from_the_beginning_is_not_dead():
    watch = PulseWatch(patience=2)
    assert [watch.update(pulse) for pulse in (0.0, 0.0, 0.0, 0.1, 0.0, 0.0)] == [None] * 6
    assert watch.update(0.5) is None
    assert watch.update(0.001) is None
    assert watch.update(math.nan) is not None


def test_the_watch_remembers_over_a_stop():
    one, other = LossWatch(5.0), LossWatch(5.0)
    for number in range(150):
        one.update(1.0 + math.sin(number))
    other.load(one.state())
    assert (other.smooth, other.lowest) == (one.smooth, one.lowest)
    assert [watch.update(1e4) is None for watch in (one, other)] == [False, False]
    pulse, again = PulseWatch(), PulseWatch()
    pulse.update(1.0)
    pulse.update(0.0)
    again.load(pulse.state())
    assert (again.lived, again.blank) == (True, 1)


def test_a_checkpoint_that_leads_to_a_fall_twice_is_set_aside(tmp_path):
    made, events, messages = run(tmp_path, FallingTask("nan", 8, 2), keep=5)
    assert "from step 8 at 0.5 of the rate" in messages[0]
    assert (
        "from step 7 at 0.25 of the rate; checkpoint 8 led there twice and is now 00000008.fallen"
        in (messages[1])
    )
    assert events[-1].summary["state"] == "done"
    assert checkpoint.read(made.run.checkpoints / "00000008.fallen").step == 8
    saved = [event.step for event in events if isinstance(event, Saved)]
    assert saved == [*range(1, 9), *range(8, 13)]


def test_falls_that_never_end_are_an_error(tmp_path):
    with pytest.raises(UnderstudyError, match=r"fell apart at step 9 \(a loss is no number.* mse nan\)"):
        run(tmp_path, FallingTask("nan", 8, 100))


def test_old_falls_are_forgiven():
    from understudy.training.bounds import LoopSettings

    at = Standing(settings=LoopSettings())
    at.step = 10
    assert [at.fall() for _ in range(3)] == [True] * 3
    at.returned_to = 8
    at.step = 1000
    assert not at.fall()
    at.step = 5000
    assert at.fall()
    assert at.rollbacks == 1


class MeasuredTask(TextureTask):
    """A task whose held-out figure rises to its best at a step."""

    def __init__(self, peak: int) -> None:
        super().__init__()
        self.peak, self.trainer = peak, None

    def figures(self):
        return {"heldout/ssim_target": -abs(self.trainer.step - self.peak), "psnr": 1.0}


def plateau_run(tmp_path, **settings):
    task = MeasuredTask(20)
    made = make_trainer(
        tmp_path, task=task, until="plateau", patience=3, measure_every=5, save_every=1e9, **settings
    )
    task.trainer = made
    return made, list(made.train())


def test_a_run_ends_when_a_figure_stops_getting_better(tmp_path):
    made, events = plateau_run(tmp_path)
    assert made.step == 35
    assert events[-1].summary["plateau"]
    assert events[-1].summary["state"] == "done"
    measured = [e for e in made.run.history() if e["event"] == "Measured"]
    assert [e["step"] for e in measured] == [5, 10, 15, 20, 25, 30, 35]
    assert measured[3]["figures"] == {"heldout/ssim_target": 0, "psnr": 1.0}
    _, events = plateau_run(tmp_path)
    assert events[-1].skipped


def test_a_plateau_is_remembered_over_a_stop(tmp_path):
    made, _ = plateau_run(tmp_path, steps=27)
    assert made.step == 27
    made, _ = plateau_run(tmp_path)
    assert made.step == 35


def test_another_phase_begins_anew(tmp_path):
    plateau_run(tmp_path, phase="warp")
    made, _ = plateau_run(tmp_path, phase="sharpen")
    assert made.step == 55  # best at its first measurement, 40; then three worse ones
    assert made.at.watch.count == 20
    assert checkpoint.load(made.run.checkpoints)[0].state["phase"] == "sharpen"


def test_the_best_checkpoint_is_that_of_the_figure(tmp_path):
    task = MeasuredTask(4)
    made = make_trainer(tmp_path, task=task, until="plateau", patience=3, save_every=1e-6, keep=1)
    task.trainer = made
    list(made.train())
    assert checkpoint.steps(made.run.checkpoints) == ["00000004", "00000007"]


def test_plateau_of_a_figure_that_falls_and_of_one_that_is_missing():
    falls = Plateau("error", 2, falls=True)
    assert [falls.update({"heldout/error": value}) for value in (3.0, 2.0, 2.0, math.nan)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert falls.reached
    again = Plateau("error", 2, falls=True)
    again.load(falls.state())
    assert (again.best, again.reached) == (2.0, True)
    from understudy.errors import ConfigError

    with pytest.raises(ConfigError, match=r"loop\.figure: no figures are called 'ssim'; measured are psnr"):
        Plateau("ssim", 2, falls=False).update({"psnr": 1.0})
    with pytest.raises(ConfigError, match="2 figures are called 'ssim'"):
        Plateau("ssim", 2, falls=False).update({"a/ssim": 1.0, "b/ssim": 1.0})


def test_a_game_with_a_critic_is_no_loss_to_watch():
    from understudy.training.bounds import LoopSettings
    from understudy.training.standing import Standing

    at = Standing(settings=LoopSettings())
    at.losses = {"dssim_source": 2.0, "patch_gan": 60.0, "critic_patch_gan": 0.1}
    assert at.loss == 2.0
    at.losses["patch_gan"] = float("nan")
    assert math.isnan(at.loss)

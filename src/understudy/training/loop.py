"""The one loop that trains everything.

A run is a pure function of its seed on a processor with a fixed number of threads: torch's generator is
seeded anew for every step, batches follow from the step, and a checkpoint holds the rest. So a run that was
stopped and goes on has the same losses, to the last bit, as one that was never stopped.
"""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import Callable, Generator
from typing import Generic

import torch
from torch import nn

from understudy import durable
from understudy.errors import UnderstudyError
from understudy.events import Event, Measured, Progress, Saved, StageDone, StageStarted, Warned
from understudy.training import checkpoint, process, reporting
from understudy.training.average import AverageSettings, WeightAverage
from understudy.training.bounds import LoopSettings
from understudy.training.checkpoint import Checkpoint
from understudy.training.distributed import Group, Order
from understudy.training.engine import Engine, Terms
from understudy.training.keeper import Keeper
from understudy.training.optim import OptimizerSettings
from understudy.training.precision import Arithmetic
from understudy.training.preview import write_png
from understudy.training.rundir import RunFolder
from understudy.training.standing import Standing
from understudy.training.task import B, Task

_PULSE_EVERY = 20
_READ_EVERY = 20


class Trainer(Generic[B]):
    """Trains a task in a run folder, from where the folder stands.

    Args:
        task: what to train; its module is on its device.
        run: where everything goes.
        settings: how long, how often.
        optimizer: how weights follow gradients.
        average: the running average that is given away.
        stop: asked before every step; True saves and ends the run (a handler of Ctrl-C sets it).
        clock: seconds, for tests.
        group: the processes that train together, see ``distributed.joined``.
        phase: name of the phase of the recipe; in another one than the checkpoint's, losses and figures are
            not compared with what they were.

    Raises:
        ConfigError: a precision that the device does not have.
    """

    def __init__(
        self,
        task: Task[B],
        run: RunFolder,
        settings: LoopSettings,
        optimizer: OptimizerSettings,
        average: AverageSettings,
        *,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        group: Group | None = None,
        phase: str = "",
    ) -> None:
        self.task, self.run, self.settings = task, run, settings
        self.stop, self.clock = stop, clock
        self.group = group or Group()
        self.device = next(task.module.parameters()).device
        precision = process.resolve_precision(settings.precision, self.device.type)
        self.engine = Engine(task, settings, optimizer, average, precision, self.group)
        self.at = Standing(settings=settings)
        self.keeper = Keeper(run, self.engine, self.at, self.group, phase)
        self.threads = settings.threads or process.cores()

    @property
    def module(self) -> nn.Module:
        """What learns."""
        return self.engine.module

    @property
    def average(self) -> WeightAverage | None:
        """The running average of the weights."""
        return self.engine.average

    @property
    def step(self) -> int:
        """Steps that have been done."""
        return self.at.step

    @property
    def elapsed(self) -> float:
        """Seconds of training, those of earlier calls included."""
        return self.at.elapsed

    # -------------------------------------------------------------------------------------------- the run

    def train(self) -> Generator[Event, None, None]:
        """Go on until the end of the run; every event is also in ``events.jsonl``.

        On a process that does not lead there are no events, and it ends when the leader's run does.

        Raises:
            CheckpointError: the run has checkpoints and none is good, or they are of another model.
            OutputError: the disk is full, the last checkpoint stays good; or somebody else trains this run.
            UnderstudyError: the run fell apart and going back did not help.
        """
        if not self.group.leads:
            self._follow()
            return
        try:
            with durable.sole_writer(self.run.path):
                for event in self._events():
                    if not isinstance(event, Progress):
                        self.run.record(event)
                    yield event
        except (GeneratorExit, UnderstudyError):
            self.group.order(Order.END)
            raise
        self.group.order(Order.END)

    def _events(self) -> Generator[Event, None, None]:
        yield from self._restore()
        self._settle_threads()
        if self.at.is_over and self._delivered():
            yield self._done("done", skipped=True)
            return
        detail = reporting.detail(self.at, self.engine, self.threads)
        yield StageStarted(stage="train", detail=detail, total=self.settings.steps, unit="steps")
        self.group.order(Order.BEGIN)
        self.module.train()
        self.engine.prepare()
        try:
            stopped = yield from self._steps()
        except GeneratorExit:
            if self.engine.is_sound():
                self._save()  # who listened has left; between two steps everything is consistent
            raise
        if self.at.saved_step != self.step:
            yield from self._save()
        elif not self._delivered():  # an earlier call ended between the checkpoint and this
            self.keeper.deliver()
        preview = self._preview()
        if preview:
            yield preview
        state = "stopped" if stopped else "done"
        self._status(state)
        yield self._done(state)

    def _steps(self) -> Generator[Event, None, bool]:
        """Steps until the end; True when it was stopped before."""
        at = self.at
        begun, started = at.elapsed, self.clock()
        saved = shown = reported = logged = started
        first_step = at.step
        unread: Terms | None = None
        while not at.is_over:
            commands: set[str] = set()
            if self.clock() - reported >= self.settings.report_every:
                commands = self.run.take_commands()
            if self.stop() or "stop" in commands:
                reason = self._read(unread, saving=True)
                if reason:
                    yield Warned(message=self.keeper.go_back(reason))
                return True
            unread = self._step()
            now = self.clock()
            at.elapsed = begun + now - started
            last = at.is_over
            report = last or at.step == 1 or now - reported >= self.settings.report_every
            saves = "save" in commands or now - saved >= self.settings.save_every
            measures = bool(self.settings.measure_every) and at.step % (self.settings.measure_every or 1) == 0
            if report or saves or measures or self._reads():
                reason, unread = self._read(unread, saving=saves or last), None
                if reason:
                    yield Warned(message=self.keeper.go_back(reason))
                    begun, started, first_step = at.elapsed, self.clock(), at.step
                    continue
            if report:
                at.speed = (at.step - first_step) / max(1e-9, now - started)
                progress, reported = reporting.progress(at, self._rate(), self.device.type), now
                yield progress
                if last or now - logged >= max(1.0, at.elapsed / 500) or at.step == 1:
                    self.run.record(progress)
                    self._status("training")
                    logged = now
            if measures:
                yield self._measure()
            if saves:
                yield from self._save()
                saved = self.clock()
            due = self.settings.preview_every and now - shown >= self.settings.preview_every
            if "preview" in commands or due:
                preview = self._preview()
                if preview:
                    yield preview
                shown = self.clock()
        return False

    def _step(self) -> Terms:
        rate = self._rate()
        self.group.order(Order.STEP, rate)
        terms = self.engine.step(self.step, rate)
        self.at.step += 1
        return terms

    def _rate(self) -> float:
        """The learning rate of this step."""
        done = self.settings.fraction(self.step, self.elapsed)
        return self.engine.stepper.settings.rate_at(self.step, done) * self.at.rate_factor

    def _reads(self) -> bool:
        """Losses are read every step on a processor; on a GPU that would make it wait."""
        return self.device.type == "cpu" or self.step % _READ_EVERY == 0

    def _read(self, terms: Terms | None, *, saving: bool) -> str | None:
        """Look at a step; why the run has fallen apart, None when it has not.

        Args:
            terms: its losses; None when they were read already.
            saving: look at the weights too, before they take the place of good ones.
        """
        reason = None
        if terms:
            self.group.order(Order.READ)
            self.at.losses = self.engine.read(terms)
            reason = self.at.watch.update(self.at.loss)
        pulse: Callable[[], float] | None = getattr(self.task, "pulse", None)
        if terms and pulse and not reason and (saving or self.step % _PULSE_EVERY == 0):
            reason = self.at.pulse.update(pulse())
        if saving and not reason and not self.engine.is_sound():
            reason = "a weight is no number any more"
        return reason

    def _follow(self) -> None:
        """What a process does that does not lead: as it is told."""
        self.module.train()
        terms: Terms | None = None
        while True:
            order, rate = self.group.receive()
            if order is Order.LOAD:
                self._settle_precision(self.keeper.receive())
            elif order is Order.BEGIN:
                self._settle_threads()
                self.engine.prepare()
            elif order is Order.STEP:
                terms = self.engine.step(self.step, rate)
                self.at.step += 1
            elif order is Order.READ and terms:
                self.engine.read(terms)
            else:
                return

    # -------------------------------------------------------------------------------------------- bookkeeping

    def _status(self, state: str) -> None:
        self.run.write_status(reporting.status(self.at, state))

    def _done(self, state: str, *, skipped: bool = False) -> StageDone:
        about = reporting.summary(self.at, state, self.device.type, str(self.run.swapper))
        return StageDone(stage="train", summary=about, skipped=skipped)

    def _measure(self) -> Measured:
        with self.engine.averaged():
            self.at.measure(self.task.figures())
        return Measured(step=self.step, figures=self.at.figures)

    def _save(self) -> list[Event]:
        """Write a checkpoint and what the run is for, with figures of this step unless they have a rhythm."""
        events: list[Event] = []
        if self.at.measured_step != self.step and (not self.settings.measure_every or not self.at.figures):
            measured = self._measure()
            events += [measured] if measured.figures else []
        path = self.keeper.save(threads=self.threads)
        return [*events, Saved(path=path, step=self.step)]

    def _delivered(self) -> bool:
        """Whether what the run is for was written at this very step."""
        try:
            return tomllib.loads((self.run.swapper / "swapper.toml").read_text("utf-8"))["step"] == self.step
        except (FileNotFoundError, KeyError, tomllib.TOMLDecodeError):
            return False

    def _preview(self) -> Saved | None:
        with self.engine.averaged():
            picture = self.task.preview()
        if picture is None:
            return None
        path = self.run.previews / f"{self.step:08d}.png"
        write_png(path, picture)
        return Saved(path=path, step=self.step)

    # ---------------------------------------------------------------------------------------------- beginning

    def _restore(self) -> Generator[Event, None, None]:
        """Go to where the folder stands."""
        held, passed = checkpoint.load(self.run.checkpoints)
        if held:
            remarks = self._settle_precision(held)
            self.keeper.load(held)
            if not self.settings.threads:
                self.threads = held.state["threads"]
            elif held.state["threads"] != self.threads:
                remarks.append(_differs("threads", held.state["threads"], self.threads))
            passed = [f"{reason}; an earlier checkpoint is used" for reason in passed] + remarks
        for message in passed:
            yield Warned(message=message)

    def _settle_precision(self, held: Checkpoint) -> list[str]:
        """A run that goes on stays in its numbers, where the choice is ours; what to tell the user."""
        theirs, mine = held.state["precision"], self.engine.arithmetic.name
        if theirs == mine:
            return []
        if self.settings.precision == "auto" and self.device.type == "cpu" and theirs != "fp16":
            self.engine.arithmetic = Arithmetic(theirs, self.device)
            return []
        return [_differs("precision", theirs, mine)]

    def _settle_threads(self) -> None:
        """One thread or all cores, as trial steps show to be faster; processes share the cores.

        Threads that wait for each other on a core that another program uses made a step ten times slower than
        one thread did.
        """
        if self.device.type != "cpu":
            return
        if self.group.world > 1 and not self.settings.threads:
            here = int(os.environ.get("LOCAL_WORLD_SIZE", self.group.world))
            self.threads = max(1, process.cores() // here)
        elif not self.step and not self.settings.threads:
            spent: dict[int, float] = {}
            for threads in dict.fromkeys((1, process.cores())):
                torch.set_num_threads(threads)
                spent[threads] = self.engine.seconds_of_step(self.clock)
            self.threads = min(spent, key=lambda threads: spent[threads])
        torch.set_num_threads(self.threads)


def _differs(name: str, theirs: object, mine: object) -> str:
    return f"{name} was {theirs} and is {mine}: losses will differ in their last digits"

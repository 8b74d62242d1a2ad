"""The one loop that trains everything.

A run is a pure function of its seed on a processor with a fixed number of threads: torch's generator is
seeded anew for every step, batches follow from the step, and a checkpoint holds the rest. So a run that was
stopped and goes on has the same losses, to the last bit, as one that was never stopped.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
import tomllib
from collections.abc import Callable, Generator
from typing import Any, Generic

import numpy as np
import torch
from torch import Tensor

from understudy.errors import UnderstudyError
from understudy.events import Event, Progress, Saved, StageDone, StageStarted, Warned
from understudy.training import checkpoint, process
from understudy.training.average import AverageSettings, WeightAverage
from understudy.training.bounds import LoopSettings
from understudy.training.checkpoint import Checkpoint
from understudy.training.optim import OptimizerSettings, Stepper
from understudy.training.preview import write_png
from understudy.training.rundir import RunFolder
from understudy.training.task import B, Task
from understudy.training.watch import LossWatch

_ROLLBACKS = 3


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
    ) -> None:
        self.task, self.run, self.settings = task, run, settings
        self.stop, self.clock = stop, clock
        self.device = next(task.module.parameters()).device
        self.module = task.module
        self.module.to(memory_format=torch.channels_last)  # pyright: ignore  # its stub lacks this form
        self.stepper = Stepper(optimizer, self.module)
        self.critics = Stepper(optimizer, task.critics) if task.critics else None
        self.average = WeightAverage(average, self.module) if average.decay > 0 else None
        self.watch = LossWatch(settings.collapse)
        self.precision: str = process.resolve_precision(settings.precision, self.device.type)
        self.threads = settings.threads or process.cores()
        self.step = 0
        self.elapsed = 0.0
        self.rate_factor = 1.0
        self.rollbacks = 0
        self.saved_step = -1
        self.losses: dict[str, float] = {}
        self.speed = 0.0

    # -------------------------------------------------------------------------------------------- the run

    def train(self) -> Generator[Event, None, None]:
        """Go on until the end of the run; every event is also in ``events.jsonl``.

        Raises:
            CheckpointError: the run has checkpoints and none is good, or they are of another model.
            OutputError: the disk is full; the last checkpoint stays good.
            UnderstudyError: the run fell apart and going back did not help.
        """
        for event in self._events():
            if not isinstance(event, Progress):
                self.run.record(event)
            yield event

    def _events(self) -> Generator[Event, None, None]:
        yield from self._restore()
        if not self.step and not self.settings.threads and self.device.type == "cpu":
            self.threads = self._fastest_threads()
        torch.set_num_threads(self.threads)
        if self.settings.is_over(self.step, self.elapsed) and self._delivered():
            yield StageDone(stage="train", summary=self._summary("done"), skipped=True)
            return
        yield StageStarted(stage="train", detail=self._detail(), total=self.settings.steps, unit="steps")
        self.module.train()
        try:
            stopped = yield from self._steps()
        except GeneratorExit:
            self._save()  # who listened has left; between two steps everything is consistent
            raise
        if self.saved_step != self.step:
            yield self._save()
        elif not self._delivered():  # an earlier call ended between the checkpoint and this
            with self._averaged():
                self.task.deliver(self.run.swapper, self.step)
        preview = self._preview()
        if preview:
            yield preview
        state = "stopped" if stopped else "done"
        self._status(state)
        yield StageDone(stage="train", summary=self._summary(state))

    def _steps(self) -> Generator[Event, None, bool]:
        """Steps until the end; True when it was stopped before."""
        begun, started = self.elapsed, self.clock()
        saved = shown = reported = logged = started
        first_step = self.step
        unread: dict[str, Tensor] = {}
        while not self.settings.is_over(self.step, self.elapsed):
            commands: set[str] = set()
            if self.clock() - reported >= self.settings.report_every:
                commands = self.run.take_commands()
            if self.stop() or "stop" in commands:
                if unread and not self._read(unread):
                    yield self._go_back()
                return True
            unread = self._step()
            now = self.clock()
            self.elapsed = begun + now - started
            last = self.settings.is_over(self.step, self.elapsed)
            report = last or self.step == 1 or now - reported >= self.settings.report_every
            saves = "save" in commands or now - saved >= self.settings.save_every
            if report or saves or self._reads():
                fine, unread = self._read(unread), {}
                if not fine:
                    yield self._go_back()
                    begun, started, first_step = self.elapsed, self.clock(), self.step
                    continue
            if report:
                self.speed = (self.step - first_step) / max(1e-9, now - started)
                progress, reported = self._progress(), now
                yield progress
                if last or now - logged >= max(1.0, self.elapsed / 500) or self.step == 1:
                    self.run.record(progress)
                    self._status("training")
                    logged = now
            if saves:
                yield self._save()
                saved = self.clock()
            due = self.settings.preview_every and now - shown >= self.settings.preview_every
            if "preview" in commands or due:
                preview = self._preview()
                if preview:
                    yield preview
                shown = self.clock()
        return False

    def _step(self) -> dict[str, Tensor]:
        """One step; its losses, still on the device."""
        seed = np.random.SeedSequence([self.settings.seed, self.step]).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(seed) >> 1)  # pyright: ignore[reportUnknownMemberType]  # untyped stub
        batch = self.task.batch(self.step)
        with self._autocast():
            terms = self.task.losses(batch)
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        self.stepper.step(self._rate())
        if self.critics:
            with self._autocast():
                against = self.task.critic_losses()
            torch.autograd.backward(torch.stack(list(against.values())).sum())
            self.critics.step(self._rate())
            terms = {**terms, **against}
        if self.average:
            self.average.update(self.step)
        self.step += 1
        return {name: term.detach() for name, term in terms.items()}

    def _rate(self) -> float:
        """The learning rate of this step."""
        done = self.settings.fraction(self.step, self.elapsed)
        return self.stepper.settings.rate_at(self.step, done) * self.rate_factor

    def _fastest_threads(self) -> int:
        """One thread or all cores, as trial steps that change nothing show to be faster.

        Threads that wait for each other on a core that another program uses made a step ten times slower than
        one thread did.
        """
        spent: dict[int, float] = {}
        batch = self.task.batch(0)
        for threads in dict.fromkeys((1, process.cores())):
            torch.set_num_threads(threads)
            for _ in range(3):  # the first ones pay for memory and code
                started = self.clock()
                with self._autocast():
                    terms = self.task.losses(batch)
                torch.stack(list(terms.values())).sum().backward()
                spent[threads] = self.clock() - started
        self.module.zero_grad(set_to_none=True)
        return min(spent, key=lambda threads: spent[threads])

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    # -------------------------------------------------------------------------------------------- bookkeeping

    def _reads(self) -> bool:
        """Losses are read every step on a processor; on a GPU that would make it wait."""
        return self.device.type == "cpu" or self.step % 20 == 0

    def _read(self, terms: dict[str, Tensor]) -> bool:
        values = torch.stack(list(terms.values())).cpu()  # one transfer
        self.losses = {name: float(value) for name, value in zip(terms, values, strict=True)}
        return self.watch.update(self._sum())

    def _sum(self) -> float:
        """What the module made smaller; a critic's loss is none of it, unless it is not a number any more."""
        own = [v for name, v in self.losses.items() if not name.startswith("critic_") or not math.isfinite(v)]
        return sum(own)

    def _progress(self) -> Progress:
        left = self.settings.seconds_left(self.step, self.elapsed, self.speed)
        total = self.settings.steps
        if self.settings.time is not None and left is not None and self.speed > 0:
            total = self.step + round(left * self.speed)
        values = {
            "loss": self._sum(),
            **self.losses,
            "rate": self._rate(),
            "steps_per_second": self.speed,
        }
        return Progress(stage="train", done=self.step, total=total, seconds_left=left, values=values)

    def _detail(self) -> str:
        parameters = sum(p.numel() for p in self.stepper.parameters) / 1e6
        where = f"{self.threads} threads" if self.device.type == "cpu" else str(self.device)
        start = f", from step {self.step}" if self.step else ""
        return f"{parameters:.1f} M parameters, {self.precision} on {where}{start}"

    def _summary(self, state: str) -> dict[str, Any]:
        return {
            "state": state,
            "steps": self.step,
            "seconds": round(self.elapsed, 1),
            "loss": self.watch.smooth if self.watch.count else None,
            "steps_per_second": round(self.speed, 3),
            "peak_memory": process.peak_memory(),
            "swapper": str(self.run.swapper),
        }

    def _status(self, state: str) -> None:
        self.run.write_status(
            {
                "stage": "train",
                "state": state,
                "step": self.step,
                "steps": self.settings.steps,
                "elapsed": round(self.elapsed, 2),
                "seconds_left": self.settings.seconds_left(self.step, self.elapsed, self.speed),
                "losses": self.losses,
                "process": os.getpid(),
            }
        )

    # -------------------------------------------------------------------------------------------- on disk

    def _save(self) -> Saved:
        """Write a checkpoint and what the run is for."""
        with self._averaged():
            figures = self.task.figures()
        state = {
            "elapsed": self.elapsed,
            "seed": self.settings.seed,
            "threads": self.threads,
            "precision": self.precision,
            "optimizer": self.stepper.settings.name,
            "rate_factor": self.rate_factor,
            "rollbacks": self.rollbacks,
            "losses": self.losses,
            "figures": figures,
        }
        best = self.watch.is_best()
        held = Checkpoint(
            step=self.step,
            weights=self.module.state_dict(),
            average=self.average.average if self.average else {},
            optimizer=self.stepper.state(),
            critics=self.task.critics.state_dict() if self.task.critics else {},
            critics_optimizer=self.critics.state() if self.critics else {},
            state={**state, "watch": self.watch.state()},
        )
        path = checkpoint.save(self.run.checkpoints, held, best=best, keep=self.settings.keep)
        with self._averaged():
            self.task.deliver(self.run.swapper, self.step)
        self.saved_step = self.step
        return Saved(path=path, step=self.step)

    def _delivered(self) -> bool:
        """Whether what the run is for was written at this very step."""
        try:
            return tomllib.loads((self.run.swapper / "swapper.toml").read_text("utf-8"))["step"] == self.step
        except (FileNotFoundError, KeyError, tomllib.TOMLDecodeError):
            return False

    def _preview(self) -> Saved | None:
        with self._averaged():
            picture = self.task.preview()
        if picture is None:
            return None
        path = self.run.previews / f"{self.step:08d}.png"
        write_png(path, picture)
        return Saved(path=path, step=self.step)

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        return self.average.applied() if self.average else contextlib.nullcontext()

    def _restore(self) -> Generator[Event, None, None]:
        """Go to where the folder stands."""
        held, passed = checkpoint.load(self.run.checkpoints)
        for reason in passed:
            yield Warned(message=f"{reason}; an earlier checkpoint is used")
        if held is None:
            return
        self._load(held)
        for name, mine in (("threads", self.threads), ("precision", self.precision)):
            theirs = held.state[name]
            if mine == theirs:
                continue
            if name == "threads" and not self.settings.threads:
                self.threads = theirs
                continue
            if name == "precision" and self.settings.precision == "auto" and self.device.type == "cpu":
                self.precision = theirs
                continue
            yield Warned(
                message=f"{name} was {theirs} and is {mine}: losses will differ in their last digits"
            )

    def _load(self, held: Checkpoint) -> None:
        """Take over a checkpoint's values."""
        checkpoint.check_fit(self.module, held)
        self.module.load_state_dict(dict(held.weights))
        if held.state["optimizer"] == self.stepper.settings.name:
            self.stepper.load(dict(held.optimizer))
        if self.critics and self.task.critics and held.critics:
            self.task.critics.load_state_dict(dict(held.critics))
            self.critics.load(dict(held.critics_optimizer))
        if self.average:
            self.average.load(dict(held.average or held.weights))
        self.step = self.saved_step = held.step
        self.elapsed = held.state["elapsed"]
        self.rate_factor = held.state["rate_factor"]
        self.rollbacks = held.state["rollbacks"]
        self.losses = dict(held.state["losses"])
        self.watch.load(held.state["watch"])

    def _go_back(self) -> Warned:
        """Return to the last checkpoint at half the rate."""
        fallen, elapsed, rollbacks = self.step, self.elapsed, self.rollbacks + 1
        held, _ = checkpoint.load(self.run.checkpoints)
        if held is None or rollbacks > _ROLLBACKS:
            raise UnderstudyError(
                f"the loss fell apart at step {fallen} ({self.losses}) and going back did not help; "
                f"lower optimizer.rate (now {self.stepper.settings.rate:g}) or set optimizer.clip"
            )
        factor = self.rate_factor / 2
        self._load(held)
        self.rollbacks, self.rate_factor, self.elapsed = rollbacks, factor, elapsed
        return Warned(
            message=f"the loss fell apart at step {fallen}; going on from step {self.step} "
            f"at {factor:g} of the rate"
        )

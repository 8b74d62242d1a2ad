"""Writes where a run stands, and takes it up again: on one process, and on all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic

from understudy.errors import UnderstudyError
from understudy.training import checkpoint
from understudy.training.checkpoint import Checkpoint
from understudy.training.distributed import Group, Order
from understudy.training.engine import Engine
from understudy.training.rundir import RunFolder
from understudy.training.standing import Standing
from understudy.training.task import B

_GROUPS = ("weights", "optimizer", "critics", "critics_optimizer")
"""What every process needs of a checkpoint."""


class Keeper(Generic[B]):
    """Keeps the checkpoints of a run.

    Args:
        run: where they lie.
        engine: whose weights and memories they hold.
        standing: what they remember besides.
        group: the processes of the run.
        phase: name of the phase of the recipe.
    """

    def __init__(
        self, run: RunFolder, engine: Engine[B], standing: Standing, group: Group, phase: str
    ) -> None:
        self.run, self.engine, self.at, self.group, self.phase = run, engine, standing, group, phase

    def save(self, **more: object) -> Path:
        """Write a checkpoint and, with the averaged weights, what the run is for.

        Args:
            more: what else the run remembers, plain data.
        """
        engine, at = self.engine, self.at
        best = at.is_best()
        held = Checkpoint(
            step=at.step,
            weights=engine.module.state_dict(),
            average=engine.average.average if engine.average else {},
            optimizer=engine.stepper.state(),
            critics=engine.task.critics.state_dict() if engine.task.critics else {},
            critics_optimizer=engine.critics.state() if engine.critics else {},
            state={
                "seed": at.settings.seed,
                "precision": engine.arithmetic.name,
                "scaler": engine.arithmetic.state(),
                "optimizer": engine.stepper.settings.name,
                "phase": self.phase,
                **more,
                **at.state(),
            },
        )
        path = checkpoint.save(
            self.run.checkpoints, held, best=best, keep=at.settings.keep, backups=at.settings.backups
        )
        at.saved_step = at.step
        self.deliver()
        return path

    def deliver(self) -> None:
        """Write what the run is for."""
        with self.engine.averaged():
            self.engine.task.deliver(self.run.swapper, self.at.step)

    # ------------------------------------------------------------------------------------------------ loading

    def load(self, held: Checkpoint) -> None:
        """Take over a checkpoint, on all processes.

        Raises:
            CheckpointError: it is of another model.
        """
        checkpoint.check_fit(self.engine.module, held)
        if self.group.world > 1:
            self.group.order(Order.LOAD)
            self.group.share({"step": held.step, "state": dict(held.state)})
            for group in _GROUPS:
                self.group.share_tensors(getattr(held, group))
        self._take(held)

    def receive(self) -> Checkpoint:
        """Take over the checkpoint that the leader loads."""
        about = self.group.share(None)
        held = Checkpoint(
            step=about["step"],
            state=about["state"],
            **{group: self.group.share_tensors(None) for group in _GROUPS},
        )
        self._take(held)
        return held

    def _take(self, held: Checkpoint) -> None:
        engine, state = self.engine, held.state
        engine.module.load_state_dict(dict(held.weights))
        if state["optimizer"] == engine.stepper.settings.name:
            engine.stepper.load(dict(held.optimizer))
        if engine.critics and engine.task.critics and held.critics:
            engine.task.critics.load_state_dict(dict(held.critics))
            engine.critics.load(dict(held.critics_optimizer))
        if engine.average:
            engine.average.load(dict(held.average or held.weights))
        engine.arithmetic.load(state.get("scaler", {}))
        self.at.load(held.step, state, same_phase=state.get("phase", self.phase) == self.phase)

    # --------------------------------------------------------------------------------------------- going back

    def go_back(self, reason: str) -> str:
        """Return to the last good checkpoint, at half the rate; what to tell the user.

        A checkpoint from which the run fell again before it reached the next one was not good: it is set
        aside, and the one before it is taken.

        Raises:
            UnderstudyError: there is none, or the run has fallen too often.
            CheckpointError: none can be read.
        """
        at = self.at
        fallen, elapsed, losses = at.step, at.elapsed, at.losses
        recovers = at.fall()
        factor, rollbacks = at.rate_factor / 2, at.rollbacks
        told = ""
        names = checkpoint.steps(self.run.checkpoints)
        held, _ = checkpoint.load(self.run.checkpoints)
        if recovers and held and held.step == at.returned_to and len(names) > 1:
            aside = checkpoint.set_aside(self.run.checkpoints, held.step)
            told = f"; checkpoint {held.step} led there twice and is now {aside.name}"
            held, _ = checkpoint.load(self.run.checkpoints)
        if held is None or not recovers:
            rate = self.engine.stepper.settings.rate
            raise UnderstudyError(
                f"the run fell apart at step {fallen} ({reason}; {_said(losses)}) and going back did "
                f"not help; lower optimizer.rate (now {rate:g}) or set optimizer.clip"
            )
        self.load(held)
        at.rollbacks, at.rate_factor, at.elapsed = rollbacks, factor, elapsed
        at.returned_to = held.step
        return (
            f"the run fell apart at step {fallen}: {reason}; going on from step {held.step} at {factor:g} of "
            f"the rate{told}"
        )


def _said(losses: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in losses.items())

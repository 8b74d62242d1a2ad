"""What a run says of itself while it goes on: progress, status, and a summary at the end."""

from __future__ import annotations

import os
from typing import Any

from understudy.events import Progress
from understudy.training import process
from understudy.training.engine import Engine
from understudy.training.standing import Standing


def progress(at: Standing, rate: float, device: str) -> Progress:
    """How far a run is, its losses, and what it takes.

    Args:
        at: where it stands.
        rate: learning rate of the step.
        device: torch's type of device.
    """
    left = at.seconds_left
    total = at.settings.steps
    if at.settings.time is not None and left is not None and at.speed > 0:
        total = at.step + round(left * at.speed)
    values = {
        "loss": at.loss,
        **at.losses,
        "rate": rate,
        "steps_per_second": at.speed,
        "memory": float(process.peak_memory(device)),
    }
    return Progress(stage="train", done=at.step, total=total, seconds_left=left, values=values)


def detail(at: Standing, engine: Engine[Any], threads: int) -> str:
    """What begins, for a person."""
    parameters = sum(p.numel() for p in engine.stepper.parameters) / 1e6
    where = f"{threads} threads" if engine.device.type == "cpu" else str(engine.device)
    many = f" in each of {engine.group.world} processes" if engine.group.world > 1 else ""
    start = f", from step {at.step}" if at.step else ""
    return f"{parameters:.1f} M parameters, {engine.arithmetic.name} on {where}{many}{start}"


def summary(at: Standing, state: str, device: str, swapper: str) -> dict[str, Any]:
    """What came of a run, plain data."""
    return {
        "state": state,
        "steps": at.step,
        "seconds": round(at.elapsed, 1),
        "loss": at.watch.smooth if at.watch.count else None,
        "figures": at.figures,
        "plateau": bool(at.plateau and at.plateau.reached),
        "steps_per_second": round(at.speed, 3),
        "peak_memory": process.peak_memory(device),
        "swapper": swapper,
    }


def status(at: Standing, state: str) -> dict[str, Any]:
    """What ``status.json`` says."""
    return {
        "stage": "train",
        "state": state,
        "step": at.step,
        "steps": at.settings.steps,
        "elapsed": round(at.elapsed, 2),
        "seconds_left": at.seconds_left,
        "losses": at.losses,
        "process": os.getpid(),
    }

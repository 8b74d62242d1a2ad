"""Training steps a second and peak memory: Quick96 and the recipe ``cpu``, by precision and threads.

Every condition runs in a process of its own, because memory, threads and allocator cannot be reset. The
figure of a condition is the median step; its parts (batch, forward, backward, optimiser) say what bounds it,
and the processor's time a step says how much of the wall clock belonged to others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from understudy.training import process

MODELS: dict[str, dict[str, Any]] = {
    "quick96": {"batch": 4, "optimizer": "rmsprop"},
    "cpu": {"batch": 8, "optimizer": "adam"},
}
RUNS = 11
PARTS = ("batch", "forward", "backward", "optimizer")


def trainer_parts(model: str) -> tuple[Any, Any]:
    """The task on random textures and what updates its weights."""
    import torch

    from understudy import config
    from understudy.contracts import Context
    from understudy.losses import LOSSES
    from understudy.models import MODELS as REGISTRY
    from understudy.training.augment import Augmentation
    from understudy.training.batches import SwapFeed, random_store
    from understudy.training.optim import OptimizerSettings, Stepper
    from understudy.training.task import SwapTask, SwapTaskSettings, Weighted

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = REGISTRY["df"]()
    if model == "cpu":
        chosen = config.merge(chosen, config.read_recipe("cpu")["train"]["model"])
    torch.manual_seed(0)
    network = chosen.build(Context(device=device, weights=NoWeights()))
    network.to(memory_format=torch.channels_last)
    feed = SwapFeed(
        random_store(200, chosen.resolution, 1),
        random_store(200, chosen.resolution, 2),
        batch=MODELS[model]["batch"],
        resolution=chosen.resolution,
        output_resolution=chosen.resolution,
        augmentation=Augmentation(),
        device=device,
        seed=0,
    )
    losses = {name: Weighted(LOSSES[name]().weight, LOSSES[name](), True) for name in ("dssim", "mse")}
    task = SwapTask(network, feed, losses, SwapTaskSettings(), name="df", model_settings={})
    return task, Stepper(OptimizerSettings(name=MODELS[model]["optimizer"]), network)


class NoWeights:
    """The models measured need no weight file."""

    def path(self, name: str) -> Path:
        """Never called."""
        raise AssertionError(name)


def child(model: str, precision: str, threads: int, pages: str) -> None:
    """Measure one condition and print it as JSON."""
    if pages == "kept":
        process.prepare()
    else:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import contextlib

    import torch

    torch.set_num_threads(threads)
    task, stepper = trainer_parts(model)
    seconds: list[dict[str, float]] = []
    busy = 0.0
    for step in range(RUNS + 2):
        marks = [time.perf_counter()]
        if step == 2:
            busy = time.process_time()
        batch = task.batch(step)
        marks.append(mark())
        cast = torch.autocast(stepper.parameters[0].device.type, torch.bfloat16)
        with cast if precision == "bf16" else contextlib.nullcontext():
            total = torch.stack(list(task.losses(batch).values())).sum()
        marks.append(mark())
        total.backward()
        marks.append(mark())
        stepper.step(1e-4)
        marks.append(mark())
        seconds.append({p: b - a for p, a, b in zip(PARTS, marks[:-1], marks[1:], strict=True)})
    busy = (time.process_time() - busy) / RUNS
    memory = process.peak_memory() / 2**20
    parameters = sum(p.numel() for p in stepper.parameters) / 1e6
    print(json.dumps({"steps": seconds[2:], "busy": busy, "memory": memory, "parameters": parameters}))


def mark() -> float:
    """Now, with the device's work done."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def condition(model: str, precision: str, threads: int, pages: str) -> dict[str, Any]:
    """Run one condition in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "child", model, precision, str(threads), pages],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and publish."""
    from common import Timing, publish

    figures: dict[str, Any] = {}
    models: Mapping[str, float] = {}
    for model in MODELS:
        for precision in ("bf16", "fp32"):
            for threads in sorted({1, process.cores()}):
                for pages in ("kept", "returned"):
                    if pages == "returned" and (precision, threads) != ("bf16", process.cores()):
                        continue
                    got = condition(model, precision, threads, pages)
                    name = f"{model} {precision} {threads} threads" + (
                        ", pages returned" if pages == "returned" else ""
                    )
                    steps = [sum(parts.values()) for parts in got["steps"]]
                    figures[name] = Timing(seconds=tuple(steps), units=1.0)
                    for part in PARTS:
                        middle = sorted(parts[part] for parts in got["steps"])[RUNS // 2]
                        figures[f"{name}: {part}, ms"] = round(1000 * middle, 1)
                    figures[f"{name}: processor, ms"] = round(1000 * got["busy"], 1)
                    figures[f"{name}: peak memory, MiB"] = round(got["memory"], 1)
                    models = {**models, model: round(got["parameters"], 2)}
    conditions = {
        "faces of each person": {m: s["batch"] for m, s in MODELS.items()},
        "million weights": models,
    }
    publish("training", figures, conditions)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    else:
        main()

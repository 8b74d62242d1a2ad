"""Memory that training takes, estimated before it starts and measured while it runs.

Every condition runs six real steps of the loop's engine in a process of its own. On a processor its figure
is the highest resident set of those steps (``VmHWM`` of Linux, reset before) less the resident set just
before the model is built, when torch, this package and the faces are loaded and the heap is trimmed. On a
GPU it is ``torch.cuda.max_memory_allocated``.

The two rules for what a ledger of tensors cannot see (``training.memory``: the code, the holes in glibc's
heap) were fitted on the first eight conditions by hand; the others were only measured.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.training import process

if TYPE_CHECKING:
    import torch

    from understudy.pipelines.runs.train import TrainSettings

STEPS = 6
CONDITIONS: dict[str, dict[str, Any]] = {
    "cpu recipe, bf16, batch 4": {"recipe": "cpu", "batch": 4, "precision": "bf16"},
    "cpu recipe, bf16, batch 8": {"recipe": "cpu", "batch": 8, "precision": "bf16"},
    "cpu recipe, bf16, batch 64": {"recipe": "cpu", "batch": 64, "precision": "bf16"},
    "cpu recipe, fp32, batch 8": {"recipe": "cpu", "batch": 8, "precision": "fp32"},
    "cpu recipe, fp32, batch 32": {"recipe": "cpu", "batch": 32, "precision": "fp32"},
    "quick96, fp32, batch 4": {"recipe": "quick96", "batch": 4, "precision": "fp32"},
    "quick96, bf16, batch 4": {"recipe": "quick96", "batch": 4, "precision": "bf16"},
    "quick96, adam, fp32, batch 16": {
        "recipe": "quick96",
        "batch": 16,
        "precision": "fp32",
        "changes": {"optimizer": {"name": "adam", "share": 1.0}},
    },
    "quick96, bf16, batch 8 in 4 parts": {
        "recipe": "quick96",
        "batch": 8,
        "precision": "bf16",
        "changes": {"loop": {"accumulate": 4}},
    },
    "original, fp32, batch 8": {"batch": 8, "precision": "fp32", "changes": {"model": "original"}},
    "liae, adabelief, bf16, batch 4": {
        "batch": 4,
        "precision": "bf16",
        "changes": {"model": "liae", "optimizer": {"name": "adabelief"}},
    },
    "cpu recipe with TrueFace and patch GAN, bf16, batch 8": {
        "recipe": "cpu",
        "batch": 8,
        "precision": "bf16",
        "changes": {"losses": {"dssim": {}, "mse": {}, "true_face": {}, "patch_gan": {}}},
    },
}


def settings_of(name: str) -> TrainSettings:
    """The settings of a condition."""
    from understudy import config
    from understudy.pipelines.runs.train import TrainSettings

    about = CONDITIONS[name]
    settings = TrainSettings()
    if "recipe" in about:
        settings = config.merge(settings, config.read_recipe(about["recipe"])["train"])
    settings = config.merge(settings, {"batch": about["batch"], **about.get("changes", {})})
    return config.merge(settings, {"loop": {"precision": about["precision"]}})


def estimated(name: str) -> dict[str, int]:
    """Bytes by part, as a person is told before training."""
    from understudy.pipelines.runs.costs import describe
    from understudy.pipelines.setup import choose_device

    return vars(describe(settings_of(name), choose_device("auto")).memory)


def taken(name: str) -> dict[str, int]:
    """Bytes that real steps took, and the bytes of all weights."""
    import torch

    from understudy.pipelines.runs.costs import trial_task
    from understudy.pipelines.setup import choose_device, make_context
    from understudy.training.distributed import Group
    from understudy.training.engine import Engine

    settings, device = settings_of(name), choose_device("auto")
    torch.set_num_threads(process.cores())
    context = make_context(device)
    before = settle(device)
    model = settings.model.build(context)
    task = trial_task(settings, model, device)
    precision = CONDITIONS[name]["precision"]
    engine = Engine(task, settings.loop, settings.optimizer, settings.average, precision, Group())
    engine.prepare()
    for step in range(STEPS):
        engine.read(engine.step(step, 1e-5))
    weights = sum(parameter.nbytes for parameter in engine.stepper.parameters)
    return {"taken": highest(device) - before, "weights": weights}


def settle(device: torch.device) -> int:
    """Give back what was loaded for a moment, and begin to look for the highest sum; bytes held now."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    return field("VmRSS")


def highest(device: torch.device) -> int:
    """Most bytes held at once since ``settle``."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    return field("VmHWM")


def field(name: str) -> int:
    """A figure of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def condition(part: str, name: str) -> dict[str, int]:
    """Estimate or measure one condition in a process of its own."""
    words = [sys.executable, __file__, part, name]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Estimate, measure and publish."""
    from common import publish

    figures: dict[str, float | str] = {}
    worst = 0.0
    for name in CONDITIONS:
        told, real = condition("estimate", name), condition("take", name)
        total, measured = sum(told.values()) / 2**20, real["taken"] / 2**20
        figures[f"{name}: estimate, MiB"] = round(total, 1)
        figures[f"{name}: measured, MiB"] = round(measured, 1)
        figures[f"{name}: estimate / measured"] = round(total / measured, 3)
        worst = max(worst, abs(total / measured - 1))
        print(f"{name}: {total:.0f} estimated, {measured:.0f} measured", flush=True)
    figures["largest deviation"] = round(worst, 3)
    conditions = {"steps": STEPS, "measured": "peak resident set less the one before the model was built"}
    publish("memory", figures, conditions)


if __name__ == "__main__":
    process.prepare()
    if sys.argv[1:2] == ["estimate"]:
        print(json.dumps(estimated(sys.argv[2])))
    elif sys.argv[1:2] == ["take"]:
        print(json.dumps(taken(sys.argv[2])))
    else:
        main()

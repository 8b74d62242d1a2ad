"""Training: steps a second, peak memory, arithmetic against the machine's peak, and what each measure gains.

    scripts/bench training                                   everything; a GPU is used where there is one
    .venv/bin/python benchmarks/training.py --models quick96 df-ud-128

Every condition runs in a process of its own, because memory, threads and allocator cannot be reset. The
figure of a condition is the median step after two that are not measured. Achieved FLOP/s are those of
forward and backward as ``torch.utils.flop_counter`` counts them, by the median step; the peak beside them is
a product of two 2048 x 2048 matrices in the same precision and threads, taken in the same run. The idle share
is, on a GPU, the time in which no kernel ran, by torch's profiler; on a processor, processor time that was
not used of threads times wall time. Peak memory is the process's on a processor, the allocator's on a GPU.

The ablation begins with single precision, weights and pictures channel by channel, one optimiser call a
weight, each person alone through the shared layers, freed pages given back; then each measure alone, all
together, and all but one.

DeepFaceLab in TensorFlow takes 2.4 s a step for df-ud and 3.7 s for liae-ud at 128 pixels, batch 4 a side,
one thread; DeepFaceLab-Revamped in torch takes 1.8 times as long there (both from the project's reference,
measured on another day). A third of the latter is the aim.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.training import process

if TYPE_CHECKING:  # torch is loaded in the child only, after its memory is settled
    import torch
    from torch import Tensor

    from understudy.learning import Batch, Reconstruction, Sample
    from understudy.nn.wiring import DfNetwork
    from understudy.training.optim import Stepper
    from understudy.training.task import SwapTask

WIDE = {"ae_dims": 256, "e_dims": 64, "d_dims": 64, "d_mask_dims": 22}
"""DeepFaceLab's defaults for SAEHD."""
MODELS: dict[str, dict[str, Any]] = {
    "quick96": {"name": "df", "optimizer": "rmsprop", "batches": (4, 8, 16)},
    "cpu recipe": {"recipe": "cpu", "optimizer": "adam", "batches": (4, 8, 16)},
    "df-ud-128": {"name": "df", "options": "ud", "resolution": 128, **WIDE, "batches": (4, 8)},
    "liae-ud-128": {"name": "liae", "options": "ud", "resolution": 128, **WIDE, "batches": (4, 8)},
    "liae-ud-256": {"name": "liae", "options": "ud", "resolution": 256, **WIDE, "batches": (2, 4)},
    "liae-udt-320": {"name": "liae", "options": "udt", "resolution": 320, **WIDE, "batches": (1, 2)},
}
GPU_BATCHES = (4, 8, 16, 32, 64)
"""On a GPU: as many of these as fit."""
MEASURES = ("bf16", "channels_last", "fused", "joint", "pages")
ALL = dict.fromkeys(MEASURES, True)
RUNS, WARM_UP = 7, 2
PARTS = ("batch", "forward", "backward", "optimizer")
REVAMPED = {"df-ud-128": 1.8 * 2.4, "liae-ud-128": 1.8 * 3.7}
"""Seconds a step of the peer, batch 4 a side, one thread."""


def task_of(chosen: dict[str, Any]) -> tuple[SwapTask, Stepper]:
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
    about = MODELS[chosen["model"]]
    plain = {key: about[key] for key in about if key not in ("batches", "optimizer", "recipe", "name")}
    settings = REGISTRY[about.get("name", "df")](**plain)
    if "recipe" in about:
        settings = config.merge(settings, config.read_recipe(about["recipe"])["train"]["model"])
    torch.manual_seed(0)
    network = settings.build(Context(device=device, weights=NoWeights()))
    if chosen["channels_last"]:
        network.to(memory_format=torch.channels_last)
    if not chosen["joint"]:
        network.reconstruct = lambda source, target: apart(network, source, target)
    feed = SwapFeed(
        random_store(100, settings.resolution, 1),
        random_store(100, settings.resolution, 2),
        batch=chosen["batch"],
        resolution=settings.resolution,
        output_resolution=network.output_resolution,
        augmentation=Augmentation(),
        device=device,
        seed=0,
    )
    losses = {name: Weighted(LOSSES[name]().weight, LOSSES[name](), True) for name in ("dssim", "mse")}
    task = SwapTask(network, feed, losses, SwapTaskSettings(), name="df", model_settings={})
    stepper = Stepper(OptimizerSettings(name=about.get("optimizer", "rmsprop")), network)
    for group in stepper.optimizer.param_groups if not chosen["fused"] else ():
        group.update({key: False for key in ("foreach", "fused") if key in group})
    return task, stepper


def apart(network: DfNetwork, source: Tensor, target: Tensor) -> Reconstruction:
    """DF's way for each person alone, as ``nn.wiring`` would do it without sharing a batch."""
    from understudy.learning import Drawing, Reconstruction

    latents = [network.inter.squeeze(network.encoder(faces)) for faces in (source, target)]
    codes = [network.inter.spread(latent) for latent in latents]
    return Reconstruction(
        source=Drawing(*network.decoder_source(codes[0])),
        target=Drawing(*network.decoder_target(codes[1])),
        codes=(codes[0], codes[1]),
        draw_swap=lambda given: Drawing(*network.decoder_source(given[1])),
        latents=(latents[0], latents[1]),
    )


class NoWeights:
    """The models measured need no weight file."""

    def path(self, name: str) -> Path:
        """Never called."""
        raise AssertionError(name)


def child(chosen: dict[str, Any]) -> None:
    """Measure one condition and print it as JSON."""
    if chosen["pages"]:
        process.prepare()
    else:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    torch.set_num_threads(chosen["threads"])
    if chosen["model"] == "peak":
        print(json.dumps({"peak": matrix_peak(chosen["bf16"])}))
        return
    task, stepper = task_of(chosen)
    device = stepper.parameters[0].device
    flops, idle = count_flops(task, chosen, device), None
    seconds: list[dict[str, float]] = []
    busy = wall = 0.0
    for step in range(RUNS + WARM_UP):
        if step == WARM_UP:
            busy, wall = time.process_time(), time.perf_counter()
        seconds.append(one_step(task, stepper, chosen, device, step))
    busy, wall = time.process_time() - busy, time.perf_counter() - wall
    if device.type == "cuda":
        idle = idle_share(task, stepper, chosen, device)
    else:
        idle = max(0.0, 1 - busy / (wall * chosen["threads"]))
    print(
        json.dumps(
            {
                "steps": seconds[WARM_UP:],
                "idle": idle,
                "memory": process.peak_memory(device.type) / 2**20,
                "flops": flops,
                "parameters": sum(p.numel() for p in stepper.parameters) / 1e6,
            }
        )
    )


def one_step(
    task: SwapTask, stepper: Stepper, chosen: dict[str, Any], device: torch.device, step: int
) -> dict[str, float]:
    """One step in its parts, seconds each, the device waited for after each."""
    marks = [time.perf_counter()]
    batch = task.batch(step)
    marks.append(mark())
    total = loss_of(task, batch, chosen, device)
    marks.append(mark())
    total.backward()
    marks.append(mark())
    stepper.step(1e-4)
    marks.append(mark())
    return {part: b - a for part, a, b in zip(PARTS, marks[:-1], marks[1:], strict=True)}


def loss_of(task: SwapTask, batch: Batch, chosen: dict[str, Any], device: torch.device) -> Tensor:
    """The sum of the losses."""
    import torch

    if not chosen["channels_last"]:
        batch = contiguous(batch)
    with torch.autocast(device.type, torch.bfloat16, enabled=chosen["bf16"]):
        return torch.stack(list(task.losses(batch).values())).sum()


def contiguous(batch: Batch) -> Batch:
    """The batch with every picture channel by channel in memory."""
    import dataclasses

    import torch

    def turned(sample: Sample) -> Sample:
        given = {item.name: getattr(sample, item.name) for item in dataclasses.fields(sample)}
        return dataclasses.replace(
            sample, **{k: v.contiguous() for k, v in given.items() if isinstance(v, torch.Tensor)}
        )

    return dataclasses.replace(batch, source=turned(batch.source), target=turned(batch.target))


def count_flops(task: SwapTask, chosen: dict[str, Any], device: torch.device) -> int:
    """Floating-point operations of one forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        loss_of(task, task.batch(0), chosen, device).backward()
    task.module.zero_grad(set_to_none=True)
    return counter.get_total_flops()


def idle_share(task: SwapTask, stepper: Stepper, chosen: dict[str, Any], device: torch.device) -> float:
    """Share of the wall time in which a GPU ran nothing, over steps that nobody waits for."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        begun = time.perf_counter()
        for step in range(RUNS):
            loss_of(task, task.batch(step), chosen, device).backward()
            stepper.step(1e-4)
        torch.cuda.synchronize()
        wall = time.perf_counter() - begun
    busy = sum(event.self_device_time_total for event in profiled.key_averages()) / 1e6
    return max(0.0, 1.0 - busy / wall)


def matrix_peak(bf16: bool) -> float:
    """FLOP/s of a product of two large matrices, the best of ten."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    side = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    if bf16:
        a, b = a.bfloat16(), b.bfloat16()
    best = float("inf")
    for _ in range(10):
        begun = mark()
        a @ b
        best = min(best, mark() - begun)
    return 2 * side**3 / best


def mark() -> float:
    """Now, with the device's work done."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def condition(model: str, batch: int = 4, threads: int = 1, **measures: bool) -> dict[str, Any] | None:
    """Run one condition in a process of its own; None where memory does not suffice."""
    chosen = {"model": model, "batch": batch, "threads": threads, **ALL, **measures}
    done = subprocess.run(
        [sys.executable, __file__, "child", json.dumps(chosen)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        if "out of memory" in done.stderr.lower() or done.returncode == -9:
            return None
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def add(figures: dict[str, Any], name: str, got: dict[str, Any], peak: float) -> float:
    """One condition's figures; its median step in seconds."""
    from common import Timing

    steps = [sum(parts.values()) for parts in got["steps"]]
    figures[name] = timing = Timing(seconds=tuple(steps), units=1.0)
    for part in PARTS:
        figures[f"{name}: {part}, ms"] = round(
            1000 * sorted(parts[part] for parts in got["steps"])[len(steps) // 2], 1
        )
    figures[f"{name}: peak memory, MiB"] = round(got["memory"], 1)
    figures[f"{name}: idle share"] = round(got["idle"], 3)
    figures[f"{name}: GFLOP/s"] = round(got["flops"] / timing.median / 1e9, 1)
    figures[f"{name}: share of the matrix peak"] = round(got["flops"] / timing.median / peak, 3)
    return timing.median


def ablation(figures: dict[str, Any], model: str, threads: int) -> None:
    """Each measure alone, all together, all but one; steps a second by that of none."""
    rows = {"none": dict.fromkeys(MEASURES, False)}
    rows |= {f"{one} alone": {m: m == one for m in MEASURES} for one in MEASURES}
    rows |= {"all": ALL} | {f"all but {one}": {m: m != one for m in MEASURES} for one in MEASURES}
    medians: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(3):  # in turns, so that a disturbance hits all alike
        for name, measures in rows.items():
            got = condition(model, 4, threads, **measures)
            assert got is not None, f"{model} at batch 4 does not fit into memory"
            steps = sorted(sum(parts.values()) for parts in got["steps"])
            medians[name].append(steps[len(steps) // 2])
    for name, found in medians.items():
        plain = sorted(medians["none"])[1]
        figures[f"ablation {model}: {name}"] = (
            f"{1000 * sorted(found)[1]:.0f} ms ({1000 * min(found):.0f} to {1000 * max(found):.0f}), "
            f"{plain / sorted(found)[1]:.2f} times as fast as none"
        )


def main() -> None:
    """Measure and publish."""
    import torch

    from common import publish

    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    words.add_argument("--ablation", nargs="*", default=["quick96"], choices=["quick96", "df-ud-128"])
    chosen = words.parse_args()
    gpu = torch.cuda.is_available()
    threads = [1] if gpu else sorted({1, process.cores()})
    figures: dict[str, Any] = {}
    peaks: dict[tuple[bool, int], float] = {}
    for bf16 in (True, False):
        for count in threads:
            found = condition("peak", threads=count, bf16=bf16)
            assert found is not None, "two matrices do not fit into memory"
            peaks[bf16, count] = found["peak"]
            figures[f"matrix peak, {'bf16' if bf16 else 'fp32'}, {count} threads, GFLOP/s"] = round(
                found["peak"] / 1e9, 1
            )
    weights: dict[str, float] = {}
    for model in chosen.models:
        batches = GPU_BATCHES if gpu else MODELS[model]["batches"]
        for number, batch in enumerate(batches):
            for bf16 in (True, False) if not number else (True,):
                for count in threads if not number else threads[:1]:
                    got = condition(model, batch, count, bf16=bf16)
                    name = f"{model}, batch {batch}, {'bf16' if bf16 else 'fp32'}, {count} threads"
                    if got is None:
                        figures[name] = "out of memory"
                        continue
                    seconds = add(figures, name, got, peaks[bf16, count])
                    weights[model] = round(got["parameters"], 2)
                    if model in REVAMPED and (batch, bf16, count) == (4, True, 1) and not gpu:
                        figures[f"{name}: of DeepFaceLab-Revamped's time"] = round(
                            seconds / REVAMPED[model], 3
                        )
    for model in chosen.ablation:
        ablation(figures, model, threads[-1])
    conditions = {"million weights": weights, "warm-up steps": WARM_UP, "steps": RUNS}
    publish("training", figures, conditions)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(json.loads(sys.argv[2]))
    else:
        main()

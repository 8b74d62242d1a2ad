"""A run small enough for tests: random textures in place of faces, a model of a few thousand weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


class NoWeights:
    def path(self, name: str) -> Path:
        raise AssertionError(name)


def make_task(*, seed: int = 0, faces: int = 10, batch: int = 2, name: str = "df", **augmentation: Any):
    from understudy.config import dump
    from understudy.contracts import Context
    from understudy.losses import LOSSES
    from understudy.models import MODELS
    from understudy.training.augment import Augmentation
    from understudy.training.batches import SwapFeed, random_store
    from understudy.training.task import SwapTask, SwapTaskSettings, Weighted

    device = torch.device("cpu")
    settings = MODELS[name](
        resolution=32, options="u", e_dims=4, ae_dims=8, d_dims=4, d_mask_dims=2, normalized=True
    )
    torch.manual_seed(seed)
    model = settings.build(Context(device=device, weights=NoWeights()))
    feed = SwapFeed(
        random_store(faces, 32, 1),
        random_store(faces + 3, 32, 2),
        batch=batch,
        resolution=32,
        output_resolution=32,
        augmentation=Augmentation(**augmentation),
        device=device,
        seed=seed,
    )
    losses = {name: Weighted(LOSSES[name]().weight, LOSSES[name](), True) for name in ("dssim", "mse")}
    return SwapTask(
        model,
        feed,
        losses,
        SwapTaskSettings(preview_faces=2),
        name=name,
        model_settings=dump(settings),
    )


class TextureTask:
    """Two convolutions that learn to give random textures back: a step takes a millisecond."""

    def __init__(self, count: int = 2) -> None:
        torch.manual_seed(0)
        self.count = count
        self.module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 3, 1))
        self.critics = None

    def batch(self, step: int) -> torch.Tensor:
        return torch.rand(self.count, 3, 16, 16)

    def losses(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"mse": (self.module(batch) - batch).square().mean()}

    def critic_losses(self) -> dict[str, torch.Tensor]:
        raise AssertionError("nothing learns against it")

    def figures(self) -> dict[str, float]:
        return {}

    def preview(self) -> None:
        return None

    def deliver(self, folder: Path, step: int) -> None:
        from understudy.training.rundir import SwapperFiles, save_swapper

        weights = dict(self.module.state_dict())
        save_swapper(folder, SwapperFiles(model="texture", settings={}, weights=weights, step=step))


class ContestTask(TextureTask):
    """The same with a norm of each picture, an adversary, and maybe a weight that nothing uses."""

    def __init__(self, *, idle: bool = False) -> None:
        super().__init__(4)
        nn = torch.nn
        self.module = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.LeakyReLU(0.1), nn.Conv2d(4, 3, 1)
        )
        if idle:
            self.module.register_parameter("idle", nn.Parameter(torch.ones(2)))
        self.critics = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 1))

    def losses(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        self.critics.requires_grad_(False)
        self.seen = batch, self.module(batch)
        fooled = (self.critics(self.seen[1]) - 1).square().mean()
        return {"mse": (self.seen[1] - batch).square().mean(), "fool": 0.1 * fooled}

    def critic_losses(self) -> dict[str, torch.Tensor]:
        self.critics.requires_grad_(True)
        real, drawn = self.seen
        told = (self.critics(real) - 1).square().mean() + self.critics(drawn.detach()).square().mean()
        return {"critic_contest": told}


def run_folder(path: Path, *, guest: bool = False):
    """The run in a folder; made if there is none."""
    from understudy.training.rundir import RunFolder, make_origin

    runs = sorted(path.glob("*_df"))
    if runs:
        return RunFolder(runs[0], guest=guest)
    return RunFolder.create(path, "df", {"a": 1}, make_origin(0, {}))


def make_trainer(path: Path, *, task: Any = None, optimizer: Any = None, **settings: Any):
    from understudy.training.average import AverageSettings
    from understudy.training.loop import LoopSettings, Trainer
    from understudy.training.optim import OptimizerSettings

    extra = {key: settings.pop(key) for key in ("stop", "clock", "group", "phase") if key in settings}
    chosen = {"precision": "fp32", "threads": 1, "preview_every": 0.0, "report_every": 0.0, **settings}
    return Trainer(
        task or make_task(),
        run_folder(path, guest="group" in extra and not extra["group"].leads),
        LoopSettings(**chosen),
        optimizer or OptimizerSettings(warm_up=5),
        AverageSettings(every=2),
        **extra,
    )

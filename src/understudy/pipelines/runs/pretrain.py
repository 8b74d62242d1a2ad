"""Pretraining: a model learns faces in general from a crowd of performers, before the two of a swap.

Both persons' places are filled from the same crowd, as DeepFaceLab does with its pretraining set: the encoder
meets many faces, and each decoder learns to draw any of them. What comes out is a run and a swapper whose
weights another run may start from (``train --start-from``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import nn

from understudy import config
from understudy.contracts import Context
from understudy.events import Event, Planned
from understudy.learning import SwapModel
from understudy.pipelines.runs.crowd import Crowd, CrowdSettings, kept_crowd
from understudy.pipelines.runs.train import TrainSettings, build_losses
from understudy.pipelines.setup import choose_device, make_context
from understudy.pipelines.swapper import settings_without_name
from understudy.training.augment import store_side
from understudy.training.batches import FaceStore, SwapFeed
from understudy.training.bounds import bounded
from understudy.training.loop import Trainer
from understudy.training.rundir import RunFolder, make_origin
from understudy.training.task import SwapTask


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(TrainSettings):
    """How a model is pretrained; what is not about the crowd is as in training."""

    crowd: CrowdSettings = field(default_factory=CrowdSettings)
    """Who is learned from."""


def start(settings: PretrainSettings, runs: Path) -> RunFolder:
    """Makes the folder of a new run; nothing is drawn or trained yet."""
    recipe = {"pretrain": config.dump(settings)}
    origin = make_origin(settings.loop.seed, {"crowd": settings.crowd.said})
    return RunFolder.create(runs, f"{settings.model.name}-start", recipe, origin)


def settings_of(run: RunFolder) -> PretrainSettings:
    """The settings with which a run was started.

    Raises:
        CheckpointError: it is no pretraining, or of another version.
    """
    return run.settings(PretrainSettings(), "pretrain", "no pretraining that this version can go on with")


def pretrain(
    run: RunFolder,
    *,
    steps: int | None = None,
    time: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Draws the crowd, once, and trains a run from where it stands.

    Args:
        run: its folder, see ``start``.
        steps: bound on all steps of the run; None: as in its recipe.
        time: bound on all seconds of training; None: as in its recipe.
        stop: asked before every step; True saves and ends.

    Raises:
        CheckpointError: the run's checkpoints are damaged or of another model.
    """
    settings = bounded(settings_of(run), steps, time)
    device = choose_device(settings.device)
    torch.manual_seed(settings.loop.seed)
    context = make_context(device)
    built = settings.model.build(context)
    assert isinstance(built, nn.Module)
    model = cast("SwapModel", built)
    side = store_side(max(model.resolution, model.output_resolution))
    crowd = yield from kept_crowd(run.path, settings.crowd, settings.model, side)
    yield Planned(
        lines=(
            f"pretraining on {len(crowd.faces)} faces of {settings.crowd.performers} performers "
            f"({crowd.faces.nbytes / 1e6:.0f} MB)",
        )
    )
    task = _task(settings, model, crowd, context)
    yield from Trainer(task, run, settings.loop, settings.optimizer, settings.average, stop=stop).train()


def _task(settings: PretrainSettings, model: SwapModel, crowd: Crowd, context: Context) -> SwapTask:
    store = FaceStore(crowd.faces, crowd.expressions)
    feed = SwapFeed(
        store,
        store,
        batch=settings.batch,
        resolution=model.resolution,
        output_resolution=model.output_resolution,
        augmentation=settings.augmentation,
        device=context.device,
        seed=settings.loop.seed,
    )
    return SwapTask(
        model,
        feed,
        build_losses(settings.losses, model, context),
        settings.task,
        name=settings.model.name,
        model_settings=settings_without_name(config.dump(settings.model)),
    )

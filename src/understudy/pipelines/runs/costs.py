"""What a model costs before it is trained: weights, multiply-adds, memory; nothing of it is computed."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from understudy.learning import SwapModel
from understudy.nn.cost import Cost, measure_cost
from understudy.pipelines.runs.train import TrainSettings, build_losses
from understudy.pipelines.setup import make_context
from understudy.training.batches import SwapFeed, random_store
from understudy.training.memory import MemoryEstimate, estimate_training
from understudy.training.process import resolve_precision
from understudy.training.task import SwapTask


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A model, its cost, and what it says of itself."""

    name: str
    """As a person types it."""
    sentence: str
    """What it is, in one line."""
    structure: str
    """The explanation in its file, to read beside the paper."""
    resolution: int
    """Side of the faces that go in, pixels."""
    output_resolution: int
    """Side of those that come out."""
    learning: Cost
    """One face of each person, as a training step has them."""
    swap: Cost
    """One face of the target, as merging has it."""
    precision: str
    """What the memory is estimated for."""
    memory: MemoryEstimate
    """What training takes with these settings."""


def describe(settings: TrainSettings, device: torch.device) -> ModelCard:
    """What a run with these settings would cost on a device.

    Raises:
        ConfigError: a setting that does not fit, or a loss that needs what is not there.
        UnderstudyError: the step cannot be rehearsed.
    """
    with torch.device("meta"):  # weights without memory
        model = settings.model.build(make_context(torch.device("meta")))
    assert isinstance(model, nn.Module)
    side = (1, 3, model.resolution, model.resolution)
    precision = resolve_precision(settings.loop.precision, device.type)
    return ModelCard(
        name=settings.model.name,
        sentence=inspect.cleandoc(type(settings.model).__doc__ or "").partition("\n")[0],
        structure=inspect.cleandoc(sys.modules[type(settings.model).__module__].__doc__ or ""),
        resolution=model.resolution,
        output_resolution=model.output_resolution,
        learning=measure_cost(model, side, side, call=model.reconstruct),
        swap=measure_cost(model, side, call=model.swap),
        precision=precision,
        memory=estimate_training(
            trial_task(settings, cast("SwapModel", model), device),
            settings.loop,
            settings.optimizer,
            settings.average,
            precision,
            device=device,
        ),
    )


def trial_task(settings: TrainSettings, model: SwapModel, device: torch.device) -> SwapTask:
    """What would be trained, on a few faces of nobody: for estimates and measurements.

    Args:
        settings: of the run.
        model: built by ``settings.model``; may be on the device ``meta``.
        device: where batches are made.
    """
    stores = [random_store(2, max(model.resolution, model.output_resolution), seed) for seed in (0, 1)]
    feed = SwapFeed(
        stores[0],
        stores[1],
        batch=settings.batch,
        resolution=model.resolution,
        output_resolution=model.output_resolution,
        augmentation=settings.augmentation,
        device=device,
        seed=0,
    )
    losses = build_losses(settings.losses, model, make_context(device))
    return SwapTask(model, feed, losses, settings.task, name=settings.model.name, model_settings={})

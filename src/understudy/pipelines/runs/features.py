"""Training the small network whose features the perceptual loss and distance compare, on drawn people only.

What a crowd of performers teaches is in ``training.feature_task``. Nobody's picture is in it, so that the
network can travel with the package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from understudy import config, durable
from understudy.errors import CheckpointError, ConfigError
from understudy.events import Event, Planned
from understudy.models import MODELS
from understudy.pipelines.runs.crowd import CrowdSettings, kept_crowd
from understudy.pipelines.setup import choose_device
from understudy.training.augment import store_side
from understudy.training.average import AverageSettings
from understudy.training.bounds import bounded, check_batch
from understudy.training.feature_task import FIGURE, FeatureTask
from understudy.training.loop import LoopSettings, Trainer
from understudy.training.optim import OptimizerSettings
from understudy.training.rundir import RunFolder, load_swapper_files, make_origin
from understudy.training.store import FaceStore


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """How the feature network is trained."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch: int = 16
    """Faces a step."""
    side: int = 64
    """Of the pictures that are learned from, pixels; the network takes any afterwards."""
    crowd: CrowdSettings = field(default_factory=lambda: CrowdSettings(performers=200, faces=32))
    """Who is learned from; the last tenth of them is held out."""
    optimizer: OptimizerSettings = field(
        default_factory=lambda: OptimizerSettings(name="adam", rate=1e-3, schedule="cosine", clip=1.0)
    )
    """How weights follow gradients."""
    average: AverageSettings = field(default_factory=AverageSettings)
    """The running average of the weights that is given away."""
    loop: LoopSettings = field(default_factory=lambda: LoopSettings(figure=FIGURE))
    """How long, how often to save."""

    def __post_init__(self) -> None:
        check_batch(self.batch, fewest=2)
        if self.side < 32 or self.side % 8:
            raise ConfigError(f"side: wanted a multiple of 8 from 32, got {self.side}")


def start(settings: FeatureSettings, runs: Path) -> RunFolder:
    """Makes the folder of a new run; nothing is drawn or trained yet."""
    origin = make_origin(settings.loop.seed, {"crowd": settings.crowd.said})
    return RunFolder.create(runs, "features", {"features": config.dump(settings)}, origin)


def settings_of(run: RunFolder) -> FeatureSettings:
    """The settings with which a run was started.

    Raises:
        CheckpointError: it trains something else, or is of another version.
    """
    return run.settings(FeatureSettings(), "features", "no feature network that this version can go on with")


def train(
    run: RunFolder,
    *,
    steps: int | None = None,
    time: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Draws the crowd and trains a run from where it stands.

    Args:
        run: its folder, see ``start``.
        steps: bound on all steps of the run; None: as in its recipe.
        time: bound on all seconds of training; None: as in its recipe.
        stop: asked before every step; True saves and ends.

    Raises:
        CheckpointError: the run's checkpoints are damaged or of another network.
    """
    settings = bounded(settings_of(run), steps, time)
    device = choose_device(settings.device)
    torch.manual_seed(settings.loop.seed)
    crowd = yield from kept_crowd(run.path, settings.crowd, MODELS["df"](), store_side(settings.side))
    names = np.unique(crowd.persons)
    learned = crowd.persons < names[-max(1, len(names) // 10)]
    yield Planned(
        lines=(f"training on {learned.sum()} faces of performers; {(~learned).sum()} of others are held out",)
    )
    task = FeatureTask(
        FaceStore(crowd.faces[learned], crowd.expressions[learned]),
        np.searchsorted(names, crowd.persons[learned]),
        FaceStore(crowd.faces[~learned], crowd.expressions[~learned]),
        side=settings.side,
        batch=settings.batch,
        device=device,
        seed=settings.loop.seed,
    )
    yield from Trainer(task, run, settings.loop, settings.optimizer, settings.average, stop=stop).train()


def write_features(run: RunFolder, file: Path) -> None:
    """Writes a trained network in half precision, as the package ships one.

    Raises:
        CheckpointError: the run has delivered nothing yet, or is of something else.
        OutputError: no space, no permission.
    """
    files = load_swapper_files(run.swapper)
    if files.model != "features":
        raise CheckpointError(f"{run.path}: wanted a feature network, got {files.model!r}")
    with durable.explained(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    durable.write_bytes(file, save({name: weight.half() for name, weight in files.weights.items()}))

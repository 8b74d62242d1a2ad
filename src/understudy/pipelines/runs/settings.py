"""How a swapper is trained: every setting of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from understudy import config
from understudy.color_transfers import COLOR_TRANSFERS, ColorTransfer
from understudy.errors import ConfigError
from understudy.losses import LOSSES, Loss
from understudy.models import MODELS, ModelSettings
from understudy.pipelines.runs.phases import plan
from understudy.training.augment import Augmentation
from understudy.training.average import AverageSettings
from understudy.training.bounds import LoopSettings, check_batch
from understudy.training.optim import OptimizerSettings
from understudy.training.sampling import Sampling
from understudy.training.task import SwapTaskSettings


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a swapper is trained."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch: int = 8
    """Faces of each person a step."""
    held_out: int = 16
    """Faces of each person that are never learned from, to take figures on. They lie in whole stretches of
    the footage, with as many unused ones round them; a tenth of the faces at most. 0 for none."""
    memory: float = 0.5
    """Share of the free memory that faces may take; more of them lie in a file in the run's folder."""
    model: ModelSettings = config.slot(MODELS, "df")
    """What learns."""
    starting: str = "none"
    """A starting model that comes with understudy, taught on performers, to begin with: cpu. none: random
    weights. Only for the model's settings it was taught with; --start-from overrides it."""
    losses: dict[str, Loss] = config.plugins(LOSSES, dssim={"weight": 10.0}, mse={"weight": 10.0})
    """Terms of the picture; the mask's term is task.mask_weight."""
    sampling: Sampling = "uniform"
    """Which faces come how often. uniform: all alike; pose: rare poses as often as common ones, by bins of
    yaw and pitch, and every face still comes."""
    color_transfer: ColorTransfer = config.slot(COLOR_TRANSFERS, "none")
    """How faces of the source get the colours of random faces of the target while they are learned from."""
    task: SwapTaskSettings = field(default_factory=SwapTaskSettings)
    """How the terms are combined."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How faces are changed before they are learned from."""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """How weights follow gradients."""
    average: AverageSettings = field(default_factory=AverageSettings)
    """The running average of the weights that is given away."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    """How long, how often to save."""
    phases: tuple[Mapping[str, Any], ...] = ()
    """What changes on the way: [[phase]] of a recipe, see ``pipelines.phases``."""

    def __post_init__(self) -> None:
        check_batch(self.batch)
        if self.held_out < 0:
            raise ConfigError(f"held_out: wanted 0 or more faces, got {self.held_out}")
        if not 0 <= self.memory <= 1:
            raise ConfigError(f"memory: wanted a share between 0 and 1, got {self.memory:g}")
        if self.phases:  # of a command's flags only those that are settings
            own = config.base_of(self, TrainSettings)
            plan(config.merge(TrainSettings(), {**own, "phases": ()}), self.phases)

"""How long a run goes on, how often it leaves something, and how much of it is done."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from torch import nn

from understudy.errors import ConfigError
from understudy.training.process import Precision

S = TypeVar("S")
"""Settings of a training: a dataclass with a field ``loop``."""
MOST_BATCH = 4096
"""Faces a step above which a batch is a slip of the finger: what one needs is found out by making it, which
takes minutes and all memory there is."""


def check_batch(batch: int, fewest: int = 1) -> None:
    """Refuses a number of faces a step that nothing can train with.

    Args:
        batch: the setting.
        fewest: that are needed.

    Raises:
        ConfigError: too few or too many.
    """
    if not fewest <= batch <= MOST_BATCH:
        raise ConfigError(f"batch: wanted {fewest} to {MOST_BATCH} faces a step, got {batch}")


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How long a run trains and what it leaves on the way."""

    steps: int | None = None
    """Steps after which the run is done; None: until the time is up."""
    time: float | None = None
    """Seconds of training after which the run is done, those of earlier calls included; None: until the steps
    are done. Neither: until it is stopped, or ``until``."""
    until: Literal["none", "plateau"] = "none"
    """plateau: the run is also done when ``figure`` has stopped getting better."""
    figure: str = "heldout/ssim_target"
    """The measured figure that a plateau is of; the end of its name is enough."""
    figure_falls: bool = False
    """Less of the figure is better."""
    patience: int = 10
    """Measurements without a new best that make a plateau."""
    measure_every: int | None = None
    """Steps between measurements; None: at every checkpoint."""
    seed: int = 0
    """Everything random follows from it."""
    precision: Precision = "auto"
    """bf16: convolutions in bfloat16, weights and losses in single precision; fp16: the same in float16 with
    scaled losses, for a GPU that knows no bfloat16; auto: what the device computes fastest."""
    tf32: bool = True
    """On a GPU single precision is multiplied with 10 bits of mantissa, where it knows how."""
    accumulate: int = 1
    """Parts that a batch is learned in, one after another, to fit a small card; the gradient is the whole
    batch's."""
    compile: Literal["off", "default", "graphs", "max-autotune"] = "off"
    """Let torch fuse the step's kernels; graphs: and replay them as CUDA graphs; max-autotune: and try which
    are fastest. The first step takes minutes. For a GPU: on a processor it is slower."""
    threads: int = 0
    """Threads of computation; 0: one or all cores, whichever trial steps show to be faster when the run is
    started; a run that goes on keeps its number."""
    save_every: float = 120.0
    """Seconds between checkpoints."""
    preview_every: float = 60.0
    """Seconds between previews; 0 for none."""
    report_every: float = 0.5
    """Seconds between reports of progress."""
    keep: int = 2
    """Newest checkpoints that are kept, besides the best."""
    backups: bool = False
    """Keep older checkpoints too: one an hour for a day, one a day for a month, then one a month."""
    collapse: float = 5.0
    """The run goes back to its last good checkpoint, at half the rate, when its smoothed loss is this many
    times the lowest, or no number, or when what the model draws goes blank."""

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps: there is nothing to train in {self.steps} steps; give 1 or more")
        if self.time is not None and self.time <= 0:
            raise ConfigError(f"time: there is nothing to train in {self.time} seconds; give more")
        if self.keep < 1:
            raise ConfigError(f"keep: at least 1 checkpoint must stay, got {self.keep}")
        for name in ("accumulate", "patience", "measure_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}: wanted 1 or more, got {value}")

    def fraction(self, step: int, elapsed: float) -> float:
        """How much of the run is done, in [0, 1]; bounded by steps alone it does not depend on the clock."""
        done = 0.0
        if self.steps is not None:
            done = step / self.steps
        if self.time is not None:
            done = max(done, elapsed / self.time)
        return min(1.0, done)

    def is_over(self, step: int, elapsed: float) -> bool:
        """True when the run has reached its end."""
        return self.fraction(step, elapsed) >= 1.0

    def seconds_left(self, step: int, elapsed: float, speed: float) -> float | None:
        """Seconds to the end at so many steps a second; None where nothing bounds the run."""
        left: list[float] = []
        if self.steps is not None and speed > 0:
            left.append((self.steps - step) / speed)
        if self.time is not None:
            left.append(self.time - elapsed)
        return max(0.0, min(left)) if left else None

    def disk(self, module: nn.Module) -> int:
        """Bytes that the checkpoints and the swapper of a run take at most."""
        weights = sum(parameter.nbytes for parameter in module.parameters())
        kept = self.keep + 2  # the newest, the best, and the one being written
        if self.backups:
            hours, days = (24, 30) if self.time is None else (self.time / 3600, self.time / 86400)
            kept += math.ceil(min(24, hours)) + math.ceil(min(30, days))
        return weights * (4 * kept + 1)  # weights, their average and two moments each; the swapper once


def bounded(settings: S, steps: int | None, time: float | None) -> S:
    """The same training with other bounds; as it was where neither is given.

    Args:
        settings: of any training.
        steps: all steps of the run, those of earlier calls included.
        time: all seconds of training, those of earlier calls included.

    Raises:
        ConfigError: there is nothing to train within them.
    """
    if steps is None and time is None:
        return settings
    whole: Any = settings
    return dataclasses.replace(whole, loop=dataclasses.replace(whole.loop, steps=steps, time=time))

"""How long a run goes on, how often it leaves something, and how much of it is done."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from understudy.errors import ConfigError
from understudy.training.process import Precision


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How long a run trains and what it leaves on the way."""

    steps: int | None = None
    """Steps after which the run is done; None: until the time is up."""
    time: float | None = None
    """Seconds of training after which the run is done, those of earlier calls included; None: until the steps
    are done. Neither: until it is stopped."""
    seed: int = 0
    """Everything random follows from it."""
    precision: Precision = "auto"
    """bf16: convolutions in bfloat16, weights and losses in single precision; auto: where supported."""
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
    collapse: float = 5.0
    """The run goes back to its last checkpoint, at half the rate, when the smoothed loss is so many times its
    lowest, or no number."""

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps: there is nothing to train in {self.steps} steps; give 1 or more")
        if self.time is not None and self.time <= 0:
            raise ConfigError(f"time: there is nothing to train in {self.time} seconds; give more")
        if self.keep < 1:
            raise ConfigError(f"keep: at least 1 checkpoint must stay, got {self.keep}")

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
        return weights * (4 * kept + 1)  # weights, their average and two moments each; the swapper once

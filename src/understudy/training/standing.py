"""Where a run stands: what it remembers between steps besides weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from understudy.training.bounds import LoopSettings
from understudy.training.plateau import Plateau
from understudy.training.watch import LossWatch, PulseWatch

_FORGIVEN = 2000
"""Good steps after which an earlier fall counts no more."""
_FALLS = 3
"""Falls from which a run may recover."""


@dataclass(kw_only=True, eq=False)
class Standing:
    """What changes while a run goes on."""

    settings: LoopSettings
    """How long it goes on."""
    step: int = 0
    """Steps that have been done."""
    elapsed: float = 0.0
    """Seconds of training."""
    rate_factor: float = 1.0
    """What falls have left of the learning rate."""
    rollbacks: int = 0
    """Falls that are not forgiven yet."""
    returned_to: int = -1
    """Step of the checkpoint to which the run went back last; -1: it never did."""
    saved_step: int = -1
    """Step of the last checkpoint."""
    measured_step: int = -1
    """Step of the last measurement."""
    losses: dict[str, float] = field(default_factory=dict[str, float])
    """Of the last step that was read."""
    figures: dict[str, float] = field(default_factory=dict[str, float])
    """As they were measured last."""
    speed: float = 0.0
    """Steps a second, of this call."""
    improved: bool = False
    """Whether the figure of the plateau got better since the last checkpoint."""

    def __post_init__(self) -> None:
        self.begin_phase()

    def begin_phase(self) -> None:
        """Forget what cannot be compared with what comes."""
        self.watch = LossWatch(self.settings.collapse)
        self.pulse = PulseWatch()
        self.plateau: Plateau | None = None
        if self.settings.until == "plateau":
            falls = self.settings.figure_falls
            self.plateau = Plateau(self.settings.figure, self.settings.patience, falls=falls)
        self.rate_factor, self.rollbacks, self.returned_to = 1.0, 0, -1

    @property
    def is_over(self) -> bool:
        """Whether the run, or its phase, has reached its end."""
        if self.plateau and self.plateau.reached:
            return True
        return self.settings.is_over(self.step, self.elapsed)

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end; None where nothing bounds the run."""
        return self.settings.seconds_left(self.step, self.elapsed, self.speed)

    @property
    def loss(self) -> float:
        """What the module made smaller.

        Without what it plays with a critic, which rises and falls as the game goes; but what is no number any
        more counts in any case.
        """
        played = {name for name in self.losses if name.startswith("critic_")}
        played |= {name.removeprefix("critic_") for name in played}
        return sum(v for name, v in self.losses.items() if name not in played or not math.isfinite(v))

    def fall(self) -> bool:
        """Count a fall, now that the step is known at which it was seen; False when it is one too many."""
        if self.returned_to >= 0 and self.step - self.returned_to > _FORGIVEN:
            self.rollbacks = 0
        self.rollbacks += 1
        return self.rollbacks <= _FALLS

    def measure(self, figures: Mapping[str, float]) -> None:
        """Take in figures of this step."""
        self.figures, self.measured_step = dict(figures), self.step
        if self.plateau and self.plateau.update(figures):
            self.improved = True

    def is_best(self) -> bool:
        """True, once, when the run is better than ever: by its plateau's figure, or else by its loss."""
        if not self.plateau:
            return self.watch.is_best()
        improved, self.improved = self.improved, False
        return improved

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint; its step is kept by the checkpoint itself."""
        return {
            "elapsed": self.elapsed,
            "rate_factor": self.rate_factor,
            "rollbacks": self.rollbacks,
            "returned_to": self.returned_to,
            "losses": self.losses,
            "figures": self.figures,
            "measured_step": self.measured_step,
            "watch": self.watch.state(),
            "pulse": self.pulse.state(),
            "plateau": self.plateau.state() if self.plateau else None,
        }

    def load(self, step: int, state: Mapping[str, Any], *, same_phase: bool) -> None:
        """Take over what ``state`` gave, of a checkpoint of that step."""
        self.step = self.saved_step = step
        self.elapsed = state["elapsed"]
        self.losses, self.figures = dict(state["losses"]), dict(state["figures"])
        self.measured_step = state.get("measured_step", -1)
        self.begin_phase()
        if not same_phase:
            return
        self.rate_factor, self.rollbacks = state["rate_factor"], state["rollbacks"]
        self.returned_to = state.get("returned_to", -1)
        self.watch.load(state["watch"])
        if "pulse" in state:  # checkpoints of version 0.1 have none
            self.pulse.load(state["pulse"])
        if self.plateau and state.get("plateau"):
            self.plateau.load(state["plateau"])

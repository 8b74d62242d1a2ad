"""Optimisers and the learning rate over a run.

The rate is a pure function of the step and of how much of the run is done: nothing of it needs saving.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from understudy.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """How weights follow gradients."""

    name: Literal["adam", "rmsprop", "adabelief"] = "adam"
    """Rule of the update."""
    rate: float = 1e-3
    """Learning rate at its highest."""
    warm_up: int = 100
    """Steps over which the rate grows from nothing."""
    schedule: Literal["constant", "cosine", "waves"] = "cosine"
    """After the warm-up: stay; fall along half a cosine until the end of the run; or go down to nothing and
    up again, as DeepFaceLab does with its learning-rate dropout."""
    final: float = 0.01
    """What is left of the rate at the end of a cosine, as a fraction."""
    period: int = 500
    """Steps from crest to crest of the waves."""
    clip: float | None = 1.0
    """Largest norm of all gradients together; larger ones are shortened. None: as they come."""
    share: float = 1.0
    """Learning-rate dropout: the share of weights, drawn anew each step, that are updated at all."""
    bias_correction: bool = True
    """AdaBelief: correct the moments' start at zero. DeepFaceLab's does not."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate < math.inf:
            raise ConfigError(f"rate: wanted a learning rate of 0 or more, as 0.001, got {self.rate}")
        if self.warm_up < 0 or self.period < 1 or not 0.0 <= self.final <= 1.0 or not 0.0 < self.share <= 1.0:
            raise ConfigError(
                "wanted warm-up 0 or more, period 1 or more, final 0 to 1 and share above 0 to 1; got "
                f"{self.warm_up}, {self.period}, {self.final} and {self.share}"
            )
        if self.clip is not None and self.clip <= 0.0:
            raise ConfigError(f"clip: wanted a norm above 0, or none, got {self.clip}")

    def rate_at(self, step: int, done: float) -> float:
        """The learning rate of a step.

        Args:
            step: number of the step, from 0.
            done: how much of the run is behind it, in steps or time, in [0, 1].
        """
        rate = self.rate * min(1.0, (step + 1) / max(1, self.warm_up))
        if self.schedule == "cosine":
            wave = 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))
            rate *= self.final + (1 - self.final) * wave
        elif self.schedule == "waves":
            rate *= 0.5 * (1 + math.cos(2 * math.pi * (step % self.period) / self.period))
        return rate

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser; Adam in one fused kernel where torch has it."""
        held = list(parameters)
        if self.name == "adam":
            return torch.optim.Adam(held, lr=self.rate, fused=held[0].device.type in ("cpu", "cuda"))
        if self.name == "rmsprop":
            # one weight after another on a processor: temporaries stay in its cache
            together = held[0].device.type == "cuda"
            return torch.optim.RMSprop(held, lr=self.rate, alpha=0.9, eps=1e-6, foreach=together)
        return AdaBelief(held, lr=self.rate, bias_correction=self.bias_correction)


class AdaBelief(torch.optim.Optimizer):
    """Adam whose second moment is that of the gradient's surprise.

    Zhuang et al. 2020, "AdaBelief optimizer: adapting stepsizes by the belief in observed gradients",
    algorithm 2, without the epsilon inside the moment, as DeepFaceLab has it.

    Args:
        parameters: what to update.
        lr: learning rate.
        betas: decay of both moments.
        eps: added to the root of the second moment.
        bias_correction: divide the moments by what their start at zero makes them too small.
        foreach: all weights in few kernels, for which there must be room for their values once more; None: on
            a GPU. One weight after another stays in a processor's cache.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 5e-5,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        bias_correction: bool = True,
        foreach: bool | None = None,
    ) -> None:
        rule = {"lr": lr, "betas": betas, "eps": eps, "bias_correction": bias_correction, "foreach": foreach}
        super().__init__(parameters, rule)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # no closure
        """Update the weights once."""
        assert closure is None, "AdaBelief needs one evaluation a step"
        for group in self.param_groups:
            held = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not held:
                continue
            together = group["foreach"]
            if together is None:
                together = held[0].device.type == "cuda"
            if not together:
                for parameter in held:
                    self._update([parameter], group)
                continue
            counts = [float(self._memory(parameter)["step"]) for parameter in held]
            for count in dict.fromkeys(counts):  # a weight that joined later has its own correction
                self._update([p for p, mine in zip(held, counts, strict=True) if mine == count], group)

    def _memory(self, parameter: nn.Parameter) -> dict[str, Any]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(parameter)
            state["surprise"] = torch.zeros_like(parameter)
        return state

    def _update(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Update weights that have been updated equally often."""
        memory = [self._memory(parameter) for parameter in parameters]
        for state in memory:
            state["step"] += 1
        (first, second), count = group["betas"], float(memory[0]["step"])
        means, surprises = [state["mean"] for state in memory], [state["surprise"] for state in memory]
        gradients = [cast("Tensor", parameter.grad) for parameter in parameters]
        together: Any = torch  # its stub lacks the operations on lists
        together._foreach_lerp_(means, gradients, 1 - first)
        differences = together._foreach_sub(gradients, means)
        together._foreach_mul_(surprises, second)
        together._foreach_addcmul_(surprises, differences, differences, 1 - second)
        del differences  # its room is wanted for the roots
        roots, rate = together._foreach_sqrt(surprises), float(group["lr"])
        if group["bias_correction"]:
            together._foreach_div_(roots, math.sqrt(1 - second**count))
            rate /= 1 - first**count
        together._foreach_add_(roots, group["eps"])
        together._foreach_addcdiv_(parameters, means, roots, -rate)


class Stepper:
    """Clips, sets the rate, updates, and lets only a share of the weights move.

    Args:
        settings: the rule.
        module: what learns; parameters that need no gradient are left alone.
    """

    def __init__(self, settings: OptimizerSettings, module: nn.Module) -> None:
        self.settings = settings
        self.named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.parameters = list(self.named.values())
        self.optimizer = settings.build(self.parameters)
        # which weights move is the same on every process of a run, whatever the model draws before
        self.random = torch.Generator(self.parameters[0].device) if settings.share < 1.0 else None

    def step(
        self, rate: float, *, seed: int | None = None, scaler: torch.amp.GradScaler | None = None
    ) -> None:
        """Update the weights by the gradients that are there, and forget these.

        Args:
            rate: learning rate.
            seed: of the weights that move; None: the next ones.
            scaler: by which the gradients were scaled; None: by nothing. Its ``update`` is the caller's.
        """
        if scaler:
            scaler.unscale_(self.optimizer)
        if self.settings.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        before = [p.detach().clone() for p in self.parameters] if self.random else []
        if scaler:
            scaler.step(self.optimizer)
        else:
            self.optimizer.step()
        if self.random:
            self._hold_most(before, self.random, seed)
        self.optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _hold_most(self, before: list[Tensor], random: torch.Generator, seed: int | None) -> None:
        """Give all but a share of the weights their old values back."""
        if seed is not None:
            random.manual_seed(seed)
        for parameter, old in zip(self.parameters, before, strict=True):
            moved = torch.empty_like(parameter).uniform_(generator=random) < self.settings.share
            torch.where(moved, parameter, old, out=parameter)

    def state(self) -> dict[str, Tensor]:
        """The optimiser's memory as named tensors, by the weights' names."""
        return {
            f"{name}/{key}": value if isinstance(value, Tensor) else torch.tensor(value)
            for name, parameter in self.named.items()
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what ``state`` gave; every tensor gets the layout in memory of its weight."""
        self.optimizer.state.clear()
        for name, parameter in self.named.items():
            mine = {key.rpartition("/")[2]: v for key, v in state.items() if key.rpartition("/")[0] == name}
            held: dict[str, Tensor] = {}
            fused = bool(self.optimizer.param_groups[0].get("fused"))
            for key, value in mine.items():
                if value.shape == parameter.shape and value.ndim:
                    held[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
                else:
                    # the count of steps stays on the processor, unless one kernel does everything
                    held[key] = value.clone().to(parameter.device if fused else "cpu")
            if held:
                self.optimizer.state[parameter] = held

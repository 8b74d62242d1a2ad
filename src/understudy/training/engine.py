"""One step of learning: forward, backward, update; in parts, compiled, on several processes where asked for.

On a GPU nothing here waits for it: losses stay there until somebody reads them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from understudy.errors import UnderstudyError
from understudy.training.average import AverageSettings, WeightAverage
from understudy.training.bounds import LoopSettings
from understudy.training.distributed import Group, Shared, split
from understudy.training.optim import OptimizerSettings, Stepper
from understudy.training.precision import Arithmetic, settle_products
from understudy.training.task import B, Prepared, Task

Losses = Callable[..., dict[str, Tensor]]

_MODES = {"default": "default", "graphs": "reduce-overhead", "max-autotune": "max-autotune"}


@dataclass(frozen=True, eq=False)
class Terms:
    """The losses of a step, still on the device."""

    names: tuple[str, ...]
    """As the task calls them."""
    values: Tensor
    """One of each, of this process's part of the batch."""


class Engine(Generic[B]):
    """Does the steps of a task.

    Args:
        task: what to train; its module is on its device.
        settings: seed, parts, compilation.
        optimizer: how weights follow gradients.
        average: the running average that is given away; only the leader keeps one.
        precision: ``bf16``, ``fp16`` or ``fp32``.
        group: the processes of the run.
    """

    def __init__(
        self,
        task: Task[B],
        settings: LoopSettings,
        optimizer: OptimizerSettings,
        average: AverageSettings,
        precision: str,
        group: Group,
    ) -> None:
        self.task, self.settings, self.group = task, settings, group
        self.module = task.module
        self.device = next(self.module.parameters()).device
        settle_products(self.device, tf32=settings.tf32)
        self.module.to(memory_format=torch.channels_last)  # pyright: ignore  # its stub lacks this form
        if task.critics:
            task.critics.requires_grad_(True)
        self.stepper = Stepper(optimizer, self.module)
        self.critics = Stepper(optimizer, task.critics) if task.critics else None
        if isinstance(task, Prepared):
            task.prepare()
        keeps = average.decay > 0 and group.leads
        self.average = WeightAverage(average, self.module) if keeps else None
        self.arithmetic = Arithmetic(precision, self.device)
        self._losses: Losses = task.losses
        self._critic_losses: Losses = lambda: self.task.critic_losses()
        self._new = True

    # ------------------------------------------------------------------------------------------------- a step

    def step(self, step: int, rate: float) -> Terms:
        """One step, from 0; its losses."""
        seed = self._seed(step)
        parts = split(self._batch(step), self.settings.accumulate)
        alone = len(parts) == 1
        own: list[Terms] = []
        against: list[Terms] = []
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            own.append(self._learn(self._losses, (part,), len(parts), last))
            if self.critics and not alone:  # what they look at is gone with the next part
                against.append(self._learn(self._critic_losses, (), len(parts), last))
        self.stepper.step(rate, seed=seed, scaler=self.arithmetic.scaler)
        if self.critics:
            if alone:
                against.append(self._learn(self._critic_losses, (), 1, True))
            self.critics.step(rate, seed=seed + 1, scaler=self.arithmetic.scaler)
        self.arithmetic.end_step()
        if self.average:
            self.average.update(step)
        return _joined(_mean(own), *([_mean(against)] if against else []))

    def _seed(self, step: int) -> int:
        """Everything that the step draws at random follows from its number."""
        seed = int(np.random.SeedSequence([self.settings.seed, step]).generate_state(1, np.uint64)[0]) >> 1
        torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]  # untyped stub
        return seed

    def _batch(self, step: int) -> B:
        """This process's share of the step's batch; the whole does not depend on how many they are."""
        rank, world = self.group.rank, self.group.world
        if world == 1:
            return self.task.batch(step)
        if isinstance(self.task, Shared):
            batch: B = self.task.batch_share(step, rank, world)
        else:
            batch = split(self.task.batch(step), world)[rank]
        if rank:  # what the model draws for other faces is other
            own = np.random.SeedSequence([self.settings.seed, step, rank]).generate_state(1, np.uint64)[0]
            torch.manual_seed(int(own) >> 1)  # pyright: ignore[reportUnknownMemberType]  # untyped stub
        return batch

    def _learn(self, losses: Losses, given: tuple[Any, ...], parts: int, last: bool) -> Terms:
        """Gradients of one part; processes exchange theirs after the last one."""
        parallel: Any = losses if isinstance(losses, nn.Module) else None
        with parallel.no_sync() if parallel and not last else contextlib.nullcontext():
            with self.arithmetic.autocast():
                terms = self._call(losses, given)
            values = torch.stack(list(terms.values()))
            total = values.sum()
            self.arithmetic.backward(total if parts == 1 else total / parts)
        return Terms(tuple(terms), values.detach())

    def _call(self, losses: Losses, given: tuple[Any, ...]) -> dict[str, Tensor]:
        if self.settings.compile == "off":
            return losses(*given)
        from torch._dynamo.exc import TorchDynamoException  # seconds to load, for those who compile

        torch.compiler.cudagraph_mark_step_begin()
        try:
            return losses(*given)
        except TorchDynamoException as error:
            reason = str(getattr(error, "inner_exception", error)).strip().splitlines()[0]
            raise UnderstudyError(
                f"torch could not compile the step ({reason}); set loop.compile to off"
            ) from error

    # -------------------------------------------------------------------------------------------- preparation

    def prepare(self) -> None:
        """Put together what does the steps; after weights were loaded, once, on all processes."""
        assert self._new, "an engine is prepared once"
        self._new = False
        if self.group.world > 1:
            unused = not self._all_used()
            self._losses = DistributedDataParallel(
                _Forward(self.module, self.task.losses), find_unused_parameters=unused
            )
            if self.task.critics:
                self.task.critics.requires_grad_(True)  # the losses that were tried may have taken it
                self._critic_losses = DistributedDataParallel(
                    _Forward(self.task.critics, self.task.critic_losses)
                )
        if self.settings.compile != "off":
            mode = _MODES[self.settings.compile]
            self._losses = torch.compile(self._losses, mode=mode, dynamic=False)

    def _all_used(self) -> bool:
        """Whether every weight has a part in the losses: where one has not, processes would wait for it."""
        with self.unchanged():
            self._try(split(self._batch(0), self.settings.accumulate)[0])
            return all(p.grad is not None for p in self.stepper.parameters if p.requires_grad)

    def seconds_of_step(self, clock: Callable[[], float] = time.monotonic) -> float:
        """How long a step takes, from trial steps that change nothing."""
        batch = split(self.task.batch(0), self.settings.accumulate)[0]
        with self.unchanged():
            for _ in range(2):  # the first ones pay for memory and code
                self._try(batch)
            started = clock()
            self._try(batch)
            return clock() - started

    def _try(self, batch: B) -> None:
        with self.arithmetic.autocast():
            terms = self.task.losses(batch)
        torch.stack(list(terms.values())).sum().backward()

    @contextlib.contextmanager
    def unchanged(self) -> Generator[None, None, None]:
        """Whatever is tried in the block leaves no gradient and no running figure behind."""
        held = [module for module in (self.module, self.task.critics) if module]
        kept = [(buffer, buffer.clone()) for module in held for buffer in module.buffers()]
        try:
            yield
        finally:
            for module in held:
                module.zero_grad(set_to_none=True)
            with torch.no_grad():
                for buffer, before in kept:
                    buffer.copy_(before)

    # ------------------------------------------------------------------------------------------------ reading

    def read(self, terms: Terms) -> dict[str, float]:
        """The losses as numbers, of all processes together; waits for the device."""
        values = self.group.mean(terms.values).cpu()
        return dict(zip(terms.names, map(float, values), strict=True))

    def is_sound(self) -> bool:
        """Whether all weights are numbers; a step can spoil them though its loss was one."""
        return bool(torch.isfinite(_norm(self.stepper.parameters)))

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """The module has its average as weights within the block."""
        return self.average.applied() if self.average else contextlib.nullcontext()


class _Forward(nn.Module):
    """Losses as a module's forward, inside of which DistributedDataParallel wants them."""

    def __init__(self, module: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.module = module
        self._losses = losses

    def forward(self, *given: Any) -> dict[str, Tensor]:  # noqa: ANN401  # a batch is of any type
        return self._losses(*given)


def _mean(parts: list[Terms]) -> Terms:
    if len(parts) == 1:
        return parts[0]
    return Terms(parts[0].names, torch.stack([part.values for part in parts]).mean(0))


def _joined(first: Terms, *more: Terms) -> Terms:
    if not more:
        return first
    names = (*first.names, *(name for terms in more for name in terms.names))
    return Terms(names, torch.cat([first.values, *(terms.values for terms in more)]))


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    together: Any = torch  # its stub lacks the operations on lists
    with torch.no_grad():
        return torch.stack(together._foreach_norm(list(tensors))).sum()

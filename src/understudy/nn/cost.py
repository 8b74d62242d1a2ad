"""What a network costs: its weights, and the multiply-adds of one pass, by part.

Counted while the network's own lines run on hollow tensors, so that nothing has to be kept in step with
them. A multiply-add (MAC) is one product and one sum; convolutions and matrix products count, everything
else is left out, as is usual.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from understudy.nn.hollow import hollow


@dataclass(frozen=True, kw_only=True)
class PartCost:
    """One part of a network."""

    name: str
    """Its attribute in the network."""
    parameters: int
    """Weights that learn or are fixed."""
    macs: int
    """Multiply-adds of all its calls in the pass."""
    outputs: tuple[tuple[int, ...], ...]
    """Shapes of what it gave back last; empty where the pass did not come by."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A whole network in one pass."""

    parameters: int
    """Weights, each counted once."""
    macs: int
    """Multiply-adds."""
    parts: tuple[PartCost, ...]
    """Its direct parts that have weights, in the order of the network."""


def measure_cost(module: nn.Module, *shapes: tuple[int, ...], call: Callable[..., Any] | None = None) -> Cost:
    """Count weights and multiply-adds of one pass, without computing anything.

    Args:
        module: any network; it may live on the device ``meta``, and is left as it was.
        shapes: of the float32 tensors that the pass is given.
        call: what to call with them, of the module; None: the module itself.
    """
    with hollow([module], torch.device("cpu")), torch.no_grad():
        inputs = [torch.empty(shape) for shape in shapes]
        counter = FlopCounterMode(display=False)
        with counter, _watched(module, counter) as seen:
            (call or module)(*inputs)
    parts = [
        PartCost(
            name=name,
            parameters=count_parameters(part),
            macs=seen[part].flops // 2,
            outputs=seen[part].outputs,
        )
        for name, part in module.named_children()
        if count_parameters(part)
    ]
    return Cost(parameters=count_parameters(module), macs=counter.get_total_flops() // 2, parts=tuple(parts))


def count_parameters(module: nn.Module) -> int:
    """Numbers in the weights of a network, each counted once."""
    return sum(math.prod(parameter.shape) for parameter in module.parameters())


@dataclass
class _Seen:
    """What a part did so far."""

    flops: int = 0
    depth: int = 0
    begun: int = 0
    outputs: tuple[tuple[int, ...], ...] = ()

    def enter(self, flops: int) -> None:
        if not self.depth:
            self.begun = flops
        self.depth += 1

    def leave(self, flops: int, output: object) -> None:
        self.depth -= 1
        if not self.depth:
            self.flops += flops - self.begun
            tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
            self.outputs = tuple(tuple(tensor.shape) for tensor in tensors)


@contextlib.contextmanager
def _watched(module: nn.Module, counter: FlopCounterMode) -> Generator[dict[nn.Module, _Seen]]:
    """How far the counter goes within each direct part, or within its own parts where those are called."""
    seen = {part: _Seen() for part in module.children()}

    def watch(part: nn.Module, mine: _Seen) -> Generator[RemovableHandle]:
        for inner in part.modules():
            yield inner.register_forward_pre_hook(lambda *_: mine.enter(counter.get_total_flops()))
            yield inner.register_forward_hook(lambda *given: mine.leave(counter.get_total_flops(), given[-1]))

    with contextlib.ExitStack() as stack:
        for part, mine in seen.items():
            for hook in watch(part, mine):
                stack.callback(hook.remove)
        yield seen

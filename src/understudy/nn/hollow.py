"""Hollow networks: tensors with a shape, a layout and a kind of number that hold nothing.

What a network costs follows from shapes alone. ``hollow`` puts hollow tensors (torch's fake tensors) in the
place of its weights, so that its own lines can be run in milliseconds and without memory, and puts
everything back. A network built within ``torch.device("meta")`` never has weights at all.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

_READ = torch.ops.aten._local_scalar_dense.default
"""What ``float(tensor)`` and ``tensor.item()`` come down to."""


@contextlib.contextmanager
def hollow(
    modules: Iterable[nn.Module], device: torch.device, *, around: TorchDispatchMode | None = None
) -> Generator[FakeTensorMode]:
    """Within the block the modules are hollow, and so is every tensor that is made.

    Real tensors may take part: they are read for their shape. What objects remember of the block is wiped:
    attributes of the modules, and what functions of this package keep in their caches.

    Args:
        modules: whose weights and buffers are replaced, those of their parts too; all have it as before after
            the block.
        device: where the hollow tensors pretend to be.
        around: sees every operation before it is carried out, weights included.
    """
    # one that stands in two places is replaced once
    parts = list(dict.fromkeys(part for module in modules for part in module.modules()))
    before = [(part, dict(vars(part))) for part in parts]
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with mode, _Reading(), around or contextlib.nullcontext(), torch.random.fork_rng(devices=[]):
            made: dict[int, Tensor] = {}
            for part in parts:
                for kind in ("_parameters", "_buffers"):
                    held: dict[str, Tensor | None] = vars(part)[kind]
                    vars(part)[kind] = {
                        name: None if real is None else made.setdefault(id(real), _emptied(real, device))
                        for name, real in held.items()
                    }
                vars(part)["to"] = lambda *_, mine=part, **__: mine  # is where and how it shall be
            yield mode
    finally:
        for part, attributes in before:
            vars(part).clear()
            vars(part).update(attributes)
        forget()


def _emptied(real: Tensor, device: torch.device) -> Tensor:
    """A hollow tensor in the shape of a real one, channels together where it is of pictures or kernels."""
    layout = torch.channels_last if real.ndim == 4 else torch.contiguous_format
    empty = torch.empty(real.shape, dtype=real.dtype, device=device, memory_format=layout)
    return nn.Parameter(empty, requires_grad=real.requires_grad) if isinstance(real, nn.Parameter) else empty


def forget() -> None:
    """Clear the caches of all functions of this package: a hollow tensor in one would be met in real work."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "understudy":
            for value in list(vars(module).values()):
                clear = getattr(value, "cache_clear", None)
                if callable(clear) and getattr(value, "__module__", "").startswith("understudy"):
                    clear()


class _Reading(TorchDispatchMode):
    """Answers where a number is read from a hollow tensor.

    Optimisers on a processor count their steps in tensors: one. On a GPU the only thing read in a step is
    whether a gradient was no number: zero.
    """

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        if func is _READ:
            number = 0 if args[0].device.type == "cuda" else 1
            kind = args[0].dtype
            return bool(number) if kind is torch.bool else float(number) if kind.is_floating_point else number
        return func(*args, **(kwargs or {}))

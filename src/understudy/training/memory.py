"""How much memory training will need, found out before the first step is done.

The steps of ``engine`` are rehearsed on hollow tensors (``nn.hollow``): forward, backward, optimiser, twice.
A ledger writes down when each block of memory would be taken and given back; its highest sum is the estimate,
and what was alive at that moment are its parts. So precision, parts of a batch, losses, adversaries,
recomputation and whatever else a step does are in the figure because they happen, and no formula has to be
kept in step with them. What a ledger of tensors cannot see is added by measured rules, see ``_unseen``.
"""

from __future__ import annotations

import dataclasses
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from understudy.errors import UnderstudyError
from understudy.events import Event, Planned, Warned
from understudy.nn.hollow import hollow
from understudy.training.average import AverageSettings
from understudy.training.bounds import LoopSettings
from understudy.training.distributed import Group
from understudy.training.engine import Engine
from understudy.training.optim import OptimizerSettings
from understudy.training.process import resolve_precision
from understudy.training.task import Task

T = TypeVar("T")
Part = Literal["weights", "gradients", "optimizer", "average", "activations", "workspace"]

_CODE = 105 * 2**20
"""What a process that trains next to nothing grows by from ``import torch`` on: kernels that are compiled for
the processor, pages of torch's libraries that are touched for the first time, optimiser modules."""
_HOLES: dict[Part, float] = {"gradients": 0.9, "activations": 0.25}
"""Share of these parts that glibc's heap takes beyond them, since they come and go in other orders and
sizes: blocks of the next step do not fit into the holes of the last one."""
_UNKNOWN = 2**62


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes at the moment of a step at which most are needed, by what they are for."""

    weights: int
    """What learns, adversaries included, and fixed networks and tables that losses look through."""
    gradients: int
    """Gradients that stand ready for the optimiser."""
    optimizer: int
    """The optimiser's memory: two numbers a weight for Adam and AdaBelief, one for RMSprop."""
    average: int
    """The running average of the weights."""
    activations: int
    """The batch, and what the forward pass keeps for the backward pass; copies of weights in fewer bits are
    among it."""
    workspace: int
    """What backward pass, optimiser, libraries and allocator take besides."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(cast("tuple[int, ...]", dataclasses.astuple(self)))


def estimate_training(
    task: Task[Any],
    loop: LoopSettings,
    optimizer: OptimizerSettings,
    average: AverageSettings,
    precision: str,
    *,
    device: torch.device | None = None,
) -> MemoryEstimate:
    """Find out what a step will need, without memory or time for one.

    Args:
        task: what will be trained, as it was. One batch is asked of it. Its module may live on the device
            ``meta``: what was built within ``torch.device("meta")`` needs no memory either.
        loop: parts of a batch.
        optimizer: the rule.
        average: whether one is kept.
        precision: ``bf16``, ``fp16`` or ``fp32``, see ``process.resolve_precision``.
        device: where the run will be; None: where the module is.

    Raises:
        UnderstudyError: the task does something that needs real numbers.
    """
    device = device or next(task.module.parameters()).device
    batch = task.batch(0)
    modules = _modules_of(task)
    remembered = [
        (holder, dict(vars(holder))) for holder in (task, *_terms_of(task)) if hasattr(holder, "__dict__")
    ]
    ledger = _Ledger()
    settings = dataclasses.replace(loop, compile="off")
    try:
        with hollow(modules, device, around=ledger) as mode:
            ledger.part = "activations"
            shown = _hollowed(batch, mode, ledger)
            vars(task)["batch"] = lambda _step: shown
            engine = _engine(task, ledger, settings, optimizer, average, precision)
            engine.step(0, 0.0)
            ledger.relabel(_memory_of(engine), "optimizer")
            ledger.begin()
            engine.step(1, 0.0)
            highest, most = ledger.highest, ledger.most
            del engine, shown
    except (RuntimeError, NotImplementedError, TypeError, AssertionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnderstudyError(
            f"how much memory training needs cannot be told: the step needs real numbers ({reason})"
        ) from error
    finally:
        for holder, attributes in remembered:
            vars(holder).clear()
            vars(holder).update(attributes)
    highest["workspace"] += _unseen(most, device)
    return MemoryEstimate(**highest)


def forecast(
    task: Task[Any],
    loop: LoopSettings,
    optimizer: OptimizerSettings,
    average: AverageSettings,
    device: torch.device,
) -> Iterator[Event]:
    """What a run will need and what there is, for a person; a warning where that is too little."""
    precision = resolve_precision(loop.precision, device.type)
    try:
        needed = estimate_training(task, loop, optimizer, average, precision).total
    except UnderstudyError as error:
        yield Warned(message=str(error))
        return
    free, total = available_memory(device)
    here = "GPU" if device.type == "cuda" else "machine"
    has = f", this {here} has {gigabytes(total)}" if total < _UNKNOWN else ""
    yield Planned(lines=(f"needs about {gigabytes(needed)} GB{has}",))
    if needed > free:
        yield Warned(
            message=f"training needs about {gigabytes(needed)} GB and {gigabytes(free)} GB are free: it may "
            f"end for lack of memory. Close other programs, choose a smaller batch, or raise loop.accumulate "
            f"(now {loop.accumulate})"
        )


def gigabytes(count: float) -> str:
    """Bytes as a person says them: ``5.1``, ``0.37``, ``141``."""
    size = count / 2**30
    return f"{size:.0f}" if size >= 99.5 else f"{size:.1f}" if size >= 0.95 else f"{size:.2g}"


def available_memory(device: torch.device) -> tuple[int, int]:
    """Bytes that a run may still take, and bytes that there are in all.

    On a GPU what this process holds already counts as free; on a processor the group's limit holds that a
    container sets. Nothing is known of other systems but how much there is, and of Windows not even that.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device), total
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else _UNKNOWN
    free = total
    meminfo, group = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    limit = group / "memory.max"
    if limit.is_file() and (text := limit.read_text().strip()) != "max":
        held = int((group / "memory.current").read_text())
        total = min(total, int(text))
        free = max(0, min(free, int(text) - held))
    return free, total


# ------------------------------------------------------------------------------------------ the rehearsal


def _hollowed(batch: object, mode: FakeTensorMode, ledger: _Ledger) -> Any:  # noqa: ANN401  # of any type
    """The batch with hollow tensors, which the ledger knows."""

    def convert(tensor: Tensor) -> Tensor:
        made = mode.from_tensor(tensor)
        ledger.enter(made)
        return made

    return _converted(batch, convert)


def _converted(value: Any, convert: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401  # of any type
    """The same records, tables and lists with every tensor converted."""
    if isinstance(value, Tensor):
        return convert(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [item.name for item in dataclasses.fields(value)]
        return dataclasses.replace(value, **{n: _converted(getattr(value, n), convert) for n in names})
    if isinstance(value, Mapping):
        return {key: _converted(entry, convert) for key, entry in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_converted(entry, convert) for entry in cast("Sequence[Any]", value))
    return value


def _engine(
    task: Task[Any],
    ledger: _Ledger,
    loop: LoopSettings,
    optimizer: OptimizerSettings,
    average: AverageSettings,
    precision: str,
) -> Engine[Any]:
    """An engine whose steps tell the ledger what they are doing."""
    ledger.part = "average"  # the only thing that an engine makes of its own
    engine: Engine[Any] = Engine(task, loop, optimizer, average, precision, Group())
    ledger.part = "activations"
    for stepper in filter(None, (engine.stepper, engine.critics)):
        for parameter in stepper.parameters:
            parameter.register_post_accumulate_grad_hook(
                lambda p: ledger.relabel([cast("Tensor", p.grad)], "gradients")
            )
        vars(stepper)["step"] = ledger.noting("workspace", stepper.step)
    return engine


def _memory_of(engine: Engine[Any]) -> list[Tensor]:
    """What the optimisers remember."""
    return [
        value
        for stepper in filter(None, (engine.stepper, engine.critics))
        for state in stepper.optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    ]


def _terms_of(task: Task[Any]) -> list[Any]:
    """The built losses of a task, where it has such."""
    tables = [getattr(task, name, {}) for name in ("pictures", "steps")]
    return [weighted.term for table in tables for weighted in table.values()]


def _modules_of(task: Task[Any]) -> list[nn.Module]:
    held = [task.module, task.critics, *_terms_of(task)]
    return [module for module in held if isinstance(module, nn.Module)]


def _unseen(most: Mapping[Part, int], device: torch.device) -> int:
    """What libraries and allocators take besides the tensors.

    On a processor, measured by ``benchmarks/memory.py`` with glibc as ``process.keep_pages`` sets it: the
    code, and the holes in the heap. On a GPU the workspace that cuBLAS has for itself; that of cuDNN, and
    the context of CUDA, are not in it.
    """
    if device.type == "cuda":
        return 32 * 2**20
    return _CODE + round(sum(share * most[part] for part, share in _HOLES.items()))


_BACKWARD: Callable[[], int] = cast("Any", torch)._C._current_graph_task_id
"""Number of the backward pass that is under way; -1 for none. Torch's own tools for memory ask it too."""


def _block(storage: torch.UntypedStorage) -> int:
    """Who a block of memory is, whichever view shows it."""
    return cast("Any", storage)._cdata


class _Ledger(TorchDispatchMode):
    """Which blocks of memory are alive, what for, and how many bytes there were at most."""

    def __init__(self) -> None:
        super().__init__()
        self.part: Part = "weights"
        self.alive: dict[int, tuple[Part, int, weakref.ref[Any]]] = {}
        self.sums: dict[Part, int] = dict.fromkeys(get_args(Part), 0)
        self.begin()

    def begin(self) -> None:
        """Look for the highest sum from now on."""
        self.highest = dict(self.sums)
        self.most = dict(self.sums)

    def noting(self, part: Part, call: Callable[..., T]) -> Callable[..., T]:
        """The same call, and what it takes is for ``part``."""

        def noted(*args: object, **kwargs: object) -> T:
            before, self.part = self.part, part
            try:
                return call(*args, **kwargs)
            finally:
                self.part = before

        return noted

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor) and not isinstance(leaf, FakeTensor):
                self.enter(leaf, "weights")  # real: a table or a network that a loss looks through
        out = func(*args, **(kwargs or {}))
        going_back = _BACKWARD() != -1
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.enter(leaf, "workspace" if going_back else None)
        return out

    def enter(self, tensor: Tensor, part: Part | None = None) -> None:
        """Write down a tensor's block, if it is new."""
        storage = tensor.untyped_storage()
        key = _block(storage)
        if key in self.alive:
            return
        part = part or self.part
        self.alive[key] = (part, storage.nbytes(), weakref.ref(storage, lambda _: self._leave(key)))
        self._add(part, storage.nbytes())

    def relabel(self, tensors: Iterable[Tensor], part: Part) -> None:
        """Say what blocks turned out to be for."""
        for tensor in tensors:
            key = _block(tensor.untyped_storage())
            if key in self.alive:
                old, size, watch = self.alive[key]
                self.alive[key] = (part, size, watch)
                self.sums[old] -= size
                self._add(part, size)

    def _leave(self, key: int) -> None:
        part, size, _ = self.alive.pop(key)
        self.sums[part] -= size

    def _add(self, part: Part, size: int) -> None:
        self.sums[part] += size
        self.most[part] = max(self.most[part], self.sums[part])
        if sum(self.sums.values()) > sum(self.highest.values()):
            self.highest = dict(self.sums)

"""Several processes that train one run, each on its share of the same batches.

torchrun starts them, on one machine or several. The first process, the *leader*, does everything that a run
is seen by: it decides, saves, measures, draws previews and reports. The others follow its orders and compute.
Orders travel through the processors, so that no GPU waits for them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import enum
import importlib
import json
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from understudy.errors import ConfigError

B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)

_PATIENCE = datetime.timedelta(days=1)  # the others wait while the first one saves, measures and draws


class Order(enum.IntEnum):
    """What the leader wants of the others."""

    END = 0
    """Nothing more."""
    LOAD = 1
    """Take over the checkpoint that follows."""
    BEGIN = 2
    """Get ready for steps."""
    STEP = 3
    """Do one step."""
    READ = 4
    """Put together what the last step's losses were."""


@dataclass(kw_only=True, eq=False)
class Group:
    """The processes of a run, as one of them sees them. ``Group()`` is a process on its own."""

    rank: int = 0
    """Number of this process, from 0."""
    world: int = 1
    """How many there are."""
    local_rank: int = 0
    """Number of this process on its machine: its GPU."""
    control: Any = None
    """torch's group for what travels through the processors; None for the usual one, and after ``joined``."""

    @property
    def leads(self) -> bool:
        """Whether this process decides."""
        return self.rank == 0

    def order(self, order: Order, rate: float = 0.0) -> None:
        """Tell the others what to do, with the learning rate of the step."""
        if self.world > 1:
            dist.broadcast(torch.tensor([order, rate], dtype=torch.float64), 0, group=self.control)

    def receive(self) -> tuple[Order, float]:
        """Wait for the leader's next order."""
        told = torch.zeros(2, dtype=torch.float64)
        dist.broadcast(told, 0, group=self.control)
        return Order(int(told[0])), float(told[1])

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, in which all of them take part; on their devices."""
        if self.world > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.world
        return values

    def share(self, data: Mapping[str, Any] | None) -> dict[str, Any]:
        """The leader's plain data, for everybody.

        Args:
            data: None on all processes but the first.
        """
        if self.world == 1:
            return dict(data or {})
        text = json.dumps(data).encode()
        length = torch.tensor([len(text)])
        dist.broadcast(length, 0, group=self.control)
        held = torch.zeros(int(length), dtype=torch.uint8)
        if self.leads:
            held = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        dist.broadcast(held, 0, group=self.control)
        return json.loads(held.numpy().tobytes())

    def share_tensors(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """The leader's tensors, for everybody; on the processor.

        Args:
            tensors: None on all processes but the first.
        """
        if self.world == 1:
            return dict(tensors or {})
        about = {name: [str(t.dtype).removeprefix("torch."), *t.shape] for name, t in (tensors or {}).items()}
        out: dict[str, Tensor] = {}
        for name, (kind, *shape) in self.share(about if self.leads else None).items():
            if tensors is None:
                out[name] = torch.empty(shape, dtype=getattr(torch, kind))
            else:
                out[name] = tensors[name].detach().cpu().contiguous()
            dist.broadcast(out[name], 0, group=self.control)
        return out


@contextlib.contextmanager
def joined(device: torch.device) -> Generator[tuple[Group, torch.device], None, None]:
    """Within the block this process belongs to those that torchrun started with it.

    Args:
        device: what the run was told to use; on ``cuda`` each process takes a GPU of its own.

    Returns:
        The group, and this process's device.

    Raises:
        ConfigError: more processes on the machine than it has GPUs.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Group(), device
        return
    local, mine = int(os.environ.get("LOCAL_RANK", "0")), device
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if local >= count:
            raise ConfigError(
                f"process {local} of this machine has no GPU: there are {count}; start torchrun with "
                f"--nproc-per-node {count}"
            )
        mine = torch.device("cuda", local)
        torch.cuda.set_device(mine)
    # Gloo's threads end with the last reference to their group. One that still put tensors away when the
    # interpreter ended would take the process down with it, after all its work was done. This module keeps
    # the group that it finds as a default argument, so it is loaded (optimisers do so) before there is one.
    importlib.import_module("torch.distributed.nn")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    group = Group(rank=dist.get_rank(), world=dist.get_world_size(), local_rank=local)
    try:
        group.control = dist.new_group(backend="gloo", timeout=_PATIENCE)
        yield group, mine
    finally:
        dist.destroy_process_group()
        group.control = None


# ---------------------------------------------------------------------------------------------------- batches


@runtime_checkable
class Shared(Protocol[B_co]):
    """A task that can make a part of a batch without making all of it."""

    def batch_share(self, step: int, rank: int, world: int) -> B_co:
        """The ``rank``-th of ``world`` equal slices of ``batch(step)``."""
        ...


def split(batch: B, parts: int) -> list[B]:
    """A batch in equal parts, cut along the first axis of every array in it.

    Args:
        batch: a tensor, or a dataclass, mapping or sequence of such; what is no array goes to every part.
        parts: how many.

    Raises:
        ConfigError: the batch cannot be cut into so many equal parts.
    """
    if parts == 1:
        return [batch]
    return [cast("B", _cut(batch, number, parts)) for number in range(parts)]


def _cut(value: Any, number: int, parts: int) -> Any:  # noqa: ANN401  # a batch is of any type
    if isinstance(value, (Tensor, np.ndarray)):
        if not value.ndim:
            return value
        size, rest = divmod(len(value), parts)
        if rest:
            raise ConfigError(
                f"a batch of {len(value)} cannot be cut into {parts} equal parts (processes times "
                f"loop.accumulate); choose train.batch as a multiple of {parts}"
            )
        return value[number * size : (number + 1) * size]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return dataclasses.replace(value, **{k: _cut(v, number, parts) for k, v in held.items()})
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value)
        return {key: _cut(item, number, parts) for key, item in pairs.items()}
    if isinstance(value, (tuple, list)):
        items = [_cut(item, number, parts) for item in cast("list[Any]", value)]
        return tuple(items) if isinstance(value, tuple) else items
    return value

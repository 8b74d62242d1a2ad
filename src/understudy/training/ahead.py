"""Batches made ahead of time, so that a GPU does not wait for them.

A thread of its own prepares the next ones on a stream of its own: reading, pinning, copying and augmenting
run beside the step. What a batch holds does not depend on who made it. On a processor the same cores would do
both, so there batches are made when they are asked for (see ``benchmarks/data.py``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterator
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from understudy.stream import read_ahead

B = TypeVar("B")

SIZE = 2
"""Batches that wait at most."""


class Ahead(Generic[B]):
    """Makes items by number; once they are asked for one after the other, the next ones are made beforehand.

    Args:
        make: makes the item of a number, in any thread. It must not hold this object: the thread holds it.
        device: where their tensors are.
        size: how many wait at most.
    """

    def __init__(self, make: Callable[[int], B], device: torch.device, size: int = SIZE) -> None:
        self._make, self._device, self._size = make, device, size
        self._items: Generator[tuple[B, Any], None, None] | None = None
        self._last: int | None = None

    def __call__(self, number: int) -> B:
        """The item of a number."""
        follows = self._last is not None and number == self._last + 1
        if not follows:
            self.close()
        self._last = number
        if not follows:  # a single look, as for an estimate, starts no thread
            return self._make(number)
        if self._items is None:
            side = None
            if self._device.type == "cuda":
                side = torch.cuda.Stream(self._device)
                side.wait_stream(torch.cuda.current_stream(self._device))
            self._items = read_ahead(_made(self._make, number, side), self._size)
        item, done = next(self._items)
        if done is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(done)
            for tensor in tensors_of(item):
                tensor.record_stream(stream)
        return item

    def close(self) -> None:
        """End the thread, if there is one."""
        if self._items is not None:
            self._items.close()
        self._items, self._last = None, None


def _made(make: Callable[[int], B], first: int, side: Any) -> Iterator[tuple[B, Any]]:  # noqa: ANN401  # no stream
    """Items in order, each with what tells that the stream is done with it; None for no stream."""
    with torch.cuda.stream(side) if side is not None else contextlib.nullcontext():
        for number in itertools.count(first):
            yield make(number), side.record_event() if side is not None else None


def tensors_of(value: Any) -> Iterator[Tensor]:  # noqa: ANN401  # a batch is of any type
    """Every tensor in nested dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            yield from tensors_of(getattr(value, item.name))

"""Stations side by side: reading ahead, working, writing behind, with a bounded number of items between them.

Decoders, encoders and tensor code release Python's global lock, so threads are enough. Whatever happens (an
error at either end, a consumer that stops early, Ctrl-C), the threads end before control returns to the
caller, and an error arrives with the traceback of where it happened. This is the only file with threads.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")
U = TypeVar("U")

WAKE = 0.5
"""Longest wait in one piece, seconds: where waiting cannot be interrupted (Windows), Ctrl-C is seen then."""


class _Channel(Generic[T]):
    """A bounded queue that either end can close, waking the other at once."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size: wanted at least one item between two stations, got {size}")
        self._items: deque[T] = deque()
        self._size = size
        self._changed = threading.Condition()
        self._finished = False  # nothing more will be put
        self._stopped = False  # nothing more will be taken

    def put(self, item: T) -> bool:
        """Wait for room and add an item; False when nobody will take it."""
        with self._changed:
            while len(self._items) >= self._size and not self._stopped:
                self._changed.wait(WAKE)
            if self._stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def take(self) -> Iterator[T]:
        """Items until the other end has finished; an iterator that waits."""
        while True:
            with self._changed:
                while not self._items and not self._finished and not self._stopped:
                    self._changed.wait(WAKE)
                if self._stopped or not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def finish(self) -> None:
        """Nothing more will be put."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Nothing more will be taken; what waits is dropped."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()


class _Station(threading.Thread):
    """A thread that keeps the error of its work for whoever asks."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        super().__init__(name=f"understudy {name}", daemon=True)
        self.error: BaseException | None = None
        self._work = work

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  # it is raised again in the thread that waits for this one
            self.error = error


def _close(items: object) -> None:
    """Close a generator, or whatever else can be closed."""
    close = getattr(items, "close", None)
    if callable(close):
        close()


def _end(station: threading.Thread) -> None:
    """Wait for a thread's end; also for one that Ctrl-C caught while it was being started."""
    for _ in range(100):
        try:
            station.join()
        except RuntimeError:  # not started yet, or never to be
            time.sleep(0.01)
        else:
            return


def read_ahead(items: Iterable[T], size: int = 4) -> Generator[T]:
    """The same items, produced in a thread of their own, up to ``size`` of them in advance.

    The thread starts with the first item asked for. An error of the producer is raised here after the items
    before it. Closing the generator ends the thread and closes the producer, in its own thread.

    Args:
        items: what to read; its iterator is used by the thread only.
        size: how many finished items may wait.
    """
    channel: _Channel[T] = _Channel(size)

    def produce() -> None:
        try:
            iterator = iter(items)
            try:
                for item in iterator:
                    if not channel.put(item):
                        break
            finally:
                _close(iterator)
        finally:
            channel.finish()

    def consume() -> Generator[T]:
        station = _Station(produce, "reader")
        try:
            station.start()
            yield from channel.take()
        finally:
            channel.stop()
            _end(station)
        if station.error is not None:
            raise station.error

    return consume()


def pipeline(items: Iterable[T], *functions: Callable[[Any], Any], size: int = 4) -> Generator[Any]:
    """Items passed through functions one after the other, each function in a thread of its own, order kept.

    Args:
        items: what goes in; read in a thread of its own.
        functions: the stations, first to last.
        size: how many finished items may wait behind each.
    """
    out: Generator[Any] = read_ahead(items, size)
    for function in functions:
        out = read_ahead(_applied(function, out), size)
    return out


def _applied(function: Callable[[T], U], items: Generator[T]) -> Generator[U]:
    try:
        for item in items:
            yield function(item)
    finally:
        items.close()


class Sink(Generic[T]):
    """Writes behind: items are handed to a thread that works them off in order. A context manager.

    An error of the writing thread is raised at the next ``put`` or at ``close``; nothing is written after it.
    A block that ends with an exception drops what waits.

    Args:
        write: called with every item, in the thread.
        size: how many items may wait before ``put`` blocks.
    """

    def __init__(self, write: Callable[[T], object], size: int = 4) -> None:
        self._channel: _Channel[T] = _Channel(size)
        self._write = write
        self._station = _Station(self._work, "writer")
        self._station.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def put(self, item: T) -> None:
        """Hand over an item; waits while ``size`` of them wait.

        Raises:
            Exception: whatever ``write`` raised for an item before.
        """
        if not self._channel.put(item):
            self._station.join()
            if self._station.error is not None:
                raise self._station.error
            raise AssertionError("the sink is closed")

    def close(self) -> None:
        """Wait until everything is written.

        Raises:
            Exception: whatever ``write`` raised.
        """
        self._channel.finish()
        self._station.join()
        self._channel.stop()
        if self._station.error is not None:
            raise self._station.error

    def abort(self) -> None:
        """Drop what waits and end the thread after the item it is at."""
        self._channel.stop()
        self._station.join()

    def _work(self) -> None:
        try:
            for item in self._channel.take():
                self._write(item)
        finally:
            self._channel.stop()

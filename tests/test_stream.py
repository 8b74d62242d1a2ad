from __future__ import annotations

import _thread
import gc
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator

import pytest

from understudy.stream import Sink, pipeline, read_ahead


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()
    assert set(threading.enumerate()) <= before


class Source:
    """Counts what was produced, and knows whether it was closed and by whom."""

    def __init__(self, count: int, fail_at: int | None = None) -> None:
        self.produced = 0
        self.closed_by = ""
        self.count, self.fail_at = count, fail_at

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self.count):
                if number == self.fail_at:
                    raise ValueError("the seventh seal")
                self.produced += 1
                yield number
        finally:
            self.closed_by = threading.current_thread().name


def wait_until(condition, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


def test_order_and_end() -> None:
    source = Source(100)
    assert list(read_ahead(source, 3)) == list(range(100))
    assert source.closed_by == "understudy reader"


def test_reads_ahead_and_no_further() -> None:
    source = Source(100)
    items = read_ahead(source, 3)
    assert source.produced == 0  # nothing runs before it is asked for
    assert next(items) == 0
    # three wait in the queue, one more is in the producer's hand
    assert wait_until(lambda: source.produced == 5)
    time.sleep(0.05)
    assert source.produced == 5
    items.close()
    assert source.closed_by == "understudy reader"


def test_error_comes_after_the_items_before_it_with_its_traceback() -> None:
    got: list[int] = []
    with pytest.raises(ValueError, match="seventh") as caught:
        got.extend(read_ahead(Source(10, fail_at=7), 2))
    assert got == list(range(7))
    names = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    assert "__iter__" in names  # where it happened
    assert "test_error_comes_after_the_items_before_it_with_its_traceback" in names  # and where it arrived


def test_consumer_that_stops_early() -> None:
    source = Source(10**9)
    for item in read_ahead(source, 4):
        if item == 20:
            break
    gc.collect()
    assert source.closed_by == "understudy reader"


def test_error_of_the_consumer() -> None:
    source = Source(10**9)
    items = read_ahead(source, 4)

    def consume() -> None:
        for item in items:
            if item == 5:
                raise KeyError("consumer")

    with pytest.raises(KeyError):
        consume()
    items.close()
    assert source.closed_by == "understudy reader"


def test_ctrl_c_while_waiting() -> None:
    # a shell's background jobs are started deaf to Ctrl-C
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    release = threading.Event()

    def slow() -> Iterator[int]:
        yield 0
        release.wait(10)
        while True:
            yield 1

    items = read_ahead(slow(), 1)
    assert next(items) == 0

    def interrupt() -> None:
        time.sleep(0.05)
        _thread.interrupt_main()
        time.sleep(0.3)
        release.set()  # decoders always come back; the generator waits for them

    helper = threading.Thread(target=interrupt)
    helper.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            deque(items, maxlen=0)
    finally:
        signal.signal(signal.SIGINT, heard)
    helper.join()
    items.close()


def test_stations_overlap() -> None:
    """Three stations of 10 ms take the time of one, not of three."""

    def slowly(item: int) -> int:
        time.sleep(0.01)
        return item + 1

    begin = time.monotonic()
    assert list(pipeline(range(20), slowly, slowly, slowly, size=2)) == list(range(3, 23))
    assert time.monotonic() - begin < 0.5


def test_pipeline_closes_every_station() -> None:
    source = Source(10**9)
    items = pipeline(source, lambda x: x * 2, lambda x: x + 1)
    assert [next(items) for _ in range(3)] == [1, 3, 5]
    items.close()
    assert source.closed_by == "understudy reader"


def test_error_in_the_middle_of_a_pipeline() -> None:
    source = Source(10**9)
    got: list[int] = []
    with pytest.raises(ZeroDivisionError):
        got.extend(pipeline(source, lambda x: 12 // (3 - x), lambda x: x))
    assert got == [4, 6, 12]
    assert source.closed_by == "understudy reader"


def test_size_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least one"):
        read_ahead([1], 0)


def test_sink_writes_in_order_in_its_thread() -> None:
    written: list[tuple[int, str]] = []
    with Sink(lambda item: written.append((item, threading.current_thread().name)), size=2) as sink:
        for number in range(50):
            sink.put(number)
    assert written == [(number, "understudy writer") for number in range(50)]
    with pytest.raises(AssertionError, match="closed"):
        sink.put(1)


def test_sink_blocks_when_full() -> None:
    gate = threading.Event()
    taken: list[int] = []

    def write(item: int) -> None:
        gate.wait(5)
        taken.append(item)

    sink = Sink(write, size=2)
    handed: list[int] = []

    def hand() -> None:
        for number in range(6):
            sink.put(number)
            handed.append(number)

    helper = threading.Thread(target=hand)
    helper.start()
    assert wait_until(lambda: len(handed) == 3)  # one in work, two waiting
    time.sleep(0.05)
    assert len(handed) == 3
    gate.set()
    helper.join()
    sink.close()
    assert taken == list(range(6))


def test_sink_error_is_raised_at_the_next_put_or_at_close() -> None:
    written: list[int] = []

    def write(item: int) -> None:
        if item == 2:
            raise OSError("disk full")
        written.append(item)

    def block() -> None:
        with Sink(write, size=1) as sink:
            for number in range(1000):
                sink.put(number)

    with pytest.raises(OSError, match="disk full") as caught:
        block()
    assert written == [0, 1]
    assert "write" in [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
    sink = Sink(write)
    sink.put(2)
    with pytest.raises(OSError, match="disk full"):
        sink.close()


def test_sink_drops_what_waits_when_the_block_fails() -> None:
    gate = threading.Event()
    written: list[int] = []

    def write(item: int) -> None:
        gate.wait(5)
        written.append(item)

    def block() -> None:
        with Sink(write, size=4) as sink:
            for number in range(4):
                sink.put(number)
            threading.Timer(0.05, gate.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        block()
    assert len(written) <= 1
    wait_until(lambda: threading.active_count() == 1, 1.0)

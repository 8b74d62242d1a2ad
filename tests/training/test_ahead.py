from __future__ import annotations

import gc
import threading
import time

import pytest
import torch
from small_run import make_task

from understudy.training.ahead import Ahead, tensors_of
from understudy.training.augment import Augmentation
from understudy.training.batches import SwapFeed, random_store

CPU = torch.device("cpu")


def readers() -> int:
    return sum(thread.name == "understudy reader" for thread in threading.enumerate())


def feed(device: torch.device = CPU, **changes):
    settings = {
        "batch": 4,
        "resolution": 32,
        "output_resolution": 32,
        "augmentation": Augmentation(hsv=0.1, transfer=0.5),
        "device": device,
        "seed": 0,
        "transfer": lambda face, reference, mask: (face + reference) / 2,
    }
    return SwapFeed(random_store(7, 32, 1), random_store(9, 32, 2), **{**settings, **changes})


def same(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors_of(one), tensors_of(other), strict=True))


def test_batches_made_beforehand_are_those_made_when_asked_for():
    now, before = feed(), feed(ahead=True)
    for step in (0, 0, 1, 2, 3, 7, 8, 9, 2, 3):  # a run goes back, a preview looks again
        assert same(now.batch(step), before.batch(step))
    assert readers() == 1
    for step in (4, 5):
        assert same(now.batch(step, rank=1, world=2), before.batch(step, rank=1, world=2))
    before.close()
    assert readers() == 0
    assert same(now.batch(6), before.batch(6))


def test_a_single_look_starts_no_thread_and_a_processor_none_at_all():
    made = feed(ahead=True)
    made.batch(0)
    made.batch(0)
    assert readers() == 0
    assert feed()._beforehand is False


def test_the_next_ones_are_made_while_nobody_asks():
    made: list[int] = []
    ahead = Ahead(lambda number: made.append(number) or number, CPU, size=3)
    assert [ahead(0), ahead(1)] == [0, 1]
    deadline = time.monotonic() + 10
    while len(made) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert made == [0, 1, 2, 3, 4, 5]  # one given, three wait, one is in the thread's hand
    ahead.close()


def test_an_error_arrives_at_the_batch_that_it_belongs_to():
    def make(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    ahead = Ahead(make, CPU)
    assert [ahead(n) for n in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        ahead(3)
    ahead.close()
    assert readers() == 0


def test_a_feed_that_nobody_holds_takes_its_thread_with_it():
    made = feed(ahead=True)
    made.batch(0)
    made.batch(1)
    assert readers() == 1
    del made
    gc.collect()
    assert readers() == 0


def test_a_task_that_is_closed_ends_the_thread():
    task = make_task()
    task.feed._beforehand = True
    task.batch(0)
    task.batch(1)
    assert readers() == 1
    task.close()
    assert readers() == 0


@pytest.mark.gpu
def test_on_a_gpu_batches_are_the_same_whoever_makes_them():
    device = torch.device("cuda")
    now, before = feed(device, ahead=False), feed(device, ahead=True)
    busy = torch.rand(2048, 2048, device=device)
    for step in range(30):
        batch = before.batch(step)
        busy = busy @ busy / busy.norm()  # the consumer's stream has work of its own
        assert same(now.batch(step), batch)
    before.close()

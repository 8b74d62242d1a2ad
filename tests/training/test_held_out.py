from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from small_run import make_task

from understudy.learning import Drawing
from understudy.metrics import structure as reference
from understudy.training.batches import random_store
from understudy.training.held_out import HeldOut, keep_out, structure

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("count", "wanted"), [(1000, 16), (250, 16), (100, 16), (37, 16), (15, 3), (5000, 50)]
)
def test_what_is_kept_out_is_whole_stretches_and_at_most_a_tenth(count, wanted):
    kept, measured = keep_out(count, wanted, seed=0, person=0)
    assert 0 < len(kept) <= count // 10
    assert len(measured) <= wanted
    assert len(set(kept)) == len(kept)
    assert set(measured) <= set(kept)
    breaks = np.flatnonzero(np.diff(kept) > 1) + 1
    stretches = np.split(kept, breaks)
    assert min(map(len, stretches)) >= min(8, len(kept)) - 1
    if count >= 1000:
        assert len(measured) == wanted
        learned = np.setdiff1d(np.arange(count), kept)
        gaps = np.abs(measured[:, None] - learned[None]).min(1)
        assert gaps.min() >= 3  # no neighbour of a measured face is learned from
        assert np.ptp(measured) > count / 2  # and they come from all over the footage


def test_the_choice_follows_from_seed_and_person():
    def choice(seed, person):
        return keep_out(400, 16, seed=seed, person=person)[0].tolist()

    assert choice(0, 0) == choice(0, 0)
    assert choice(0, 0) != choice(1, 0)
    assert choice(0, 0) != choice(0, 1)


def test_nothing_is_kept_out_of_very_few_or_when_it_is_not_wanted():
    assert [len(part) for part in keep_out(9, 16, seed=0, person=0)] == [0, 0]
    assert [len(part) for part in keep_out(900, 0, seed=0, person=0)] == [0, 0]


def test_psnr_and_ssim_are_those_of_metrics():
    torch.manual_seed(0)
    truth, mask = torch.rand(3, 3, 40, 40), (torch.rand(3, 1, 40, 40) > 0.5).float()
    picture = (truth + 0.1 * torch.randn_like(truth)).clamp(0, 1)
    got = structure(picture, truth, mask).double()
    assert -10 * torch.log10(got[:, 0] / got[:, 1]) == pytest.approx(
        reference.psnr(picture, truth, mask), rel=1e-5
    )
    assert got[:, 2] == pytest.approx(reference.ssim(picture, truth, mask), rel=1e-4)


@dataclass
class Counting:
    """Keeps what it was shown."""

    seen: Drawing | None = None

    def __call__(self, swapped):
        self.seen = swapped
        return {"shown": float(len(swapped.face)), "undefined": float("nan")}


def test_every_face_counts_once_whatever_the_chunks():
    figures = []
    for chunk in (2, 3, 50):
        task, meter = make_task(), Counting()
        task.held_out = HeldOut(
            random_store(5, 32, 7), random_store(8, 32, 8), device=CPU, chunk=chunk, meters=[meter]
        )
        state = torch.get_rng_state()
        figures.append(task.figures())
        assert torch.equal(state, torch.get_rng_state())
        assert task.module.training
        assert len(meter.seen.face) == 8
        stored = task.held_out.batch(task.model, np.arange(8)).target
        assert torch.equal(meter.seen.mask, stored.mask)  # the target's own, not what the model draws
    assert figures[0].keys() == {
        f"heldout/{name}" for name in ("psnr_source", "ssim_source", "psnr_target", "ssim_target", "shown")
    }
    for other in figures[1:]:
        assert other == pytest.approx(figures[0], rel=1e-5)


def test_held_out_faces_are_marked_in_the_preview():
    task = make_task()
    before = task.preview()
    task.held_out = HeldOut(random_store(4, 32, 7), random_store(4, 32, 8), device=CPU)
    after = task.preview()
    assert after.shape[0] - before.shape[0] == 2 * (128 + 4)
    assert after.shape[1] > before.shape[1]  # room for the words


def test_a_drawing_that_is_the_truth_has_no_error():
    truth, mask = torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    got = structure(truth, truth, mask)
    assert got[:, 0].tolist() == [0, 0]
    assert got[:, 2].tolist() == pytest.approx([1, 1], rel=1e-6)

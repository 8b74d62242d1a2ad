from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from understudy.errors import WeightsError
from understudy.nn.features import from_state, read_features
from understudy.training.feature_task import FIGURE, FeatureTask, damaged
from understudy.training.rundir import load_swapper_files
from understudy.training.store import FaceStore
from understudy.training.task import Task

SIDE = 32


def pictures(count: int = 3, side: int = SIDE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).random((count, 3, side, side)).astype(np.float32))


def test_no_damage_leaves_pictures_alone():
    given = pictures()
    out = damaged(given, torch.zeros(3, 3), torch.ones_like(given))
    assert torch.allclose(out, given, atol=1e-6)


def test_blur_is_a_gaussian_of_scipys():
    given = pictures()
    amounts = torch.tensor([[0.4, 0.0, 0.0], [0.8, 0.0, 0.0], [0.0, 0.0, 0.0]])
    out = damaged(given, amounts, torch.zeros_like(given)).numpy()
    for number, sigma in enumerate((1.0, 2.0)):
        wanted = ndimage.gaussian_filter(
            given[number].numpy().astype(np.float64), (0, sigma, sigma), mode="mirror", radius=(0, 7, 7)
        )
        assert np.abs(out[number] - wanted).max() < 1e-5


def test_noise_is_added_by_its_amount():
    given = torch.full((2, 3, SIDE, SIDE), 0.5)
    noise = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    out = damaged(given, torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.5, 0.0]]), noise)
    assert torch.allclose(out[0] - 0.5, 0.12 * noise[0], atol=1e-6)
    assert torch.allclose(out[1] - 0.5, 0.06 * noise[1], atol=1e-6)


def test_coarseness_takes_fine_detail_and_keeps_the_mean():
    given = pictures(1)
    spreads = [
        damaged(given, torch.tensor([[0.0, 0.0, amount]]), torch.zeros_like(given)).std().item()
        for amount in (0.0, 0.5, 1.0)
    ]
    assert spreads[0] > spreads[1] > spreads[2]
    whole = damaged(given, torch.tensor([[0.0, 0.0, 1.0]]), torch.zeros_like(given))
    assert whole.mean().item() == pytest.approx(given.mean().item(), abs=0.01)


def store(count: int, seed: int) -> FaceStore:
    """Faces whose first expression number is their brightness."""
    random = np.random.default_rng(seed)
    bright = random.integers(20, 236, count)
    faces = np.zeros((count, 5, 56, 56), np.uint8)
    faces[:, :3] = bright[:, None, None, None]
    faces[:, :3, ::7] //= 2
    faces[:, 3, 10:46, 10:46] = 255
    expressions = np.repeat((bright / 255.0)[:, None], 11, axis=1)
    return FaceStore(faces, expressions)


@pytest.fixture
def task() -> FeatureTask:
    torch.manual_seed(3)
    return FeatureTask(
        store(24, 0), np.arange(24) % 3, store(8, 1), side=SIDE, batch=6, device=torch.device("cpu"), seed=5
    )


def test_is_a_task_whose_batches_follow_from_the_step(task: FeatureTask):
    assert isinstance(task, Task)
    first, again, other = task.batch(4), task.batch(4), task.batch(5)
    assert torch.equal(first.picture, again.picture)
    assert torch.equal(first.damage, again.damage)
    assert not torch.equal(first.picture, other.picture)
    assert first.picture.shape == (6, 3, SIDE, SIDE)
    assert set(first.person.tolist()) <= {0, 1, 2}


def test_learns_what_there_is_to_see(task: FeatureTask):
    optimizer = torch.optim.Adam(task.module.parameters(), 1e-3)
    before = sum(task.losses(task.batch(0)).values()).item()
    for step in range(25):
        optimizer.zero_grad()
        sum(task.losses(task.batch(step)).values()).backward()
        optimizer.step()
    after = sum(task.losses(task.batch(0)).values()).item()
    assert after < 0.85 * before
    assert task.figures()[FIGURE] > 0.3
    assert task.preview().dtype == np.uint8


def test_delivers_what_the_perceptual_distance_reads(task: FeatureTask, tmp_path):
    task.deliver(tmp_path, 7)
    files = load_swapper_files(tmp_path)
    network = from_state(files.weights)
    given = pictures(2)
    for mine, read in zip(task.readings.features(given), network(given), strict=True):
        assert torch.equal(mine, read)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    with pytest.raises(WeightsError, match="stages"):
        from_state({"stages.0.0.weight": torch.zeros(1)})
    with pytest.raises(WeightsError):
        read_features(b"nothing")

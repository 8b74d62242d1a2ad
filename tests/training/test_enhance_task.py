from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from understudy.enhancers.superres import SuperResolution
from understudy.errors import ConfigError, FaceSetError
from understudy.training.degrade import Degradation, as_jpeg, blur_each, degrade, draw_kernels, shrink
from understudy.training.enhance_task import EnhanceFeed, EnhanceTask, interpolated
from understudy.training.rundir import load_swapper_files
from understudy.training.task import Task

CLEAN = Degradation(least_blur=0.0, most_blur=0.0, noise=0.0, jpeg=0.0)


def drawn(count: int = 6, side: int = 48) -> np.ndarray:
    """Crisp discs and bars in random colours, (n, 3, s, s) uint8."""
    random = np.random.default_rng(2)
    out = np.empty((count, 3, side, side), np.uint8)
    for row in out:
        picture = np.full((side, side, 3), random.integers(40, 90), np.uint8)
        for _ in range(6):
            color = tuple(int(value) for value in random.integers(0, 256, 3))
            x, y = (int(place) for place in random.integers(4, side - 4, 2))
            cv2.circle(picture, (x, y), int(random.integers(3, 9)), color, -1, cv2.LINE_AA)
        row[:] = picture.transpose(2, 0, 1)
    return out


def pictures(side: int = 48) -> torch.Tensor:
    return torch.from_numpy(drawn(side=side)).float() / 255


# ------------------------------------------------------------------------------------------- degradation


def test_every_picture_has_its_own_blur():
    given = pictures()
    kernels = draw_kernels(len(given), 2, np.random.default_rng(0), Degradation(most_blur=1.5))
    made = blur_each(given, kernels).numpy()
    for item in range(len(given)):
        for channel in range(3):
            wanted = ndimage.correlate(given[item, channel].double().numpy(), kernels[item], mode="nearest")
            np.testing.assert_allclose(made[item, channel], wanted, atol=1e-5)


def test_kernels_are_turned_gaussians_of_the_widths_asked_for():
    settings = Degradation(least_blur=0.6, most_blur=1.2)
    kernels = draw_kernels(60, 4, np.random.default_rng(1), settings)
    np.testing.assert_allclose(kernels.sum((1, 2)), 1.0)
    place = np.arange(kernels.shape[-1]) - kernels.shape[-1] // 2
    for kernel in kernels:
        second = [(kernel * place[None] ** 2).sum(), (kernel * place[:, None] ** 2).sum()]
        mixed = (kernel * place[None] * place[:, None]).sum()
        narrow, wide = np.sqrt(np.linalg.eigvalsh([[second[0], mixed], [mixed, second[1]]]))
        assert 0.95 * 0.6 * 4 <= wide <= 1.2 * 4
        assert 0.49 <= narrow / wide <= 1.001


def test_ways_of_shrinking():
    given = pictures()
    area = shrink(given, 4, "area").numpy()
    np.testing.assert_allclose(area, given.numpy().reshape(6, 3, 12, 4, 12, 4).mean((3, 5)), atol=1e-6)
    for mode in ("bicubic", "bilinear"):
        assert np.abs(shrink(given, 4, mode).numpy() - area).mean() < 0.05


def test_jpeg_is_opencvs():
    picture = pictures()[0]
    row = np.ascontiguousarray((picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)[..., ::-1])
    data = cv2.imencode(".jpg", row, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    wanted = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] / 255
    np.testing.assert_allclose(as_jpeg(picture, 30).permute(1, 2, 0).numpy(), wanted, atol=1e-6)


def test_degradation_goes_as_far_as_it_is_told():
    given = pictures()
    still = degrade(given, 4, np.random.default_rng(0), CLEAN)
    assert still.shape == (6, 3, 12, 12)
    worse = degrade(given, 4, np.random.default_rng(0), Degradation(least_blur=1.5, most_blur=1.5, noise=0.0))
    slope = [(p[..., 1:] - p[..., :-1]).abs().mean() for p in (still, worse)]
    assert slope[1] < 0.8 * slope[0]
    noisy = degrade(given, 4, np.random.default_rng(0), Degradation(most_blur=0.2, noise=0.2, jpeg=0.0))
    spread = (noisy - still).flatten(1).std(1)
    assert (spread > 0.03).any()
    assert (spread < 0.03).any(), "every second face is clean"


@pytest.mark.parametrize(
    "changes", [{"least_blur": 2.0}, {"noise": 2.0}, {"jpeg": -1.0}, {"least_quality": 0}]
)
def test_degradation_out_of_reach(changes):
    with pytest.raises(ConfigError):
        Degradation(**changes)


# ------------------------------------------------------------------------------------------- the task


def make_task(held_out: int = 2, factor: int = 2) -> EnhanceTask:
    torch.manual_seed(0)
    plugin = SuperResolution(width=8, depth=1, factor=factor)
    feed = EnhanceFeed(
        drawn(),
        factor=factor,
        patch=12,
        batch=4,
        degradation=Degradation(noise=0.0, jpeg=0.0, least_blur=0.9, most_blur=0.9),
        device=torch.device("cpu"),
        seed=3,
    )
    return EnhanceTask(
        plugin.network(), feed, drawn()[:held_out], name="superres", settings=plugin.described()
    )


def test_it_is_a_task():
    assert isinstance(make_task(), Task)


def test_a_step_is_a_function_of_its_number():
    task, other = make_task(), make_task()
    for mine, theirs in zip(task.batch(5), other.batch(5), strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(task.batch(5)[1], task.batch(6)[1])
    small, truth = task.batch(0)
    assert small.shape == (4, 3, 12, 12)
    assert truth.shape == (4, 3, 24, 24)


def test_a_patch_is_a_part_of_a_face():
    feed = EnhanceFeed(
        np.arange(48 * 48 * 3, dtype=np.int64).reshape(1, 3, 48, 48).astype(np.uint8),
        factor=2, patch=100, batch=2, degradation=CLEAN, device=torch.device("cpu"), seed=0,
    )  # fmt: skip
    assert feed.side == 48, "no patch is larger than the face"
    with pytest.raises(FaceSetError, match="no face"):
        EnhanceFeed(
            drawn()[:0], factor=2, patch=8, batch=1, degradation=CLEAN, device=torch.device("cpu"), seed=0
        )


def test_figures_are_of_psnr_and_its_gain():
    task = make_task()
    figures = task.figures()
    small, truth = task.feed.whole(task.held_out, 48)
    cubic = interpolated(small, truth.shape[-1])
    errors = (cubic - truth).double().square().flatten(1).mean(1)
    assert figures["heldout/psnr_cubic"] == pytest.approx(float((-10 * errors.log10()).mean()), abs=1e-3)
    assert figures["heldout/gain"] == pytest.approx(0.0, abs=1e-4), "a new network interpolates"
    assert 0.2 < figures["heldout/ssim_cubic"] < 1.0
    assert make_task(held_out=0).figures() == {}


def test_a_network_learns_to_be_better_than_interpolation():
    task = make_task()
    optimizer = torch.optim.Adam(task.module.parameters(), 1e-2)
    for step in range(60):
        loss = sum(task.losses(task.batch(step)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert task.module.training
    assert task.figures()["heldout/gain"] > 0.1


@pytest.mark.parametrize("held_out", [0, 2])
def test_preview_shows_before_and_after(held_out):
    preview = make_task(held_out).preview()
    assert preview.dtype == np.uint8
    assert preview.std() > 10


def test_what_is_delivered_is_the_network(tmp_path):
    task = make_task()
    task.deliver(tmp_path, 12)
    files = load_swapper_files(tmp_path)
    assert (files.model, files.step, files.settings["factor"]) == ("superres", 12, 2)
    assert files.settings["file"] == "none", "no place on this machine"
    for name, value in task.module.state_dict().items():
        assert torch.equal(files.weights[name], value)

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from understudy.errors import ConfigError
from understudy.training import mask_augment
from understudy.training.mask_augment import MaskAugmentation, augment_masks
from understudy.training.mask_task import MaskFeed, MaskTask, cross_entropy, iou
from understudy.training.store import FaceStore
from understudy.training.task import Task

PROBABILITIES = ("background", "thing", "flare", "color", "filter", "resize", "jpeg", "flip")
OFF = dict.fromkeys((*PROBABILITIES, "warp_strength"), 0.0)
STILL = MaskAugmentation(rotation=0.0, scale=0.0, shift=0.0, **OFF)
SIDE, SIZE, MARGIN = 80, 64, 1.25


def rows(count: int = 4, *, red: bool = False) -> torch.Tensor:
    """Smooth faces with a disc for a mask, known everywhere; ``red``: the red channel is the mask."""
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (count, 3, 6, 6)).astype(np.float32)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(coarse), (SIDE, SIDE), mode="bilinear")
    out = np.empty((count, 5, SIDE, SIDE), np.uint8)
    out[:, :3] = smooth.numpy()
    place = np.arange(SIDE) - SIDE / 2 + 0.5
    out[:, 3] = np.clip(20.5 - np.hypot(place[:, None], place - 5), 0, 1) * 255
    out[:, 4] = 255
    if red:
        out[:, 0] = out[:, 3]
    return torch.from_numpy(out)


def made(settings: MaskAugmentation, faces: torch.Tensor, seed: int = 0):
    return augment_masks(faces, np.random.default_rng(seed), settings, margin=MARGIN, size=SIZE)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


# ------------------------------------------------------------------------------------------- augmentation


def test_with_everything_off_it_is_the_networks_square():
    faces = rows()
    batch = made(STILL, faces)
    cut = faces[:, :, 8:-8, 8:-8].float() / 255
    torch.testing.assert_close(batch.picture, cut[:, :3], atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.mask, cut[:, 3:4], atol=1e-5, rtol=0)
    assert batch.known.min() == 1


def test_the_mask_goes_where_the_picture_goes():
    wild = MaskAugmentation(**{**OFF, "flip": 0.5, "warp_strength": 1.0}, rotation=40.0, scale=0.3, shift=0.1)
    faces = rows(8, red=True)
    batch = made(wild, faces)
    torch.testing.assert_close(batch.picture[:, :1], batch.mask, atol=1e-5, rtol=0)
    still = made(STILL, faces)
    assert (batch.mask - still.mask).abs().mean() > 0.05


def test_all_of_it_is_a_function_of_the_generator_and_stays_in_range():
    faces, settings = rows(), MaskAugmentation(**dict.fromkeys(OFF, 1.0))
    first, again, other = made(settings, faces), made(settings, faces), made(settings, faces, seed=1)
    for name in ("picture", "mask", "known"):
        value = getattr(first, name)
        assert torch.equal(value, getattr(again, name))
        assert 0 <= float(value.min()) <= float(value.max()) <= 1
    assert not torch.equal(first.picture, other.picture)
    assert first.picture.shape == (4, 3, SIZE, SIZE)
    assert first.mask.shape == first.known.shape == (4, 1, SIZE, SIZE)


def test_beyond_the_stored_crop_nothing_is_known():
    faces = rows()
    faces[:, 4, :, : SIDE // 2] = 0
    batch = made(STILL, faces)
    assert batch.known[..., : SIZE // 2].max() == 0
    assert batch.known[..., SIZE // 2 :].min() == 1


def test_a_background_is_mixed_in_round_the_face_only():
    faces = rows()
    still = made(STILL, faces)
    stored = faces.float() / 255
    out = mask_augment.mix_backgrounds(still.picture, still.mask, stored, rng(), 1.0, MARGIN)
    inside = (still.mask == 1).expand_as(out)
    assert torch.equal(out[inside], still.picture[inside])
    assert (out - still.picture)[~inside].abs().mean() > 0.02
    stored[:, 3] = 1  # the others are all face: there is no background to take
    for probability in (1.0, 0.0):
        out = mask_augment.mix_backgrounds(still.picture, still.mask, stored, rng(), probability, MARGIN)
        torch.testing.assert_close(out, still.picture, atol=1e-5, rtol=0)


def test_a_thing_before_the_face_is_no_face():
    still = made(STILL, rows(16))
    picture, mask = mask_augment.lay_things(still.picture, still.mask, rng(), 1.0)
    changed = (picture != still.picture).any(1, keepdim=True)
    assert torch.equal(mask[~changed], still.mask[~changed])
    assert (mask <= still.mask).all()
    share = changed.float().mean((1, 2, 3))
    assert share.min() > 0
    assert share.max() < 0.6
    whole = (picture - still.picture).abs().amax((1, 2, 3)) > 0
    assert whole.all()
    assert (still.mask - mask).sum() > 0


def test_a_thing_has_the_area_that_it_is_drawn_with():
    """One face, the draws taken anew: a superellipse of exponent p has area 4ab G(1+1/p)^2 / G(1+2/p)."""
    from scipy.special import gamma

    generator = np.random.default_rng(11)
    blank, full = torch.zeros(1, 3, 256, 256), torch.ones(1, 1, 256, 256)
    again = np.random.default_rng(11)
    again.uniform(0, np.pi, 1)
    centre, half = again.uniform(-0.7, 0.7, (1, 2)), again.uniform(0.06, 0.4, (1, 2))
    power = again.uniform(1.2, 6.0, 1)[0]
    assert np.abs(centre).max() + np.hypot(*half[0]) * 1.2 < 1, "choose a seed whose thing is inside"
    _, mask = mask_augment.lay_things(blank, full, generator, 1.0)
    wanted = 4 * half.prod() * gamma(1 + 1 / power) ** 2 / gamma(1 + 2 / power)
    assert float((1 - mask).mean()) * 4 == pytest.approx(wanted, rel=0.03)


def test_hue_turns_about_grey():
    matrices = mask_augment._hue_matrices(np.array([2 * np.pi / 3, 1.0, 0.7]), *np.ones((2, 3)))
    np.testing.assert_allclose(matrices[0] @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-6)  # red to green
    np.testing.assert_allclose(matrices @ np.full(3, 0.4), np.full((3, 3), 0.4), atol=1e-6)
    grey = mask_augment._hue_matrices(np.zeros(1), np.zeros(1), np.full(1, 0.5))[0]
    np.testing.assert_allclose(grey @ [1.0, 0.0, 0.0], np.full(3, 0.1495), atol=1e-6)


def test_filters_keep_flat_pictures():
    kernels = [mask_augment._kernel(np.random.default_rng(seed)) for seed in range(40)]
    assert {kernel.shape for kernel in kernels} == {(5, 5)}
    np.testing.assert_allclose([kernel.sum() for kernel in kernels], 1.0, atol=1e-9)
    assert any(kernel.max() > 1 for kernel in kernels), "some sharpen"
    assert any(kernel.min() >= 0 for kernel in kernels), "some blur"
    flat = torch.full((3, 3, 16, 16), 0.3)
    torch.testing.assert_close(mask_augment.filter_parts(flat, rng(), 1.0), flat)


def test_a_flare_is_light():
    still = made(STILL, rows())
    out = mask_augment.flare(still.picture, still.mask, rng(), 1.0)
    assert (out - still.picture).min() > -1e-6
    assert (out - still.picture).mean() > 0.02


def test_resolution_is_lost():
    picture = made(STILL, rows(32)).picture
    noisy = (picture + 0.2 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))).clamp(
        0, 1
    )
    out = mask_augment.lose_resolution(noisy, rng(), 1.0)
    rough = [(p[..., 1:] - p[..., :-1]).abs().mean() for p in (out, noisy)]
    assert rough[0] < 0.75 * rough[1]
    assert torch.equal(mask_augment.lose_resolution(noisy, rng(), 0.0), noisy)


def test_jpeg_is_opencvs_at_the_quality_drawn():
    picture = made(STILL, rows(1)).picture
    out = mask_augment.compress(picture, np.random.default_rng(2), 1.0)
    again = np.random.default_rng(2)
    again.random(1)
    quality = int(again.integers(10, 101))
    row = np.ascontiguousarray((picture[0].permute(1, 2, 0) * 255).round().byte().numpy()[..., ::-1])
    data = cv2.imencode(".jpg", row, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    wanted = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] / 255
    np.testing.assert_allclose(out[0].permute(1, 2, 0).numpy(), wanted, atol=1e-6)


def test_no_probability_above_one():
    with pytest.raises(ConfigError, match=r"jpeg.*1\.5"):
        MaskAugmentation(jpeg=1.5)


# ------------------------------------------------------------------------------------------- loss and figure


def test_cross_entropy_is_its_formula_where_the_mask_is_known():
    generator = np.random.default_rng(0)
    logits, mask = generator.normal(0, 3, (2, 1, 6, 6)), generator.uniform(0, 1, (2, 1, 6, 6))
    known = (generator.random((2, 1, 6, 6)) < 0.6).astype(float)
    p = 1 / (1 + np.exp(-logits))
    terms = -(mask * np.log(p) + (1 - mask) * np.log(1 - p))
    wanted = (terms * known).sum() / known.sum()
    tensors = [torch.from_numpy(a.astype(np.float32)) for a in (logits, mask, known)]
    assert float(cross_entropy(*tensors)) == pytest.approx(wanted, rel=1e-5)
    assert float(cross_entropy(tensors[0], tensors[1], torch.zeros(2, 1, 6, 6))) == 0


def test_iou_of_known_squares():
    found, mask = torch.zeros(3, 1, 8, 8), torch.zeros(3, 1, 8, 8)
    known = torch.ones(3, 1, 8, 8)
    found[0, 0, :4, :4], mask[0, 0, 2:6, 2:6] = 0.9, 1.0  # 4 of 28
    found[1, 0, :4, :], mask[1, 0, :4, :4] = 0.6, 1.0
    known[1, ..., 4:] = 0  # what is found too much is not known
    found[2] = 0.4
    assert iou(found, mask, known).tolist() == pytest.approx([4 / 28, 1.0, 1.0])


# ------------------------------------------------------------------------------------------- the task


def make_task(held_out: int = 3) -> MaskTask:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 1, 5, padding=2)
    )
    faces = rows(6, red=True).numpy()
    faces[:, 1:3] //= 4
    feed = MaskFeed(
        [(FaceStore(faces), 3), (FaceStore(faces[:2]), 1), (FaceStore(faces), 0)],
        resolution=24,
        augmentation=MaskAugmentation(**{**OFF, "thing": 0.3, "color": 0.0}),
        device=torch.device("cpu"),
        seed=4,
    )
    held = {"labelled": FaceStore(faces[:held_out])} if held_out else {}
    return MaskTask(network, feed, held, name="xseg", settings={"a": 1})


def test_it_is_a_task():
    assert isinstance(make_task(), Task)


def test_a_step_is_a_function_of_its_number():
    task, other = make_task(), make_task()
    assert torch.equal(task.batch(5).picture, other.batch(5).picture)
    assert not torch.equal(task.batch(5).picture, task.batch(6).picture)
    assert len(task.batch(0).picture) == 4


def test_a_network_learns_what_is_red():
    task = make_task()
    optimizer = torch.optim.Adam(task.module.parameters(), 1e-2)
    first = task.figures()["heldout/iou"]
    for step in range(40):
        loss = task.losses(task.batch(step))["cross_entropy"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert task.module.training
    assert first < 0.6
    assert task.figures()["heldout/iou"] > 0.9


@pytest.mark.parametrize("held_out", [0, 3])
def test_preview_shows_faces_and_masks(held_out):
    preview = make_task(held_out).preview()
    assert preview.dtype == np.uint8
    assert preview.shape[1] > 6 * 128
    assert preview.std() > 10


def test_what_is_delivered_is_the_network(tmp_path):
    from understudy.training.rundir import load_swapper_files

    task = make_task()
    task.deliver(tmp_path, 12)
    files = load_swapper_files(tmp_path)
    assert (files.model, files.step, dict(files.settings)) == ("xseg", 12, {"a": 1})
    for name, value in task.module.state_dict().items():
        assert torch.equal(files.weights[name], value)

from __future__ import annotations

import numpy as np
import pytest
import torch

from understudy.training import augment as a
from understudy.training.augment import Augmentation, Draws, augment, draw, plain

CPU = torch.device("cpu")
STILL = Augmentation(rotation=0, scale=0, shift=0, flip_source=0, flip_target=0, warp="none", color=0)


def ramp(side: int, count: int = 1) -> torch.Tensor:
    """Red grows with x, green with y, blue is 128; the mask is full."""
    line = torch.linspace(0, 255, side)
    picture = torch.stack([line.expand(side, side), line[:, None].expand(side, side)])
    return torch.cat([picture, torch.full((1, side, side), 128.0), torch.full((2, side, side), 255.0)])[
        None
    ].byte().expand(count, 5, side, side)  # fmt: skip


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def run(
    settings: Augmentation, count: int = 4, side: int = 80, size: int = 64, flip: float = 0.0, seed: int = 0
):
    draws = draw(random(seed), count, settings, flip=flip)
    made = augment(ramp(side, count), draws, margin=1.25, size=size, truth_size=size)
    return draws, made.input, made.truth, made.mask


def test_without_any_change_the_model_sees_the_middle_of_the_stored_picture():
    _, inputs, truth, mask = run(STILL)
    assert torch.equal(inputs, truth)
    stored = ramp(80)[0, :3].float() / 255
    assert torch.allclose(truth[0], stored[:, 8:72, 8:72], atol=1e-5)
    assert mask.min() > 1 - 1e-6
    again = plain(ramp(80), margin=1.25, size=64, truth_size=64)
    assert torch.allclose(again.input[0], truth[0], atol=1e-6)
    assert torch.equal(again.input, again.truth)


def test_the_same_seed_draws_the_same_and_another_another():
    one, other = draw(random(1), 8, Augmentation(), flip=0.5), draw(random(1), 8, Augmentation(), flip=0.5)
    for name in ("affine", "nodes", "cells", "color"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert not np.array_equal(one.nodes, draw(random(2), 8, Augmentation(), flip=0.5).nodes)


def test_affine_stays_in_its_bounds_and_is_a_similarity():
    affine = draw(random(), 4000, Augmentation(), flip=0.4).affine.astype(np.float64)
    linear, shift = affine[:, :, :2], affine[:, :, 2]
    scale = np.sqrt(np.abs(np.linalg.det(linear)))
    assert scale.min() == pytest.approx(1 / 1.15, abs=2e-3)
    assert scale.max() == pytest.approx(1.15, abs=2e-3)
    turn = np.degrees(np.arctan2(-linear[:, 0, 1], linear[:, 1, 1]))
    assert np.abs(turn).max() == pytest.approx(10, abs=0.1)
    assert np.abs(shift).max() == pytest.approx(0.1, abs=1e-3)  # 0.05 of a side that is 2 long
    assert (np.linalg.det(linear) < 0).mean() == pytest.approx(0.4, abs=0.03)
    products = linear.transpose(0, 2, 1) @ linear
    assert products == pytest.approx(np.eye(2) * scale[:, None, None] ** 2, abs=1e-6)


def test_truth_is_read_through_the_affine_map_and_nothing_else():
    """A ramp that is read says where it was read: the places are those of the matrix, to a hundredth."""
    settings = Augmentation(warp="cells", color=0)
    draws, _, truth, _ = run(settings, count=6, seed=3)
    place = (np.arange(64) + 0.5) * 2 / 64 - 1
    x, y = np.meshgrid(place, place)
    for matrix, picture in zip(draws.affine, truth.numpy(), strict=True):
        where = np.einsum("ij,jhw->ihw", matrix[:, :2], np.stack([x, y])) + matrix[:, 2, None, None]
        expected = ((where / 1.25 + 1) * 80 / 2 - 0.5) / 79
        inside = (expected > 0.01).all(0) & (expected < 0.99).all(0)
        # 8-bit ramps are steps of 1/255
        assert picture[:2][:, inside] == pytest.approx(expected[:, inside], abs=0.006)


def test_flipped_faces_are_mirrored_with_their_masks():
    _, inputs, truth, _ = run(STILL, flip=1.0)
    _, _, upright, _ = run(STILL)
    assert torch.allclose(truth, upright.flip(-1), atol=1e-5)
    assert torch.equal(inputs, truth)


@pytest.mark.parametrize("warp", ["grid", "cells"])
def test_warp_moves_the_input_only_and_both_axes_independently(warp):
    """Defect 6 of DeepFaceLab: there, the map of y is the transpose of the map of x."""
    settings = Augmentation(rotation=0, scale=0, shift=0, warp=warp, color=0)
    draws, inputs, truth, _ = run(settings, count=200, side=40, size=32)
    still = run(STILL, count=1, side=40, size=32)[2]
    assert torch.allclose(truth, still.expand_as(truth), atol=1e-5)
    assert (inputs - truth).abs().mean() > 0.003
    field = a.warp_field(draws, 32, CPU).numpy()
    x, y = field[..., 0].ravel(), field[..., 1].transpose(0, 2, 1).ravel()
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.06
    assert abs(np.corrcoef(x, field[..., 1].ravel())[0, 1]) < 0.06
    assert x.std() == pytest.approx(y.std(), rel=0.1)


def test_cells_move_as_much_as_the_formula_says_and_the_rim_stays():
    """Normal cut at 2.5 sigma, over 2.5, times 0.24 of a cell: sigma 0.0935 of a cell (0.974 * 0.096)."""
    draws = draw(random(), 3000, Augmentation(warp="cells"), flip=0.0)
    for cells in (2, 4, 8):
        nodes = draws.nodes[draws.cells == cells]
        inner = nodes[:, :, 1:cells, 1:cells] * cells / 2
        cut = 0.24 / 2.5 * 0.9545  # standard deviation of the cut normal, by its closed form
        assert inner.std() == pytest.approx(cut, rel=0.03)
        assert np.abs(inner).max() <= 0.24
        assert not nodes[:, :, 0].any()
        assert not nodes[:, :, :, cells:].any()
    assert np.bincount(draws.cells, minlength=9)[[2, 4, 8]].min() > 900


def test_grid_moves_all_25_nodes_by_an_eighth_of_a_cell():
    draws = draw(random(), 2000, Augmentation(warp="grid"), flip=0.0)
    nodes = draws.nodes[:, :, :5, :5] * 4 / 2
    assert nodes.std((0, 1)) == pytest.approx(np.full((5, 5), 0.125 * 0.9545), rel=0.1)
    assert not draws.nodes[:, :, 5:].any()


def test_warp_field_is_linear_between_nodes_and_exact_at_them():
    nodes = np.zeros((1, 2, 9, 9), np.float32)
    nodes[0, 0, 1, 2] = 0.5  # x, at the node of row 1 and column 2 of 4 cells
    draws = Draws(
        affine=np.eye(2, 3, dtype=np.float32)[None],
        nodes=nodes,
        cells=np.array([4]),
        mirrored=np.array([False]),
        color=np.eye(3, 4, dtype=np.float32)[None],
    )
    field = a.warp_field(draws, 64, CPU)[0].numpy()
    place = (np.arange(64) + 0.5) / 64 * 4
    hat = np.clip(1 - np.abs(place[:, None] - 1), 0, 1) * np.clip(1 - np.abs(place[None] - 2), 0, 1)
    assert field[..., 0] == pytest.approx(0.5 * hat, abs=1e-6)
    assert not field[..., 1].any()


def test_color_changes_the_input_only_and_little():
    settings = Augmentation(rotation=0, scale=0, shift=0, warp="none", color=0.05)
    _, inputs, truth, _ = run(settings, count=50)
    difference = (inputs - truth).abs()
    assert 0.005 < difference.mean() < 0.05
    assert inputs.min() >= 0
    assert inputs.max() <= 1


def test_mask_is_empty_beyond_the_stored_picture_and_colours_go_on():
    far = Augmentation(rotation=0, scale=0, shift=0.4, warp="none", color=0)
    draws, _, truth, mask = run(far, count=20)
    assert (mask == 0).any()
    assert truth.min() >= 0
    x = draws.affine[:, 0, 2]
    right = int(np.argmax(x))
    assert mask[right, 0, :, -1].max() == 0
    assert truth[right, 0, 32, -1] == pytest.approx(1, abs=0.01)


def test_shapes_may_differ_between_input_and_truth():
    made = augment(ramp(80, 2), draw(random(), 2, STILL, flip=0.0), margin=1.25, size=32, truth_size=64)
    assert (made.input.shape, made.truth.shape) == ((2, 3, 32, 32), (2, 3, 64, 64))
    assert made.mask.shape == made.features.shape == (2, 1, 64, 64)
    assert made.input.is_contiguous(memory_format=torch.channels_last)

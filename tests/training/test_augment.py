from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from understudy.errors import ConfigError
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


# ------------------------------------------------------------------------------------------- colours


def test_hsv_shifts_are_those_of_the_standard_library():
    picture = np.random.default_rng(0).random((3, 3, 5, 5)).astype(np.float32)
    picture[0, :, 0, 0] = 0.5  # grey has no hue
    picture[0, :, 0, 1] = 0.0
    shifts = np.array([[0.0, 0.0, 0.0], [0.3, -0.2, 0.1], [-0.45, 0.4, -0.3]], np.float32)
    got = a.shift_hsv(torch.from_numpy(picture), torch.from_numpy(shifts)).numpy()
    for face, shift, out in zip(picture, shifts, got, strict=True):
        for place in np.ndindex(5, 5):
            hue, saturation, value = colorsys.rgb_to_hsv(*face[:, *place])
            wanted = colorsys.hsv_to_rgb(
                (hue + shift[0]) % 1, np.clip(saturation + shift[1], 0, 1), np.clip(value + shift[2], 0, 1)
            )
            assert out[:, *place] == pytest.approx(np.array(wanted), abs=1e-5)


def test_hsv_draws_reach_half_their_strength_and_leave_the_truth_alone():
    draws = a.draw_source(random(), 4000, Augmentation(hsv=0.1))
    assert np.abs(draws.hsv).max(0) == pytest.approx(np.full(3, 0.05), rel=0.01)
    faces, still = ramp(40, 3), draw(random(), 3, STILL, flip=0)
    plain_sample = augment(faces, still, margin=1.25, size=32, truth_size=32)
    shifted = augment(faces, still, margin=1.25, size=32, truth_size=32, hsv=draws.hsv[:3])
    assert torch.equal(shifted.truth, plain_sample.truth)
    assert not torch.allclose(shifted.input, plain_sample.input, atol=0.01)


def test_a_colour_transfer_changes_input_and_truth_alike():
    """Defect 21 of DeepFaceLab: there each has a transfer of its own."""
    faces, still = ramp(40, 2), draw(random(), 2, STILL, flip=0)
    made = augment(faces, still, margin=1.25, size=32, truth_size=32, recolor=lambda p, m: p * 0.5 * m)
    before = augment(faces, still, margin=1.25, size=32, truth_size=32)
    assert torch.equal(made.input, made.truth)
    assert torch.allclose(made.truth, before.truth * 0.5, atol=1e-6)
    assert torch.equal(made.mask, before.mask)


def test_outside_is_blurred_by_outside_pixels_only():
    """Against SciPy: a normalised mean of what is outside; a red face does not bleed into a grey ground."""
    side, sigma = 48, 2.0
    generator = np.random.default_rng(1)
    ground = generator.random((3, side, side)).astype(np.float32)
    yy, xx = np.mgrid[:side, :side]
    mask = (np.hypot(yy - 20, xx - 24) < 12).astype(np.float32)
    picture = ground * (1 - mask) + np.array([1.0, 0, 0], np.float32)[:, None, None] * mask
    masks = torch.from_numpy(mask)[None, None]
    got = a.blurred_outside(torch.from_numpy(picture)[None], masks, sigma)[0].numpy()

    def blur(plane):
        return gaussian_filter(plane.astype(np.float64), sigma, mode="mirror", radius=6)

    for channel in range(3):
        weight = np.maximum(blur(1 - mask), 1e-6)
        wanted = np.where(mask > 0, picture[channel], blur(picture[channel] * (1 - mask)) / weight)
        assert got[channel] == pytest.approx(wanted, abs=1e-4)
    flat = torch.full((1, 3, side, side), 0.4)
    assert torch.allclose(a.blurred_outside(flat, masks, sigma), flat, atol=1e-6)
    assert torch.equal(a.blurred_outside(flat, torch.ones(1, 1, side, side), sigma), flat)


def test_draws_can_be_cut():
    draws, more = (
        draw(random(), 6, Augmentation(), flip=0.5),
        a.draw_source(random(), 6, Augmentation(hsv=0.1)),
    )
    for whole in (draws, more):
        part = whole.part(slice(2, 4))
        for name, values in vars(part).items():
            assert np.array_equal(values, getattr(whole, name)[2:4])


@pytest.mark.parametrize("wrong", [{"hsv": 1.5}, {"transfer": -0.1}, {"flip_source": 2.0}])
def test_shares_are_between_nothing_and_all(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Augmentation(**wrong)

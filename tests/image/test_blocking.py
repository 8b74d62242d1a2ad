from __future__ import annotations

import numpy as np
import pytest
from scipy import fft, ndimage

from understudy.image.blocking import BlockGrid, blockiness, find_blocks

STEPS = np.add.outer(np.arange(8), np.arange(8)) * 3.0 + 8.0


def picture(seed: int = 0, size: tuple[int, int] = (200, 264)) -> np.ndarray:
    """Coarse and fine detail, in code values about 0."""
    random = np.random.default_rng(seed)
    out = np.zeros(size)
    for blur, contrast in ((20.0, 60.0), (4.0, 30.0), (1.0, 25.0)):
        field = ndimage.gaussian_filter(random.standard_normal(size), blur)
        out += contrast * field / field.std()
    return (0.5 * out).clip(-110, 110)


def coded(plane: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """By SciPy, block after block, and rounded to whole numbers."""
    out = np.empty_like(plane)
    for y in range(0, plane.shape[0], 8):
        for x in range(0, plane.shape[1], 8):
            found = fft.dctn(plane[y : y + 8, x : x + 8], norm="ortho")
            out[y : y + 8, x : x + 8] = fft.idctn(np.rint(found / steps) * steps, norm="ortho")
    return np.rint(out + 128).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("steps", [STEPS, np.full((8, 8), 12.0), np.rint(STEPS * 0.5)])
def test_steps_are_read_off_the_picture(steps):
    grid = find_blocks(coded(picture(), steps), 128.0)
    assert grid is not None
    assert (grid.x, grid.y) == (0, 0)
    np.testing.assert_array_equal(grid.steps[:4, :4], steps[:4, :4])
    # where hardly a coefficient is left, it is at least as coarse as what is known
    right = np.abs(grid.steps - steps) < 1e-9
    assert right.mean() > 0.4
    assert (grid.steps[~right] >= grid.steps[right].max()).all()


@pytest.mark.parametrize(("x", "y"), [(3, 0), (5, 2), (7, 7)])
def test_a_cropped_picture_begins_within_a_block(x, y):
    grid = find_blocks(coded(picture(), STEPS)[y:, x:], 128.0)
    assert grid is not None
    assert (grid.x, grid.y) == ((8 - x) % 8, (8 - y) % 8)


def test_what_no_such_codec_made_has_no_blocks():
    plain = (picture() + 128).clip(0, 255).astype(np.uint8)
    scaled = ndimage.zoom(coded(picture(), STEPS).astype(float), 1.3, order=1)
    soft = ndimage.gaussian_filter(coded(picture(), STEPS).astype(float), 0.7)
    for plane in (plain, scaled, soft, np.full((200, 200), 90), coded(picture(), np.full((8, 8), 1.0))):
        assert find_blocks(np.rint(plane).astype(np.uint8), 128.0) is None
    assert find_blocks(coded(picture(), STEPS)[:40], 128.0) is None, "too little of it"


def test_coding_again_changes_nothing_and_another_picture_alike():
    grid = BlockGrid(STEPS, 0, 0)
    once = coded(picture(), STEPS)
    again = grid.coded(once, 0, 0, 128.0)
    assert np.abs(again - once).max() < 1.2, "the samples were rounded"
    other = (picture(1) + 128).clip(0, 255)
    np.testing.assert_allclose(
        np.rint(grid.coded(other, 0, 0, 128.0)).clip(0, 255), coded(other - 128, STEPS), atol=1
    )
    np.testing.assert_allclose(grid.coded(other, 0, 0, 128.0, share=0.0), other, atol=0.01)


def test_a_part_is_coded_on_the_grid_of_the_whole():
    grid, plane = BlockGrid(STEPS, 3, 5), (picture(2) + 128).clip(0, 255)
    whole = grid.coded(plane, 0, 0, 128.0)
    part = grid.coded(plane[29:77, 43:91], 43, 29, 128.0)
    np.testing.assert_allclose(part, whole[29:77, 43:91], atol=1e-9)
    ragged = grid.coded(plane[30:75, 44:90], 44, 30, 128.0)
    np.testing.assert_allclose(ragged[7:39, 7:39], whole[37:69, 51:83], atol=1e-9)


def test_blockiness_by_hand():
    plane = np.zeros((32, 32))
    plane[:, 8:] += 10.0
    plane[:, 16:] += 10.0
    plane[:, 24:] += 10.0
    plane += np.arange(32)  # a slope of 1 everywhere
    # across: 3 of 31 differences along rows are 11; down: nothing
    everywhere = np.ones((32, 32))
    across = (3 * 32 * 11 + 3 * 32 * 0) / (2 * 3 * 32)
    within = 28 * 32 * 1 / (2 * 28 * 32)
    assert blockiness(plane, (0, 0), everywhere) == pytest.approx(across / within)
    assert blockiness(np.add.outer(np.arange(32), np.arange(32)), (0, 0), everywhere) == pytest.approx(1.0)
    left = everywhere.copy()
    left[:, 7:] = 0.0
    assert blockiness(plane, (0, 0), left) == pytest.approx(0.0), "of what is looked at no step is across"

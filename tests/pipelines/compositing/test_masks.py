from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from understudy.contracts import Alignment
from understudy.errors import ConfigError, ShapeError
from understudy.image.landmarks import LEFT_EYE, LIPS_OUTER, RIGHT_EYE
from understudy.pipelines.compositing.masks import (
    MaskSettings,
    RegionSettings,
    StoredMask,
    fill_holes,
    front_of,
    join_masks,
    soften,
    soften_front,
    weigh_regions,
)

SIZE = 100


def disc(radius: float, x: float = 50.0) -> torch.Tensor:
    down, across = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    return (torch.hypot(down - 50, across - x) < radius).float()[None, None]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hull", disc(30)),
        ("learned", disc(30, 60)),
        ("product", disc(30) * disc(30, 60)),
        ("union", torch.maximum(disc(30), disc(30, 60))),
    ],
)
def test_sources(source, expected):
    joined = join_masks(MaskSettings(source=source), disc(30), disc(30, 60))
    assert torch.equal(joined, expected)


def test_without_a_learned_mask_the_hull_counts():
    assert torch.equal(join_masks(MaskSettings(source="learned"), disc(30), None), disc(30))


def test_a_networks_nothing_is_nothing():
    joined = join_masks(MaskSettings(source="learned"), disc(30), torch.full((1, 1, SIZE, SIZE), 1e-3))
    assert joined.max() == 0


@pytest.mark.parametrize(
    ("stored", "expected"), [("cut", disc(30)), ("alone", disc(20, 45)), ("ignore", disc(30))]
)
def test_masks_of_the_face_set(stored, expected):
    """Alone it is the contour; otherwise the contour stays, and what is before the face is cut later."""
    settings = MaskSettings(source="hull", stored=stored)
    assert torch.equal(join_masks(settings, disc(30), None, disc(20, 45)), expected)


@pytest.mark.parametrize("stored", ["cut", "alone"])
def test_a_stored_mask_lies_where_its_crop_lay(stored):
    pixels = np.zeros((50, 50), np.uint8)
    pixels[:, :25] = 255
    mask = StoredMask(pixels, Alignment(matrix=np.array([[0.01, 0.0, 0.0], [0.0, 0.01, 0.0]]), mode="full"))
    # a crop of 80 pixels that shows the frame from (-20, 0) to (140, 160), of which the mask knows 100 x 100
    framed = mask.framed(MaskSettings(stored=stored), np.array([[0.5, 0.0, 10.0], [0.0, 0.5, 0.0]]), 80)
    outside = 1.0 if stored == "cut" else 0.0
    assert framed[25, 20] == pytest.approx(1.0, abs=1e-3)
    assert framed[25, 50] == pytest.approx(0.0, abs=1e-3)
    for y, x in ((25, 4), (25, 70), (65, 20)):
        assert framed[y, x] == pytest.approx(outside, abs=1e-3)


@pytest.mark.parametrize(("erode", "radius"), [(0.0, 30), (0.1, 20), (-0.1, 40)])
def test_erode_moves_the_contour(erode, radius):
    mask = soften(MaskSettings(erode=erode, blur=0.0), disc(30))
    area = float(mask.sum())
    assert area == pytest.approx(3.14159 * radius**2, rel=0.08)


def test_blur_is_as_wide_as_it_says_and_stays_on_the_contour():
    row = soften(MaskSettings(erode=0.0, blur=0.1), disc(30))[0, 0, 50, :50]
    rising = ((row > 0.001) & (row < 0.999)).nonzero().flatten()
    assert 7 <= len(rising) <= 11
    assert float(rising.float().mean()) + 0.5 == pytest.approx(20.0, abs=1.0)


@pytest.mark.parametrize("values", [{}, {"blur": 0.5}, {"erode": -0.3, "blur": 0.1}])
def test_the_crops_border_is_never_masked(values):
    mask = soften(MaskSettings(**values), torch.ones(2, 1, SIZE, SIZE))
    for border in (mask[..., 0, :], mask[..., -1, :], mask[..., 0], mask[..., -1]):
        assert border.max() == 0
    assert 0 <= mask.min() <= mask.max() <= 1 + 1e-6


def test_empty_stays_empty():
    assert soften(MaskSettings(erode=-0.05), torch.zeros(1, 1, SIZE, SIZE)).max() == 0


@pytest.mark.parametrize("wrong", [{"erode": 0.7}, {"erode": -2.0}, {"blur": -0.1}, {"blur": 3.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MaskSettings(**wrong)


def test_a_second_channel_is_the_targets_own_mask():
    """It counts where it is named and nowhere else: the default does not change by its being there."""
    hull, new, old = disc(35), disc(30, 60), disc(20, 40)
    both = torch.cat([new, old], 1)
    expected = {
        "hull": hull,
        "learned": new,
        "target": old,
        "product": hull * new,
        "union": torch.maximum(hull, new),
        "learned_product": new * old,
        "learned_union": torch.maximum(new, old),
    }
    assert set(expected) == set(get_args(get_type_hints(MaskSettings)["source"]))
    for source, mask in expected.items():
        assert torch.equal(join_masks(MaskSettings(source=source), hull, both), mask), source


@pytest.mark.parametrize("source", ["target", "learned_product", "learned_union"])
def test_a_mask_of_the_old_face_that_is_not_there_is_missed(source):
    settings = MaskSettings(source=source)
    assert settings.asks_target
    with pytest.raises(ShapeError, match=f"new and the old face, for mask.source '{source}'"):
        join_masks(settings, disc(35), disc(30, 60))
    assert not MaskSettings().asks_target


def test_holes_of_the_old_faces_mask_are_closed_too():
    both = torch.cat([disc(40) * (1 - disc(4, 40)), disc(40) * (1 - disc(4, 60))], 1)
    for source in ("target", "learned_product"):
        assert torch.equal(join_masks(MaskSettings(source=source), disc(10), both), disc(40))


def test_holes_are_filled_up_to_their_size():
    mask = disc(40) * (1 - disc(4, 40)) * (1 - disc(12, 66))
    filled = fill_holes(mask, 0.02)
    assert torch.equal(filled * (1 - disc(13, 66)), disc(40) * (1 - disc(13, 66))), "the small one is gone"
    assert torch.equal(filled * disc(12, 66), mask * disc(12, 66)), "the large one is there"
    assert torch.equal(fill_holes(mask, 0.0), mask)
    assert torch.equal(fill_holes(mask, 1.0), disc(40))


def test_an_inlet_is_no_hole():
    mask = disc(40)
    mask[..., 48:52, :30] = 0
    assert torch.equal(fill_holes(mask, 1.0), mask)


def test_a_product_with_holes_is_the_swappers_filled_mask_alone():
    """The hull's own gaps are no holes; what the swapper left open inside is."""
    learned = disc(30) * (1 - disc(3))
    assert torch.equal(join_masks(MaskSettings(), disc(25), learned), disc(25))


def test_what_a_network_is_not_sure_of_stands_before_the_face():
    stored = torch.tensor([0.0, 0.3, 0.5, 0.625, 0.75, 1.0]).expand(1, 1, 6, 6)
    found = front_of(MaskSettings(front_level=0.5), stored)[0, 0, 0].tolist()
    assert found == pytest.approx([0, 0, 0, 0.5, 1, 1])
    assert torch.equal(front_of(MaskSettings(front_level=0.0), stored), stored)
    assert front_of(MaskSettings(stored="alone"), stored).min() == 1
    assert front_of(MaskSettings(front_level=0.9), stored)[0, 0, 0, -1] == pytest.approx(1.0)


@pytest.mark.parametrize("blur", [0.0, 0.04])
def test_things_before_the_face_are_widened_and_soft_on_its_side(blur):
    front = 1.0 - disc(15)
    seen = soften_front(MaskSettings(front_grow=0.05, front_blur=blur), front)
    assert seen[disc(19) > 0].max() < 0.01, "five pixels more are untouched; the dilation is an octagon"
    assert seen[disc(26) == 0].min() == 1
    row = seen[0, 0, 50, 50:]
    assert torch.all(row.diff() >= 0)
    between = ((row > 0.01) & (row < 0.99)).sum()
    assert between == 0 if blur == 0.0 else between >= 2


def mesh() -> np.ndarray:
    """Landmarks of a flat face: those of each region in a place of their own."""
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = 50.0
    for loop, x, y, radius in (
        (LIPS_OUTER, 50, 75, 12),
        (RIGHT_EYE, 30, 35, 8),
        (LEFT_EYE, 70, 35, 8),
    ):
        turn = np.linspace(0, 2 * np.pi, len(loop), endpoint=False)
        points[list(loop), 0] = x + radius * np.cos(turn)
        points[list(loop), 1] = y + radius * np.sin(turn)
    return points


@pytest.mark.parametrize(
    ("values", "mouth", "eye", "cheek"),
    [
        ({}, 1.0, 1.0, 1.0),
        ({"rest": 0.0, "mouth": RegionSettings(weight=1.0)}, 1.0, 0.0, 0.0),
        ({"eyes": RegionSettings(weight=0.0)}, 1.0, 0.0, 1.0),
        ({"rest": 0.5, "eyes": RegionSettings(weight=0.2)}, 0.5, 0.2, 0.5),
    ],
)
def test_regions_have_weights_of_their_own(values, mouth, eye, cheek):
    full = torch.ones(1, 1, SIZE, SIZE)
    identity = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    got = weigh_regions(MaskSettings(**values), full, [mesh()], [identity])[0, 0]
    assert got[75, 50] == pytest.approx(mouth, abs=1e-5)
    assert got[35, 30] == got[35, 70] == pytest.approx(eye, abs=1e-5)
    assert got[60, 10] == pytest.approx(cheek, abs=1e-5)


def test_a_region_grows_and_softens_by_its_own_measure():
    identity = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    areas = []
    for grow, soft in ((0.0, 0.0), (0.25, 0.0), (0.0, 0.1)):
        region = RegionSettings(weight=1.0, grow=grow, soften=soft)
        settings = MaskSettings(rest=0.0, mouth=region)
        got = weigh_regions(settings, torch.ones(1, 1, SIZE, SIZE), [mesh()], [identity])
        areas.append((float(got.sum()), float((got > 0).sum())))
    # the region's width is the diagonal of its box: 24 pixels times the root of two
    assert areas[1][0] / areas[0][0] == pytest.approx(((12 + 0.25 * 24 * 2**0.5) / 12) ** 2, rel=0.1)
    assert areas[2][0] == pytest.approx(areas[0][0], rel=0.05)
    assert areas[2][1] > 1.3 * areas[0][1]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RegionSettings(weight=1.5),
        lambda: RegionSettings(grow=3.0),
        lambda: RegionSettings(soften=0.6),
        lambda: MaskSettings(fill=2.0),
        lambda: MaskSettings(rest=-0.1),
        lambda: MaskSettings(front_level=1.0),
        lambda: MaskSettings(front_grow=0.7),
    ],
)
def test_mask_settings_that_cannot_be(wrong):
    with pytest.raises(ConfigError, match="wanted"):
        wrong()

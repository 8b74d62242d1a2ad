from __future__ import annotations

import numpy as np
import pytest
import torch

from understudy.contracts import Alignment
from understudy.errors import ConfigError
from understudy.pipelines.masks import MaskSettings, StoredMask, join_masks, soften

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

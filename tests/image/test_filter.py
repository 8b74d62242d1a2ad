from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from understudy.image.filter import box_blur, dilate, erode, gaussian_blur


@pytest.mark.parametrize("sigma", [0.6, 2.0, 5.5])
def test_gaussian_is_scipys(sigma):
    pictures = torch.rand(2, 3, 40, 33, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = gaussian_blur(pictures, sigma).numpy()
    radius = int(np.ceil(3 * sigma))
    expected = scipy.ndimage.gaussian_filter(
        pictures.numpy(), (0, 0, sigma, sigma), mode="mirror", radius=(0, 0, radius, radius)
    )
    assert np.abs(out - expected).max() < 1e-12


def test_gaussian_keeps_a_flat_picture_and_the_mean_of_a_small_one():
    assert (gaussian_blur(torch.full((1, 1, 9, 9), 0.3), 4.0) - 0.3).abs().max() < 1e-6
    assert gaussian_blur(torch.rand(1, 1, 1, 1), 4.0).shape == (1, 1, 1, 1)


def test_no_blur():
    picture = torch.rand(1, 1, 5, 5)
    assert torch.equal(gaussian_blur(picture, 0.0), picture)
    assert torch.equal(box_blur(picture, 0), picture)
    assert torch.equal(erode(picture, 0), picture)


def test_box_is_the_mean():
    picture = torch.rand(1, 2, 12, 12)
    assert box_blur(picture, 2)[0, 1, 5, 6] == pytest.approx(float(picture[0, 1, 3:8, 4:9].mean()), abs=1e-6)


@pytest.mark.parametrize("radius", [1, 2, 3, 5, 8, 13])
def test_dilation_of_a_point_is_nearly_a_disc(radius):
    point = torch.zeros(1, 1, 41, 41)
    point[..., 20, 20] = 0.7
    grown = dilate(point, radius)[0, 0]
    y, x = np.nonzero(grown.numpy())
    assert grown.unique().tolist() == pytest.approx([0.0, 0.7])
    assert y.max() - 20 == 20 - y.min() == x.max() - 20 == radius
    assert np.array_equal(grown, grown.T)
    distance = np.hypot(y - 20, x - 20)
    assert distance.max() <= radius * (1.5 if radius < 3 else 1.2)
    yy, xx = np.mgrid[:41, :41]
    disc = np.hypot(yy - 20, xx - 20) <= radius
    assert np.all(grown.numpy()[disc] > 0), "no holes, nothing of the disc missing"


@pytest.mark.parametrize("radius", [1, 4, 7])
def test_erosion_is_dilation_of_the_rest(radius):
    masks = torch.rand(2, 1, 30, 36, generator=torch.Generator().manual_seed(1))
    masks[:, :, 4:-4, 4:-4] += 0.0
    eroded = erode(masks, radius)
    inner = (slice(None), slice(None), slice(radius, -radius), slice(radius, -radius))
    expected = 1 - dilate(1 - masks, radius)
    assert (eroded - expected)[inner].abs().max() < 1e-6


def test_a_mask_shrinks_from_the_border_of_its_picture():
    eroded = erode(torch.ones(1, 1, 20, 20), 3)[0, 0]
    assert eroded[:3].max() == 0
    assert eroded[:, -3:].max() == 0
    assert eroded[3:-3, 3:-3].min() == 1

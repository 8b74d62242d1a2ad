"""The guided filter beside its formula in numpy, float64."""

from __future__ import annotations

import numpy as np
import torch

from understudy.image.guided import guided_filter

SIZE = 40


def window_mean(picture: np.ndarray, radius: int) -> np.ndarray:
    out = np.empty_like(picture)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            out[y, x] = picture[
                max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1
            ].mean()
    return out


def test_it_is_the_formula():
    """He, Sun and Tang 2013, equations 5, 6 and 8."""
    generator = np.random.default_rng(1)
    guide, picture = generator.random((2, SIZE, SIZE - 7))
    radius, softness = 4, 0.01
    mean = window_mean(guide, radius)
    slope = (window_mean(guide * picture, radius) - mean * window_mean(picture, radius)) / (
        window_mean(guide**2, radius) - mean**2 + softness
    )
    offset = window_mean(picture, radius) - slope * mean
    expected = window_mean(slope, radius) * guide + window_mean(offset, radius)
    tensors = [torch.from_numpy(a).float()[None, None] for a in (guide, picture)]
    found = guided_filter(*tensors, radius, softness)
    np.testing.assert_allclose(found[0, 0], expected, atol=2e-4)


def test_large_radius_smooths_but_for_edges():
    """A step that the guide shares stays; grain that it does not have goes."""
    guide = torch.zeros(1, 1, 128, 128)
    guide[..., 64:] = 1.0
    grain = 0.1 * torch.randn(1, 2, 128, 128, generator=torch.Generator().manual_seed(0))
    found = guided_filter(guide, guide * 0.5 + grain, 24)
    assert (found - guide * 0.5).std() < 0.02
    assert found[..., 66].mean() - found[..., 61].mean() > 0.45


def test_radius_larger_than_the_picture():
    pictures = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(guided_filter(pictures[:, :1], pictures, 30)).all()

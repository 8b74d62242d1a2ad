from __future__ import annotations

import numpy as np
import pytest
import torch

from understudy.image.matting import guided_filter


def filter_directly(
    guide: np.ndarray, target: np.ndarray, radius: int, epsilon: float, weight: np.ndarray | None = None
) -> np.ndarray:
    """Window by window, as the paper writes it: a linear fit in each, then the mean of all of a pixel."""
    height, width = target.shape
    slopes, offsets, votes = np.zeros((3, height, width)), np.zeros((height, width)), np.ones((height, width))

    def window(y: int, x: int) -> tuple[slice, slice]:
        return slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)

    for y in range(height):
        for x in range(width):
            colors, values = guide[:, *window(y, x)].reshape(3, -1), target[window(y, x)].ravel()
            trust = np.ones_like(values) if weight is None else weight[window(y, x)].ravel()
            covariance = np.cov(colors, aweights=trust, bias=True) + epsilon * np.eye(3)
            mean, level = np.average(colors, 1, trust), np.average(values, weights=trust)
            both = np.average(colors * values, 1, trust) - mean * level
            slopes[:, y, x] = np.linalg.solve(covariance, both)
            offsets[y, x] = level - slopes[:, y, x] @ mean
            if weight is not None:
                votes[y, x] = np.average((values - level) ** 2, weights=trust)
    out = np.zeros_like(target)
    for y in range(height):
        for x in range(width):
            near = window(y, x)
            slope = (slopes[:, *near] * votes[near]).sum((1, 2)) / votes[near].sum()
            out[y, x] = slope @ guide[:, y, x] + np.average(offsets[near], weights=votes[near])
    return out


@pytest.mark.parametrize("radius", [1, 3, 40])
@pytest.mark.parametrize("epsilon", [1e-3, 0.1])
def test_equals_the_definition(radius, epsilon):
    generator = np.random.default_rng(0)
    guide, target = generator.random((3, 13, 17)), generator.random((13, 17))
    weight = generator.random((13, 17)) + 0.1
    tensors = torch.from_numpy(guide)[None], torch.from_numpy(target)[None, None]
    expected = filter_directly(guide, target, radius, epsilon)
    assert np.abs(guided_filter(*tensors, radius, epsilon)[0, 0].numpy() - expected).max() < 1e-10
    expected = filter_directly(guide, target, radius, epsilon, weight)
    out = guided_filter(*tensors, radius, epsilon, weight=torch.from_numpy(weight)[None, None])
    assert np.abs(out[0, 0].numpy() - expected).max() < 1e-10


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_a_flat_target_comes_back(step):
    guide = torch.rand(1, 3, 40, 51, generator=torch.Generator().manual_seed(0))
    out = guided_filter(guide, torch.full((1, 1, 40, 51), 0.6), 6, 1e-3, step)
    assert out.shape == (1, 1, 40, 51)
    assert (out - 0.6).abs().max() < 1e-4


@pytest.mark.parametrize("step", [1, 2, 3])
def test_unknown_pixels_follow_the_colours_of_the_known(step):
    """Two colours meet at a slanting line; known is what lies beyond eight pixels of the upright."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    truth = (x > 32 + (y - 32) / 6).float()[None, None]
    guide = torch.cat([0.3 + 0.4 * truth, 0.5 - 0.2 * truth, 0.4 + 0 * truth], 1)
    mark = (x > 32).float()[None, None].contiguous()
    known = ((x - 32).abs() > 8).float()[None, None].clamp(min=1e-3).contiguous()
    error = (guided_filter(guide, mark, 16, 1e-4, step, known).clamp(0, 1) - truth).abs().mean()
    assert error < 0.3 * (mark - truth).abs().mean()
    flat = guided_filter(torch.full_like(guide, 0.5), mark, 16, 1e-4, step, known).clamp(0, 1)
    assert (flat - truth).abs().mean() > 2.0 * error, "without an edge in the picture it only fades"

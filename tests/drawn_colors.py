"""Faces of known colours, and what is measured of a result, in numpy and float64."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import wasserstein_distance

from understudy.image.filter import gaussian_blur

SIZE = 96


def skin(seed: int = 1) -> torch.Tensor:
    """Soft patches along a line of skin colours, with grain: a cloud as faces have it."""
    generator = torch.Generator().manual_seed(seed)
    shade = gaussian_blur(torch.randn(1, 1, SIZE, SIZE, generator=generator), 4.0)
    hue = gaussian_blur(torch.randn(1, 1, SIZE, SIZE, generator=generator), 6.0)
    grain = torch.randn(1, 3, SIZE, SIZE, generator=generator) * 0.01
    light = torch.tensor([0.62, 0.47, 0.4]).view(1, 3, 1, 1)
    along = torch.tensor([1.1, 0.95, 0.85]).view(1, 3, 1, 1)
    across = torch.tensor([0.6, -0.3, -0.4]).view(1, 3, 1, 1)
    return (light + along * shade * 1.1 + across * hue * 1.2 + grain).clamp(0.02, 0.98)


def other_light(face: torch.Tensor) -> torch.Tensor:
    """Another exposure, contrast and warmth, and not a linear one."""
    gain = torch.tensor([0.85, 0.7, 0.5]).view(1, 3, 1, 1)
    return (face**1.3 * gain + 0.12).clamp(0.0, 1.0)


def target() -> torch.Tensor:
    """Another face than ``skin()`` in other light."""
    return other_light(skin(2))


def soft_mask() -> torch.Tensor:
    """An ellipse with a wide soft edge."""
    y, x = torch.meshgrid(torch.arange(SIZE) - 47.5, torch.arange(SIZE) - 47.5, indexing="ij")
    return ((1.0 - torch.hypot(x / 36, y / 44)) * 4.0).clamp(0.0, 1.0)[None, None]


def points(picture: torch.Tensor) -> np.ndarray:
    """One column a pixel."""
    return picture[0].flatten(1).double().numpy()


def weights() -> np.ndarray:
    """Of the soft mask."""
    return soft_mask().flatten().double().numpy()


def moments(picture: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and covariance."""
    share = weights()
    return np.average(points(picture), axis=1, weights=share), np.cov(points(picture), aweights=share, ddof=0)


def sliced_distance(first: torch.Tensor, second: torch.Tensor, directions: int = 12) -> float:
    """Sliced Wasserstein-1 distance under the mask, along random directions, by SciPy."""
    lines = np.random.default_rng(11).standard_normal((directions, 3))
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    chosen = slice(None, None, 3)  # so many pixels are enough
    share = weights()[chosen]
    a, b = points(first)[:, chosen], points(second)[:, chosen]
    return float(np.mean([wasserstein_distance(line @ a, line @ b, share, share) for line in lines]))

from __future__ import annotations

import pytest
import torch

from understudy.blends.feather import Feather
from understudy.blends.poisson import Poisson
from understudy.image.filter import gaussian_blur

SIZE = 96


def disc(radius: float, softness: float = 1e-6) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    return ((radius - torch.hypot(y - SIZE / 2, x - SIZE / 2)) / softness).clamp(0, 1)[None, None]


def flat(*rgb: float) -> torch.Tensor:
    return torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, SIZE, SIZE).contiguous()


@pytest.mark.parametrize("softness", [0.05, 0.1, 0.2])
def test_feather_fades_as_wide_as_it_says(softness):
    out = Feather(softness=softness)(flat(0, 0, 0), flat(1, 1, 1), disc(35))[0, 0, SIZE // 2]
    edge = out[: SIZE // 2]
    assert torch.all(edge.diff() >= -1e-6)
    width = int(((edge > 0.01) & (edge < 0.99)).sum())
    assert width == pytest.approx(softness * SIZE, rel=0.4, abs=1.0)
    assert out[SIZE // 2] == 1


def test_feather_without_softness_is_the_mask():
    mask = gaussian_blur(disc(30), 3.0)
    out = Feather(softness=0.0)(flat(0, 0, 0), flat(1, 1, 1), mask)
    assert (out[:, :1] - mask).abs().max() < 1e-6


def test_feather_keeps_a_nan_outside_out():
    face = flat(0.5, 0.5, 0.5)
    face[..., 0] = float("nan")
    assert torch.isfinite(Feather()(flat(0, 0, 0), face, disc(30))).all()


def test_poisson_takes_the_colour_round_the_face():
    """A face of another colour, flat and detail apart, comes out in the base's colour with its own detail."""
    generator = torch.Generator().manual_seed(3)
    detail = gaussian_blur(torch.randn(1, 3, SIZE, SIZE, generator=generator), 1.5) * 0.1
    detail = detail * disc(20, 5)
    base = flat(0.7, 0.5, 0.4)
    out = Poisson(reach=0.0)(base, flat(0.3, 0.45, 0.6) + detail, disc(35))
    assert (out - (base + detail)).abs().max() < 1e-3


def test_poisson_does_not_mix_channels():
    base, face = flat(0.5, 0.5, 0.5), flat(0.5, 0.5, 0.5)
    generator = torch.Generator().manual_seed(3)
    face[:, 0] = torch.rand(1, SIZE, SIZE, generator=generator)
    out = Poisson()(base, face, disc(35))
    assert (out[:, 1:] - 0.5).abs().max() < 1e-4
    assert (out[:, 0] - 0.5).abs().max() > 0.1


def test_poisson_does_not_move_the_face():
    face = flat(0.5, 0.5, 0.5)
    face[..., 40:43, 50:53] = 0.9
    out = Poisson()(flat(0.5, 0.5, 0.5), face, disc(35))
    assert (out - face).abs().max() < 1e-3


def test_poisson_seam_is_unseen():
    """Along the mask's edge the composite has no step, though face and base differ by a third."""
    base = torch.linspace(0.2, 0.6, SIZE).view(1, 1, 1, SIZE).expand(1, 3, SIZE, SIZE).contiguous()
    out = Poisson(reach=0.0)(base, (base + 0.35).clamp(max=1), disc(30))
    assert (out - base).abs().max() < 1e-3

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from understudy.image.sharpness import edge_softness, lose_resolution, sharpen, soften


def noise(count: int = 2, side: int = 40) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(5))


def test_gaussian_unsharp_mask_is_its_formula():
    pictures = noise()
    blurred = ndimage.gaussian_filter(
        pictures.double().numpy(), (0, 0, 1.5, 1.5), mode="mirror", radius=(0, 0, 5, 5)
    )
    wanted = pictures.double().numpy() * 1.7 - 0.7 * blurred
    np.testing.assert_allclose(sharpen(pictures, 0.7, 1.5).numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("side", [3, 5, 9])
def test_box_of_whole_pixels(side):
    """A box of n pixels has the variance (n² - 1) / 12."""
    pictures = noise()
    deviation = ((side**2 - 1) / 12) ** 0.5
    wanted = ndimage.uniform_filter(pictures.double().numpy(), (0, 0, side, side), mode="mirror")
    np.testing.assert_allclose(soften(pictures, deviation, "box").numpy(), wanted, atol=1e-5)


def test_a_box_grows_without_steps():
    pictures = noise()
    made = [soften(pictures, 0.05 * n, "box") for n in range(60)]
    changes = [(b - a).abs().max().item() for a, b in itertools.pairwise(made)]
    assert max(changes) < 0.15
    spread = [picture.std().item() for picture in made]
    assert all(b < a for a, b in itertools.pairwise(spread[1:]))


@pytest.mark.parametrize("kernel", ["gaussian", "box"])
def test_nothing_to_do_changes_nothing(kernel):
    pictures = noise()
    assert torch.equal(sharpen(pictures, 0.0, 2.0, kernel), pictures)
    assert torch.equal(sharpen(pictures, 1.0, 0.0, kernel), pictures)
    flat = torch.full((1, 3, 12, 12), 0.4)
    torch.testing.assert_close(sharpen(flat, 2.0, 3.0, kernel), flat)


def test_a_radius_larger_than_the_picture_is_its_mean():
    for kernel in ("gaussian", "box"):
        assert soften(noise(side=6), 40.0, kernel).std() < noise(side=6).std() * 0.3


@pytest.mark.parametrize("share", [0.3, 0.75])
def test_resolution_is_lost_as_pillow_loses_it(share):
    pictures = noise(1, 60)
    out = lose_resolution(pictures, share)
    small = round(60 * (1 - share))
    for channel in range(3):
        picture = Image.fromarray(pictures[0, channel].numpy())
        wanted = picture.resize((small, small), Image.Resampling.BICUBIC).resize(
            (60, 60), Image.Resampling.BICUBIC
        )
        np.testing.assert_allclose(out[0, channel].numpy(), np.asarray(wanted), atol=1e-4)


def test_ends_of_lost_resolution():
    pictures = noise(1, 16)
    assert torch.equal(lose_resolution(pictures, 0.0), pictures)
    assert lose_resolution(pictures, 1.0).std() < 0.1


# ------------------------------------------------------------------------------------------- softness


def edges(blur: float, side: int = 96) -> np.ndarray:
    """Hard shapes, drawn eight times too large, blurred and averaged; (side, side)."""
    y, x = np.mgrid[: 8 * side, : 8 * side] / 8
    shapes = ((x - 0.3 * y) // 14 + y // 17) % 2
    return ndimage.gaussian_filter(shapes, 8 * blur).reshape(side, 8, side, 8).mean((1, 3))


def as_picture(luma: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(luma.astype(np.float32))[None, None].expand(1, 3, -1, -1).contiguous()


@pytest.mark.parametrize("blur", [0.8, 1.3, 2.0, 3.0])
def test_softness_of_edges_of_known_blur(blur):
    full = torch.ones(1, 1, 96, 96)
    # the pixel itself is a box of variance 1/12, central differences one of 1/3 more
    wanted = (blur**2 + 1 / 12 + 1 / 3) ** 0.5
    assert edge_softness(as_picture(edges(blur)), full).item() == pytest.approx(wanted, rel=0.12)


def test_softness_survives_noise():
    full = torch.ones(1, 1, 96, 96)
    clean = edges(1.5)
    noisy = clean + 0.02 * np.random.default_rng(0).standard_normal(clean.shape)
    measured = edge_softness(as_picture(noisy), full, torch.tensor([0.02]))
    assert measured.item() == pytest.approx(edge_softness(as_picture(clean), full).item(), rel=0.1)


def test_softness_looks_where_the_mask_is():
    both = np.concatenate([edges(0.8), edges(2.5)], axis=1)
    picture = as_picture(both)
    left = torch.zeros(1, 1, *both.shape)
    left[..., :92] = 1
    right = torch.zeros(1, 1, *both.shape)
    right[..., 100:] = 1
    assert edge_softness(picture, left) < 1.4 < 2.0 < edge_softness(picture, right)
    nothing = torch.zeros_like(left)
    assert edge_softness(picture, nothing).item() == 0.0
    assert edge_softness(torch.full((2, 3, 8, 8), 0.5), torch.ones(2, 1, 8, 8)).tolist() == [0.0, 0.0]

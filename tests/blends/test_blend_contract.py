"""What every blend promises, over all registered names."""

from __future__ import annotations

import pytest
import torch

from understudy.blends import BLENDS

SIZE = 48
names = pytest.mark.parametrize("name", BLENDS.names())


def pictures(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return torch.rand(count, 3, SIZE, SIZE, generator=generator), torch.rand(
        count, 3, SIZE, SIZE, generator=generator
    )


def masks(count: int = 3) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    out = []
    for item in range(count):
        distance = torch.hypot((y - SIZE / 2) / 1.2, x - SIZE / 2 + 3 * item)
        out.append(((14 + item - distance) / 4).clamp(0, 1))
    return torch.stack(out)[:, None]


@names
def test_empty_mask_changes_nothing(name):
    base, face = pictures()
    empty = torch.zeros(3, 1, SIZE, SIZE)
    assert torch.equal(BLENDS[name]()(base, face, empty), base)


@names
def test_nothing_changes_where_the_mask_is_zero(name):
    base, face = pictures()
    mask = masks()
    out = BLENDS[name]()(base, face, mask)
    outside = (mask == 0).expand_as(base)
    assert torch.equal(out[outside], base[outside])


@names
def test_the_face_arrives(name):
    base, face = pictures()
    out = BLENDS[name]()(base, face, masks())
    assert (out - base).abs().mean() > 0.01


INTERIOR = {"poisson": 0.05, "multiband": 1e-5}
"""How far the middle of the face may be from the face that was given; others give it back."""


@names
def test_the_middle_of_the_face_is_the_face(name):
    """Far from the mask's edge, face and base of much the same light."""
    generator = torch.Generator().manual_seed(3)
    base, face = (0.5 + 0.2 * (torch.rand(1, 3, 96, 96, generator=generator) - 0.5) for _ in range(2))
    y, x = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    mask = ((44 - torch.hypot(y - 47.5, x - 47.5)) / 4).clamp(0, 1)[None, None]
    out = BLENDS[name]()(base, face, mask)
    middle = (..., slice(40, 56), slice(40, 56))
    assert (out[middle] - face[middle]).abs().max() <= INTERIOR.get(name, 1e-6)


@names
def test_again_is_the_same(name):
    base, face = pictures()
    assert torch.equal(BLENDS[name]()(base, face, masks()), BLENDS[name]()(base, face, masks()))


@names
def test_no_number_outside_the_mask_is_harmless(name):
    base, face = pictures()
    mask = masks()
    expected = BLENDS[name]()(base, face, mask)
    for nonsense in (float("nan"), float("inf")):
        out = BLENDS[name]()(base, torch.where(mask > 0, face, nonsense), mask)
        assert torch.equal(out, expected)


@names
@pytest.mark.parametrize("light", [0.0, 1.0])
def test_black_and_white(name, light):
    flat, other = torch.full((3, 3, SIZE, SIZE), light), torch.full((3, 3, SIZE, SIZE), 1.0 - light)
    for base, face in ((flat, flat.clone()), (flat, other)):
        out = BLENDS[name]()(base, face, masks())
        assert torch.isfinite(out).all()
        assert 0 <= out.min() <= out.max() <= 1


@names
@pytest.mark.parametrize("size", [1, 2, 5, 17])
def test_tiny_crops(name, size):
    base, face, mask = (
        torch.rand(2, 3, size, size),
        torch.rand(2, 3, size, size),
        torch.rand(2, 1, size, size),
    )
    out = BLENDS[name]()(base, face, mask)
    assert out.shape == base.shape
    assert 0 <= out.min() <= out.max() <= 1


@names
def test_same_face_gives_the_base(name):
    base, _ = pictures()
    assert (BLENDS[name]()(base, base.clone(), masks()) - base).abs().max() < 1e-3


@names
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_shape_range_and_type(name, kind):
    base, face = (picture.to(kind) for picture in pictures())
    out = BLENDS[name]()(base, face, masks().to(kind))
    assert out.shape == base.shape
    assert out.dtype == kind
    assert out.device == base.device
    assert 0 <= out.min() <= out.max() <= 1


@names
def test_an_item_does_not_depend_on_its_company(name):
    base, face = pictures()
    mask = masks()
    together = BLENDS[name]()(base, face, mask)
    alone = [BLENDS[name]()(base[i : i + 1], face[i : i + 1], mask[i : i + 1]) for i in range(3)]
    assert (together - torch.cat(alone)).abs().max() < 1e-5


@names
def test_inputs_are_left_alone(name):
    base, face = pictures()
    mask = masks()
    copies = base.clone(), face.clone(), mask.clone()
    BLENDS[name]()(base, face, mask)
    assert all(torch.equal(now, before) for now, before in zip((base, face, mask), copies, strict=True))


@names
def test_a_full_mask_is_safe(name):
    base, face = pictures()
    out = BLENDS[name]()(base, face, torch.ones(3, 1, SIZE, SIZE))
    assert torch.isfinite(out).all()
    assert 0 <= out.min() <= out.max() <= 1


@names
def test_no_items(name):
    out = BLENDS[name]()(torch.zeros(0, 3, 8, 8), torch.zeros(0, 3, 8, 8), torch.zeros(0, 1, 8, 8))
    assert out.shape == (0, 3, 8, 8)


@names
@pytest.mark.gpu
def test_on_a_gpu(name):
    base, face = pictures()
    expected = BLENDS[name]()(base, face, masks())
    out = BLENDS[name]()(base.cuda(), face.cuda(), masks().cuda())
    assert out.device.type == "cuda"
    assert (out.cpu() - expected).abs().max() < 1e-3

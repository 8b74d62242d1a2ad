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

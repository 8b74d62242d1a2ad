"""What every colour transfer promises, over all registered names."""

from __future__ import annotations

import pytest
import torch

from understudy.color_transfers import COLOR_TRANSFERS
from understudy.image.filter import gaussian_blur

SIZE = 40
names = pytest.mark.parametrize("name", COLOR_TRANSFERS.names())


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    pair = [gaussian_blur(torch.rand(3, 3, SIZE, SIZE, generator=generator), 1.0) for _ in range(2)]
    return pair[0] * 0.7, pair[1] * 0.6 + 0.3


def masks() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    inside = [torch.hypot(y - 20.0, x - 16.0 - 3 * item) < 12 + item for item in range(3)]
    return torch.stack(inside)[:, None].float()


@names
def test_empty_mask_changes_nothing(name):
    face, reference = pictures()
    assert torch.equal(COLOR_TRANSFERS[name]()(face, reference, torch.zeros(3, 1, SIZE, SIZE)), face)


@names
def test_same_picture_stays(name):
    face, _ = pictures()
    assert (COLOR_TRANSFERS[name]()(face, face.clone(), masks()) - face).abs().max() < 1e-3


@names
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_shape_range_and_type(name, kind):
    face, reference = (picture.to(kind) for picture in pictures())
    out = COLOR_TRANSFERS[name]()(face, reference, masks().to(kind))
    assert out.shape == face.shape
    assert out.dtype == kind
    assert out.device == face.device
    assert 0 <= out.min() <= out.max() <= 1


@names
def test_what_is_masked_out_does_not_count(name):
    face, reference = pictures()
    mask = masks()
    inside = (mask > 0.5).expand_as(face)
    expected = COLOR_TRANSFERS[name]()(face, reference, mask)
    blackened = COLOR_TRANSFERS[name]()(face * inside, reference * inside, mask)
    assert (blackened - expected)[inside].abs().max() < 1e-4


@names
def test_an_item_does_not_depend_on_its_company(name):
    face, reference = pictures()
    mask = masks()
    together = COLOR_TRANSFERS[name]()(face, reference, mask)
    for i in range(3):
        alone = COLOR_TRANSFERS[name]()(face[i : i + 1], reference[i : i + 1], mask[i : i + 1])
        assert (together[i : i + 1] - alone).abs().max() < 1e-5


@names
def test_it_is_deterministic(name):
    face, reference = pictures()
    transfer = COLOR_TRANSFERS[name]()
    assert torch.equal(transfer(face, reference, masks()), transfer(face, reference, masks()))


@names
def test_a_flat_face_is_safe(name):
    _, reference = pictures()
    out = COLOR_TRANSFERS[name]()(torch.full_like(reference, 0.5), reference, masks())
    assert torch.isfinite(out).all()


@names
@pytest.mark.gpu
def test_on_a_gpu(name):
    face, reference = pictures()
    expected = COLOR_TRANSFERS[name]()(face, reference, masks())
    out = COLOR_TRANSFERS[name]()(face.cuda(), reference.cuda(), masks().cuda())
    assert (out.cpu() - expected).abs().max() < 1e-3

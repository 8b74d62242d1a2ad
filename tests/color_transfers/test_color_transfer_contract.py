"""What every colour transfer promises, over all registered names."""

from __future__ import annotations

import pytest
import torch

from understudy.color_transfers import COLOR_TRANSFERS, StableTransfer
from understudy.image.filter import gaussian_blur
from understudy.image.temporal import REACH, weighted_window

SIZE = 40
CODE = 1.0 / 255.0
ALL = COLOR_TRANSFERS.names()
STABLE = [name for name in ALL if issubclass(COLOR_TRANSFERS[name], StableTransfer)]
names = pytest.mark.parametrize("name", ALL)
stable_names = pytest.mark.parametrize("name", STABLE)


def pictures(size: int = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    pair = [gaussian_blur(torch.rand(3, 3, size, size, generator=generator), 1.0) for _ in range(2)]
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
def test_a_mask_of_one_pixel_changes_nothing(name):
    face, reference = pictures()
    mask = torch.zeros(3, 1, SIZE, SIZE)
    mask[:, :, 7, 9] = 1
    assert torch.equal(COLOR_TRANSFERS[name]()(face, reference, mask), face)


@names
def test_same_picture_stays(name):
    face, _ = pictures()
    assert (COLOR_TRANSFERS[name]()(face, face.clone(), masks()) - face).abs().max() < 1e-3


@names
def test_same_colours_in_other_places_stay(name):
    """The reference is the face, turned and mirrored: the same distribution."""
    face, _ = pictures()
    mask = masks()
    mask = torch.maximum(mask, mask.flip(-1, -2))  # now it equals its own half turn
    out = COLOR_TRANSFERS[name]()(face, face.flip(-1, -2), mask)
    assert (out - face).abs().max() < CODE


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
@pytest.mark.parametrize(("first", "second"), [(0.5, None), (None, 0.5), (0.2, 0.8), (0.0, 0.0), (1.0, 0.0)])
def test_flat_faces_are_safe(name, first, second):
    face, reference = pictures()
    face = face if first is None else torch.full_like(face, first)
    reference = reference if second is None else torch.full_like(reference, second)
    out = COLOR_TRANSFERS[name]()(face, reference, masks())
    assert torch.isfinite(out).all()
    if first is not None and second is not None and name != "none":
        inside = (masks() > 0.5).expand_as(out)
        wanted = torch.full_like(out, second)
        assert (out - wanted)[inside].abs().max() < 2 * CODE


@names
def test_black_borders_are_safe(name):
    """A face at the edge of its frame: half of the crop is black, mask and all."""
    face, reference = pictures()
    face[..., :20], reference[..., :20] = 0.0, 0.0
    out = COLOR_TRANSFERS[name]()(face, reference, masks())
    assert torch.isfinite(out).all()
    assert 0 <= out.min() <= out.max() <= 1


@names
def test_it_needs_no_gradient(name):
    face, reference = pictures()
    expected = COLOR_TRANSFERS[name]()(face, reference, masks())
    with torch.inference_mode():
        assert torch.equal(COLOR_TRANSFERS[name]()(face, reference, masks()), expected)


@names
def test_a_large_crop(name):
    """From 256 pixels on not every pixel is measured."""
    face, reference = pictures(256)
    mask = torch.nn.functional.interpolate(masks(), (256, 256))
    out = COLOR_TRANSFERS[name]()(face, reference, mask)
    if name == "none":
        return
    weights = mask / mask.sum((-2, -1), keepdim=True)
    means = [(picture * weights).sum((-2, -1)) for picture in (face, out, reference)]
    before, after = ((mean - means[2]).abs().max() for mean in means[:2])
    assert before > 0.2
    assert after < 0.01


@stable_names
def test_unmasked_everything_counts(name):
    face, reference = pictures()
    plain, whole = COLOR_TRANSFERS[name](), COLOR_TRANSFERS[name](masked=False)
    expected = plain(face, reference, torch.ones(3, 1, SIZE, SIZE))
    assert (whole(face, reference, masks()) - expected).abs().max() < 1e-6
    reference[..., :8] = 0.0  # outside all masks
    assert (whole(face, reference, masks()) - expected).abs().max() > 0.01
    assert torch.equal(whole(face, reference, torch.zeros(3, 1, SIZE, SIZE)), face)


@stable_names
def test_a_soft_mask_weighs(name):
    """A pixel of weight ½ counts as one of two pixels of weight 1 does."""
    side = 48
    face, reference = (gaussian_blur(picture, 3.0) for picture in pictures(side))
    reference[..., :16, :] *= 0.8
    for picture in (face, reference):
        picture[..., 32:, :] = picture[..., 16:32, :]
    soft = torch.zeros(3, 1, side, side)
    soft[..., :16, :], soft[..., 16:32, :] = 0.5, 1.0
    transfer = COLOR_TRANSFERS[name]()
    expected = transfer(face, reference, torch.ones(3, 1, side, side))
    assert (transfer(face, reference, soft) - expected).abs().max() < CODE
    hard = (soft > 0).float()
    assert (transfer(face, reference, hard) - expected).abs().max() > 2 * CODE


@stable_names
def test_measuring_and_applying_is_the_whole(name):
    face, reference = pictures()
    transfer = COLOR_TRANSFERS[name]()
    statistics = transfer.measure(face, reference, masks())
    assert statistics.dtype == torch.float32
    assert torch.equal(transfer.apply(face, statistics), transfer(face, reference, masks()))
    other = transfer.apply(torch.rand(3, 3, 17, 17), statistics)
    assert other.shape == (3, 3, 17, 17)


@stable_names
def test_statistics_begin_with_area_and_light(name):
    face, reference = pictures()
    mask = masks()
    mask[1] = 0
    statistics = COLOR_TRANSFERS[name]().measure(face, reference, mask)
    assert torch.isfinite(statistics).all()
    assert torch.allclose(statistics[:, 0], mask.mean((1, 2, 3)))
    expected = reference[0][:, mask[0, 0] > 0].mean(-1)
    assert torch.allclose(statistics[0, 1:4], expected, atol=1e-5)


@stable_names
def test_an_average_of_two_measurements_lies_between(name):
    """The same two faces in light that changes a little: the mean measurement gives about the mean result."""
    face, reference = pictures()
    transfer = COLOR_TRANSFERS[name]()
    brighter = (reference * 1.04).clamp(max=1.0)
    first, second = (transfer.measure(face, target, masks()) for target in (reference, brighter))
    outs = [transfer.apply(face, statistics) for statistics in (first, second, 0.5 * (first + second))]
    inside = masks().expand_as(face) > 0
    assert ((outs[0] + outs[1]) / 2 - outs[2])[inside].abs().mean() < 0.5 * CODE


@stable_names
def test_smoothed_measurements_flicker_less(name):
    """A still face, measured in eleven frames of grain and a trembling mask, averaged along the track."""
    face, reference = (gaussian_blur(picture[:1], 2.0) for picture in pictures())
    transfer = COLOR_TRANSFERS[name]()
    generator = torch.Generator().manual_seed(2)
    raw: list[torch.Tensor] = []
    for frame in range(11):
        grain = torch.randn(2, 1, 3, SIZE, SIZE, generator=generator) * 0.02
        mask = masks()[:1].roll(frame % 3 - 1, -1)
        raw.append(transfer.measure((face + grain[0]).clamp(0, 1), (reference + grain[1]).clamp(0, 1), mask))
    smooth = []
    for frame in range(11):
        first = max(0, frame - REACH)
        near = [line[0] for line in raw[first : frame + REACH + 1]]
        smooth.append(weighted_window(near, frame - first, REACH, 0.03)[None])
    flicker = [
        torch.cat([transfer.apply(face, line) for line in lines]).diff(dim=0).square().mean().sqrt()
        for lines in (raw, smooth)
    ]
    assert flicker[1] < 0.5 * flicker[0]


@names
@pytest.mark.gpu
def test_on_a_gpu(name):
    face, reference = pictures()
    expected = COLOR_TRANSFERS[name]()(face, reference, masks())
    out = COLOR_TRANSFERS[name]()(face.cuda(), reference.cuda(), masks().cuda())
    assert (out.cpu() - expected).abs().max() < 1e-3
    assert torch.equal(COLOR_TRANSFERS[name]()(face.cuda(), reference.cuda(), masks().cuda()), out)

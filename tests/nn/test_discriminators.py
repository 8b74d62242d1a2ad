from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from understudy.nn.discriminators import (
    CodeDiscriminator,
    PatchDiscriminator,
    UNetPatchDiscriminator,
    find_strides,
    receptive_field,
)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def extent(gradient: torch.Tensor) -> tuple[int, int]:
    """Rows and columns of what is not zero in a picture's gradient."""
    rows, columns = (gradient[0].abs().amax((0, axis)).nonzero().flatten() for axis in (2, 1))
    return int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


# what the reference program's search gives for these patch sizes
@pytest.mark.parametrize(
    ("patch", "strides", "field"),
    [
        (3, (2,), 3),
        (16, (2, 2, 2), 15),
        (20, (2, 1, 2, 2), 19),
        (28, (2, 1, 2, 1, 2), 27),
        (32, (2, 2, 2, 2), 31),
        (40, (2, 2, 1, 2, 2), 39),
        (48, (2, 2, 2, 1, 2), 47),
        (64, (2, 2, 2, 2, 2), 63),
    ],
)
def test_search_of_the_receptive_field(patch, strides, field):
    assert find_strides(patch) == strides
    assert receptive_field(strides) == field


def test_of_two_equally_near_fields_the_smaller():
    assert receptive_field(find_strides(5)) == 3
    assert receptive_field(find_strides(9)) == 7


def test_every_fourth_field_can_be_had():
    fields = {receptive_field(find_strides(patch)) for patch in range(3, 33)}
    assert fields == set(range(3, 32, 4))


@pytest.mark.parametrize("patch", [7, 16, 20, 28])
def test_a_logit_of_the_bottleneck_sees_just_that_many_pixels(patch):
    torch.manual_seed(0)
    network = UNetPatchDiscriminator(patch, 4)
    picture = torch.rand(1, 3, 96, 96, requires_grad=True)
    patches, _ = network(picture)
    middle = patches.shape[2] // 2
    patches[0, 0, middle, middle].backward()
    field = receptive_field(network.strides)
    assert extent(picture.grad) == (field, field)


@pytest.mark.parametrize(("patch", "millions"), [(16, 0.23), (32, 0.95), (48, 3.80)])
def test_unet_has_the_published_number_of_parameters(patch, millions):
    with torch.device("meta"):
        network = UNetPatchDiscriminator(patch)
    assert count(network) / 1e6 == pytest.approx(millions, abs=0.005)


def test_unet_layer_by_layer():
    """16, 32, 64, 128 channels: kernels and biases counted by hand."""
    down = 3 * 16 + 16 + sum(9 * a * b + b for a, b in ((16, 32), (32, 64), (64, 128)))
    up = sum(9 * a * b + b for a, b in ((128, 64), (128, 32), (64, 16)))
    ends = (128 + 1) + (128 * 128 + 128) + (32 + 1)
    assert count(UNetPatchDiscriminator(16)) == down + up + ends


@pytest.mark.parametrize("size", [(32, 32), (37, 50), (20, 20)])
def test_unet_takes_any_size(size):
    torch.manual_seed(0)
    patches, pixels = UNetPatchDiscriminator(20, 4)(torch.rand(2, 3, *size))
    assert pixels.shape == (2, 1, *size)
    assert patches.shape == (2, 1, -(-size[0] // 8), -(-size[1] // 8))


def test_unet_pixel_logits_stay_in_place():
    """What is changed at one corner shows at that corner, not shifted by the transposed convolutions."""
    torch.manual_seed(0)
    network = UNetPatchDiscriminator(7, 8)
    picture = torch.rand(1, 3, 48, 48)
    other = picture.clone()
    other[..., 20:28, 12:20] += 0.5
    change = (network(picture)[1] - network(other)[1]).detach().abs()[0, 0]
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    middle = [float((place * change).sum() / change.sum()) for place in (rows, columns)]
    assert middle == pytest.approx([23.5, 15.5], abs=1.0)


def test_unet_every_parameter_learns():
    torch.manual_seed(0)
    network = UNetPatchDiscriminator(20, 4)
    patches, pixels = network(torch.rand(2, 3, 32, 32))
    (patches.square().sum() + pixels.square().sum()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_spectral_weights_have_a_largest_singular_value_of_one():
    torch.manual_seed(0)
    network = UNetPatchDiscriminator(7, 4, spectral=True)
    picture = torch.rand(1, 3, 16, 16)
    for _ in range(30):
        network(picture)
    network.eval()
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            # rows are the outputs, which lie second in a transposed convolution
            weight = layer.weight if isinstance(layer, nn.Conv2d) else layer.weight.transpose(0, 1)
            values = np.linalg.svd(weight.detach().flatten(1).double().numpy(), compute_uv=False)
            assert values[0] == pytest.approx(1, abs=0.05)


def test_spectral_vectors_move_in_training_only():
    torch.manual_seed(0)
    network = UNetPatchDiscriminator(7, 4, spectral=True)

    def vectors():
        return {name: value.clone() for name, value in network.named_buffers()}

    picture, before = torch.rand(1, 3, 16, 16), vectors()
    network.eval()(picture)
    assert all(torch.equal(before[name], value) for name, value in vectors().items())
    network.train()(picture)
    assert any(not torch.equal(before[name], value) for name, value in vectors().items())


@pytest.mark.parametrize(("side", "left"), [(2, 2), (4, 3), (8, 3), (16, 3), (40, 1)])
def test_code_discriminator_halves_once_more_than_eights_in_the_side(side, left):
    torch.manual_seed(0)
    network = CodeDiscriminator(3, side, 2)
    layers = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    assert len(layers) == 1 + side // 8 + 1
    assert [layer.kernel_size[0] for layer in layers] == [4, *[3] * (side // 8), 1]
    assert [layer.out_channels for layer in layers[:-1]] == [
        2 * min(2**index, 8) for index in range(len(layers) - 1)
    ]
    assert network(torch.rand(2, 3, side, side)).shape == (2, 1, left, left)


def test_patch_discriminator_sees_seventy_pixels():
    """Isola et al. 2017; without the normalisation, which sees everything."""
    torch.manual_seed(0)
    network = PatchDiscriminator(6, 4)
    network.layers = nn.Sequential(*(x for x in network.layers if not isinstance(x, nn.GroupNorm)))
    picture = torch.rand(1, 3, 160, 160, requires_grad=True)
    logits = network(picture, torch.rand(1, 3, 160, 160))
    middle = logits.shape[2] // 2
    logits[0, 0, middle, middle].backward()
    assert extent(picture.grad) == (70, 70)


def test_patch_discriminator_sees_the_condition_and_each_picture_alone():
    torch.manual_seed(0)
    network = PatchDiscriminator(6, 4)
    picture, condition = torch.rand(3, 3, 32, 32), torch.rand(3, 3, 32, 32)
    together = network(picture, condition)
    assert torch.allclose(together[:1], network(picture[:1], condition[:1]), atol=1e-6)
    assert not torch.allclose(together, network(picture, condition.flip(0)), atol=1e-3)


def test_patch_discriminators_smallest_picture():
    side = PatchDiscriminator.smallest
    network = PatchDiscriminator(2, 4)
    assert network(torch.rand(1, 1, side, side), torch.rand(1, 1, side, side)).shape == (1, 1, 1, 1)
    with pytest.raises(RuntimeError):
        network(torch.rand(1, 1, side - 1, side - 1), torch.rand(1, 1, side - 1, side - 1))

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from understudy.nn.segmentation import BlurPool, ConvBlock, Doubling, FilterResponseNorm, ThresholdedUnit


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_filter_response_norm_is_its_formula():
    norm = FilterResponseNorm(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5]))
        norm.bias.copy_(torch.tensor([0.1, 0.2, -0.3]))
        norm.eps.fill_(-0.25)  # its absolute value counts
    x = random(2, 3, 5, 4) * 3
    wide = x.double().numpy()
    for b in range(2):
        for c in range(3):
            power = np.mean(wide[b, c] ** 2)
            wanted = norm.weight[c].item() * wide[b, c] / np.sqrt(power + 0.25) + norm.bias[c].item()
            np.testing.assert_allclose(norm(x)[b, c].detach().numpy(), wanted, atol=1e-5)


def test_epsilon_learns():
    norm = FilterResponseNorm(2)
    norm(random(1, 2, 4, 4)).square().sum().backward()
    assert norm.eps.grad is not None
    assert norm.eps.grad.abs() > 0


def test_a_network_in_half_precision_stays_in_it():
    x = random(1, 2, 4, 4).bfloat16() * 300  # squares beyond what eight bits of mantissa add up well
    out = FilterResponseNorm(2)(x)
    assert out.dtype == torch.bfloat16
    assert float(out.detach().float().square().mean()) == pytest.approx(1.0, rel=0.02)


def test_threshold_is_of_its_channel():
    unit = ThresholdedUnit(2)
    with torch.no_grad():
        unit.tau.copy_(torch.tensor([0.5, -1.0]))
    out = unit(torch.tensor([-2.0, 0.0, 2.0]).expand(1, 2, 1, 3))
    assert out[0, :, 0].tolist() == [[0.5, 0.5, 2.0], [-1.0, 0.0, 2.0]]


@pytest.mark.parametrize(("taps", "line"), [(2, [1, 1]), (3, [1, 2, 1]), (4, [1, 3, 3, 1])])
@pytest.mark.parametrize("side", [8, 12])
def test_blur_pool_is_a_binomial_filter_then_every_second_pixel(taps, line, side):
    x = random(2, 3, side, side)
    kernel = np.outer(line, line) / np.sum(line) ** 2
    out = BlurPool(taps)(x)
    assert out.shape == (2, 3, side // 2, side // 2)
    # SciPy centres even filters right of the middle; ours reach one pixel less to the left
    origin = -1 if taps % 2 == 0 else 0
    for b in range(2):
        for c in range(3):
            whole = scipy.ndimage.correlate(
                x[b, c].double().numpy(), kernel, mode="constant", origin=(origin, origin)
            )
            np.testing.assert_allclose(out[b, c].numpy(), whole[::2, ::2], atol=1e-6)


def test_doubling_is_the_transpose_of_a_convolution_padded_as_tensorflow_pads():
    # "same" with stride 2 and an even side pads one pixel after, none before
    up = Doubling(2, 3)
    with torch.no_grad():
        up.conv.bias.zero_()
    small, large = random(1, 2, 4, 5), random(1, 3, 8, 10)
    padded = torch.nn.functional.pad(large, (0, 1, 0, 1))
    down = torch.nn.functional.conv2d(padded, up.conv.weight, stride=2)
    assert down.shape == small.shape
    inner_small = float((down.detach() * small).sum())
    inner_large = float((up(small).detach() * large).sum())
    assert inner_large == pytest.approx(inner_small, rel=1e-4)


def test_gradient_reaches_everything():
    block = ConvBlock(3, 4)
    (block(random(1, 3, 8, 8)) * random(1, 4, 8, 8)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())

from __future__ import annotations

import numpy as np
import pytest
import torch

from understudy.nn.attention import SelfAttention


def attention(channels: int) -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(channels)


def test_against_the_equations_in_float64():
    layer, x = attention(16), torch.randn(2, 16, 3, 5)
    flat = x.double().numpy().reshape(2, 16, 15)

    def project(part, bias=True):
        weight = part.weight.detach().double().numpy()[:, :, 0, 0]
        return np.einsum("oc,bcn->bon", weight, flat) + (
            part.bias.detach().double().numpy()[:, None] if bias else 0
        )

    query, key, value = project(layer.query), project(layer.key, bias=False), project(layer.value)
    product = np.einsum("bci,bcj->bij", query, key)  # i looks at j
    share = np.exp(product - product.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    expected = flat + 0.1 * np.einsum("bij,bcj->bci", share, value)
    got = layer(x).detach().numpy().reshape(2, 16, 15)
    assert np.abs(got - expected).max() < 1e-5


def test_places_that_change_seats_change_nothing_else():
    layer, x = attention(8), torch.randn(1, 8, 4, 4)
    order = torch.randperm(16)

    def moved(picture):
        return picture.flatten(2)[..., order].unflatten(2, (4, 4))

    assert torch.allclose(layer(moved(x)), moved(layer(x)), atol=1e-6)


def test_the_far_corner_is_seen():
    layer = attention(8)
    x = torch.randn(1, 8, 6, 6, requires_grad=True)
    layer(x)[0, 0, 0, 0].backward()
    assert (x.grad[0, :, 5, 5] != 0).any()


def test_everything_learns_from_the_first_step():
    layer = attention(8)
    layer(torch.randn(2, 8, 4, 4)).square().sum().backward()
    assert [name for name, p in layer.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("channels", [4, 8])
def test_few_channels_are_enough(channels):
    assert attention(channels).query.out_channels == 1

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch

from understudy.errors import ShapeError
from understudy.image.dct import block_dct, inverse_block_dct


@pytest.mark.parametrize("size", [4, 8])
def test_blocks_are_scipys(size):
    planes = np.random.default_rng(0).normal(size=(2, 16, 24))
    ours = block_dct(torch.from_numpy(planes), size).numpy()
    assert ours.shape == (2, 16 // size, 24 // size, size, size)
    block = planes[1, size : 2 * size, 2 * size : 3 * size]
    np.testing.assert_allclose(ours[1, 1, 2], scipy.fft.dctn(block, norm="ortho"), atol=1e-12)


def test_the_inverse_gives_the_planes_back_and_the_gradient_too():
    planes = torch.randn(3, 32, 16, dtype=torch.float64, requires_grad=True)
    back = inverse_block_dct(block_dct(planes))
    torch.testing.assert_close(back, planes)
    (gradient,) = torch.autograd.grad((back * torch.arange(16.0)).sum(), planes)
    torch.testing.assert_close(gradient, torch.arange(16.0, dtype=torch.float64).expand(3, 32, 16))


def test_sides_that_do_not_divide_are_refused():
    with pytest.raises(ShapeError, match="divisible by 8"):
        block_dct(torch.zeros(16, 20))

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch

from understudy.errors import ShapeError
from understudy.image import dst
from understudy.image.dst import smooth_length, solve_on_rectangle


def along(side: int) -> scipy.sparse.csc_matrix:
    """Second difference along one axis, 0 half a pixel beyond the ends: the corners hold 3."""
    matrix = scipy.sparse.diags(
        [-np.ones(side - 1), 2 * np.ones(side), -np.ones(side - 1)], [-1, 0, 1]
    ).tolil()
    matrix[0, 0] += 1.0
    matrix[side - 1, side - 1] += 1.0
    return matrix.tocsc()


def solve_directly(source: np.ndarray, screen: float) -> np.ndarray:
    height, width = source.shape[-2:]
    matrix = scipy.sparse.kron(along(height), scipy.sparse.eye(width))
    matrix = matrix + scipy.sparse.kron(scipy.sparse.eye(height), along(width))
    matrix = (matrix + screen * scipy.sparse.eye(height * width)).tocsc()
    return (
        scipy.sparse.linalg.splu(matrix, "MMD_AT_PLUS_A")
        .solve(source.reshape(-1, height * width).T)
        .T.reshape(source.shape)
    )


@pytest.mark.parametrize("way", [dst._by_sines, dst._by_mirrors])
@pytest.mark.parametrize("screen", [0.0, 0.01])
@pytest.mark.parametrize("size", [(2, 5), (7, 11), (60, 54)])
def test_equals_a_direct_solution(way, screen, size):
    source = np.random.default_rng(0).standard_normal((2, 3, *size))
    expected = solve_directly(source, screen)
    exact = way(torch.from_numpy(source), screen).numpy()
    assert np.abs(exact - expected).max() < 1e-10
    rounded = way(torch.from_numpy(source).float(), screen)
    assert rounded.dtype == torch.float32
    assert np.abs(rounded.numpy() - expected).max() < 2e-6 * np.abs(expected).max()


def test_one_pixel():
    assert solve_on_rectangle(torch.tensor([[8.0]])).item() == pytest.approx(1.0)  # four sides, each 2 d


def test_source_is_left_alone():
    source = torch.rand(3, 20, 24)
    copy = source.clone()
    solve_on_rectangle(source, 0.1)
    assert torch.equal(source, copy)


def test_nothing_to_solve():
    assert solve_on_rectangle(torch.zeros(0, 3, 4, 5)).shape == (0, 3, 4, 5)
    with pytest.raises(ShapeError, match="at least one pixel"):
        solve_on_rectangle(torch.zeros(1, 3, 0, 5))


def test_smooth_lengths():
    known = [
        1,
        2,
        3,
        4,
        5,
        6,
        8,
        9,
        10,
        12,
        15,
        16,
        18,
        20,
        24,
        25,
        27,
        30,
        32,
        36,
        40,
        45,
        48,
        50,
        54,
        60,
        64,
    ]
    assert sorted({smooth_length(least) for least in range(65)}) == known
    assert smooth_length(301) == 320
    assert all(smooth_length(least) >= least for least in range(1, 500))

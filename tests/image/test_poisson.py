from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.sparse
import scipy.sparse.linalg
import torch

from understudy.image.poisson import clone, membrane


def solve_directly(base: np.ndarray, face: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The same discrete problem as a sparse system, float64: 4u - sum of neighbours = the face's own."""
    out = base.astype(np.float64).copy()
    y, x = np.nonzero(mask)
    number = np.full(mask.shape, -1)
    number[y, x] = np.arange(len(y))
    entries, right = [(np.arange(len(y)), np.arange(len(y)), np.full(len(y), 4.0))], 4.0 * face[:, y, x].T
    right = right.astype(np.float64)
    for down, across in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        neighbour = number[y + down, x + across]
        right -= face[:, y + down, x + across].T
        known = neighbour < 0
        right[known] += base[:, y[known] + down, x[known] + across].T
        entries.append((np.arange(len(y))[~known], neighbour[~known], np.full((~known).sum(), -1.0)))
    rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    matrix = scipy.sparse.csc_matrix((values, (rows, columns)))
    out[:, y, x] = scipy.sparse.linalg.splu(matrix).solve(right).T
    return out


def mask_of(kind: str, height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(2)
    yy, xx = np.mgrid[:height, :width]
    mask = {
        "ellipse": ((xx - width / 2) / (width * 0.36)) ** 2 + ((yy - height / 2) / (height * 0.45)) ** 2 < 1,
        "everything": np.ones((height, width), bool),
        "clouds": scipy.ndimage.gaussian_filter(generator.random((height, width)), 4) > 0.5,
        "noise": generator.random((height, width)) > 0.4,
        "ring": (np.hypot(xx - width / 2, yy - height / 2) < height * 0.4)
        & (np.hypot(xx - width / 2, yy - height / 2) > height * 0.2),
        "line": np.abs(yy - height // 2) < 1,
    }[kind]
    mask[[0, -1]] = False
    mask[:, [0, -1]] = False
    return mask


@pytest.mark.parametrize("kind", ["ellipse", "everything", "clouds", "noise", "ring", "line"])
@pytest.mark.parametrize("size", [(40, 40), (97, 130), (256, 256)])
def test_equals_a_direct_solution(kind, size):
    generator = np.random.default_rng(0)
    smooth = [
        scipy.ndimage.gaussian_filter(generator.random((3, *size)), (0, 6, 6)) * 4 - 1.5 for _ in range(2)
    ]
    base, face = (picture + 0.05 * generator.random((3, *size)) for picture in smooth)
    mask = mask_of(kind, *size)
    expected = solve_directly(base, face, mask)
    tensors = (torch.from_numpy(picture).float()[None] for picture in (base, face))
    out = clone(*tensors, torch.from_numpy(mask)[None, None])
    assert np.abs(out[0].numpy() - expected).max() < 1e-4
    assert np.array_equal(out[0].numpy()[:, ~mask], base.astype(np.float32)[:, ~mask])


def test_tolerance_is_kept_to():
    generator = np.random.default_rng(0)
    base, face = (generator.random((3, 90, 90)) for _ in range(2))
    mask = mask_of("ellipse", 90, 90)
    expected = solve_directly(base, face, mask)
    tensors = (torch.from_numpy(base)[None], torch.from_numpy(face)[None], torch.from_numpy(mask)[None, None])
    rough, fine = (
        np.abs(clone(*tensors, tolerance=limit)[0].numpy() - expected).max() for limit in (1e-2, 1e-9)
    )
    assert fine < 1e-8 < rough < 1e-2


def test_empty_mask_is_the_base():
    base, face = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    assert torch.equal(clone(base, face, torch.zeros(2, 1, 16, 16, dtype=torch.bool)), base)
    border = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    border[..., 1:-1, 1:-1] = False
    assert torch.equal(clone(base, face, border), base)


def test_masks_of_a_batch_are_its_own():
    generator = torch.Generator().manual_seed(1)
    base, face = (torch.rand(3, 3, 60, 60, generator=generator) for _ in range(2))
    mask = torch.zeros(3, 1, 60, 60, dtype=torch.bool)
    mask[0, :, 5:20, 5:50] = True
    mask[2, :, 30:55, 10:40] = True
    out = clone(base, face, mask)
    for item in range(3):
        one = slice(item, item + 1)
        assert torch.equal(out[one], clone(base[one], face[one], mask[one]))
    together = membrane(base - face, mask)
    assert (torch.where(mask, face + together, base) - out).abs().max() < 2e-4, "as a device batch solves it"


@pytest.mark.parametrize("shape", [(3, 3), (3, 9), (5, 4), (1, 1), (2, 7)])
def test_tiny_pictures(shape):
    base, face = torch.rand(1, 3, *shape), torch.rand(1, 3, *shape)
    out = clone(base, face, torch.ones(1, 1, *shape, dtype=torch.bool))
    assert out.shape == base.shape
    assert torch.isfinite(out).all()

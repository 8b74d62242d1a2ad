from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.sparse
import scipy.sparse.linalg
import torch

from understudy.errors import ConfigError
from understudy.image.poisson import clone

MARGIN = 2


def rectangle_of(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the rectangle of the problem; they may begin below 0."""
    out = []
    for axis in (1, 0):
        reached = np.flatnonzero(mask.any(axis))
        length = reached[-1] + 1 - reached[0]
        side = length + 2 * MARGIN
        while max(prime for prime in range(1, side + 1) if side % prime == 0 and is_prime(prime)) > 5:
            side += 1
        start = reached[0] - (side - length) // 2
        out.append(slice(start, start + side))
    return out[0], out[1]


def is_prime(number: int) -> bool:
    return all(number % other for other in range(2, math.isqrt(number) + 1))


def minimise_directly(
    base: np.ndarray, face: np.ndarray, mask: np.ndarray, reach: float, mixed: bool
) -> np.ndarray:
    """The sum of squares that the module's docstring states, minimised by its normal equations in float64."""
    rows, columns = rectangle_of(mask)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    places = np.ix_(range(3), range(rows.start, rows.stop), range(columns.start, columns.stop))
    far = 64  # so that the rectangle may leave the picture
    places = (places[0], places[1] + far, places[2] + far)
    base, face = (
        np.pad(p.astype(np.float64), ((0, 0), (far,) * 2, (far,) * 2), "edge")[places] for p in (base, face)
    )
    inside = np.pad(mask, far)[places[1][0], places[2][0]]
    wanted = np.where(inside, face - base, 0.0).reshape(3, -1)
    base, face, inside = base.reshape(3, -1), face.reshape(3, -1), inside.ravel()

    number = np.arange(height * width).reshape(height, width)
    first = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
    second = np.concatenate([number[:, 1:].ravel(), number[1:].ravel()])
    used = inside[first] & inside[second]
    if mixed:
        steps = [((p[:, second] - p[:, first]) ** 2).sum(0) for p in (base, face)]
        used = used & (steps[1] >= steps[0])
    wishes = np.where(used, wanted[:, second] - wanted[:, first], 0.0)
    pairs = scipy.sparse.coo_array(
        (
            np.repeat([-1.0, 1.0], len(first)),
            (np.tile(np.arange(len(first)), 2), np.concatenate([first, second])),
        ),
        shape=(len(first), number.size),
    ).tocsr()
    sides = np.zeros(number.size)
    for edge in (number[0], number[-1], number[:, 0], number[:, -1]):
        sides[edge] += 2.0
    pull = 1.0 / reach**2
    matrix = pairs.T @ pairs + scipy.sparse.diags_array(sides + pull)
    right = pairs.T @ wishes.T + pull * wanted.T
    solved = scipy.sparse.linalg.splu(matrix.tocsc(), "MMD_AT_PLUS_A").solve(right).T
    whole = np.zeros((3, mask.shape[0] + 2 * far, mask.shape[1] + 2 * far))
    whole[places] = solved.reshape(3, height, width)
    return np.where(mask, whole[:, far:-far, far:-far], 0.0)


def mask_of(kind: str, height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(2)
    yy, xx = np.mgrid[:height, :width]
    return {
        "ellipse": ((xx - width / 2) / (width * 0.36)) ** 2 + ((yy - height / 2) / (height * 0.45)) ** 2 < 1,
        "everything": np.ones((height, width), bool),
        "clouds": scipy.ndimage.gaussian_filter(generator.random((height, width)), 4) > 0.5,
        "noise": generator.random((height, width)) > 0.4,
        "ring": np.abs(np.hypot(xx - width / 2, yy - height / 2) - height * 0.3) < height * 0.1,
        "line": np.abs(yy - height // 2) < 1,
        "corner": (xx < width // 3) & (yy < height // 4),
    }[kind]


def pictures(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    smooth = [
        scipy.ndimage.gaussian_filter(generator.random((3, *size)), (0, 6, 6)) * 4 - 1.5 for _ in range(2)
    ]
    base, face = (picture + 0.05 * generator.random((3, *size)) for picture in smooth)
    return base, face


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array).float()[None] for array in arrays]


@pytest.mark.parametrize("kind", ["ellipse", "everything", "clouds", "noise", "ring", "line", "corner"])
@pytest.mark.parametrize("reach", [math.inf, 9.0])
@pytest.mark.parametrize("mixed", [False, True])
def test_equals_a_direct_solution(kind, reach, mixed):
    size = (61, 83)
    base, face = pictures(size)
    mask = mask_of(kind, *size)
    shift = minimise_directly(base, face, mask, reach, mixed)
    out = clone(*tensors(base, face), torch.from_numpy(mask)[None, None], reach=reach, mixed=mixed)[0].numpy()
    assert np.abs(out - (base + shift)).max() < 5e-6
    assert np.array_equal(out[:, ~mask], base.astype(np.float32)[:, ~mask])


def test_equals_a_direct_solution_in_a_large_face():
    base, face = pictures((300, 300))
    mask = mask_of("ellipse", 300, 300)
    shift = minimise_directly(base, face, mask, math.inf, mixed=False)
    (out,) = clone(*tensors(base, face), torch.from_numpy(mask)[None, None])
    assert np.abs(out.numpy() - (base + shift)).max() < 2e-5  # float32


def test_a_face_that_differs_by_a_colour_becomes_the_base():
    """However dark or bright, as long as it is the same shift everywhere: none of it is left."""
    base, _ = pictures((120, 120))
    face = base + np.array([0.3, -0.2, 0.05])[:, None, None]
    (out,) = clone(*tensors(base, face), torch.from_numpy(mask_of("ellipse", 120, 120))[None, None])
    assert np.abs(out.numpy() - base).max() < 1e-5


def test_reach_keeps_the_middle_of_the_face():
    """A strip so wide that its middle is far from both edges: there the face is itself, at the edge half."""
    base, face = torch.zeros(1, 1, 160, 400), torch.ones(1, 1, 160, 400)
    mask = torch.zeros(1, 1, 160, 400, dtype=torch.bool)
    mask[..., 100:300] = True
    mask[..., 0, 0] = mask[..., -1, -1] = True  # opens the rectangle wide
    line = clone(base, face, mask, reach=8.0)[0, 0, 80]
    distance = torch.arange(100) + 0.5
    expected = 1.0 - 0.5 * torch.exp(-distance / 8.0)  # of the continuous equation, far from its border
    assert (line[100:200] - expected).abs().max() < 2e-3
    assert (line[100:300] - line[100:300].flip(0)).abs().max() < 1e-5


def test_mixed_gradients_take_the_larger_step():
    """A flat face over a bright stripe: alone it hides the stripe, mixed it shows it."""
    base = torch.full((1, 3, 60, 60), 0.4)
    base[..., 28:32] = 0.9
    face = torch.full_like(base, 0.4)
    mask = torch.zeros(1, 1, 60, 60, dtype=torch.bool)
    mask[..., 10:50, 10:50] = True
    plain, mixed = (clone(base, face, mask, mixed=mixed)[0, :, 30] for mixed in (False, True))
    assert (mixed - base[0, :, 30]).abs().max() < 1e-5
    assert float(plain[:, 30].mean() - plain[:, 20].mean()) < 0.1


def test_mixed_gradients_choose_for_all_channels_together():
    base, face = torch.zeros(1, 3, 40, 40), torch.zeros(1, 3, 40, 40)
    base[:, 0, :, 20:] = 0.3  # a red step of the base against
    face[:, 1, :, 20:] = 0.4  # a larger green one of the face: the red one goes
    mask = torch.ones(1, 1, 40, 40, dtype=torch.bool)
    line = clone(base, face, mask, mixed=True)[0, :, 20]
    assert float(line[1, 20] - line[1, 19]) == pytest.approx(0.4, abs=0.03)
    assert abs(float(line[0, 20] - line[0, 19])) < 0.03


def test_nothing_outside_the_mask_is_read_of_the_face():
    base, face = (torch.rand(1, 3, 50, 50) for _ in range(2))
    mask = torch.zeros(1, 1, 50, 50, dtype=torch.bool)
    mask[..., 10:40, 15:35] = True
    for mixed in (False, True):
        expected = clone(base, face, mask, mixed=mixed)
        for nonsense in (float("nan"), float("inf"), 1e30):
            other = torch.where(mask, face, nonsense)
            assert torch.equal(clone(base, other, mask, mixed=mixed), expected)


def test_empty_mask_is_the_base():
    base, face = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    assert torch.equal(clone(base, face, torch.zeros(2, 1, 16, 16, dtype=torch.bool)), base)


def test_same_face_is_the_base():
    base = torch.rand(1, 3, 40, 40)
    assert torch.equal(clone(base, base.clone(), torch.rand(1, 1, 40, 40) > 0.5), base)


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


@pytest.mark.parametrize("shape", [(3, 3), (3, 9), (5, 4), (1, 1), (2, 7)])
@pytest.mark.parametrize("mixed", [False, True])
def test_tiny_pictures(shape, mixed):
    base, face = torch.rand(1, 3, *shape), torch.rand(1, 3, *shape)
    out = clone(base, face, torch.ones(1, 1, *shape, dtype=torch.bool), mixed=mixed)
    assert out.shape == base.shape
    assert torch.isfinite(out).all()


def test_double_precision_is_kept():
    base, face = pictures((64, 80))
    mask = mask_of("ellipse", 64, 80)
    shift = minimise_directly(base, face, mask, 20.0, mixed=False)
    doubles = (torch.from_numpy(picture)[None] for picture in (base, face))
    out = clone(*doubles, torch.from_numpy(mask)[None, None], reach=20.0)
    assert out.dtype == torch.float64
    assert np.abs(out[0].numpy() - (base + shift)).max() < 1e-11


@pytest.mark.parametrize("reach", [0.0, -1.0, math.nan])
def test_reach_must_be_above_zero(reach):
    picture = torch.zeros(1, 3, 4, 4)
    with pytest.raises(ConfigError, match="more than 0 pixels"):
        clone(picture, picture, torch.ones(1, 1, 4, 4, dtype=torch.bool), reach=reach)

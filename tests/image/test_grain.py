from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from understudy.image.grain import KINDS, SCALES, grain, measure_noise, solve_amplitudes

CPU = torch.device("cpu")
LUMA = np.array([0.2126, 0.7152, 0.0722])


def tensor(picture: np.ndarray) -> torch.Tensor:
    """(1, 3, h, w)."""
    return torch.from_numpy(np.moveaxis(picture, -1, 0).astype(np.float32).copy())[None]


def gray(field: np.ndarray) -> np.ndarray:
    return np.repeat(field[..., None], 3, -1)


def diagonal_deviation(luma: np.ndarray) -> float:
    """Root mean square of Haar's diagonal differences, in float64."""
    corner = luma[1:, 1:] - luma[1:, :-1] - luma[:-1, 1:] + luma[:-1, :-1]
    return float(np.sqrt(np.mean((corner / 2) ** 2)))


def halved(luma: np.ndarray) -> np.ndarray:
    height, width = (side // 2 * 2 for side in luma.shape)
    return luma[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))


def scene(side: int = 192) -> np.ndarray:
    """Shading, upright edges, a disc and slanted stripes, in [0.1, 0.9]."""
    y, x = np.mgrid[:side, :side] / side
    out = 0.4 + 0.2 * x - 0.1 * y + 0.15 * (x > 0.6)
    out = np.where(np.hypot(x - 0.3, y - 0.4) < 0.15, 0.75, out)
    stripes = (y > 0.8) * 0.1 * np.sign(np.sin(60 * (x + y)))
    return ndimage.gaussian_filter(out + stripes, 0.8)


@pytest.mark.parametrize("deviation", [0.004, 0.02, 0.06])
@pytest.mark.parametrize("softness", [0.0, 0.7, 1.2])
def test_noise_is_found_in_a_picture(deviation, softness):
    """At every scale within a tenth of what there is, although the picture has edges; and a little more,
    where that is coarse enough to take stripes for noise."""
    noise = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal((192, 192)), softness)
    noise *= deviation / noise.std()
    wanted = [diagonal_deviation(n) for n in (noise, halved(noise), halved(halved(noise)))]
    found = measure_noise(tensor(gray(scene() + noise)))[0, 0].numpy()
    assert (np.abs(found - wanted) < 0.1 * np.array(wanted) + [3e-4, 5e-4, 1.5e-3]).all()


def test_a_clean_picture_has_none():
    found = measure_noise(tensor(gray(scene())))[0]
    assert (found < torch.tensor([1e-4, 3e-4, 1.5e-3])).all()


def test_colours_are_taken_apart():
    random = np.random.default_rng(2)
    chroma = random.standard_normal((96, 96)) * 0.03
    picture = np.full((96, 96, 3), 0.5)
    picture[..., 2] += chroma  # blue: little luma, half the blue difference
    found = measure_noise(tensor(picture))[0].numpy()
    assert found[0, 0] == pytest.approx(0.0722 * 0.03, rel=0.05)
    assert found[1, 1] == pytest.approx(0.5 * diagonal_deviation(halved(chroma)), rel=0.05)
    assert found[2, 1] == pytest.approx(0.0722 / 1.5748 * diagonal_deviation(halved(chroma)), rel=0.05)


def test_only_where_asked_for():
    random = np.random.default_rng(3)
    noise = random.standard_normal((128, 128)) * np.where(np.arange(128) < 64, 0.01, 0.04)
    picture = tensor(gray(0.5 + noise))
    left = torch.zeros(1, 1, 128, 128)
    left[..., :64] = 1
    assert measure_noise(picture, left)[0, 0, 0].item() == pytest.approx(0.01, rel=0.05)
    assert measure_noise(picture, 1 - left)[0, 0, 0].item() == pytest.approx(0.04, rel=0.05)
    assert not measure_noise(picture, torch.zeros_like(left)).any()


def test_what_is_cut_off_at_black_does_not_count():
    random = np.random.default_rng(4)
    picture = np.full((128, 128), 0.5)
    picture[64:] = 0.0
    noisy = np.clip(picture + 0.02 * random.standard_normal(picture.shape), 0, 1)
    assert measure_noise(tensor(gray(noisy)))[0, 0, 0].item() == pytest.approx(0.02, rel=0.05)


def test_items_do_not_depend_on_their_company():
    pictures = torch.rand(3, 3, 40, 44, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2
    together = measure_noise(pictures)
    torch.testing.assert_close(together, torch.cat([measure_noise(p) for p in pictures.split(1)]))


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (11, 11)])
def test_too_small_to_say(size):
    assert not measure_noise(torch.rand(2, 3, *size)).any()
    assert measure_noise(torch.zeros(0, 3, 32, 32)).shape == (0, 3, SCALES)


# ------------------------------------------------------------------------------------------- synthesis


def response_of_kinds() -> np.ndarray:
    rows = []
    for kind in range(KINDS):
        amplitudes = np.zeros((3, KINDS))
        amplitudes[:, kind] = 0.03
        seen = 0.5 + grain(amplitudes, 256, 9, CPU)[None]
        rows.append((measure_noise(seen)[0].double().numpy() / 0.03) ** 2)
    return np.stack(rows, -1)


@pytest.fixture(scope="module")
def response() -> np.ndarray:
    return response_of_kinds()


def test_noise_has_the_deviation_that_was_asked_for():
    amplitudes = np.zeros((3, KINDS))
    amplitudes[0, 1], amplitudes[1, 2], amplitudes[2, 3] = 0.02, 0.01, 0.015
    made = grain(amplitudes, 200, 3, CPU).double().numpy()
    luma = np.tensordot(LUMA, made, 1)
    assert luma.std() == pytest.approx(0.02, rel=0.03)
    blue, red = (made[2] - luma) / 1.8556, (made[0] - luma) / 1.5748
    assert blue.std() == pytest.approx(0.01, rel=0.03)
    assert red.std() == pytest.approx(0.015, rel=0.06)
    for one, other in ((luma, blue), (luma, red), (blue, red)):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.03


def test_frames_have_nothing_in_common_and_come_back():
    amplitudes = np.full((3, KINDS), 0.01)
    first, again, other = (grain(amplitudes, 96, seed, CPU) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert abs(np.corrcoef(first.numpy().ravel(), other.numpy().ravel())[0, 1]) < 0.05
    assert not grain(np.zeros((3, KINDS)), 32, 1, CPU).any()


@pytest.mark.parametrize("softness", [0.0, 0.6, 1.0])
def test_solved_amplitudes_reach_the_deviations(response, softness):
    field = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((256, 256)), softness)
    goal = measure_noise(tensor(gray(0.5 + 0.02 * field / field.std())))[0].double().numpy()
    amplitudes = solve_amplitudes(goal, np.zeros((3, SCALES)), response)
    assert amplitudes.min() >= 0
    made = measure_noise(0.5 + grain(amplitudes, 256, 11, CPU)[None])[0].numpy()
    np.testing.assert_allclose(made[0], goal[0], rtol=0.15)


def test_what_is_there_already_is_not_added(response):
    goal = np.array([[0.02, 0.01, 0.005]] * 3)
    assert not solve_amplitudes(goal, goal, response).any()
    assert not solve_amplitudes(goal, 2 * goal, response).any()
    half = solve_amplitudes(goal, 0.6 * goal, response)
    whole = solve_amplitudes(goal, 0 * goal, response)
    np.testing.assert_allclose(half, 0.8 * whole, rtol=0.02, atol=1e-5)  # 0.6² + 0.8² = 1
    assert not solve_amplitudes(0 * goal, 0 * goal, response).any()

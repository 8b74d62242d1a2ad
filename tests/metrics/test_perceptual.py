from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from understudy.errors import WeightsError
from understudy.metrics.perceptual import PerceptualDistance, perceptual_distance
from understudy.nn.features import FeatureNetwork
from understudy.nn.vgg import Vgg19


def picture_and_half(pictures: torch.Tensor) -> list[torch.Tensor]:
    """Features that a hand can compute: the picture itself, and at half the size."""
    return [pictures, torch.nn.functional.avg_pool2d(pictures, 2)]


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, 8, 8, generator=generator), torch.rand(2, 3, 8, 8, generator=generator)


def by_hand(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Zhang et al. 2018, equation 1 with weights one."""
    total = 0.0
    for _ in range(2):
        unit_x, unit_y = (a / np.sqrt((a**2).sum(0) + 1e-8) for a in (x, y))
        total += (((unit_x - unit_y) ** 2).sum(0) * weights).sum() / weights.sum()
        half = len(weights) // 2
        x, y = (a.reshape(3, half, 2, half, 2).mean((2, 4)) for a in (x, y))
        weights = weights.reshape(half, 2, half, 2).mean((1, 3))
    return total


def test_it_is_the_formula(pair):
    measure = PerceptualDistance(picture_and_half, "by hand")
    mask = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    for weights in (None, mask):
        for item, got in enumerate(measure(*pair, weights)):
            flat = np.ones((8, 8)) if weights is None else weights[item, 0].double().numpy()
            expected = by_hand(*(p[item].double().numpy() for p in pair), flat)
            assert float(got) == pytest.approx(expected, rel=1e-5)


def test_equal_pictures_and_empty_masks(pair):
    measure = PerceptualDistance(picture_and_half, "by hand")
    assert measure(pair[0], pair[0]).tolist() == [0.0, 0.0]
    assert measure(*pair, torch.zeros(2, 1, 8, 8)).isnan().all()


def test_a_users_network_gives_its_name(tmp_path, pair):
    torch.manual_seed(0)
    save_file(Vgg19().state_dict(), tmp_path / "weights.safetensors")
    torch.save(FeatureNetwork().state_dict(), tmp_path / "mine.pth")
    vgg, mine = (perceptual_distance(tmp_path / name) for name in ("weights.safetensors", "mine.pth"))
    assert vgg is not None
    assert mine is not None
    assert (vgg.name, mine.name) == ("perceptual/vgg19", "perceptual/mine")
    assert (mine(*pair) > 0).all()


def test_other_files_are_refused(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    (tmp_path / "broken.pth").write_bytes(b"no tensors")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, words in (
        ("other.safetensors", "VGG19 in torchvision's naming, nor"),
        ("broken.safetensors", "cannot be read as weights"),
        ("broken.pth", "not a file of plain tensors"),
        ("list.pth", "got list"),
        ("missing.pth", "cannot be read as weights"),
    ):
        with pytest.raises(WeightsError, match=words):
            perceptual_distance(tmp_path / name)

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save

from understudy.errors import WeightsError
from understudy.nn.features import FeatureNetwork, feature_distance, own_features, read_features
from understudy.nn.vgg import Vgg19, read_vgg19
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import render
from understudy.performers.scene import Scene
from understudy.training.feature_task import damaged

TORCHVISION = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
"""Where the convolutions stand in torchvision's ``vgg19().features``."""
WIDTHS = (64, 64, 128, 128, 256, 256, 256, 256, *(512,) * 8)


def random_network():
    torch.manual_seed(0)
    return FeatureNetwork()


def test_features_are_four_scales_and_the_network_is_small():
    network = random_network()
    made = network(torch.rand(2, 3, 64, 64))
    assert [tuple(x.shape) for x in made] == [
        (2, 32, 64, 64), (2, 64, 32, 32), (2, 128, 16, 16), (2, 256, 8, 8)
    ]  # fmt: skip
    assert 1.1e6 < sum(p.numel() for p in network.parameters()) < 2e6


def test_features_start_with_a_spread_that_lasts():
    """He initialisation: a picture is as visible in the last stage as in the first."""
    made = random_network()(torch.rand(2, 3, 64, 64))
    spreads = [x.square().mean().sqrt().item() for x in made]
    assert all(0.3 < spread < 3 for spread in spreads)


def test_stored_features_are_read_and_frozen():
    network = random_network()
    picture = torch.rand(1, 3, 32, 32)
    expected = network(picture)
    for kind, tolerance in ((torch.float32, 0.0), (torch.float16, 5e-3)):
        read = read_features(save({key: value.to(kind) for key, value in network.state_dict().items()}))
        assert not read.training
        assert not any(weight.requires_grad for weight in read.parameters())
        for got, want in zip(read(picture), expected, strict=True):
            assert got.dtype == torch.float32
            torch.testing.assert_close(got, want, atol=tolerance, rtol=0)


def test_other_files_are_refused():
    with pytest.raises(WeightsError, match="our feature network"):
        read_features(b"something else" * 10)
    state = random_network().state_dict()
    del state["stages.3.2.bias"]
    with pytest.raises(WeightsError, match=r"wanted stages.3.2.bias of shape \(256,\), got nothing"):
        read_features(save(state))


def test_own_features_are_those_among_the_assets(tmp_path, monkeypatch):
    monkeypatch.setattr("understudy.nn.features.resources.files", lambda package: tmp_path)
    assert own_features() is None
    network = random_network()
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "features.safetensors").write_bytes(save(network.state_dict()))
    picture = torch.rand(1, 3, 16, 16)
    assert torch.equal(own_features()(picture)[-1], network(picture)[-1])


def test_distance_against_the_formula():
    generator = torch.Generator().manual_seed(0)
    layers = [(4, 8), (7, 3)]
    ours, others = ([torch.rand(3, c, s, s, generator=generator) for c, s in layers] for _ in range(2))
    expected = np.zeros(3)
    for a, b in zip(ours, others, strict=True):
        a, b = a.double().numpy(), b.double().numpy()
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        expected += (2 - 2 * cosine).mean((1, 2))  # unit vectors
    np.testing.assert_allclose(feature_distance(ours, others).numpy(), expected, rtol=1e-4)
    assert not feature_distance(ours, ours).any()


def test_distance_has_a_finite_slope_where_nothing_is_seen():
    dark, seen = torch.zeros(1, 4, 2, 2, requires_grad=True), torch.rand(1, 4, 2, 2)
    feature_distance([dark], [seen]).sum().backward()
    assert torch.isfinite(dark.grad).all()


# ---------------------------------------------------------------------------------------------------- vgg


def test_vgg_has_torchvisions_names_and_shapes():
    with torch.device("meta"):
        state = Vgg19().state_dict()
    inputs = (3, *WIDTHS[:-1])
    expected = {
        name: shape
        for place, i, o in zip(TORCHVISION, inputs, WIDTHS, strict=True)
        for name, shape in ((f"features.{place}.weight", (o, i, 3, 3)), (f"features.{place}.bias", (o,)))
    }
    assert {key: tuple(value.shape) for key, value in state.items()} == expected


def test_vgg_against_its_layers_one_by_one():
    """Simonyan and Zisserman 2015, table 1 E, three of five stages, in double precision."""
    generator = torch.Generator().manual_seed(0)
    state, inputs = {}, 3
    for place, width in zip(TORCHVISION[:8], WIDTHS[:8], strict=True):
        deviation = (2 / (9 * inputs)) ** 0.5
        state[f"features.{place}.weight"] = torch.randn(width, inputs, 3, 3, generator=generator) * deviation
        state[f"features.{place}.bias"] = torch.randn(width, generator=generator) * 0.1
        inputs = width
    picture = torch.rand(2, 3, 32, 32, generator=generator)
    mean = torch.tensor([0.485, 0.456, 0.406]).double().view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).double().view(3, 1, 1)
    x, expected = (picture.double() - mean) / deviation, []
    for place in TORCHVISION[:8]:
        if place in (5, 10):
            x = F.max_pool2d(x, 2)
        weight, bias = (state[f"features.{place}.{part}"].double() for part in ("weight", "bias"))
        x = F.relu(F.conv2d(x, weight, bias, padding=1))
        if place in (2, 7, 16):
            expected.append(x)
    network = read_vgg19(state, 3)
    assert not any(weight.requires_grad for weight in network.parameters())
    for got, want in zip(network(picture), expected, strict=True):
        torch.testing.assert_close(got.double(), want, atol=1e-4, rtol=1e-4)


def test_vgg_gives_five_scales():
    with torch.device("meta"):
        made = Vgg19()(torch.empty(1, 3, 64, 64))
    assert [tuple(x.shape[1:]) for x in made] == [
        (64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (512, 4, 4)
    ]  # fmt: skip


def test_the_shipped_network_minds_blur_more_than_brightness():
    """A network without training minds brightness six times as much as a strong blur."""
    own = own_features()
    assert own is not None
    performer, motion = Performer.from_seed(120_000), Motion.from_seed(120_000)
    drawn = render(performer, motion.state(1.0), Scene(), 96).picture
    face = torch.from_numpy(drawn.transpose(2, 0, 1).copy())[None].float()
    blurred = damaged(face, torch.tensor([[1.0, 0.0, 0.0]]), torch.zeros_like(face))
    seen = own(face)
    of_blur = float(feature_distance(own(blurred), seen))
    of_light = float(feature_distance(own((face + 0.05).clamp(0, 1)), seen))
    assert of_blur > 2 * of_light > 0

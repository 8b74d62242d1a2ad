"""The segmenters that a user trains: their networks, and what they are once they have weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from understudy import config
from understudy.contracts import Context
from understudy.errors import CheckpointError, ConfigError, WeightsError
from understudy.segmenters.ternausnet import Ternausnet
from understudy.segmenters.xseg import Xseg
from understudy.training.rundir import SwapperFiles, save_swapper
from understudy.training.segmenter import TrainableSegmenter
from understudy.weights import WeightStore

SMALL = {"xseg": Xseg(resolution=64, base=2, code=8), "ternausnet": Ternausnet(resolution=32, base=4)}


@pytest.fixture
def context():
    return Context(device=torch.device("cpu"), weights=WeightStore())


def deliver(settings: TrainableSegmenter, folder: Path, network: torch.nn.Module | None = None) -> Path:
    weights = dict((network or settings.network()).state_dict())
    save_swapper(
        folder, SwapperFiles(model=settings.name, settings=settings.described(), weights=weights, step=7)
    )
    return folder


def test_xseg_has_the_weights_of_its_layers():
    def block(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + outputs + 2 * outputs + 1 + outputs  # kernel, bias, norm, epsilon, tau

    down = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 8]
    up = [(384, 256), (256, 256), (256, 256)] * 3
    up += [(256, 128), (128, 128), (128, 64), (64, 64), (64, 32), (32, 32)]
    doubled = [(256, 128)] * 4 + [(128, 64), (64, 32)]
    dense = 4096 * 512 + 512 + 512 * 4096 + 4096
    wanted = sum(block(*pair) for pair in down + up + doubled) + dense + 9 * 32 + 1
    with torch.device("meta"):
        counted = sum(p.numel() for p in Xseg().network().parameters())
    assert counted == wanted
    assert round(counted / 1e6, 1) == 17.6


def test_xseg_names_its_layers_as_its_users_files_do():
    names = Xseg(resolution=64, base=2, code=8).network().state_dict()
    for name in ("conv01.conv.weight", "conv53.frn.eps", "uconv53.tlu.tau", "up5.conv.weight"):
        assert name in names
    for name in ("conv01.frn.weight", "conv01.frn.bias", "dense1.weight", "dense2.bias", "out_conv.bias"):
        assert name in names


def test_ternausnet_goes_down_as_vgg11_does():
    with torch.device("meta"):
        network = Ternausnet().network()
    down = [network.conv1, network.conv2, network.conv3s, network.conv3]
    down += [network.conv4s, network.conv4, network.conv5s, network.conv5]
    assert [layer.out_channels for layer in down] == [64, 128, 256, 256, 512, 512, 512, 512]


@pytest.mark.parametrize("name", SMALL)
def test_gradient_reaches_every_weight(name):
    torch.manual_seed(0)
    network = SMALL[name].network()
    side = SMALL[name].resolution
    logits = network(torch.rand(2, 3, side, side))
    assert logits.shape == (2, 1, side, side)
    logits.square().mean().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not still


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("side", [48, 64, 90])
def test_contract_at_any_size(name, side, tmp_path, context):
    folder = deliver(SMALL[name], tmp_path / "swapper")
    segmenter = type(SMALL[name])(file=folder).build(context)
    crops = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    mask = segmenter(crops)
    assert mask.shape == (3, 1, side, side)
    assert mask.dtype == crops.dtype
    assert 0 <= float(mask.min()) <= float(mask.max()) <= 1
    assert not mask.requires_grad
    assert float((segmenter(crops[1:2]) - mask[1:2]).abs().max()) < 0.02  # each face by itself


def test_what_is_hardly_probable_is_nothing(tmp_path, context):
    settings = SMALL["ternausnet"]
    network = settings.network()
    with torch.no_grad():
        network.out_conv.weight.zero_()
    for probability, wanted in ((0.09, 0.0), (0.11, 0.11), (0.6, 0.6)):
        with torch.no_grad():
            network.out_conv.bias.fill_(torch.logit(torch.tensor(probability)))
        folder = deliver(settings, tmp_path / str(probability), network)
        mask = Ternausnet(file=folder).build(context)(torch.rand(1, 3, 32, 32))
        assert mask.mean() == pytest.approx(wanted, abs=2e-3)


def test_a_file_says_what_its_network_is(tmp_path, context):
    folder = deliver(SMALL["xseg"], tmp_path / "run" / "swapper")
    for place in (tmp_path / "run", folder, folder / "weights.safetensors"):
        built = Xseg(file=place, resolution=256, base=32).build(context)
        assert (built.settings.resolution, built.settings.base) == (64, 2)


def test_no_place_on_this_machine_goes_into_a_file(tmp_path):
    said = Ternausnet(file=tmp_path, vgg11=tmp_path / "vgg.pth").described()
    assert str(tmp_path) not in str(said)
    assert config.merge(Ternausnet(), {k: v for k, v in said.items() if k != "name"}) == Ternausnet()


def test_without_weights_there_is_no_segmenter(context, tmp_path):
    with pytest.raises(WeightsError, match="mask train"):
        Xseg().build(context)
    with pytest.raises(CheckpointError, match="ternausnet"):
        Xseg(file=deliver(SMALL["ternausnet"], tmp_path)).build(context)
    with pytest.raises(CheckpointError, match="there is no such run"):
        Xseg(file=tmp_path / "nowhere").build(context)


@pytest.mark.parametrize(("settings", "wrong"), [(Xseg, 96), (Ternausnet, 40), (Xseg, 0)])
def test_resolutions_that_do_not_halve_are_refused(settings, wrong):
    with pytest.raises(ConfigError, match="multiple of"):
        settings(resolution=wrong)


def test_a_new_network_starts_from_a_file_or_says_why_not(tmp_path):
    folder = deliver(SMALL["xseg"], tmp_path / "swapper")
    network = SMALL["xseg"].network()
    assert Xseg(file=folder, resolution=64, base=2, code=8).start(network) == 7
    before = SMALL["xseg"].network().load_state_dict(network.state_dict())
    assert not before.missing_keys
    other = Xseg(file=folder, resolution=64, base=4, code=8)
    with pytest.raises(CheckpointError, match="conv01"):
        other.start(other.network())


# ------------------------------------------------------------------------------------------------ VGG11


def vgg11(base: int = 4) -> dict[str, torch.Tensor]:
    """A state dict with torchvision's names."""
    widths = [base, 2 * base, 4 * base, 4 * base, 8 * base, 8 * base, 8 * base, 8 * base]
    out: dict[str, torch.Tensor] = {"classifier.0.weight": torch.zeros(3, 3)}
    before = 3
    for place, width in zip((0, 3, 6, 8, 11, 13, 16, 18), widths, strict=True):
        out[f"features.{place}.weight"] = torch.randn(width, before, 3, 3)
        out[f"features.{place}.bias"] = torch.randn(width)
        before = width
    return out


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_vgg11_of_the_users_is_the_way_down(tmp_path, suffix):
    state, file = vgg11(), tmp_path / f"vgg11{suffix}"
    torch.save(state, file) if suffix == ".pth" else save_file(state, file)
    network = Ternausnet(base=4, vgg11=file).network()
    assert torch.equal(network.conv1.weight, state["features.0.weight"])
    assert torch.equal(network.conv4s.bias, state["features.11.bias"])
    assert torch.equal(network.conv5.weight, state["features.18.weight"])


def test_a_file_of_something_else_is_refused(tmp_path):
    wrong, torn, evil = (tmp_path / name for name in ("wrong.pth", "torn.pth", "evil.pth"))
    torch.save(vgg11(base=8), wrong)
    torn.write_bytes(b"nothing at all")
    torch.save({"features.0.weight": Path}, evil)  # a class is code
    for file, match in ((wrong, "features.0.weight"), (torn, "cannot be read"), (evil, "cannot be read")):
        with pytest.raises(WeightsError, match=match):
            Ternausnet(base=4, vgg11=file).network()
    with pytest.raises(WeightsError, match="cannot be read"):
        Ternausnet(base=4, vgg11=tmp_path / "none.pth").network()

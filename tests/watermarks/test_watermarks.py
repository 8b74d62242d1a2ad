from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from understudy.contracts import ColorTags, Context, Frame
from understudy.errors import ConfigError, WeightsError
from understudy.provenance.marker import Gatherer, Marker
from understudy.video.layout import layout_of
from understudy.watermarks import WATERMARKS
from understudy.watermarks.network import Network
from understudy.watermarks.spread import Spread

SIDE, NUMBER = 32, 0xCAFE1234


class NoWeights:
    def path(self, name: str):
        raise AssertionError(name)


def context(key: bytes = b"k" * 32) -> Context:
    return Context(device=torch.device("cpu"), weights=NoWeights(), given={"mark_key": key})


def frame(seed: int = 0) -> Frame:
    random = np.random.default_rng(seed)
    small = random.integers(60, 190, (12, 16)).astype(np.uint8)
    luma = np.kron(small, np.ones((16, 16), np.uint8))
    planes = (luma, *(np.full((96, 128), 128, np.uint8) for _ in range(2)))
    return Frame(
        index=0,
        pts=0,
        time_base=Fraction(1, 25),
        planes=planes,
        format=layout_of("yuv420p"),
        color=ColorTags(),
    )


def write_networks(folder, bits: int, gives: str) -> Network:
    """An encoder that adds a smooth pattern a bit, a decoder that correlates with them."""
    random = np.random.default_rng(1)
    rough = torch.from_numpy(random.normal(size=(bits, 1, 16, 16)))
    smooth = torch.nn.functional.interpolate(rough, (SIDE, SIDE), mode="bicubic").numpy()
    flat = np.repeat(smooth, 3, 1).reshape(bits, -1)
    flat, _ = np.linalg.qr(flat.T)
    flat = flat.T.astype(np.float32)
    shape = numpy_helper.from_array(np.array([1, 3, SIDE, SIDE]), "shape")
    nodes = [
        helper.make_node("Mul", ["secret", "two"], ["twice"]),
        helper.make_node("Sub", ["twice", "one"], ["signs"]),
        helper.make_node("MatMul", ["signs", "patterns"], ["row"]),
        helper.make_node("Reshape", ["row", "shape"], ["change"]),
    ]
    if gives == "picture":
        nodes.append(helper.make_node("Add", ["image", "change"], ["marked"]))
    value = helper.make_tensor_value_info
    image = value("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    constants = [
        shape,
        numpy_helper.from_array(np.float32(2), "two"),
        numpy_helper.from_array(np.float32(1), "one"),
        numpy_helper.from_array(3.0 * flat, "patterns"),
    ]
    out = "marked" if gives == "picture" else "change"
    encoder = helper.make_graph(
        nodes,
        "encoder",
        [image, value("secret", TensorProto.FLOAT, [1, bits])],
        [value(out, TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        constants,
    )
    decoder = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["row"]),
            helper.make_node("MatMul", ["row", "patterns"], ["heard"]),
        ],
        "decoder",
        [image],
        [value("heard", TensorProto.FLOAT, [1, bits])],
        [numpy_helper.from_array(np.ascontiguousarray(flat.T), "patterns")],
    )
    settings = {}
    for name, graph in (("encoder", encoder), ("decoder", decoder)):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        path = folder / f"{name}.onnx"
        onnx.save(model, str(path))
        settings[name] = str(path)
        settings[f"{name}_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Network(**settings, side=SIDE, bits=bits, gives=gives, black=-1.0, strength=1.0)


def test_there_are_these():
    assert WATERMARKS.names() == ["network", "spread"]


@pytest.fixture(params=["spread", "network 100", "network 192"])
def settings(request, tmp_path):
    if request.param == "spread":
        return WATERMARKS["spread"]()
    bits = int(request.param.split()[1])
    return write_networks(tmp_path, bits, "picture" if bits == 100 else "change")


def test_every_mark_is_read_by_its_key_and_no_other(settings):
    marker = settings.build(context())
    assert isinstance(marker, Marker)
    stamp = marker.begin(NUMBER)
    marked = [stamp(frame(seed)) for seed in range(6)]
    assert all(a.planes[0].dtype == np.uint8 and a.planes[0].shape == (192, 256) for a in marked)
    gatherer = marker.gatherer()
    assert isinstance(gatherer, Gatherer)
    for each in marked:
        gatherer.add(each)
    reading = gatherer.read()
    assert (reading.number, reading.frames, reading.known) == (NUMBER, 6, False)
    assert reading.p_value < 1e-8
    assert gatherer.read(known=[NUMBER, 3]).known
    stranger = settings.build(context(b"x" * 32)).gatherer()
    for each in marked:
        stranger.add(each)
    assert stranger.read(known=[NUMBER]).p_value > 1e-4


def test_without_files_the_error_says_what_to_do(tmp_path):
    with pytest.raises(WeightsError, match=r"brings no weights.*'spread'"):
        Network().build(context())
    with pytest.raises(WeightsError, match="there is no file"):
        Network(encoder=str(tmp_path / "none.onnx")).build(context())
    file = tmp_path / "encoder.pt"
    file.write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"wanted an ONNX file, got encoder.pt"):
        Network(encoder=str(file)).build(context())


def test_a_file_that_is_not_what_its_hash_says_is_refused(tmp_path):
    good = write_networks(tmp_path, 64, "picture")
    digest = good.encoder_sha256
    with pytest.raises(WeightsError, match=rf"wanted its SHA-256 in encoder_sha256.*has {digest}"):
        Network(encoder=good.encoder).build(context())
    with pytest.raises(WeightsError, match=rf"wanted SHA-256 {'0' * 64}"):
        Network(encoder=good.encoder, encoder_sha256="0" * 64).build(context())
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"junk")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        Network(encoder=str(junk), encoder_sha256=hashlib.sha256(b"junk").hexdigest()).build(context())


def test_settings_that_cannot_be(tmp_path):
    with pytest.raises(ConfigError, match="bits: wanted 64"):
        Network(bits=32)
    with pytest.raises(ConfigError, match="psnr"):
        Spread(psnr=10.0)
    with pytest.raises(ConfigError, match="hold"):
        Spread(hold=1.0)

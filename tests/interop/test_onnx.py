from __future__ import annotations

import importlib

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_run import NoWeights

from understudy.config import dump
from understudy.contracts import Context
from understudy.errors import ConfigError, UnderstudyError
from understudy.events import StageDone
from understudy.interop import onnx as exporting
from understudy.interop.deepfacelab import choose_model, read_model
from understudy.interop.exporting import export
from understudy.models import MODELS
from understudy.provenance.verify import verify
from understudy.training.rundir import SwapperFiles, save_swapper

CONTEXT = Context(device=torch.device("cpu"), weights=NoWeights())
TINY = {"resolution": 32, "e_dims": 4, "ae_dims": 8, "d_dims": 4, "d_mask_dims": 2}
CASES = {
    "df": {**TINY, "options": "ud", "normalized": True},
    "liae": {**TINY, "options": "udtc"},
    "amp": {**TINY, "inter_dims": 12, "morph": 0.5},
    "original": {"resolution": 32, "width": 4, "code": 16},
    "gan": {"resolution": 32, "width": 4, "code": 16},
}


def swapper(folder, name="df", **settings):
    """A run's swapper with random weights, and the network."""
    torch.manual_seed(3)
    chosen = MODELS[name](**(CASES[name] | settings))
    model = chosen.build(CONTEXT).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:  # biases begin at 0, and what is 0 shows no mistake
            torch.nn.init.normal_(parameter, std=0.05)
    plain = {key: value for key, value in dump(chosen).items() if key != "name"}
    files = SwapperFiles(model=name, settings=plain, weights=model.state_dict(), step=42)
    save_swapper(folder / "swapper", files)
    return model


def session_of(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def exported(run, output, **more):
    events = list(export(run, output, **more))
    return next(event for event in events if isinstance(event, StageDone)).summary


@pytest.fixture(scope="module")
def df(tmp_path_factory):
    """A run, its network, and what exporting it said."""
    folder = tmp_path_factory.mktemp("df")
    model = swapper(folder / "run", "df", crop="whole", coverage=0.9)
    return folder, model, exported(folder / "run", folder / "a.onnx")


def check_equal(path, model, bound=1e-5):
    session = session_of(path)
    for count in (1, 2, 5):
        face = torch.rand(count, 3, 32, 32)
        with torch.no_grad():
            wanted = model.swap(face)
        for got, expected in zip(session.run(None, {"face": face.numpy()}), wanted, strict=True):
            np.testing.assert_allclose(got, expected.numpy(), atol=bound)


def test_onnx_runtime_draws_what_torch_draws(df):
    """Group and pixel normalisation, interleaved pixels, any number of faces."""
    folder, model, summary = df
    assert summary["difference"] < 1e-5
    check_equal(folder / "a.onnx", model)


def test_half_precision_is_half_the_file_and_nearly_the_same(df):
    folder, model, full = df
    half = exported(folder / "run", folder / "half.onnx", precision="fp16")
    assert 1e-6 < half["difference"] < 5e-3
    check_equal(folder / "half.onnx", model, 5e-3)
    assert full["difference"] < half["difference"]
    used = [p.numel() for name, p in model.named_parameters() if "target" not in name]
    saved = (folder / "a.onnx").stat().st_size - (folder / "half.onnx").stat().st_size
    assert saved == pytest.approx(2 * sum(used), rel=0.1)
    graph = onnx.load(folder / "half.onnx").graph
    kinds = {value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]}
    assert kinds == {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.FLOAT16 in {tensor.data_type for tensor in graph.initializer}


def test_the_file_and_its_card_say_what_it_is(df):
    folder = df[0]
    answer = verify(folder / "a.onnx")
    assert (answer.verdict, answer.manifest) == ("intact", "beside")
    proto = onnx.load(folder / "a.onnx")
    said = {entry.key.removeprefix("understudy."): entry.value for entry in proto.metadata_props}
    assert said["what"] == "face-swapping model"
    assert (said["crop"], said["coverage"], said["resolution"], said["steps"]) == ("whole", "0.9", "32", "42")
    assert "must be labelled" in said["labels"]
    assert "consent" in said["purpose"]
    assert said["licence"]
    assert said["inputs"] == "face (n, 3, 32, 32) float32, RGB in [0, 1]"
    assert len(said["weights_sha256"]) == 64
    assert proto.opset_import[0].version >= 17
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    card = (folder / "a.onnx.md").read_text("utf-8")
    for text in said.values():
        assert text in card
    code = card.partition("```python\n")[2].partition("```")[0]
    place = {"faces": np.zeros((2, 3, 32, 32), np.float32)}
    exec(code.replace("'a.onnx'", repr(str(folder / "a.onnx"))), place)
    assert place["swap"].shape == (2, 3, 32, 32)
    assert place["mask"].shape == (2, 1, 32, 32)


@pytest.mark.parametrize("name", ["df", "liae", "original", "gan"])
def test_dfm_has_deepfacelabs_names_order_and_channels(name, tmp_path):
    model = swapper(tmp_path / "run", name)
    exported(tmp_path / "run", tmp_path / "a.dfm")
    session = session_of(tmp_path / "a.dfm")
    assert [value.name for value in session.get_inputs()] == ["in_face:0"]
    assert session.get_inputs()[0].shape[1:] == [32, 32, 3]
    assert [value.name for value in session.get_outputs()] == [
        "out_face_mask:0", "out_celeb_face:0", "out_celeb_face_mask:0"
    ]  # fmt: skip
    for count in (1, 3):
        face = torch.rand(count, 3, 32, 32)
        given = face.flip(1).permute(0, 2, 3, 1).numpy()
        with torch.no_grad():
            swap, mask = model.swap(face)
            target = model.reconstruct(face, face).target.mask if name != "gan" else mask
        wanted = (target, swap.flip(1), mask)
        for got, expected in zip(session.run(None, {"in_face:0": given}), wanted, strict=True):
            np.testing.assert_allclose(got, expected.permute(0, 2, 3, 1).numpy(), atol=1e-5)


def test_dfm_of_amp_takes_the_morph(tmp_path):
    model = swapper(tmp_path / "run", "amp")
    exported(tmp_path / "run", tmp_path / "a.dfm")
    session = session_of(tmp_path / "a.dfm")
    assert [(value.name, value.shape) for value in session.get_inputs()][1] == ("morph_value:0", [1])
    face = torch.rand(1, 3, 32, 32)
    given = face.flip(1).permute(0, 2, 3, 1).numpy()
    for morph in (0.0, 0.3, 1.0):
        got = session.run(None, {"in_face:0": given, "morph_value:0": np.array([morph], np.float32)})
        with torch.no_grad():
            swap, mask = model.swap(face, morph)
        np.testing.assert_allclose(got[1], swap.flip(1).permute(0, 2, 3, 1).numpy(), atol=1e-5)
        np.testing.assert_allclose(got[2], mask.permute(0, 2, 3, 1).numpy(), atol=1e-5)


def test_a_file_that_draws_something_else_is_not_given_away(df, tmp_path, monkeypatch):
    folder = df[0]
    proto = onnx.load(folder / "a.onnx")
    monkeypatch.setattr(exporting, "_translate", lambda _: proto)
    assert exported(folder / "run", tmp_path / "same.onnx")["difference"] < 1e-5
    bias = next(tensor for tensor in proto.graph.initializer if tensor.name.endswith("out_mask.bias"))
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + 0.01, bias.name))
    with pytest.raises(UnderstudyError, match="nothing was written"):
        exported(folder / "run", tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()


def test_a_number_of_faces_that_is_not_free_is_noticed(df, tmp_path, monkeypatch):
    proto = onnx.load(df[0] / "a.onnx")
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    monkeypatch.setattr(exporting, "_translate", lambda _: proto)
    with pytest.raises(UnderstudyError, match="any number of faces"):
        exported(df[0] / "run", tmp_path / "b.onnx")


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_its_remedy(missing, df, tmp_path, monkeypatch):
    real = importlib.import_module

    def without(name, *more):
        if name == missing:
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ConfigError, match=rf"needs {missing}, .*pip install 'understudy\[onnx\]'"):
        exported(df[0] / "run", tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_deepfacelabs(tmp_path):
    model = swapper(tmp_path / "run", "liae")
    summary = exported(tmp_path / "run", tmp_path / "dfl", name="film")
    assert summary["files"] == 5
    again = read_model(choose_model(tmp_path / "dfl", "film"))
    assert again.step == 42
    assert all(torch.equal(again.weights[name], value) for name, value in model.state_dict().items())
    with pytest.raises(ConfigError, match=r"got the ending '\.pt'"):
        exported(tmp_path / "run", tmp_path / "a.pt")

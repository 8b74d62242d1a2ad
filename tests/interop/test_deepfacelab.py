from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import leras
from understudy.contracts import Context
from understudy.errors import ConfigError, DataError, OutputError
from understudy.interop.deepfacelab import choose_model, find_models, read_model, write_model
from understudy.interop.deepfacelab_options import Told, optimizer_of, options_of, parse_archi
from understudy.models import MODELS
from understudy.segmenters.xseg import Xseg
from understudy.training.optim import Stepper

SIZES = {"e": 4, "ae": 8, "d": 4, "m": 2}
OPTIONS = {"e_dims": 4, "ae_dims": 8, "d_dims": 4, "d_mask_dims": 2, "face_type": "wf"}


class NoWeights:
    def path(self, name: str) -> Path:
        raise AssertionError(name)


CONTEXT = Context(device=torch.device("cpu"), weights=NoWeights())


def faces(resolution: int) -> np.ndarray:
    """BGR, channels last."""
    return np.random.default_rng(5).random((2, resolution, resolution, 3))


def shown(bgr: np.ndarray) -> torch.Tensor:
    """The same faces as our networks take them."""
    return torch.from_numpy(bgr[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32))


def theirs(face: torch.Tensor, mask: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What our network drew, as theirs would give it."""
    back = [x.detach().numpy().transpose(0, 2, 3, 1) for x in (face, mask)]
    return back[0][..., ::-1], back[1]


def saved(folder: Path, archi: str, resolution: int, stem: str = "new_SAEHD", **options):
    """A model in DeepFaceLab's files, and what it draws."""
    numbers = leras.Numbers()
    drawn = leras.saehd(numbers, archi, faces(resolution), resolution=resolution, **SIZES)
    leras.save(folder, stem, numbers, {**OPTIONS, "resolution": resolution, "archi": archi, **options})
    return numbers, drawn


def built(model):
    network = model.settings.build(CONTEXT).eval()
    network.load_state_dict(dict(model.weights))
    return network


@pytest.mark.parametrize(
    ("archi", "resolution"),
    [
        *(("df", 48), ("df-u", 32), ("df-d", 64), ("df-ud", 64), ("df-t", 64), ("df-c", 32), ("df-udtc", 64)),
        *(("liae", 32), ("liae-ud", 64), ("liae-udt", 64), ("liae-udtc", 64)),
    ],
)
def test_saehd_draws_what_deepfacelab_draws(archi, resolution, tmp_path):
    _, drawn = saved(tmp_path, archi, resolution)
    model = read_model(choose_model(tmp_path))
    assert (model.settings.name, model.settings.crop, model.step) == (
        archi[: archi.find("-")] if "-" in archi else archi,
        "whole",
        7,
    )
    network = built(model)
    picture = shown(faces(resolution))
    with torch.no_grad():
        made = network.reconstruct(picture, picture)
        swap = network.swap(picture)
    ours = ((made.source.face, made.source.mask), (made.target.face, made.target.mask), swap)
    for mine, their in zip(ours, drawn, strict=True):
        for got, expected in zip(theirs(*mine), their, strict=True):
            assert expected.std() > 0.01, "the picture must not be flat"
            np.testing.assert_allclose(got, expected, atol=1e-4)


def test_quick96_has_its_settings_without_options(tmp_path):
    numbers = leras.Numbers()
    face, mask = leras.saehd(numbers, "df-ud", faces(96), resolution=96, **SIZES)[2]
    leras.save(tmp_path, "me_Quick96", numbers)
    model = read_model(choose_model(tmp_path))
    assert (model.kind, model.settings.options, model.settings.resolution) == ("Quick96", "ud", 96)
    assert model.settings.crop == "full"
    with torch.no_grad():
        got = theirs(*built(model).swap(shown(faces(96))))
    np.testing.assert_allclose(got[0], face, atol=1e-4)
    np.testing.assert_allclose(got[1], mask, atol=1e-4)
    assert optimizer_of("Quick96", {}).rate == 2e-4


@pytest.mark.parametrize("morph", [0.0, 0.37, 1.0])
def test_amp_morphs_as_deepfacelab_does(morph, tmp_path):
    numbers = leras.Numbers()
    sizes = {"resolution": 64, "inters": 12, **SIZES}
    face, mask = leras.amp(numbers, faces(64), morph=morph, **sizes)
    options = {**OPTIONS, "resolution": 64, "inter_dims": 12, "morph_factor": 0.5}
    leras.save(tmp_path, "a_AMP", numbers, options)
    model = read_model(choose_model(tmp_path))
    with torch.no_grad():
        got = theirs(*built(model).swap(shown(faces(64)), morph))
    np.testing.assert_allclose(got[0], face, atol=1e-4)
    np.testing.assert_allclose(got[1], mask, atol=1e-4)


def test_xseg_finds_what_deepfacelab_finds(tmp_path):
    numbers = leras.Numbers()
    expected = leras.xseg(numbers, faces(128), base=3, code=10)
    leras.save(tmp_path, "XSeg", numbers, {"face_type": "head", "batch_size": 4})
    model = read_model(choose_model(tmp_path))
    assert isinstance(model.settings, Xseg)
    assert (model.settings.base, model.settings.code, model.settings.resolution) == (3, 10, 128)
    assert model.settings.crop == "head"
    network = model.settings.network().eval()
    network.load_state_dict(dict(model.weights))
    with torch.no_grad():
        got = torch.sigmoid(network(shown(faces(128)))).numpy().transpose(0, 2, 3, 1)
    assert expected.std() > 0.01
    np.testing.assert_allclose(got, expected, atol=1e-4)


# ----------------------------------------------------------------------------------------------- lost options


def test_sizes_come_from_shapes_when_the_options_were_lost(tmp_path):
    saved(tmp_path, "liae-udt", 64)
    known = read_model(choose_model(tmp_path))
    (tmp_path / "new_SAEHD_data.dat").unlink()
    with pytest.raises(DataError, match=r"look like liae-dt: .*--archi liae-udt"):
        read_model(choose_model(tmp_path))
    with pytest.raises(DataError, match=r"--face-type with one of h, mf, f, wf, head"):
        read_model(choose_model(tmp_path), Told(archi="liae-udt"))
    again = read_model(choose_model(tmp_path), Told(archi="liae-udt", face_type="wf"))
    assert again.settings == known.settings
    assert again.step == 0
    with pytest.raises(DataError, match="do not fit"):
        read_model(choose_model(tmp_path), Told(archi="liae-ud", face_type="wf"))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("df", ("df", "")), ("liae-ud", ("liae", "ud")), ("df-du", ("df", "ud")), ("dfud", ("df", "ud")),
        ("dfuhd", ("df", "u")), ("liaeuhd", ("liae", "u")), ("LIAE-UDTC", ("liae", "udtc")),
    ],
)  # fmt: skip
def test_architectures_of_all_times(text, parsed):
    assert parse_archi(text) == parsed


@pytest.mark.parametrize("text", ["dfhd", "liaehd", "df-x", "df-uu", "", "amp"])
def test_architectures_that_are_none(text):
    with pytest.raises(DataError, match="archi: wanted df or liae"):
        parse_archi(text)


# ---------------------------------------------------------------------------------------------- what is wrong


def test_everything_that_does_not_fit_is_named_and_nothing_is_made_up(tmp_path):
    numbers, _ = saved(tmp_path, "df-ud", 64)
    del numbers.parts["inter"]["dense2/bias:0"]
    decoder = numbers.parts["decoder_src"]
    decoder["out_conv/weight:0"] = decoder["out_conv/weight:0"][..., :2]
    decoder["res1/conv1/bias:0"] = np.zeros(16, np.int64)
    numbers.parts["encoder"]["stranger/weight:0"] = np.zeros(3, np.float32)
    leras.save(tmp_path, "new_SAEHD", numbers)
    with pytest.raises(DataError) as caught:
        read_model(choose_model(tmp_path))
    text = str(caught.value)
    for phrase in (
        "4 arrays of this SAEHD model do not fit df-ud (",
        "inter: dense2/bias:0 is missing",
        "decoder_src: out_conv/weight:0 is (1, 1, 8, 2), wanted (1, 1, 8, 3)",
        "decoder_src: res1/conv1/bias:0 is no array of floating-point numbers",
        "encoder: stranger/weight:0 is not known",
    ):
        assert phrase in text


def test_a_missing_part_is_named(tmp_path):
    saved(tmp_path, "df-ud", 64)
    (tmp_path / "new_SAEHD_decoder_dst.npy").unlink()
    with pytest.raises(DataError, match=r"decoder_dst: upscale0/conv1/weight:0 is missing.*more"):
        read_model(choose_model(tmp_path))


def test_a_program_in_place_of_arrays_is_refused_with_its_files_name(tmp_path):
    class Evil:
        def __reduce__(self):
            return eval, ("1/0",)

    saved(tmp_path, "df", 32)
    (tmp_path / "new_SAEHD_inter.npy").write_bytes(pickle.dumps({"dense1/weight:0": Evil()}, 4))
    with pytest.raises(DataError, match=r"new_SAEHD_inter\.npy: .*builtins\.eval"):
        read_model(choose_model(tmp_path))


def test_faces_in_the_options_file_are_never_read(tmp_path):
    """What stands behind the options would be refused if anybody looked at it."""
    saved(tmp_path, "df", 32)
    path = tmp_path / "new_SAEHD_data.dat"
    data = pickle.loads(path.read_bytes())
    data["sample_for_preview"] = print
    path.write_bytes(pickle.dumps(data))
    model = read_model(choose_model(tmp_path))
    assert json.loads(json.dumps(model.options))["archi"] == "df"


def test_models_are_chosen_by_name(tmp_path):
    saved(tmp_path, "df", 32, stem="one_SAEHD")
    saved(tmp_path, "df", 32, stem="a_b_SAEHD")
    assert {(one.name, one.kind) for one in find_models(tmp_path)} == {("one", "SAEHD"), ("a_b", "SAEHD")}
    assert choose_model(tmp_path, "a_b").name == choose_model(tmp_path, "a_b_SAEHD").name == "a_b"
    with pytest.raises(DataError, match="a_b_SAEHD, one_SAEHD; say which: --name"):
        choose_model(tmp_path)
    with pytest.raises(DataError, match="wanted 'two' model"):
        choose_model(tmp_path, "two")
    with pytest.raises(DataError, match="there is none"):
        find_models(tmp_path / "nowhere")


# ------------------------------------------------------------------------------------------------ memory


@pytest.mark.parametrize(("belief", "prefixes"), [(True, ("ms", "vs")), (False, ("acc",))])
def test_the_optimisers_memory_has_its_weights_layout(belief, prefixes, tmp_path):
    """A memory that equals the weights, read, equals the read weights: the same way was taken."""
    numbers, _ = saved(tmp_path, "df-ud", 64, adabelief=belief)
    held: dict = {"iters:0": np.array(7, np.int64)}
    for part, arrays in numbers.parts.items():
        for key, array in arrays.items():
            for factor, prefix in enumerate(prefixes, start=1):
                held[f"{prefix}_{part}/{key.replace(':', '_')}:0"] = array * np.float32(factor)
    (tmp_path / "new_SAEHD_src_dst_opt.npy").write_bytes(pickle.dumps(held, 4))
    model = read_model(choose_model(tmp_path))
    words = ("mean", "surprise") if belief else ("square_avg",)
    for name, weight in model.weights.items():
        for factor, word in enumerate(words, start=1):
            assert torch.equal(model.memory[f"{name}/{word}"], weight * factor)
        assert model.memory[f"{name}/step"] == 7
    settings = optimizer_of("SAEHD", model.options)
    stepper = Stepper(settings, built(model))
    stepper.load(dict(model.memory))
    assert stepper.state().keys() == model.memory.keys()


def test_a_memory_of_another_shape_is_named(tmp_path):
    numbers, _ = saved(tmp_path, "df", 32)
    held = leras.save_memory(tmp_path, "new_SAEHD", numbers)
    held["ms_inter/dense1/bias_0:0"] = np.zeros(3, np.float32)
    (tmp_path / "new_SAEHD_src_dst_opt.npy").write_bytes(pickle.dumps(held, 4))
    with pytest.raises(
        DataError, match=r"inter/dense1/bias:0 is \(3,\), wanted \(8,\); move the file away to"
    ):
        read_model(choose_model(tmp_path))


def test_amps_memory_knows_no_inter(tmp_path):
    numbers = leras.Numbers()
    leras.amp(numbers, faces(64), morph=1.0, resolution=64, inters=12, **SIZES)
    leras.save(tmp_path, "a_AMP", numbers, {**OPTIONS, "resolution": 64, "inter_dims": 12})
    leras.save_memory(tmp_path, "a_AMP", numbers, parts=("encoder", "decoder"))
    model = read_model(choose_model(tmp_path))
    known = {name.rpartition("/")[0] for name in model.memory}
    assert model.weights.keys() - known == {
        f"inter_{person}.expand.{kind}" for person in ("source", "target") for kind in ("weight", "bias")
    }


# ------------------------------------------------------------------------------------------------ writing


@pytest.mark.parametrize("archi", ["df", "df-udtc", "liae-ud"])
def test_there_and_back_is_the_same_to_the_bit(archi, tmp_path):
    numbers, _ = saved(tmp_path / "a", archi, 64)
    model = read_model(choose_model(tmp_path / "a"))
    write_model(tmp_path / "b", model.settings, model.weights, model.step)
    for part, arrays in numbers.parts.items():
        back = pickle.loads((tmp_path / "b" / f"new_SAEHD_{part}.npy").read_bytes())
        assert back.keys() == arrays.keys()
        for key, array in arrays.items():
            assert back[key].dtype == np.float32
            assert back[key].tobytes() == array.tobytes(), (part, key)
    data = pickle.loads((tmp_path / "b" / "new_SAEHD_data.dat").read_bytes())
    assert (data["iter"], data["sample_for_preview"]) == (7, None)
    assert data["options"]["archi"] == archi
    assert data["options"]["face_type"] == "wf"
    again = read_model(choose_model(tmp_path / "b"))
    assert again.settings == model.settings
    assert all(torch.equal(again.weights[name], value) for name, value in model.weights.items())


def test_amp_and_xseg_there_and_back(tmp_path):
    numbers = leras.Numbers()
    leras.amp(numbers, faces(64), morph=1.0, resolution=64, inters=12, **SIZES)
    leras.save(tmp_path / "a", "x_AMP", numbers, {**OPTIONS, "resolution": 64, "inter_dims": 12})
    model = read_model(choose_model(tmp_path / "a"))
    write_model(tmp_path / "b", model.settings, model.weights, 3, name="x")
    for part, arrays in numbers.parts.items():
        back = pickle.loads((tmp_path / "b" / f"x_AMP_{part}.npy").read_bytes())
        assert {key: a.tobytes() for key, a in back.items()} == {
            key: a.tobytes() for key, a in arrays.items()
        }
    settings = Xseg(base=32, code=16)
    torch.manual_seed(0)
    weights = settings.network().state_dict()
    write_model(tmp_path / "x", settings, weights, 5)
    assert {path.name for path in (tmp_path / "x").iterdir()} == {"XSeg_256.npy", "XSeg_data.dat"}
    again = read_model(choose_model(tmp_path / "x"))
    assert again.step == 5
    assert all(torch.equal(again.weights[name], value) for name, value in weights.items())


@pytest.mark.parametrize(
    ("model", "settings", "named"),
    [
        ("df", {"normalized": True}, "have no norm"),
        ("amp", {"normalized": True, "inter_dims": 8}, "have no norm"),
        ("amp", {"options": "udtc", "inter_dims": 8}, "AMP has no c"),
        ("dfhd", {"resolution": 32}, "no model like dfhd"),
        ("original", {}, "no model like original"),
        ("df", {"coverage": 0.8}, "coverage: this model sees 0.8"),
    ],
)
def test_what_deepfacelab_lacks_is_not_written(model, settings, named, tmp_path):
    chosen = MODELS[model](**settings)
    with torch.device("meta"):
        weights = chosen.build(Context(device=torch.device("meta"), weights=NoWeights())).state_dict()
    with pytest.raises(ConfigError, match=named):
        write_model(tmp_path / "b", chosen, weights, 1)
    assert not (tmp_path / "b").exists()


def test_an_existing_folder_is_not_written_into(tmp_path):
    settings = MODELS["df"](resolution=32, e_dims=2, ae_dims=2, d_dims=2, d_mask_dims=2)
    with pytest.raises(OutputError, match="exists already"):
        write_model(tmp_path, settings, settings.build(CONTEXT).state_dict(), 1)
    with pytest.raises(ConfigError, match="name: wanted letters"):
        write_model(tmp_path / "b", settings, {}, 1, name="../x")


def test_deepfacelab_would_look_at_the_options():
    """It passes over the options of a model whose count of steps is 0, and asks anew."""
    assert options_of(MODELS["liae"](options="du"))["archi"] == "liae-ud"
    assert options_of(MODELS["df"](options=""))["archi"] == "df"

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from understudy.config import dump, merge
from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.learning import HasCode, MasksTarget
from understudy.models import MODELS
from understudy.training.optim import OptimizerSettings, Stepper

TINY = {"resolution": 32, "e_dims": 4, "ae_dims": 8, "d_dims": 4, "d_mask_dims": 2}
LETTERS = ["".join(some) for count in range(5) for some in itertools.combinations("udtc", count)]
SMALL = {
    "df": [
        *({**TINY, "options": options} for options in LETTERS),
        *({**TINY, "options": options, "normalized": True} for options in ("u", "d")),
        {**TINY, "options": "ud", "init": "aware", "checkpointed": True},
    ],
    "liae": [{**TINY, "options": options} for options in ("", "ud", "t", "udtc")],
    "dfhd": [{**TINY, "options": options} for options in ("", "udtc")],
    "liaehd": [{**TINY, "options": options} for options in ("ud", "t")],
    "original": [{"resolution": 32, "width": 4, "code": 16}],
    "gan": [{"resolution": 32, "width": 4, "code": 16}],
    "amp": [{**TINY, "options": "udt", "inter_dims": 8}],
}


class NoWeights:
    def path(self, name):
        raise AssertionError(name)


CONTEXT = Context(device=torch.device("cpu"), weights=NoWeights())
CASES = [(name, settings) for name in MODELS.names() for settings in SMALL.get(name, [{"resolution": 32}])]
IDS = [f"{name}-{settings.get('options', '')}-{i}" for i, (name, settings) in enumerate(CASES)]
contract = pytest.mark.parametrize(("name", "settings"), CASES, ids=IDS)


def build(name, settings):
    torch.manual_seed(0)
    return MODELS[name](**settings).build(CONTEXT)


def hollow(name, **settings):
    """A model without numbers, for counts and shapes."""
    with torch.device("meta"):
        return MODELS[name](**settings).build(Context(device=torch.device("meta"), weights=NoWeights()))


def outputs_of(made):
    return (made.source.face, made.source.mask, made.target.face, made.target.mask)


# ---------------------------------------------------------------------------------------- every model


@contract
def test_contract_shapes_ranges_and_a_gradient_for_every_parameter(name, settings):
    model = build(name, settings)
    side = model.resolution
    made = model.reconstruct(torch.rand(2, 3, side, side), torch.rand(3, 3, side, side))
    side, outputs = model.output_resolution, outputs_of(made)
    assert [tuple(out.shape) for out in outputs] == [
        (2, 3, side, side), (2, 1, side, side), (3, 3, side, side), (3, 1, side, side)
    ]  # fmt: skip
    assert all(out.min() >= 0 and out.max() <= 1 for out in outputs)
    assert made.codes[0].shape[1:] == made.codes[1].shape[1:]
    assert [len(code) for code in made.codes] == [2, 3]
    if made.latents is not None:
        assert [(len(latent), latent.ndim) for latent in made.latents] == [(2, 2), (3, 2)]
    sum(out.square().sum() for out in outputs).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@contract
def test_contract_swap_is_the_sources_way_of_drawing_the_targets_face(name, settings):
    model = build(name, settings).eval()
    face = torch.rand(2, 3, model.resolution, model.resolution)
    as_source = model.reconstruct(face, face)
    swapped = model.swap(face)
    drawn = as_source.draw_swap(as_source.codes)
    for name, got in zip(("face", "mask"), swapped, strict=True):
        expected, other = getattr(as_source.source, name), getattr(as_source.target, name)
        assert torch.allclose(got, expected, atol=1e-5)
        assert torch.allclose(got, getattr(drawn, name), atol=1e-5)
        assert (got - other).abs().max() > (got - expected).abs().max() + 1e-6


@contract
def test_contract_the_swap_is_drawn_from_the_code_alone(name, settings):
    model = build(name, settings).eval()
    if not isinstance(model, HasCode):
        assert name == "gan", "its decoder sees the target too"
        return
    face, other = torch.rand(2, 3, 3, model.resolution, model.resolution)
    with torch.inference_mode():
        code, swapped = model.code(face), model.swap(face)
        assert (code.ndim, len(code)) == (2, 3)
        assert all(torch.equal(a, b) for a, b in zip(model.draw(code), swapped, strict=True))
        assert not torch.equal(model.draw(model.code(other))[0], swapped[0])
        # one code a face, in their order
        turned = model.draw(code.flip(0))
        assert all(torch.allclose(a, b.flip(0), atol=1e-5) for a, b in zip(turned, swapped, strict=True))


@contract
def test_contract_the_targets_mask_is_that_of_its_own_way(name, settings):
    model = build(name, settings).eval()
    if not isinstance(model, MasksTarget):
        assert name == "gan", "its mask says how much is drawn anew"
        return
    source, target = torch.rand(2, 2, 3, model.resolution, model.resolution)
    made = model.reconstruct(source, target)
    mask = model.target_mask(target)
    assert torch.allclose(mask, made.target.mask, atol=1e-5)
    assert not torch.allclose(mask, model.swap(target)[1], atol=1e-5)


@contract
def test_contract_the_same_seed_gives_the_same_model(name, settings):
    states = [build(name, settings).state_dict() for _ in range(2)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


# ---------------------------------------------------------------------------------------- sizes and options


BIG = {"e_dims": 64, "ae_dims": 256, "d_dims": 64, "d_mask_dims": 22}


@pytest.mark.parametrize(
    ("name", "settings", "millions"),
    [
        ("df", {**BIG, "resolution": 128, "options": ""}, 57.5),
        ("df", {**BIG, "resolution": 128, "options": "ud"}, 54.5),
        ("df", {**BIG, "resolution": 224, "options": "udt"}, 94.2),
        ("liae", {"options": ""}, 95.0),
        ("liae", {}, 82.4),
        ("liae", {"resolution": 256}, 145.3),
        ("liae", {"resolution": 224, "options": "udt"}, 94.9),
        ("df", {}, 38.3),
    ],
    ids=["df", "df-ud", "df-udt", "liae", "liae-ud", "liae-ud 256", "liae-udt", "quick96"],
)
def test_as_many_parameters_as_deepfacelabs(name, settings, millions):
    model = hollow(name, **settings)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(("options", "step"), [("", 16), ("d", 32), ("t", 32), ("dt", 32)])
def test_every_resolution_from_64_to_640_comes_out_as_it_went_in(options, step):
    sizes = {"e_dims": 1, "ae_dims": 1, "d_dims": 1, "d_mask_dims": 1, "options": options}
    for resolution in range(64, 641, 16):
        if resolution % step:
            with pytest.raises(ConfigError, match=f"multiple of {step}, got {resolution}"):
                MODELS["df"](**sizes, resolution=resolution)
            continue
        # a few of the heaviest too; what the others add leaves sides alone, as the contract tests see
        name = "liaehd" if resolution % 128 == 64 else "df"
        model = hollow(name, **sizes, resolution=resolution)
        face, mask = model.swap(torch.empty(1, 3, resolution, resolution, device="meta"))
        assert face.shape == (1, 3, resolution, resolution)
        assert mask.shape == (1, 1, resolution, resolution)


def test_impossible_sizes_are_refused_with_the_nearest_possible_ones():
    with pytest.raises(ConfigError, match="multiple of 32, got 80 with options 'ud'; next to it: 64 and 96"):
        MODELS["df"](resolution=80)
    MODELS["df"](resolution=80, options="u")
    with pytest.raises(ConfigError, match=r"multiple of 16, got 100 .*: 96 and 112"):
        MODELS["liae"](resolution=100, options="")
    with pytest.raises(ConfigError, match=r"multiple of 32, got 16 .*: 32$"):
        MODELS["dfhd"](resolution=16)
    with pytest.raises(ConfigError, match="d_dims: wanted 1 or more, got 0"):
        MODELS["liaehd"](d_dims=0)
    with pytest.raises(ConfigError, match="multiple of 16"):
        MODELS["original"](resolution=70)


@pytest.mark.parametrize("wrong", ["x", "uu", "u d", "UD", "df-ud"])
def test_options_that_do_not_exist_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"letters of 'udtc', each at most once, got '{wrong}'"):
        MODELS["liae"](options=wrong)


def test_the_order_of_the_letters_does_not_matter_and_settings_come_back():
    states = [build("df", {**TINY, "options": options}).state_dict() for options in ("udtc", "ctdu")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    settings = MODELS["liaehd"](**TINY, options="tu", init="aware", checkpointed=True)
    assert merge(MODELS["df"](), dump(settings)) == settings


def test_names_of_the_weights_of_df_stay_as_they_are_on_disk():
    layers = ["encoder.down.0.convolution", "encoder.down.3.convolution", "inter.squeeze", "inter.expand"]
    layers += ["inter.up.convolution", "decoder_source.face.0.convolution", "decoder_source.face.1.first"]
    layers += ["decoder_target.face.5.second", "decoder_target.out.3", "decoder_target.mask.3.convolution"]
    layers += ["decoder_source.out_mask"]
    names = set(hollow("df", **TINY).state_dict())
    assert {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")} <= names
    assert len(names) == 2 * (4 + 3 + 2 * (3 * 3 + 4 + 4 + 1))


# ---------------------------------------------------------------------------------------- beside the paper


class Formula:
    """DF and LIAE as plain formulas over named weights, in double precision."""

    def __init__(self, model, options):
        self.weights = {name: value.double() for name, value in model.state_dict().items()}
        self.options = options

    def layer(self, name, x, stride=1):
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        if weight.ndim == 2:
            return x @ weight.T + bias
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2)

    def act(self, x, slope):
        return x * x.cos() if "c" in self.options else torch.maximum(x, slope * x)

    def up(self, name, x):
        wide = self.act(self.layer(f"{name}.convolution", x), 0.1)
        out = wide.new_empty(len(x), wide.shape[1] // 4, 2 * x.shape[2], 2 * x.shape[3])
        for row, column in itertools.product((0, 1), (0, 1)):
            out[:, :, row::2, column::2] = wide[:, 2 * row + column :: 4]
        return out

    def residual(self, name, x):
        inside = self.layer(f"{name}.second", self.act(self.layer(f"{name}.first", x), 0.2))
        return self.act(x + inside, 0.2)

    def encode(self, x):
        # the reference's order: down, residual, down, down, down, down, residual; without t four downs
        for index, kind in enumerate("drdddDr".lower() if "t" in self.options else "dddd"):
            name = f"encoder.down.{index}"
            if kind == "d":
                x = self.act(self.layer(f"{name}.convolution", x, stride=2), 0.1)
            else:
                x = self.residual(name, x)
        x = x.flatten(1)
        return x / (x.square().mean(1, keepdim=True) + 1e-6).sqrt() if "u" in self.options else x

    def inter(self, name, flat):
        x = self.layer(f"{name}.expand", self.layer(f"{name}.squeeze", flat))
        side = 32 // (32 if "d" in self.options else 16)
        x = x.reshape(len(x), -1, side, side)
        return x if "t" in self.options else self.up(f"{name}.up", x)

    def decode(self, name, code):
        levels = 4 if "t" in self.options else 3
        x = code
        for level in range(levels):
            x = self.residual(f"{name}.face.{2 * level + 1}", self.up(f"{name}.face.{2 * level}", x))
        face = self.layer(f"{name}.out.0", x)
        if "d" in self.options:
            small, face = face, face.new_empty(len(x), 3, 2 * x.shape[2], 2 * x.shape[3])
            for index, (row, column) in enumerate(itertools.product((0, 1), (0, 1))):
                face[:, :, row::2, column::2] = self.layer(f"{name}.out.{index}", x) if index else small
        mask = code
        for level in range(levels + ("d" in self.options)):
            mask = self.up(f"{name}.mask.{level}", mask)
        return face.sigmoid(), self.layer(f"{name}.out_mask", mask).sigmoid()


def close(got, expected):
    return torch.allclose(got.double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", LETTERS)
def test_df_is_figure_4(options):
    model = build("df", {**TINY, "options": options, "resolution": 32})
    source, target = torch.rand(2, 1, 3, 32, 32)
    made, formula = model.reconstruct(source, target), Formula(model, options)
    codes = [formula.inter("inter", formula.encode(face.double())) for face in (source, target)]
    assert all(close(got, code) for got, code in zip(made.codes, codes, strict=True))
    for drawn, decoder, code in (
        (made.source, "decoder_source", codes[0]),
        (made.target, "decoder_target", codes[1]),
        (made.draw_swap(made.codes), "decoder_source", codes[1]),
    ):
        face, mask = formula.decode(decoder, code)
        assert close(drawn.face, face)
        assert close(drawn.mask, mask)


@pytest.mark.parametrize("options", ["", "ud", "tc"])
def test_liae_is_figure_5(options):
    model = build("liae", {**TINY, "options": options})
    source, target = torch.rand(2, 1, 3, 32, 32)
    made, formula = model.reconstruct(source, target), Formula(model, options)
    flat = [formula.encode(face.double()) for face in (source, target)]
    both = [formula.inter("inter_AB", code) for code in flat]
    codes = [
        torch.cat([both[0], both[0]], 1),
        torch.cat([formula.inter("inter_B", flat[1]), both[1]], 1),
        torch.cat([both[1], both[1]], 1),
    ]
    assert all(close(got, code) for got, code in zip(made.codes, codes[:2], strict=True))
    swap = made.draw_swap((made.codes[0].detach(), made.codes[1].detach()))
    for drawn, code in zip((made.source, made.target, swap), codes, strict=True):
        face, mask = formula.decode("decoder", code)
        assert close(drawn.face, face)
        assert close(drawn.mask, mask)


@pytest.mark.parametrize("name", ["liae", "liaehd"])
def test_frozen_identity_does_not_learn_and_the_encoder_learns_through_it(name):
    model = build(name, {**TINY, "options": "ud"})
    faces = torch.rand(2, 2, 3, 32, 32)

    def gradients():
        model.zero_grad(set_to_none=True)
        sum(out.square().sum() for out in outputs_of(model.reconstruct(*faces))).backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    free = gradients()
    stepper = Stepper(OptimizerSettings(warm_up=0), model)
    model.freeze_identity(True)
    frozen = gradients()
    assert free.keys() - frozen.keys() == {n for n in free if n.startswith("inter_AB.")}
    assert all(torch.equal(free[n], frozen[n]) for n in frozen)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    stepper.step(1e-3)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == frozen.keys()
    model.freeze_identity(False)
    assert gradients().keys() == free.keys()
    stepper.step(1e-3)
    assert not torch.equal(model.inter_AB.squeeze.weight, before["inter_AB.squeeze.weight"])


def test_heavy_models_have_more_layers_and_a_shortcut_past_each_level_of_the_face():
    for plain, heavy in (("df", "dfhd"), ("liae", "liaehd")):
        sizes = {**TINY, "options": "ud"}
        light, more = hollow(plain, **sizes), hollow(heavy, **sizes)
        kept = set(light.encoder.state_dict())
        assert len(more.encoder.state_dict()) == len(kept) + 4 * (4 + 1)
        names = [n for n, _ in more.named_modules() if n.endswith("shortcut")]
        decoders = 2 if heavy == "dfhd" else 1
        assert len(names) == 4 + 3 * decoders
        # nothing but the code joins encoder and decoder: a decoder needs no more than it
        decoder = more.decoder_source if heavy == "dfhd" else more.decoder
        face, _ = decoder(torch.empty(1, 8 if heavy == "dfhd" else 32, 2, 2, device="meta"))
        assert face.shape == (1, 3, 32, 32)


# ---------------------------------------------------------------------------------------- memory and start


def step_of(name, **settings):
    """Loss, gradients, and bytes that the forward pass kept for the way back."""
    model = build(name, {**TINY, "resolution": 64, **settings})
    torch.manual_seed(1)
    faces = torch.rand(2, 2, 3, 64, 64)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = sum(out.square().mean() for out in outputs_of(model.reconstruct(*faces)))
    loss.backward()
    size = sum(storage.nbytes() for storage in kept.values())
    return loss.detach(), {n: p.grad for n, p in model.named_parameters()}, size


@pytest.mark.parametrize(("name", "options"), [("df", "ud"), ("df", "tc"), ("liae", "t"), ("dfhd", "u")])
def test_checkpointed_gives_the_same_numbers_with_less_memory(name, options):
    loss, gradients, size = step_of(name, options=options)
    again, other, less = step_of(name, options=options, checkpointed=True)
    assert torch.equal(loss, again)
    assert all(torch.equal(gradients[n], other[n]) for n in gradients)
    assert less < 0.7 * size, less / size


def test_aware_start_is_another_start_and_glorot_the_first():
    glorot, same, aware = (
        build("liae", {**TINY, **more}) for more in ({}, {"init": "glorot"}, {"init": "aware"})
    )
    weight = "encoder.down.1.convolution.weight"
    assert torch.equal(glorot.state_dict()[weight], same.state_dict()[weight])
    kernels = aware.state_dict()[weight].flatten(2)  # 8 filters, 4 channels, 25 pixels: one basis each
    assert torch.allclose(kernels @ kernels.mT, torch.eye(4).expand(8, 4, 4) * 2 / 4, atol=1e-6)

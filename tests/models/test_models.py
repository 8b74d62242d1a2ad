from __future__ import annotations

import pytest
import torch

from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.models import MODELS

SMALL = {
    "df": [
        {"resolution": 32, "e_dims": 4, "ae_dims": 8, "d_dims": 4, "d_mask_dims": 2, "options": options,
         "normalized": normalized}
        for options, normalized in (("", False), ("u", True), ("d", True), ("ud", False))
    ],
    "original": [{"resolution": 32, "width": 4, "code": 16}],
}  # fmt: skip


class NoWeights:
    def path(self, name):
        raise AssertionError(name)


CONTEXT = Context(device=torch.device("cpu"), weights=NoWeights())
CASES = [(name, settings) for name in MODELS.names() for settings in SMALL.get(name, [{"resolution": 32}])]


def build(name, settings):
    torch.manual_seed(0)
    return MODELS[name](**settings).build(CONTEXT)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_contract_shapes_ranges_and_a_gradient_for_every_parameter(name, settings):
    model = build(name, settings)
    source, target = torch.rand(2, 3, model.resolution, model.resolution), torch.rand(3, 3, 32, 32)
    side = model.output_resolution
    made = model.reconstruct(source, target)
    outputs = (made.source.face, made.source.mask, made.target.face, made.target.mask)
    assert [tuple(out.shape) for out in outputs] == [
        (2, 3, side, side), (2, 1, side, side), (3, 3, side, side), (3, 1, side, side)
    ]  # fmt: skip
    assert all(out.min() >= 0 and out.max() <= 1 for out in outputs)
    sum(out.square().sum() for out in outputs).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_contract_swap_is_the_sources_decoder_on_the_targets_face(name, settings):
    model = build(name, settings)
    face = torch.rand(2, 3, 32, 32)
    as_source = model.reconstruct(face, face)
    swapped = model.swap(face)
    drawn = as_source.draw_swap(as_source.codes)
    for name, got in zip(("face", "mask"), swapped, strict=True):
        expected, other = getattr(as_source.source, name), getattr(as_source.target, name)
        assert torch.allclose(got, expected, atol=1e-5)
        assert torch.allclose(got, getattr(drawn, name), atol=1e-5)
        assert (got - other).abs().max() > (got - expected).abs().max() + 1e-6


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_contract_the_same_seed_gives_the_same_model(name, settings):
    states = [build(name, settings).state_dict() for _ in range(2)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("settings", "millions"),
    [
        ({"resolution": 128, "ae_dims": 256, "options": "", "d_mask_dims": 22}, 57.5),
        ({"resolution": 128, "ae_dims": 256, "options": "ud", "d_mask_dims": 22}, 54.5),
        ({}, 38.3),
    ],
    ids=["df", "df-ud", "quick96"],
)
def test_df_has_as_many_parameters_as_deepfacelabs(settings, millions):
    with torch.device("meta"):
        model = MODELS["df"](**settings).build(Context(device=torch.device("meta"), weights=NoWeights()))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_impossible_sizes_are_refused_when_the_settings_are_made():
    with pytest.raises(ConfigError, match="multiple of 32, got 80"):
        MODELS["df"](resolution=80)
    MODELS["df"](resolution=80, options="u")
    with pytest.raises(ConfigError, match="multiple of 16"):
        MODELS["original"](resolution=70)

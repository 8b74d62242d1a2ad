from __future__ import annotations

import pytest
import torch
from torch import nn

from understudy.config import merge, read_recipe
from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.models import MODELS
from understudy.nn.attention import SelfAttention

TINY = {"resolution": 32, "width": 4, "code": 16}


class NoWeights:
    def path(self, name):
        raise AssertionError(name)


def build(**settings):
    torch.manual_seed(0)
    context = Context(device=torch.device("cpu"), weights=NoWeights())
    return MODELS["gan"](**{**TINY, **settings}).build(context)


def hollow(**settings):
    """A model without numbers, for shapes."""
    with torch.device("meta"):
        return MODELS["gan"](**settings).build(Context(device=torch.device("meta"), weights=NoWeights()))


def faces(count=2, seed=1, side=32):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def with_alpha(decoder, value):
    """A decoder whose α is the same everywhere."""
    nn.init.zeros_(decoder.alpha.weight)
    nn.init.constant_(decoder.alpha.bias, value)


def test_the_result_is_composed_with_the_input():
    model = build()
    source, target = faces(), faces(3, seed=2)
    made = model.reconstruct(source, target)
    codes = model.encoder(torch.cat([source, target])).split([2, 3])
    for drawn, decoder, code, shown in (
        (made.source, model.decoder_source, codes[0], source),
        (made.target, model.decoder_target, codes[1], target),
    ):
        features = decoder.up(code)
        face, alpha = decoder.face(features).sigmoid().double(), decoder.alpha(features).sigmoid().double()
        expected = alpha * face + (1 - alpha) * shown.double()
        assert torch.allclose(drawn.face.double(), expected, atol=1e-5)
        assert torch.allclose(drawn.mask.double(), alpha, atol=1e-5)


def test_where_alpha_is_nothing_the_target_stays():
    model = build()
    with_alpha(model.decoder_source, -200.0)
    target = faces()
    face, mask = model.swap(target)
    assert torch.equal(face, target)
    assert not mask.any()


def test_where_alpha_is_one_the_face_is_drawn_whole():
    model = build()
    with_alpha(model.decoder_source, 200.0)
    code, shown = model.encoder(faces()), faces(seed=2)
    assert torch.equal(model.decoder_source(code, shown)[0], model.decoder_source(code, 1 - shown)[0])


def test_alpha_learns_from_the_picture_alone():
    """It closes where the input is right already and opens where it is wrong."""
    model = build()
    model.requires_grad_(False)
    model.decoder_source.alpha.requires_grad_(True)
    shown = faces()
    code = model.encoder(shown)
    for truth, sign in ((shown, 1), (model.decoder_source.face(model.decoder_source.up(code)).sigmoid(), -1)):
        model.zero_grad()
        (model.decoder_source(code, shown)[0] - truth).square().sum().backward()
        assert model.decoder_source.alpha.bias.grad.item() * sign > 0


def test_the_swap_of_a_step_is_the_swap():
    model = build()
    source, target = faces(3), faces(2, seed=2)
    made = model.reconstruct(source, target)
    drawn, swapped = made.draw_swap(made.codes), model.swap(target)
    assert torch.allclose(drawn.face, swapped[0], atol=1e-5)
    assert torch.allclose(drawn.mask, swapped[1], atol=1e-5)


def test_everything_learns_from_the_first_step():
    model = build()
    made = model.reconstruct(faces(), faces(seed=2))
    sum((d.face.square().sum() + d.mask.square().sum()) for d in (made.source, made.target)).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("resolution", "halvings", "code_side", "attentive"),
    [(32, 3, 8, (1, 2)), (64, 4, 8, (2, 2)), (96, 4, 12, (1, 1)), (128, 5, 8, (2, 2)), (256, 6, 8, (2, 2))],
)
def test_layers_follow_from_the_resolution(resolution, halvings, code_side, attentive):
    model = hollow(resolution=resolution, width=8)
    face = torch.empty(1, 3, resolution, resolution, device="meta")
    made = model.reconstruct(face, face)
    assert made.codes[0].shape == (1, 64, code_side, code_side)
    assert made.source.face.shape == (1, 3, resolution, resolution)
    assert made.source.mask.shape == (1, 1, resolution, resolution)
    assert sum(type(layer).__name__ == "Downscale" for layer in model.encoder.down) == halvings
    for part, count in zip((model.encoder, model.decoder_source), attentive, strict=True):
        assert sum(isinstance(layer, SelfAttention) for layer in part.modules()) == count


def test_attention_can_be_left_out():
    assert not any(isinstance(layer, SelfAttention) for layer in build(attention=False).modules())


def test_half_precision_composes_in_single():
    model = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        face, mask = model.swap(faces())
    assert face.dtype == mask.dtype == torch.float32
    assert torch.allclose(face, model.swap(faces())[0], atol=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 16}, "gan wants 32 or more here, got 16"),
        ({"resolution": 72}, "gan wants a multiple of 16 here, got 72"),
        ({"resolution": 144}, "gan wants a multiple of 32 here, got 144"),
        ({"width": 5}, "width: gan wants an even number, got 5"),
    ],
)
def test_impossible_sizes_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        MODELS["gan"](**settings)


def test_the_recipe_names_the_originals_losses():
    from understudy.pipelines.runs.train import TrainSettings

    settings = merge(TrainSettings(), read_recipe("gan")["train"])
    assert settings.model == MODELS["gan"](resolution=128)
    weights = {name: loss.weight for name, loss in settings.losses.items()}
    assert weights == {"l1": 1.0, "edge": 0.1, "eyes_mouth": 30.0, "conditional_gan": 0.1}
    assert not settings.task.masked

from __future__ import annotations

import numpy as np
import pytest
import torch

from understudy.config import dump, merge, read_recipe
from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.models import MODELS
from understudy.models.amp import draw_channels
from understudy.training.optim import OptimizerSettings, Stepper

TINY = {"resolution": 32, "e_dims": 4, "ae_dims": 8, "inter_dims": 16, "d_dims": 4, "d_mask_dims": 2}


class NoWeights:
    def path(self, name):
        raise AssertionError(name)


def build(**settings):
    torch.manual_seed(0)
    context = Context(device=torch.device("cpu"), weights=NoWeights())
    return MODELS["amp"](**{**TINY, **settings}).build(context)


def faces(count=2, seed=1):
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_it_has_as_many_parameters_as_deepfacelabs():
    with torch.device("meta"):
        model = MODELS["amp"]().build(Context(device=torch.device("meta"), weights=NoWeights()))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(101.3, abs=0.05)
    assert (model.resolution, model.output_resolution) == (224, 224)


def test_everything_is_trained_both_persons_layers_too():
    """DeepFaceLab's optimiser forgets them, and they keep the random weights they began with."""
    model = build()
    stepper = Stepper(OptimizerSettings(rate=1e-3, warm_up=0, clip=None), model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for step in range(2):  # zero biases behind dead units may wait for a second step
        torch.manual_seed(step)
        made = model.reconstruct(faces(4), faces(4, seed=2))
        wanted = ((made.source, faces(4)), (made.target, faces(4, seed=2)))
        loss = sum((d.face - face).square().mean() + d.mask.square().mean() for d, face in wanted)
        loss.backward()
        assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
        stepper.step(1e-3)
    assert [n for n, p in model.named_parameters() if torch.equal(p, before[n])] == []
    for name in ("inter_source.expand.weight", "inter_target.expand.weight"):
        moved = (dict(model.named_parameters())[name] != before[name]).float().mean()
        assert moved > 0.9, f"{name}: nearly every weight moves"


@pytest.mark.parametrize(("channels", "share", "count"), [(16, 0.5, 8), (10, 0.25, 2), (7, 1.0, 7)])
def test_exactly_so_many_channels_are_drawn_and_others_for_every_face(channels, share, count):
    torch.manual_seed(0)
    chosen = draw_channels(200, channels, share, torch.device("cpu"))
    assert (chosen.sum(1) == count).all()
    often = chosen.float().mean(0)
    assert ((often - count / channels).abs() < 4 * np.sqrt(0.25 / 200)).all(), "every channel alike"
    if count < channels:
        assert len(chosen.unique(dim=0)) > 10


def test_the_source_is_drawn_from_a_mixture_of_channels():
    model = build()
    source, target = faces(3), faces(2, seed=2)
    torch.manual_seed(5)
    made = model.reconstruct(source, target)
    torch.manual_seed(5)
    chosen = draw_channels(3, 16, 0.5, torch.device("cpu"))
    code = model.encoder(source)
    own, other = model.inter_source(code), model.inter_target(code)
    for face in range(3):
        for channel in range(16):
            expected = (own if chosen[face, channel] else other)[face, channel]
            assert torch.allclose(made.codes[0][face, channel], expected, atol=1e-6)
    assert torch.allclose(made.codes[1], model.inter_target(model.encoder(target)), atol=1e-6)
    assert torch.allclose(made.source.face, model.decoder(made.codes[0])[0], atol=1e-5)
    assert torch.allclose(made.target.face, model.decoder(made.codes[1])[0], atol=1e-5)


def test_the_mixture_follows_torchs_generator():
    model = build()

    def code(seed):
        torch.manual_seed(seed)
        return model.reconstruct(faces(), faces()).codes[0]

    assert torch.equal(code(1), code(1))
    assert not torch.equal(code(1), code(2))


def test_outside_training_nothing_is_drawn_and_the_source_has_all_its_channels():
    model = build().eval()
    before = torch.get_rng_state()
    made = model.reconstruct(faces(), faces(seed=2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.allclose(made.codes[0], model.inter_source(model.encoder(faces())), atol=1e-6)


def test_the_morph_goes_from_the_target_to_the_source():
    model = build().eval()
    target = faces()
    made = model.reconstruct(target, target)
    source_face, source_mask = model.swap(target)
    assert torch.allclose(source_face, made.source.face, atol=1e-5)
    assert torch.allclose(source_mask, made.source.mask, atol=1e-5)
    assert torch.allclose(model.swap(target, morph=0.0)[0], made.target.face, atol=1e-5)
    code = model.encoder(target)
    mixed = torch.cat([model.inter_source(code)[:, :4], model.inter_target(code)[:, 4:]], dim=1)
    assert torch.allclose(model.swap(target, morph=0.25)[0], model.decoder(mixed)[0], atol=1e-6)
    assert (model.swap(target, morph=0.25)[0] - source_face).abs().max() > 1e-4


def test_the_morph_of_the_swap_is_a_setting():
    target = faces()
    assert torch.equal(build(morph=0.25).swap(target)[0], build().swap(target, morph=0.25)[0])


@pytest.mark.parametrize("morph", [1.0, 0.5])
def test_the_swap_of_a_step_is_the_swap(morph):
    model = build(morph=morph)
    source, target = faces(3), faces(2, seed=2)
    made = model.reconstruct(source, target)
    drawn, swapped = made.draw_swap(made.codes), model.swap(target)
    assert torch.allclose(drawn.face, swapped[0], atol=1e-5)
    assert torch.allclose(drawn.mask, swapped[1], atol=1e-5)


def test_a_loss_of_the_swap_stays_out_of_the_encoder_where_codes_are_detached():
    model = build()
    made = model.reconstruct(faces(), faces(seed=2))
    made.draw_swap((made.codes[0].detach(), made.codes[1].detach())).face.sum().backward()
    reached = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {"decoder"}
    model.zero_grad()
    made = model.reconstruct(faces(), faces(seed=2))
    made.draw_swap(made.codes).face.sum().backward()
    assert model.inter_source.expand.weight.grad.any()
    assert model.encoder.squeeze.weight.grad.any()


def test_settings_come_back_from_a_recipe():
    settings = MODELS["amp"](**TINY, morph=0.75, options="udtc")
    assert merge(MODELS["amp"](), dump(settings)) == settings


def test_the_recipe_is_deepfacelabs():
    from understudy.pipelines.runs.train import TrainSettings

    settings = merge(TrainSettings(), read_recipe("amp")["train"])
    assert settings.model == MODELS["amp"]()
    weights = {name: loss.weight for name, loss in settings.losses.items()}
    assert weights == {"dssim": 10.0, "mse": 10.0, "eyes_mouth": 300.0, "background": 0.1}
    optimizer = settings.optimizer
    assert (optimizer.name, optimizer.rate, optimizer.clip) == ("adabelief", 5e-5, None)
    assert not optimizer.bias_correction


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 48}, "multiple of 32, got 48"),
        ({"options": "ud"}, "wanted one of 'udt', 'udtc', got 'ud'"),
        ({"morph_factor": 0.0}, "morph_factor: amp wants a share above 0"),
        ({"morph": 1.5}, "morph: amp wants a share from 0 to 1, got 1.5"),
        ({"inter_dims": 1}, "0.5 of 1 inter_dims is not one channel"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        merge(MODELS["amp"](), settings)

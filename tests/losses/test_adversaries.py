"""Adversaries: what they learn, whom their gradients reach, and that a run with them resumes exactly."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.special import expit
from small_run import make_trainer

from understudy.config import dump
from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.events import Progress
from understudy.learning import Batch, Drawing, Outcome, Reconstruction, Sample
from understudy.losses import LOSSES
from understudy.losses.patch_gan import total_variation
from understudy.losses.true_face import _code_of_ramp
from understudy.models import MODELS
from understudy.nn.window import soft_mask
from understudy.training import checkpoint
from understudy.training.augment import Augmentation
from understudy.training.batches import SwapFeed, random_store
from understudy.training.task import SwapTask, SwapTaskSettings, Weighted

SIDE = 32
TINY = {
    "df": {"options": "d", "e_dims": 4, "ae_dims": 8, "d_dims": 4, "d_mask_dims": 2},
    "liae": {"options": "d", "e_dims": 4, "ae_dims": 8, "d_dims": 4, "d_mask_dims": 2},
    "amp": {"e_dims": 4, "ae_dims": 8, "inter_dims": 16, "d_dims": 4, "d_mask_dims": 2},
    "gan": {"width": 4, "code": 16},
}
SMALL = {
    "true_face": {"width": 4},
    "patch_gan": {"dims": 4, "patch": 7},
    "conditional_gan": {"width": 4},
}
VARIANTS = [
    ("true_face", {}),
    ("patch_gan", {}),
    ("patch_gan", {"regularization": "r1"}),
    ("patch_gan", {"regularization": "spectral"}),
    ("patch_gan", {"persons": "both", "masked": False}),
    ("conditional_gan", {}),
]
variants = pytest.mark.parametrize(
    ("name", "settings"), VARIANTS, ids=["-".join([n, *map(str, s.values())]) for n, s in VARIANTS]
)


class NoWeights:
    def path(self, name):
        raise AssertionError(name)


CONTEXT = Context(device=torch.device("cpu"), weights=NoWeights())


def make_model(name="df", **settings):
    torch.manual_seed(0)
    return MODELS[name](**{"resolution": SIDE, **TINY[name], **settings}).build(CONTEXT)


def make_term(name, model=None, **settings):
    context = dataclasses.replace(CONTEXT, given={"model": model or make_model()})
    torch.manual_seed(1)
    return LOSSES[name](**{**SMALL[name], **settings}).build(context)


def sample(truth, shown=None):
    mask = torch.zeros_like(truth[:, :1])
    mask[..., 6:-6, 6:-6] = 1
    return Sample(input=truth if shown is None else shown, truth=truth, mask=mask, features=mask)


def outcome(*, source=None, target=None, codes=None, truth=None):
    """A step with the given drawn faces and codes; what is not given is grey."""
    grey = torch.full((2, 3, SIDE, SIDE), 0.5)
    source, target = (grey if face is None else face for face in (source, target))
    wanted = grey if truth is None else truth
    drawings = [Drawing(face, torch.ones_like(face[:, :1])) for face in (source, target)]
    made = Reconstruction(
        source=drawings[0],
        target=drawings[1],
        codes=codes or (torch.zeros(2, 8, 2, 2), torch.zeros(2, 8, 2, 2)),
        draw_swap=lambda codes: drawings[0],
    )
    return Outcome(batch=Batch(source=sample(wanted), target=sample(wanted)), made=made)


def steps_of_critic(term, seen, steps=60, rate=1e-2):
    """The critic's losses while it alone learns."""
    optimizer = torch.optim.Adam(term.parameters(), lr=rate)
    values = []
    for _ in range(steps):
        loss = term.critic(seen())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        values.append(loss.item())
    return values


def entropy(logits, label):
    """Binary cross-entropy in float64, by its definition."""
    p = expit(logits.detach().double().numpy())
    return -np.mean(label * np.log(p) + (1 - label) * np.log(1 - p))


# ---------------------------------------------------------------------------------- two toy distributions


def test_true_face_tells_two_clouds_of_codes_apart_and_draws_one_to_the_other():
    term = make_term("true_face")
    generator = torch.Generator().manual_seed(2)

    def cloud(middle):
        return middle + 0.5 * torch.randn(8, *CODE, generator=generator)

    values = steps_of_critic(term, lambda: outcome(codes=(cloud(-0.5), cloud(0.5))))
    assert values[0] == pytest.approx(math.log(2), abs=0.15)
    assert values[-1] < 0.2 * values[0]
    source = cloud(-0.5).requires_grad_()
    target = cloud(0.5).requires_grad_()
    loss = term(outcome(codes=(source, target)))
    loss.backward()
    assert -source.grad.mean() > 0  # down the slope lies the target
    assert target.grad is None
    moved = source.detach() - 0.5 * source.grad / source.grad.abs().mean()
    assert term(outcome(codes=(moved, target))) < loss


CODE = (8, 2, 2)


@pytest.mark.parametrize("regularization", ["none", "r1", "spectral"])
def test_patch_gan_tells_bright_from_dark_and_lightens_the_dark(regularization):
    # R1 keeps the slope small on purpose: a little of it
    term = make_term("patch_gan", regularization=regularization, gamma=0.1, surround=0, variation=0)
    generator = torch.Generator().manual_seed(2)

    def pictures(middle):
        return middle + 0.1 * torch.rand(4, 3, SIDE, SIDE, generator=generator)

    values = steps_of_critic(term, lambda: outcome(source=pictures(0.2), truth=pictures(0.7)))
    assert values[0] == pytest.approx(2 * math.log(2), abs=0.3)
    assert values[-1] < 0.7 * values[0]
    drawn = pictures(0.2).requires_grad_()
    loss = term(outcome(source=drawn, truth=pictures(0.7)))
    loss.backward()
    assert -drawn.grad.mean() > 0
    assert not drawn.grad[..., 0, :].any(), "outside the mask nothing is judged"
    moved = drawn.detach() - 0.1 * drawn.grad / drawn.grad.abs().amax()
    assert term(outcome(source=moved, truth=pictures(0.7))) < loss


def test_conditional_gan_tells_striped_from_plain_and_draws_stripes():
    term = make_term("conditional_gan")
    generator = torch.Generator().manual_seed(2)

    def plain():
        return 0.4 + 0.1 * torch.rand(8, 3, SIDE, SIDE, generator=generator)

    def seen(source, target):
        return outcome(source=source, target=target, truth=plain() + 0.2 * STRIPES)

    torch.manual_seed(3)
    values = steps_of_critic(term, lambda: seen(plain(), plain()), steps=100, rate=1e-3)
    assert np.mean(values[-10:]) < 0.3 * np.mean(values[:10])
    source, target = plain().requires_grad_(), plain().requires_grad_()
    term(seen(source, target)).backward()
    assert -(source.grad * (STRIPES - 0.5)).mean() > 0
    assert -(target.grad * (STRIPES - 0.5)).mean() > 0


def test_conditional_gan_learns_what_belongs_to_what():
    """Both kinds of picture are as often true as false; only the input tells which is which."""
    term = make_term("conditional_gan")
    generator = torch.Generator().manual_seed(2)

    def seen():
        upright = torch.rand(8, 1, 1, 1, generator=generator) < 0.5
        truth = (0.4 + 0.2 * torch.where(upright, STRIPES, STRIPES.T)).expand(8, 3, SIDE, SIDE)
        return outcome(source=truth.mT, target=truth.mT, truth=truth)

    torch.manual_seed(3)
    values = steps_of_critic(term, seen, steps=100, rate=1e-3)
    # who names every share a half is off by the shares' variance, 1/4 · 1/(1 + 2 · 0.2), for each person
    assert np.mean(values[-10:]) < 0.3 * 2 * 0.25 / 1.4


STRIPES = (torch.arange(SIDE) // 2 % 2).float().expand(SIDE, SIDE)


# ---------------------------------------------------------------------------------- formulas


def test_true_face_against_the_formula():
    model = make_model()
    term = make_term("true_face", model)
    made = model.reconstruct(torch.rand(3, 3, SIDE, SIDE), torch.rand(2, 3, SIDE, SIDE))
    seen = outcome(codes=made.codes)
    source, target = (term.network(code) for code in made.codes)
    assert term(seen).item() == pytest.approx(entropy(source, 1), rel=1e-5)
    expected = 0.5 * (entropy(source, 0) + entropy(target, 1))
    assert term.critic(seen).item() == pytest.approx(expected, rel=1e-5)


def test_true_face_sees_only_the_shared_half_of_liaes_codes():
    model = make_model("liae")
    term = make_term("true_face", model)
    made = model.reconstruct(torch.rand(2, 3, SIDE, SIDE), torch.rand(2, 3, SIDE, SIDE))
    channels = made.codes[0].shape[1]
    assert term.second_half
    assert term.network.layers[0].in_channels == channels // 2
    source, target = (code.detach().requires_grad_() for code in made.codes)
    expected = 0.5 * (
        entropy(term.network(source[:, channels // 2 :]), 0)
        + entropy(term.network(target[:, channels // 2 :]), 1)
    )
    assert term.critic(outcome(codes=(source, target))).item() == pytest.approx(expected, rel=1e-5)
    term(outcome(codes=(source, target))).backward()
    assert not source.grad[:, : channels // 2].any()
    assert source.grad[:, channels // 2 :].any()


@pytest.mark.parametrize("name", ["df", "amp", "gan"])
def test_true_face_sees_whole_codes_of_other_models(name):
    model = make_model(name)
    term = make_term("true_face", model)
    face = torch.rand(2, 3, SIDE, SIDE)
    codes = model.reconstruct(face, face).codes
    assert not term.second_half
    assert term.network.layers[0].in_channels == codes[0].shape[1]
    assert math.isfinite(term(outcome(codes=codes)).item())


@pytest.mark.parametrize("training", [True, False])
def test_finding_the_codes_shape_leaves_no_trace(training):
    model = make_model("amp").train(training)
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    assert _code_of_ramp(model).shape == (1, 16, 1, 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training is training
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_patch_gan_against_the_formula():
    term = make_term("patch_gan")
    generator = torch.Generator().manual_seed(2)
    drawn, truth = torch.rand(2, 2, 3, SIDE, SIDE, generator=generator)
    seen = outcome(source=drawn, truth=truth)
    soft = soft_mask(seen.batch.source.mask)
    made, true = term.network(drawn * soft), term.network(truth * soft)
    p, t, s = (x.double().numpy() for x in (drawn, truth, soft))
    variation = ((p[:, :, 1:] - p[:, :, :-1]) ** 2).sum() + ((p[..., 1:] - p[..., :-1]) ** 2).sum()
    expected = entropy(made[0], 1) + entropy(made[1], 1)
    expected += 1e-5 * variation / 2 + 0.2 * np.mean(((p - t) * (1 - s)) ** 2)
    assert term(seen).item() == pytest.approx(expected, rel=1e-5)
    expected = sum(0.5 * (entropy(m, 0) + entropy(t, 1)) for m, t in zip(made, true, strict=True))
    assert term.critic(seen).item() == pytest.approx(expected, rel=1e-5)


def test_patch_gan_without_a_mask_judges_the_whole_picture_and_nothing_else():
    term = make_term("patch_gan", masked=False)
    drawn = torch.rand(2, 3, SIDE, SIDE)
    made = term.network(drawn)
    assert term(outcome(source=drawn)).item() == pytest.approx(
        entropy(made[0], 1) + entropy(made[1], 1), rel=1e-5
    )


def test_patch_gan_of_both_judges_the_target_too():
    drawn = torch.rand(2, 3, SIDE, SIDE)
    for persons, reached in (("source", False), ("both", True)):
        target = drawn.clone().requires_grad_()
        make_term("patch_gan", persons=persons)(
            outcome(source=drawn.clone().requires_grad_(), target=target)
        ).backward()
        assert (target.grad is not None) is reached


def test_total_variation_looks_along_rows_and_columns_and_not_across_colours():
    picture = torch.zeros(2, 3, 4, 5)
    picture[:, 1] = 1.0  # green: flat in the picture, a step from colour to colour
    assert total_variation(picture) == 0
    picture[..., 2, 3] += 0.5  # one pixel has four neighbours, in each of three colours
    assert total_variation(picture).item() == pytest.approx(4 * 3 * 0.25)


def test_the_penalty_r1_is_half_gamma_times_the_squared_slope_at_true_pictures():
    """Mescheder et al. 2018, equation 9, with the gradient taken by finite differences in float64."""
    settings = {"masked": False, "dims": 2, "patch": 3}
    plain = make_term("patch_gan", **settings).double()
    penalized = make_term("patch_gan", regularization="r1", gamma=3.0, **settings).double()
    generator = torch.Generator().manual_seed(2)
    truth = torch.rand(2, 3, 6, 6, generator=generator)
    mask = torch.ones(2, 1, 6, 6)
    drawn = Drawing(torch.rand(2, 3, 6, 6, generator=generator), mask)
    person = Sample(input=truth, truth=truth, mask=mask, features=mask)
    made = Reconstruction(source=drawn, target=drawn, codes=(mask, mask), draw_swap=lambda codes: drawn)
    seen = Outcome(batch=Batch(source=person, target=person), made=made)

    def in_double(term):
        term._judged = lambda outcome: (drawn.face.double(), truth.double().clone())
        return term.critic(seen).item()

    @torch.no_grad()
    def verdict(pictures):
        return sum(logits.mean((1, 2, 3)) for logits in plain.network(pictures))

    squares = torch.zeros(2, dtype=torch.float64)
    for place in np.ndindex(3, 6, 6):
        step = torch.zeros(1, 3, 6, 6, dtype=torch.float64)
        step[(0, *place)] = 1e-5
        squares += ((verdict(truth.double() + step) - verdict(truth.double() - step)) / 2e-5) ** 2
    penalty = in_double(penalized) - in_double(plain)
    assert penalty == pytest.approx(0.5 * 3.0 * squares.mean().item(), rel=1e-4)


def test_conditional_gan_against_the_formula():
    term = make_term("conditional_gan")
    generator = torch.Generator().manual_seed(2)
    source, target, truth = torch.rand(3, 2, 3, SIDE, SIDE, generator=generator)
    seen = outcome(source=source, target=target, truth=truth)
    expected = {"made": 0.0, "critic": 0.0}
    torch.manual_seed(5)
    for network, drawn in ((term.source, source), (term.target, target)):
        parameter = torch.full((2, 1, 1, 1), 0.2)
        share = torch.distributions.Beta(parameter, parameter).sample()
        logits = network(share * truth + (1 - share) * drawn, truth).detach().double()
        expected["made"] += ((logits - (1 - share)) ** 2).mean().item()
        expected["critic"] += ((logits - share) ** 2).mean().item()
    torch.manual_seed(5)
    assert term(seen).item() == pytest.approx(expected["made"], rel=1e-4)
    torch.manual_seed(5)
    assert term.critic(seen).item() == pytest.approx(expected["critic"], rel=1e-4)


def test_conditional_gan_shrinks_an_input_that_is_larger_or_smaller_than_the_output():
    term = make_term("conditional_gan")
    seen = outcome(source=torch.rand(2, 3, SIDE, SIDE))
    truth = seen.batch.source.truth
    shown = dataclasses.replace(seen.batch.source, input=torch.rand(2, 3, 48, 48))
    seen = dataclasses.replace(seen, batch=Batch(source=shown, target=sample(truth)))
    assert math.isfinite(term(seen).item())


# ---------------------------------------------------------------------------------- whom gradients reach


def step_of(model):
    generator = torch.Generator().manual_seed(2)
    source, target = (sample(torch.rand(2, 3, SIDE, SIDE, generator=generator)) for _ in range(2))
    torch.manual_seed(7)
    made = model.reconstruct(source.input, target.input)
    return Outcome(batch=Batch(source=source, target=target), made=made)


@variants
@pytest.mark.parametrize("model_name", ["df", "gan"])
def test_the_terms_gradient_reaches_the_model_and_no_critic(model_name, name, settings):
    """Even where nobody has frozen the critic, and it is still able to learn afterwards."""
    model = make_model(model_name)
    term = make_term(name, model, **settings)
    term(step_of(model)).backward()
    assert any(p.grad is not None and p.grad.any() for p in model.encoder.parameters())
    assert [key for key, p in term.named_parameters() if p.grad is not None] == []
    assert all(p.requires_grad for p in term.parameters())


@variants
@pytest.mark.parametrize("model_name", ["df", "gan"])
def test_the_critics_gradient_reaches_all_of_it_and_no_model(model_name, name, settings):
    """Even where what it sees was not detached."""
    model = make_model(model_name)
    term = make_term(name, model, **settings)
    term.critic(step_of(model)).backward()
    assert [key for key, p in model.named_parameters() if p.grad is not None] == []
    assert [key for key, p in term.named_parameters() if p.grad is None or not p.grad.any()] == []


@variants
def test_no_weight_of_the_model_hides_among_the_critics(name, settings):
    model = make_model()
    own = {id(p) for p in model.parameters()}
    assert not own & {id(p) for p in make_term(name, model, **settings).parameters()}


@variants
def test_the_term_leaves_the_critic_as_it_was(name, settings):
    model = make_model()
    term = make_term(name, model, **settings)
    before = {key: value.clone() for key, value in term.state_dict().items()}
    term(step_of(model))
    assert all(torch.equal(before[key], value) for key, value in term.state_dict().items())


@variants
def test_half_precision_changes_little(name, settings):
    model = make_model()
    seen = step_of(model)
    values = {}
    for mixed in (False, True):
        # asked anew: a power iteration has gone on, a share was drawn
        fresh = make_term(name, model, **settings)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            torch.manual_seed(3)
            values[mixed] = torch.stack([fresh(seen), fresh.critic(seen)])
    assert values[True].dtype == torch.float32
    assert torch.allclose(values[True], values[False], rtol=0.05, atol=0.02)


# ---------------------------------------------------------------------------------- real runs


def make_task(model_name, losses):
    """A tiny model, random textures, one or more adversaries beside the squared error."""
    model = make_model(model_name)
    settings = MODELS[model_name](resolution=SIDE, **TINY[model_name])
    feed = SwapFeed(
        random_store(6, SIDE, 1),
        random_store(7, SIDE, 2),
        batch=2,
        resolution=SIDE,
        output_resolution=SIDE,
        augmentation=Augmentation(),
        device=torch.device("cpu"),
        seed=0,
    )
    context = dataclasses.replace(CONTEXT, given={"model": model})
    terms = {"mse": Weighted(10.0, LOSSES["mse"](), True)}
    for name, chosen in losses:
        loss = LOSSES[name](**{**SMALL[name], **chosen})
        terms[name] = Weighted(loss.weight, loss.build(context), False)
    return SwapTask(
        model,
        feed,
        terms,
        SwapTaskSettings(preview_faces=2),
        name=model_name,
        model_settings=dump(settings),
    )


def losses_of(events):
    """Every loss of every step; speed and memory are left out."""
    first = ("loss", "rate", "mse", "mask", "critic", *SMALL)
    return {
        event.done: {key: value for key, value in event.values.items() if key.startswith(first)}
        for event in events
        if isinstance(event, Progress)
    }


RUNS = [
    ("df", [("true_face", {})]),
    ("liae", [("true_face", {"weight": 0.1})]),
    ("df", [("patch_gan", {"regularization": "r1"})]),
    ("df", [("patch_gan", {"regularization": "spectral"})]),
    ("amp", [("patch_gan", {"persons": "both"})]),
    ("gan", [("conditional_gan", {})]),
    ("df", [("true_face", {}), ("patch_gan", {})]),
]


@pytest.mark.parametrize(
    ("model_name", "losses"), RUNS, ids=["-".join([m, *(n for n, _ in ls)]) + f"-{i}" for i, (m, ls) in
                                          enumerate(RUNS)]
)  # fmt: skip
def test_a_run_with_adversaries_resumes_to_the_last_bit(tmp_path, model_name, losses):
    whole = make_trainer(tmp_path / "whole", task=make_task(model_name, losses), steps=4)
    expected = losses_of(whole.train())
    assert sorted(expected) == [1, 2, 3, 4]
    for name, _ in losses:
        assert {name, f"critic_{name}"} <= expected[1].keys()
    got = {}
    for end in (2, 4):
        part = make_trainer(tmp_path / "parts", task=make_task(model_name, losses), steps=4)
        part.stop = lambda part=part, end=end: part.step >= end
        got.update(losses_of(part.train()))
    assert got == expected
    one, other = (checkpoint.load(t.run.checkpoints)[0] for t in (whole, part))
    for group in ("weights", "optimizer", "critics", "critics_optimizer"):
        held = getattr(one, group)
        assert held
        assert all(torch.equal(held[key], getattr(other, group)[key]) for key in held)


def test_what_a_checkpoint_keeps_of_an_adversary(tmp_path):
    task = make_task("df", [("patch_gan", {"regularization": "spectral"})])
    begun = {key: value.clone() for key, value in task.critics.state_dict().items()}
    trainer = make_trainer(tmp_path, task=task, steps=3)
    list(trainer.train())
    folder = max(path for path in trainer.run.checkpoints.iterdir() if path.is_dir())
    with safe_open(folder / "critics.safetensors", "pt") as file:
        held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
    assert held.keys() == begun.keys()
    assert all(torch.equal(held[key], value) for key, value in task.critics.state_dict().items())
    resting = [key for key in begun if torch.equal(begun[key], held[key])]
    assert [key for key in resting if begun[key].numel() > 1] == [], "vectors of a power iteration, too"


def test_an_adversary_changes_what_the_model_learns(tmp_path):
    states = []
    for losses in ([], [("true_face", {"weight": 1.0})]):
        task = make_task("df", losses)
        list(make_trainer(tmp_path / str(len(losses)), task=task, steps=2).train())
        states.append({key: value.clone() for key, value in task.module.state_dict().items()})
    assert not torch.equal(*(state["encoder.down.0.convolution.weight"] for state in states))


# ---------------------------------------------------------------------------------- settings


def test_the_patch_follows_the_models_output():
    assert LOSSES["patch_gan"]().build(
        dataclasses.replace(CONTEXT, given={"model": make_model(resolution=128)})
    ).network.strides == (2, 2, 2)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("true_face", {"width": 0}, "width: true_face wants 1 or more, got 0"),
        ("patch_gan", {"dims": 0}, "dims: patch_gan wants 1 or more, got 0"),
        ("patch_gan", {"patch": 2}, "patch: patch_gan wants 3 pixels or more, got 2"),
        ("conditional_gan", {"width": 0}, "width: conditional_gan wants 1 or more"),
        ("conditional_gan", {"mixture": 0.0}, "mixture: conditional_gan wants 0.05 or more"),
    ],
)
def test_impossible_settings_are_refused(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        LOSSES[name](**settings)


def test_pictures_too_small_for_a_patch_are_refused():
    model = make_model()
    model.output_resolution = 16
    with pytest.raises(ConfigError, match="24 pixels or more, got 16"):
        make_term("conditional_gan", model)

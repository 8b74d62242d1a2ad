from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from understudy.learning import Drawing, Outcome
from understudy.losses import LOSSES, PictureLoss, StepLoss

OF_PICTURES = [name for name in LOSSES.names() if issubclass(LOSSES[name], PictureLoss)]
OF_STEPS = [name for name in LOSSES.names() if issubclass(LOSSES[name], StepLoss)]


def build(name, context):
    torch.manual_seed(4)
    return LOSSES[name]().build(context)


def step(model, batch, *, detached=False):
    """A step as the task makes it, and as it shows it to critics."""
    made = model.reconstruct(batch.source.input, batch.target.input)

    def as_seen(x):
        return x.detach().float() if detached else x.float()

    made = dataclasses.replace(
        made,
        source=Drawing(as_seen(made.source.face), as_seen(made.source.mask)),
        target=Drawing(as_seen(made.target.face), as_seen(made.target.mask)),
        codes=tuple(code.detach() for code in made.codes) if detached else made.codes,
    )
    return Outcome(batch=batch, made=made)


def test_contract_every_loss_is_of_pictures_or_of_steps():
    assert sorted(OF_PICTURES + OF_STEPS) == LOSSES.names()


@pytest.mark.parametrize("name", OF_PICTURES)
def test_contract_zero_for_equal_pictures_and_positive_otherwise(name, pictures, context):
    loss = build(name, context)
    prediction, truth = pictures()
    assert loss(truth, truth).item() == 0.0
    assert loss(prediction, truth).item() > 1e-4
    assert loss(prediction, truth).shape == ()
    assert loss(prediction.bfloat16(), truth).dtype == torch.float32


@pytest.mark.parametrize("name", OF_PICTURES)
def test_contract_descent_leads_to_the_truth(name, pictures, context):
    loss = build(name, context)
    prediction, truth = pictures()
    prediction.requires_grad_()
    loss(prediction, truth).backward()
    assert torch.isfinite(prediction.grad).all()
    stepped = prediction.detach() - 1e-2 * prediction.grad / prediction.grad.abs().max()
    assert loss(stepped, truth) < loss(prediction.detach(), truth)


@pytest.mark.parametrize("name", OF_PICTURES)
def test_contract_gradients_are_finite_where_pictures_are_black_and_equal(name, pictures, context):
    """Masked training makes large parts of both pictures zero."""
    loss = build(name, context)
    prediction, truth = (x * (torch.arange(48) < 20) for x in pictures())
    for seen in (prediction, truth):
        seen = seen.clone().requires_grad_()
        loss(seen, truth).backward()
        assert torch.isfinite(seen.grad).all()


@pytest.mark.parametrize("name", OF_PICTURES)
def test_contract_single_precision_under_autocast(name, pictures, context):
    loss = build(name, context)
    prediction, truth = pictures()
    plain = loss(prediction, truth)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(prediction, truth), plain)


@pytest.mark.parametrize("name", OF_STEPS)
def test_contract_step_gives_a_scalar_whose_descent_makes_it_smaller(name, model, batch, context):
    term = build(name, context)

    def value():
        torch.manual_seed(6)
        return term(step(model, batch))

    before = value()
    assert before.shape == ()
    assert before.dtype == torch.float32
    before.backward()
    weights = [weight for weight in model.parameters() if weight.grad is not None]
    assert all(torch.isfinite(weight.grad).all() for weight in weights)
    norm = torch.stack([weight.grad.norm() for weight in weights]).norm()
    assert norm > 0
    with torch.no_grad():
        for weight in weights:
            weight -= 0.02 * weight.grad / norm
        assert value() < before


@pytest.mark.parametrize("name", OF_STEPS)
def test_contract_step_works_under_autocast(name, model, batch, context):
    term = build(name, context)
    with torch.no_grad():
        torch.manual_seed(6)
        plain = term(step(model, batch))
        torch.manual_seed(6)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = term(step(model, batch))
    assert mixed.dtype == torch.float32
    assert mixed.item() == pytest.approx(plain.item(), rel=0.1, abs=0.02)


@pytest.mark.parametrize("name", OF_STEPS)
def test_contract_critic_learns_and_leaves_the_model_alone(name, model, batch, context):
    term = build(name, context)
    if not hasattr(term, "critic"):
        assert not isinstance(term, nn.Module) or not list(term.parameters())
        return
    value = term.critic(step(model, batch, detached=True))
    assert value.shape == ()
    assert torch.isfinite(value)
    value.backward()
    assert all(torch.isfinite(weight.grad).all() for weight in term.parameters() if weight.grad is not None)
    assert any(weight.grad is not None and weight.grad.any() for weight in term.parameters())
    assert [key for key, weight in model.named_parameters() if weight.grad is not None] == []

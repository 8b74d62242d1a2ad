"""The loss that makes both persons' codes speak of expression in one language."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from understudy.contracts import Context
from understudy.image.expression import EXPRESSION
from understudy.learning import Batch, Drawing, Outcome, Reconstruction, Sample
from understudy.losses import LOSSES
from understudy.models import MODELS


class NoWeights:
    def path(self, name):
        raise AssertionError(name)


def reader(**settings):
    torch.manual_seed(0)
    context = Context(device=torch.device("cpu"), weights=NoWeights())
    model = MODELS["df"](resolution=32, options="d", e_dims=4, ae_dims=8, d_dims=4, d_mask_dims=2).build(
        context
    )
    built = LOSSES["expression"](**settings).build(dataclasses.replace(context, given={"model": model}))
    return model, built


def outcome(codes: tuple[torch.Tensor, torch.Tensor], wanted: torch.Tensor) -> Outcome:
    picture = torch.zeros(2, 3, 8, 8)
    sample = Sample(
        input=picture, truth=picture, mask=picture[:, :1], features=picture[:, :1], expression=wanted
    )
    drawn = Drawing(picture, picture[:, :1])
    made = Reconstruction(source=drawn, target=drawn, codes=codes, draw_swap=lambda codes: drawn)
    return Outcome(batch=Batch(source=sample, target=sample), made=made)


def test_the_loss_is_the_mean_square_of_the_reading():
    model, built = reader()
    code = model.reconstruct(*torch.rand(2, 2, 3, 32, 32)).codes
    wanted = torch.randn(2, len(EXPRESSION))
    weight, bias = built.read.weight.double(), built.read.bias.double()
    errors = [(c.flatten(1).double() @ weight.T + bias - wanted.double()).square() for c in code]
    expected = torch.cat(errors).mean().item()
    assert built(outcome(code, wanted)).item() == pytest.approx(expected, rel=1e-5)
    assert built.critic(outcome(code, wanted)).item() == pytest.approx(expected, rel=1e-5)


def test_a_reading_learned_on_one_person_comes_to_hold_for_the_other():
    """Two persons whose open mouths lie in opposite directions of the code end up in one direction."""
    torch.manual_seed(0)
    _, built = reader()
    size = built.read.in_features
    opened = torch.linspace(-1.5, 1.5, 8)
    wanted = torch.zeros(8, len(EXPRESSION))
    wanted[:, 0] = opened
    direction = torch.randn(size) / size**0.5
    source = (opened[:, None] * direction).requires_grad_()
    target = (-opened[:, None] * direction).requires_grad_()
    encoder = torch.optim.Adam([source, target], lr=0.01)
    learner = torch.optim.Adam(built.parameters(), lr=0.01)
    for _ in range(300):
        seen = outcome((source.view(8, 8, 2, -1), target.view(8, 8, 2, -1)), wanted)
        built.requires_grad_(False)
        built(seen).backward()
        encoder.step()
        encoder.zero_grad()
        built.requires_grad_(True)
        built.critic(outcome((source.detach().view(8, 8, 2, -1), target.detach().view(8, 8, 2, -1)), wanted)
                     ).backward()  # fmt: skip
        learner.step()
        learner.zero_grad()
    # what is read from the source alone, by least squares, is right for the target
    fitted = torch.linalg.pinv(source.detach()) @ opened
    assert torch.corrcoef(torch.stack([target.detach() @ fitted, opened]))[0, 1] > 0.9


def test_the_gradient_reaches_the_encoder_and_no_decoder():
    model, built = reader()
    made = model.reconstruct(*torch.rand(2, 2, 3, 32, 32))
    built(outcome(made.codes, torch.ones(2, len(EXPRESSION)))).backward()
    assert model.encoder.down[0].convolution.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.decoder_source.parameters())

"""The loss that makes both persons' bottlenecks speak of expression in one language."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.image.expression import EXPRESSION
from understudy.learning import Batch, Outcome, Sample
from understudy.losses import LOSSES
from understudy.models import MODELS


class NoWeights:
    def path(self, name):
        raise AssertionError(name)


CONTEXT = Context(device=torch.device("cpu"), weights=NoWeights())


def make(name: str = "df", **settings):
    torch.manual_seed(0)
    small = (
        {"e_dims": 4, "ae_dims": 12, "d_dims": 4, "d_mask_dims": 2} if name != "original" else {"width": 4}
    )
    return MODELS[name](resolution=32, **{**small, **settings}).build(CONTEXT)


def build(model, **settings):
    return LOSSES["expression"](**settings).build(dataclasses.replace(CONTEXT, given={"model": model}))


def outcome(model, faces: torch.Tensor, wanted: torch.Tensor) -> Outcome:
    samples = [
        Sample(input=f, truth=f, mask=f[:, :1], features=f[:, :1], expression=w)
        for f, w in zip(faces, wanted, strict=True)
    ]
    batch = Batch(source=samples[0], target=samples[1])
    return Outcome(batch=batch, made=model.reconstruct(batch.source.input, batch.target.input))


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_the_loss_is_the_mean_square_of_the_first_eleven_numbers(spread):
    model, wanted = make(), torch.randn(2, 2, len(EXPRESSION))
    seen = outcome(model, torch.rand(2, 2, 3, 32, 32), wanted)
    latents = [latent[:, :11].double() / spread for latent in seen.made.latents]
    expected = torch.stack([(a - b).square() for a, b in zip(latents, wanted.double(), strict=True)]).mean()
    assert build(model, spread=spread)(seen).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["df", "liae", "original"])
def test_everything_in_the_swap_goes_through_the_latent(name):
    """Two targets whose latents are the same have the same swap, whatever was shown."""
    model = make(name)
    faces = torch.rand(2, 2, 3, 32, 32)
    made = model.reconstruct(faces[0], faces[1])
    layer = next(m for n, m in model.named_modules() if n.endswith("squeeze") and "inter_B" not in n)
    handle = layer.register_forward_hook(lambda *_: made.latents[1][:1].expand(2, -1))
    swapped, _ = model.swap(faces[1])
    handle.remove()
    assert torch.allclose(swapped[0], swapped[1], atol=1e-6)


def test_the_gradient_reaches_the_encoder_and_no_decoder():
    model = make()
    build(model)(outcome(model, torch.rand(2, 2, 3, 32, 32), torch.ones(2, 2, len(EXPRESSION)))).backward()
    assert model.encoder.down[0].convolution.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.decoder_source.parameters())


def test_a_narrow_bottleneck_is_refused():
    with pytest.raises(ConfigError, match="has 8 numbers, 11 are wanted"):
        build(make(ae_dims=8))

"""What losses look at: pictures, a small model's step, and what ``build`` is given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from understudy.contracts import Context
from understudy.learning import Batch, Drawing, Outcome, Reconstruction, Sample
from understudy.nn.features import FeatureNetwork

SIDE = 64


class NoWeights:
    def path(self, name):
        raise AssertionError(name)


class SmallEmbedder(nn.Module):
    """One linear layer over a crop of 20 pixels."""

    side, dimension, same_person = 20, 6, 0.6

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.matrix = nn.Parameter(torch.randn(3 * 20 * 20, 6, generator=generator) / 20, requires_grad=False)

    def crop_matrix(self, points):
        raise AssertionError("a loss has no landmarks")

    def forward(self, crops):
        assert crops.shape[1:] == (3, 20, 20)
        assert crops.dtype == torch.float32
        return (crops - 0.5).flatten(1) @ self.matrix


def two_pictures(side=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(2, 3, side, side, generator=generator)
    return (truth * 0.7 + 0.2 * torch.rand(2, 3, side, side, generator=generator)).clamp(0, 1), truth


def random_sample(generator, side=SIDE):
    mask = torch.zeros(2, 1, side, side)
    mask[:, :, side // 4 : -side // 8, side // 5 : -side // 5] = 1
    features = torch.zeros(2, 1, side, side)
    features[:, :, side // 3 : side // 2, side // 4 : side // 2] = 1
    coarse = torch.rand(2, 3, 8, 8, generator=generator)
    truth = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return Sample(
        input=(truth + 0.1 * torch.rand(2, 3, side, side, generator=generator)).clamp(0, 1),
        truth=truth,
        mask=mask,
        features=features,
        expression=torch.randn(2, 11, generator=generator),
    )


@pytest.fixture
def pictures():
    """Makes a picture and what it should be."""
    return two_pictures


@pytest.fixture
def embedder():
    return SmallEmbedder()


@pytest.fixture
def batch():
    """Faces of both persons, 64 pixels."""
    generator = torch.Generator().manual_seed(1)
    return Batch(source=random_sample(generator), target=random_sample(generator))


@pytest.fixture
def drawn(batch):
    """An outcome whose pictures are leaves: gradients of a loss can be read from them."""
    generator = torch.Generator().manual_seed(2)

    def leaf(channels):
        return torch.rand(2, channels, SIDE, SIDE, generator=generator).requires_grad_()

    swap = Drawing(leaf(3), leaf(1))
    made = Reconstruction(
        source=Drawing(leaf(3), leaf(1)),
        target=Drawing(leaf(3), leaf(1)),
        codes=(leaf(4), leaf(4)),
        draw_swap=lambda codes: swap,
    )
    return Outcome(batch=batch, made=made)


@pytest.fixture
def model():
    """A real swap model, tiny."""
    from understudy.models import MODELS

    torch.manual_seed(0)
    settings = MODELS["original"](resolution=SIDE, width=4, code=16)
    built = settings.build(Context(device=torch.device("cpu"), weights=NoWeights()))
    with torch.no_grad():  # persons of different colours: fresh decoders both draw grey
        built.decoder_source.out.bias += torch.tensor([1.0, -1.0, 0.5, 0.3])
    return built


@pytest.fixture
def context(model, embedder):
    torch.manual_seed(3)
    features = FeatureNetwork((4, 6)).requires_grad_(False)
    given = {"model": model, "embedder": embedder, "features": features}
    return Context(device=torch.device("cpu"), weights=NoWeights(), given=given)

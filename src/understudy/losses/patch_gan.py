"""DeepFaceLab's GAN: a U-Net discriminator that judges patches and single pixels, for the last fine detail.

Reference implementation of arXiv 2005.05535 (section 3.2 of the paper). The discriminator sees the source's
faces and what the model made of them, both inside the softened mask. With it come two small terms that keep
quiet what it does not judge: the total variation of the picture that was made, and its squared error outside
the mask. There the variation is written for another order of axes and, on a GPU, takes differences between
colour channels; here they are between rows and between columns.

Two cures for a discriminator that runs away, which the original lacks: a penalty on its gradient at true
pictures (R1; Mescheder et al. 2018, "Which training methods for GANs do actually converge?", equation 9), and
spectral normalisation (Miyato et al. 2018, "Spectral normalization for generative adversarial networks").
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.learning import Drawing, Outcome, Sample, SwapModel
from understudy.losses import LOSSES, StepLoss
from understudy.nn.discriminators import UNetPatchDiscriminator
from understudy.nn.window import soft_mask


@LOSSES.register("patch_gan")
@dataclass(frozen=True, kw_only=True)
class PatchGan(StepLoss):
    """A discriminator of the source's faces: skin, hair and teeth become sharp. For the end of a training."""

    weight: float = 0.1
    """Factor in the sum."""
    patch: int | None = None
    """Side of the patches that are judged, pixels; None: an eighth of the model's output. The network is the
    one whose receptive field comes nearest."""
    dims: int = 16
    """Channels after the discriminator's first layer; they double with each further one, up to 512."""
    masked: bool = True
    """Only the inside of the softened mask is judged."""
    persons: Literal["source", "both"] = "source"
    """Whose faces are judged. both: one discriminator for source and target, as with AMP."""
    variation: float = 1e-5
    """Weight of the total variation (sum over pixels) within this term; with weight 0.1 DeepFaceLab's 1e-6.
    None with masked off."""
    surround: float = 0.2
    """Weight of the squared error outside the mask within this term; with weight 0.1 DeepFaceLab's 0.02. None
    with masked off."""
    regularization: Literal["none", "r1", "spectral"] = "none"
    """What keeps the discriminator in check."""
    gamma: float = 10.0
    """Weight of the penalty r1, of which half is taken."""

    def __post_init__(self) -> None:
        if self.dims < 1:
            raise ConfigError(f"dims: patch_gan wants 1 or more, got {self.dims}")
        if self.patch is not None and self.patch < 3:
            raise ConfigError(f"patch: patch_gan wants 3 pixels or more, got {self.patch}")

    def build(self, context: Context) -> PatchAdversary:
        """Make the discriminator for the pictures of ``context.given["model"]``."""
        side = cast("SwapModel", context.given["model"]).output_resolution
        return PatchAdversary(self, side).to(context.device)


class PatchAdversary(nn.Module):
    """The patch GAN, with its discriminator.

    Args:
        settings: what is judged, and how.
        side: of the pictures, pixels.
    """

    def __init__(self, settings: PatchGan, side: int) -> None:
        super().__init__()
        self.settings = settings
        patch = settings.patch or max(3, side // 8)
        self.network = UNetPatchDiscriminator(
            patch, settings.dims, spectral=settings.regularization == "spectral"
        )
        self.network.eval()  # only the critic's own step moves a power iteration on

    def forward(self, outcome: Outcome) -> Float[Tensor, ""]:
        """What the model makes smaller: its pictures are not yet taken for true ones."""
        drawn, _ = self._judged(outcome)
        held = {name: weight.detach() for name, weight in self.network.named_parameters()}
        if self.network.training:
            self.network.eval()
        patches, pixels = functional_call(self.network, held, (drawn,))
        term = _should_be(patches, 1.0) + _should_be(pixels, 1.0)
        if self.settings.masked:
            term = term + self._calm(outcome)
        return term

    def critic(self, outcome: Outcome) -> Float[Tensor, ""]:
        """What the discriminator makes smaller: true and made pictures are mixed up."""
        drawn, wanted = (pictures.detach() for pictures in self._judged(outcome))
        penalized = self.settings.regularization == "r1"
        # second derivatives of half precision are mostly noise
        exact = torch.autocast(drawn.device.type, enabled=False) if penalized else contextlib.nullcontext()
        self.network.train()
        with exact:
            wanted.requires_grad_(penalized)
            maps = self.network(torch.cat([drawn, wanted]))
            term = torch.zeros((), device=drawn.device)
            for logits in maps:
                made, true = logits.split([len(drawn), len(wanted)])
                term = term + 0.5 * (_should_be(made, 0.0) + _should_be(true, 1.0))
            if penalized:
                term = term + 0.5 * self.settings.gamma * _slope(maps, wanted)
        self.network.eval()
        return term

    def _pairs(self, outcome: Outcome) -> list[tuple[Drawing, Sample]]:
        """What was made and what was wanted, of everyone who is judged."""
        pairs = [(outcome.made.source, outcome.batch.source)]
        if self.settings.persons == "both":
            pairs.append((outcome.made.target, outcome.batch.target))
        return pairs

    def _judged(self, outcome: Outcome) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b 3 s s"]]:
        """Pictures that were made, and true ones."""
        drawn: list[Tensor] = []
        wanted: list[Tensor] = []
        for made, sample in self._pairs(outcome):
            soft = soft_mask(sample.mask) if self.settings.masked else torch.ones_like(sample.mask)
            drawn.append(made.face.float() * soft)
            wanted.append(sample.truth.float() * soft)
        return torch.cat(drawn), torch.cat(wanted)

    def _calm(self, outcome: Outcome) -> Float[Tensor, ""]:
        """Total variation, and squared error outside the mask."""
        terms: list[Tensor] = []
        for made, sample in self._pairs(outcome):
            outside = 1 - soft_mask(sample.mask)
            error = ((made.face.float() - sample.truth.float()) * outside).square().mean()
            terms.append(self.settings.surround * error)
            terms.append(self.settings.variation * total_variation(made.face.float()))
        return torch.stack(terms).sum()


def total_variation(pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Squared differences between neighbours in columns and rows: sum over a picture, mean over pictures."""
    across = (pictures[..., 1:] - pictures[..., :-1]).square().sum()
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).square().sum()
    return (across + down) / len(pictures)


def _should_be(logits: Float[Tensor, "b 1 h w"], label: float) -> Float[Tensor, ""]:
    """Binary cross-entropy against one label, in single precision."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _slope(maps: tuple[Tensor, Tensor], true: Float[Tensor, "b 3 s s"]) -> Float[Tensor, ""]:
    """Squared norm of the gradient at true pictures, mean over them; each map counts by its mean."""
    count = len(true)
    verdict = torch.stack([logits[-count:].mean((1, 2, 3)).sum() for logits in maps]).sum()
    (gradient,) = torch.autograd.grad(verdict, true, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()

"""faceswap-GAN's adversaries: a discriminator for each person that sees what went in beside what came out.

After shaoanlu's faceswap-GAN 2.2. The discriminator (Isola et al. 2017) judges a picture given the distorted
face that the model was shown, so that a picture must be true *for this input*. It is shown mixtures of true
and made pictures and names their proportion (Zhang et al. 2018, "mixup: beyond empirical risk minimization",
section 3.5), by least squares (Mao et al. 2017, "Least squares generative adversarial networks"); the model
makes it name the other's share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.learning import Outcome, SwapModel
from understudy.losses import LOSSES, StepLoss
from understudy.nn.discriminators import PatchDiscriminator


@LOSSES.register("conditional_gan")
@dataclass(frozen=True, kw_only=True)
class ConditionalGan(StepLoss):
    """A discriminator for each person that sees the model's input too, as in faceswap-GAN."""

    weight: float = 0.1
    """Factor in the sum."""
    width: int = 64
    """Channels of the discriminators' first layer; they double up to eight times that."""
    mixture: float = 0.2
    """Both parameters of the beta distribution from which the shares of true and made pictures are drawn:
    small values make clear cases likely."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ConfigError(f"width: conditional_gan wants 1 or more, got {self.width}")
        if self.mixture < 0.05:  # below, samples of single precision are nothing divided by nothing
            raise ConfigError(f"mixture: conditional_gan wants 0.05 or more, got {self.mixture}")

    def build(self, context: Context) -> ConditionalAdversary:
        """Make both discriminators for the pictures of ``context.given["model"]``.

        Raises:
            ConfigError: the pictures are too small for the discriminator.
        """
        side = cast("SwapModel", context.given["model"]).output_resolution
        smallest = PatchDiscriminator.smallest
        if side < smallest:
            raise ConfigError(
                f"losses.conditional_gan wants pictures of {smallest} pixels or more, got {side}"
            )
        return ConditionalAdversary(self).to(context.device)


class ConditionalAdversary(nn.Module):
    """Both discriminators.

    Args:
        settings: how wide they are and how pictures are mixed.
    """

    def __init__(self, settings: ConditionalGan) -> None:
        super().__init__()
        self.settings = settings
        self.source = PatchDiscriminator(6, settings.width)
        self.target = PatchDiscriminator(6, settings.width)

    def forward(self, outcome: Outcome) -> Float[Tensor, ""]:
        """What the model makes smaller: the share of the true picture is not yet named where its own is."""
        terms: list[Tensor] = []
        for network, made, true, shown in self._seen(outcome):
            held = {name: weight.detach() for name, weight in network.named_parameters()}
            share = self._draw_shares(true)
            logits = functional_call(network, held, (torch.lerp(made, true, share), shown))
            terms.append(_squared(logits, 1 - share))
        return torch.stack(terms).sum()

    def critic(self, outcome: Outcome) -> Float[Tensor, ""]:
        """What the discriminators make smaller: the error of the share that they name."""
        terms: list[Tensor] = []
        for network, made, true, shown in self._seen(outcome):
            share = self._draw_shares(true)
            terms.append(_squared(network(torch.lerp(made.detach(), true, share), shown), share))
        return torch.stack(terms).sum()

    def _seen(self, outcome: Outcome) -> list[tuple[PatchDiscriminator, Tensor, Tensor, Tensor]]:
        """For each person: who judges, what was made, what is true, and what the model was shown."""
        batch, made = outcome.batch, outcome.made
        out: list[tuple[PatchDiscriminator, Tensor, Tensor, Tensor]] = []
        for network, drawn, sample in (
            (self.source, made.source, batch.source),
            (self.target, made.target, batch.target),
        ):
            true, shown = sample.truth.float(), sample.input.float()
            if shown.shape != true.shape:
                shown = F.interpolate(shown, true.shape[2:], mode="bilinear", antialias=True)
            out.append((network, drawn.face.float(), true, shown))
        return out

    def _draw_shares(self, like: Float[Tensor, "b c s s"]) -> Float[Tensor, "b 1 1 1"]:
        """How much of each mixture is true, from torch's generator."""
        parameter = torch.full_like(like[:, :1, :1, :1], self.settings.mixture)
        return torch.distributions.Beta(parameter, parameter, validate_args=False).sample()


def _squared(logits: Float[Tensor, "b 1 h w"], wanted: Float[Tensor, "b 1 1 1"]) -> Float[Tensor, ""]:
    """Mean square of the difference, in single precision."""
    return (logits.float() - wanted).square().mean()

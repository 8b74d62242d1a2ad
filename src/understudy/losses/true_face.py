"""TrueFace: a discriminator that cannot tell whose code it sees makes the swap look more like the source.

A decoder has only ever read its own person's codes. The more the two persons' codes are alike, the more a
target's code is one that the source's decoder knows how to draw. Petrov et al. (arXiv 2005.05535, section
3.2) let a discriminator tell the codes apart and the encoder deceive it: with DF it sees the codes
themselves; with LIAE, they say, it is the source's F_AB that is brought near the target's.

For DF this is the reference implementation: the discriminator learns that the target's codes are true and the
source's are not, and only the source's codes are moved. That implementation has no LIAE form; ours is the
sentence taken at its word. LIAE's decoder is given (F_AB, F_AB) for the source and (F_B, F_AB) for the
target, so the discriminator sees the second halves. Whole codes would teach F_AB to look like F_B, in which
the target's identity lives.
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
from understudy.nn.discriminators import CodeDiscriminator


@LOSSES.register("true_face")
@dataclass(frozen=True, kw_only=True)
class TrueFace(StepLoss):
    """A discriminator of codes: the swap comes to look more like the source."""

    weight: float = 0.01
    """Factor in the sum; up to 1. Much of it costs the target's expression."""
    width: int = 256
    """Channels of the discriminator's first layer; they double with each further one, up to eight times."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ConfigError(f"width: true_face wants 1 or more, got {self.width}")

    def build(self, context: Context) -> CodeAdversary:
        """Make the discriminator for the codes of ``context.given["model"]``."""
        code = _code_of_ramp(context.given["model"])
        doubled = _is_doubled(code)
        channels, side = code.shape[1] // (2 if doubled else 1), code.shape[2]
        network = CodeDiscriminator(channels, side, self.width)
        return CodeAdversary(network, second_half=doubled).to(context.device)


class CodeAdversary(nn.Module):
    """TrueFace, with its discriminator.

    Args:
        network: codes to logits.
        second_half: it sees only the second half of the codes' channels.
    """

    def __init__(self, network: CodeDiscriminator, *, second_half: bool) -> None:
        super().__init__()
        self.network = network
        self.second_half = second_half

    def forward(self, outcome: Outcome) -> Float[Tensor, ""]:
        """What the encoder makes smaller: the source's codes are not yet taken for the target's."""
        source, _ = self._seen(outcome)
        held = {name: weight.detach() for name, weight in self.network.named_parameters()}
        return _should_be(functional_call(self.network, held, (source,)), 1.0)

    def critic(self, outcome: Outcome) -> Float[Tensor, ""]:
        """What the discriminator makes smaller: the two are mixed up."""
        source, target = (code.detach() for code in self._seen(outcome))
        own, other = self.network(torch.cat([source, target])).split([len(source), len(target)])
        return 0.5 * (_should_be(own, 0.0) + _should_be(other, 1.0))

    def _seen(self, outcome: Outcome) -> tuple[Tensor, Tensor]:
        source, target = outcome.made.codes
        if self.second_half:
            return source.chunk(2, dim=1)[1], target.chunk(2, dim=1)[1]
        return source, target


def _should_be(logits: Float[Tensor, "b 1 h w"], label: float) -> Float[Tensor, ""]:
    """Binary cross-entropy against one label, in single precision."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _code_of_ramp(model: SwapModel) -> Float[Tensor, "1 c h w"]:
    """The code that a model gives its decoder for the source's face, of a picture that is not empty.

    The model is asked in evaluation mode; torch's generators stay where they were.
    """
    assert isinstance(model, nn.Module), "a swap model is an nn.Module"
    network, training = cast("SwapModel", model), model.training
    device = next(model.parameters()).device
    line = torch.linspace(0, 1, model.resolution, device=device)
    ramp = torch.stack([line.expand(len(line), -1), line[:, None].expand(-1, len(line)), line.outer(line)])
    model.eval()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
            return network.reconstruct(ramp[None], ramp[None]).codes[0]
    finally:
        model.train(training)


def _is_doubled(code: Float[Tensor, "1 c h w"]) -> bool:
    """Whether a source's code is one thing said twice, as LIAE's is; a code without values is not."""
    if code.is_meta or code.shape[1] % 2:
        return False
    first, second = code.chunk(2, dim=1)
    return bool(torch.equal(first, second) and first.any())

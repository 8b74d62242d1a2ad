"""LIAE: one encoder and one decoder for both persons, told apart by what the decoder is given.

Petrov et al., "DeepFaceLab: integrated, flexible and extensible face-swapping framework" (arXiv 2005.05535),
section 3.2, figure 5. DF's decoder copies the light and the face's proportions of the person it knows. Here
one decoder knows both persons, and two bottlenecks say who it is: inter_AB sees both, inter_B the target
only. Their codes are laid on top of each other, and the swap replaces inter_B's by a second inter_AB's::

    source ─┐           ┌─ inter_AB ─ AB(source), AB(source) ─┐              ┌─ source again
            ├─ encoder ─┤             B(target),  AB(target) ─┼─── decoder ──┼─ target again
    target ─┘           └─ inter_B    AB(target), AB(target) ─┘              └─ the swap

AB(target) carries pose, expression and light of the target, in words that the decoder has learnt from both;
doubled, it means the source. So the swap fits the target's face shape and light better than DF's, and is a
little less the source.

The parts are DF's, but both inters have 2·ae_dims channels and the decoder takes 4·ae_dims. The options u, d,
t and c change them as ``nn.autoencoder`` lists; ``nn.wiring.LiaeNetwork`` is figure 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from understudy.contracts import Context
from understudy.models import MODELS, ModelSettings
from understudy.nn.autoencoder import AutoencoderSettings
from understudy.nn.wiring import LiaeNetwork


@MODELS.register("liae")
@dataclass(frozen=True, kw_only=True)
class Liae(AutoencoderSettings, ModelSettings):
    """Shared encoder and decoder, two bottlenecks: fits the target's face shape and light."""

    resolution: int = 128
    """Side of the square face crop that goes in, pixels: a multiple of 16, of 32 with d or t."""

    def build(self, context: Context) -> LiaeNetwork:
        """Make the network, freshly initialised, on the context's device."""
        return LiaeNetwork(self).to(context.device)

"""DF: one encoder and one bottleneck for both persons, a decoder for each.

Petrov et al., "DeepFaceLab: integrated, flexible and extensible face-swapping framework" (arXiv 2005.05535),
section 3.2, figure 4. The bottleneck, "inter", must describe pose, expression and light in a way that serves
both decoders; who it is stays in the decoders. The swap sends a target's code through the source's decoder::

    source ─┐                    ┌─ decoder_source ─ source again, and the swap
            ├─ encoder ─ inter ──┤
    target ─┘                    └─ decoder_target ─ target again

Without options, at 128 pixels and the sizes below, channels x side:

* encoder: 5 x 5 convolutions with stride 2: 64 x 64, 128 x 32, 256 x 16, 512 x 8; flat;
* inter: dense to ae_dims, dense to ae_dims x 8, doubled to ae_dims x 16;
* decoder: doubled by 3 x 3 convolutions and pixel shuffle to 512 x 32, 256 x 64, 128 x 128, a residual block
  behind each; a 1 x 1 convolution and a sigmoid give the face. The mask has a thinner branch of its own.

The options u, d, t and c change this as ``nn.autoencoder`` lists; ``nn.wiring.DfNetwork`` is figure 4. With
the defaults and 96 pixels it is DeepFaceLab's Quick96.
"""

from __future__ import annotations

from dataclasses import dataclass

from understudy.contracts import Context
from understudy.models import MODELS, ModelSettings
from understudy.nn.autoencoder import AutoencoderSettings
from understudy.nn.wiring import DfNetwork


@MODELS.register("df")
@dataclass(frozen=True, kw_only=True)
class Df(AutoencoderSettings, ModelSettings):
    """Shared encoder and bottleneck, two decoders: keeps the source's face shape."""

    resolution: int = 96
    """Side of the square face crop that goes in, pixels: a multiple of 16, of 32 with d or t."""
    ae_dims: int = 128
    """Width of the bottleneck."""
    d_mask_dims: int = 16
    """Channels of the masks' last layer, halved."""

    def build(self, context: Context) -> DfNetwork:
        """Make the network, freshly initialised, on the context's device."""
        return DfNetwork(self).to(context.device)

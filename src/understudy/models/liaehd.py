"""LIAEHD: LIAE with more layers for the same widths, residual blocks and shortcuts.

The ablation of Petrov et al. (arXiv 2005.05535) rates a heavier "LIAEHD" best of all. The paper says in words
what is heavier, more layers that extract features, more residual blocks, more shortcuts, and gives no layer
list. **This is our reading of it**, and no weights of DeepFaceLab's fit it:

* encoder: behind every halving a residual block (LIAE has none): two more 3 x 3 convolutions a level;
* decoder: behind every doubling of the face two residual blocks (LIAE has one);
* past every halving and every doubling of the face a shortcut: the input, averaged 2 x 2 or every pixel
  repeated, fitted to the channels by a 1 x 1 convolution, is added before the activation (He et al. 2016,
  "Deep residual learning", section 3.3, option B).

No shortcut leads from the encoder to the decoder: it would carry the target's identity past the bottleneck.
Who is who works as in LIAE: inter_AB sees both persons, inter_B the target only, the swap doubles inter_AB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from understudy.contracts import Context
from understudy.models import MODELS, ModelSettings
from understudy.nn.autoencoder import AutoencoderSettings
from understudy.nn.wiring import LiaeNetwork


@MODELS.register("liaehd")
@dataclass(frozen=True, kw_only=True)
class LiaeHd(AutoencoderSettings, ModelSettings):
    """LIAE with more layers, residual blocks and shortcuts (our reading of the paper's ablation)."""

    heavy: ClassVar[bool] = True

    resolution: int = 128
    """Side of the square face crop that goes in, pixels: a multiple of 16, of 32 with d or t."""

    def build(self, context: Context) -> LiaeNetwork:
        """Make the network, freshly initialised, on the context's device."""
        return LiaeNetwork(self).to(context.device)

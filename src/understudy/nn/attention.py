"""Self-attention over the places of a picture: every part of a face may look at every other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Adds to every place a mixture of all places.

    Zhang et al. 2019, "Self-attention generative adversarial networks", section 3: queries and keys have an
    eighth of the channels, the products are not scaled, and a learnt scalar says how much of the mixture is
    added (equation 3). That scalar begins at 0 there, which keeps queries, keys and values from learning in
    the first step; here it begins at a tenth.

    Args:
        channels: of the picture.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query = nn.Conv2d(channels, inner, 1)
        # a bias of the keys adds the same to every product of a query: the softmax does not see it
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1)
        self.amount = nn.Parameter(torch.full((1,), 0.1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Same size and channels."""
        query, key, value = (
            layer(x).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)  # b (h w) c
        return x + self.amount * mixed.transpose(1, 2).unflatten(2, x.shape[2:])

"""A small network that draws a face larger, learned from the source's own faces.

Residual blocks without normalisation as in EDSR (Lim et al. 2017, "Enhanced deep residual networks for
single image super-resolution", section 3.1), all of them at the small size, and one sub-pixel convolution to
the large one (Shi et al. 2016, "Real-time single image and video super-resolution using an efficient
sub-pixel convolutional neural network", section 3). What the network adds goes on top of the cubic
interpolation (Kim et al. 2016, "Accurate image super-resolution using very deep convolutional networks",
section 3.1), so that it begins as that and has only the rest to learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from understudy.contracts import Context
from understudy.enhancers import ENHANCERS, Enhancer
from understudy.errors import ConfigError
from understudy.training.enhancer import TrainableEnhancer, TrainedEnhancer


@ENHANCERS.register("superres")
@dataclass(frozen=True, kw_only=True)
class SuperResolution(TrainableEnhancer, Enhancer):
    """A small network (126,000 weights) that draws a face four times as large; train your own."""

    amount: float = 1.0
    """How much of what the network adds to the interpolated face is taken, 0 to 1."""
    width: int = 32
    """Channels."""
    depth: int = 6
    """Residual blocks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.amount <= 1.0:
            raise ConfigError(f"amount: wanted 0 to 1, got {self.amount:g}")
        if self.width < 1 or self.depth < 1:
            raise ConfigError(f"width and depth: wanted 1 or more, got {self.width} and {self.depth}")

    def network(self) -> SuperResolutionNetwork:
        """A new network, which interpolates until it has learned something."""
        return SuperResolutionNetwork(self.width, self.depth, self.factor)

    def build(self, context: Context) -> TrainedEnhancer:
        """Load the network from its file, or the one that comes with the package."""
        return self.load(context, self.amount)


class SuperResolutionNetwork(nn.Module):
    """RGB in [0, 1] to RGB of ``factor`` times the size, not clipped.

    Args:
        width: channels.
        depth: residual blocks.
        factor: 2 or 4.
    """

    def __init__(self, width: int, depth: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.ModuleList(ResidualBlock(width) for _ in range(depth))
        self.tail = nn.Conv2d(width, width, 3, padding=1)
        self.up = nn.Conv2d(width, 3 * factor**2, 3, padding=1)
        nn.init.zeros_(self.up.weight)
        assert self.up.bias is not None
        nn.init.zeros_(self.up.bias)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        """Enlarge."""
        first = self.head(pictures - 0.5)
        features = first
        for block in self.body:
            features = block(features)
        added = F.pixel_shuffle(self.up(torch.relu(first + self.tail(features))), self.factor)
        return enlarged(pictures, self.factor) + added


class ResidualBlock(nn.Module):
    """Two convolutions, whose result is added to what came in; nothing after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Same shape."""
        return x + self.second(torch.relu(self.first(x)))


def enlarged(pictures: Float[Tensor, "b c h w"], factor: int) -> Float[Tensor, "b c h2 w2"]:
    """Cubic interpolation (Keys 1981, a = -1/2)."""
    size = [side * factor for side in pictures.shape[-2:]]
    return F.interpolate(pictures.float(), size, mode="bicubic", antialias=True)

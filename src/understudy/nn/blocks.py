"""Building blocks of the autoencoders: halve, double, refine, normalise.

Named as the face-swapping literature names them (DeepFaceLab paper, arXiv 2005.05535, figure 4). Activations
are leaky ReLU with slope 0.1 on the way down and up and 0.2 inside a residual block.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Downscale(nn.Module):
    """Halves the picture: 5 x 5 convolution with stride 2.

    Args:
        normalized: put a group normalisation between convolution and activation; learns faster in few steps.
    """

    def __init__(self, inputs: int, outputs: int, *, normalized: bool = False) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 5, stride=2, padding=2)
        self.norm = nn.GroupNorm(groups_of(outputs), outputs) if normalized else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Half the size, ``outputs`` channels."""
        return F.leaky_relu(self.norm(self.convolution(x)), 0.1)


class Upscale(nn.Module):
    """Doubles the picture: 3 x 3 convolution to four times the channels, which become 2 x 2 pixels.

    Shi et al. 2016, "Real-time single image and video super-resolution using an efficient sub-pixel CNN".
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 4 * outputs, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Twice the size, ``outputs`` channels."""
        return F.pixel_shuffle(F.leaky_relu(self.convolution(x), 0.1), 2)


class Residual(nn.Module):
    """Two 3 x 3 convolutions whose result is added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Same size and channels."""
        return F.leaky_relu(x + self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)


class PixelNorm(nn.Module):
    """Scales each vector to a mean square of one.

    Karras et al. 2018, "Progressive growing of GANs", section 4.2; here over the whole flat code.
    """

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Same shape."""
        wide = x.float()  # squares of thousands of values do not add up well in half precision
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def groups_of(channels: int) -> int:
    """Number of groups for a group normalisation: the most, up to 8, that divide the channels evenly."""
    return next(groups for groups in range(min(8, channels), 0, -1) if channels % groups == 0)

"""Building blocks of the autoencoders: halve, double, refine, normalise.

Named as the face-swapping literature names them (DeepFaceLab paper, arXiv 2005.05535, figures 4 and 5).
Activations are leaky ReLU with slope 0.1 on the way down and up and 0.2 inside a residual block, or x·cos(x)
in their place.

What an activation reads is overwritten where nobody else needs it, and a picture is doubled before it is
activated, which gives the same numbers: training remembers one picture for each doubling and two for each
residual block instead of two and four.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Activation = Callable[[Tensor, float], Tensor]
"""Picture and slope to picture; may overwrite what it is given."""


def rectify(x: Float[Tensor, "b c h w"], slope: float) -> Float[Tensor, "b c h w"]:
    """Leaky ReLU, in place."""
    return F.leaky_relu(x, slope, inplace=True)


def x_cos_x(x: Float[Tensor, "b c h w"], slope: float) -> Float[Tensor, "b c h w"]:
    """x·cos(x), DeepFaceLab's option c: the identity near zero, a growing wave further out."""
    return x * torch.cos(x)


class Downscale(nn.Module):
    """Halves the picture: 5 x 5 convolution with stride 2.

    Args:
        normalized: put a group normalisation between convolution and activation; learns faster in few steps.
        activate: what follows.
        shortcut: add the averaged input, fitted by a 1 x 1 convolution to the channels, before activation.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        normalized: bool = False,
        activate: Activation = rectify,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 5, stride=2, padding=2)
        self.norm = nn.GroupNorm(groups_of(outputs), outputs) if normalized else nn.Identity()
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if shortcut else None
        self.activate = activate

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Half the size, ``outputs`` channels."""
        halved = self.norm(self.convolution(x))
        if self.shortcut is not None:
            halved = halved + self.shortcut(F.avg_pool2d(x, 2, ceil_mode=True))
        return self.activate(halved, 0.1)


class Upscale(nn.Module):
    """Doubles the picture: 3 x 3 convolution to four times the channels, which become 2 x 2 pixels.

    Shi et al. 2016, "Real-time single image and video super-resolution using an efficient sub-pixel CNN".

    Args:
        activate: what follows.
        shortcut: add the input, fitted to the channels by a 1 x 1 convolution and every pixel of it repeated,
            before the activation.
    """

    def __init__(
        self, inputs: int, outputs: int, *, activate: Activation = rectify, shortcut: bool = False
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 4 * outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if shortcut else None
        self.activate = activate

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Twice the size, ``outputs`` channels."""
        doubled = shuffle_pixels(self.convolution(x))
        if self.shortcut is not None:
            doubled = doubled + F.interpolate(self.shortcut(x), scale_factor=2.0, mode="nearest")
        return self.activate(doubled, 0.1)


def shuffle_pixels(x: Float[Tensor, "b c4 h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Pixel shuffle by two that keeps channels last where they are last.

    On a GPU torch's own gives the channels back as planes, and every layer that follows would put them last
    again.
    """
    if x.is_cuda and x.is_contiguous(memory_format=torch.channels_last):
        return shuffle_channels_last(x)
    return F.pixel_shuffle(x, 2)


def shuffle_channels_last(x: Float[Tensor, "b c4 h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Pixel shuffle by two as one copy, from and to channels that are last in memory."""
    faces, channels, height, width = x.shape
    parts = x.permute(0, 2, 3, 1).reshape(faces, height, width, channels // 4, 2, 2)
    rows = parts.permute(0, 1, 4, 2, 5, 3)  # b h (row) w (column) c
    return rows.reshape(faces, 2 * height, 2 * width, channels // 4).permute(0, 3, 1, 2)


class Residual(nn.Module):
    """Two 3 x 3 convolutions whose result is added to what came in.

    Args:
        activate: what follows each of them.
    """

    def __init__(self, channels: int, *, activate: Activation = rectify) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.activate = activate

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Same size and channels."""
        return self.activate(x + self.second(self.activate(self.first(x), 0.2)), 0.2)


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

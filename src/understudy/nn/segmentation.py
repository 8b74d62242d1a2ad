"""Building blocks of the mask networks: filter response normalisation, its activation, shift-proof halving.

Tensors are named as in the models that people trained with other tools (``conv``, ``frn``, ``tlu``), so that
their weights map by name.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class FilterResponseNorm(nn.Module):
    """Divides each channel by its root mean square over the picture, then scales and shifts it.

    Singh and Krishnan 2020, "Filter response normalization layer: eliminating batch dependence in the
    training of deep neural networks", equations 1 to 3, with the learned epsilon of section 3.1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = nn.Parameter(torch.full((1,), 1e-6))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Same shape."""
        wide = x.float()  # squares do not add up well in half precision
        power = wide.square().mean((2, 3), keepdim=True)
        scale = self.weight[:, None, None] * torch.rsqrt(power + self.eps.abs())
        return torch.addcmul(self.bias[:, None, None], wide, scale).to(x.dtype)


class ThresholdedUnit(nn.Module):
    """The larger of the value and a learned threshold of its channel.

    Singh and Krishnan 2020, equation 4: what follows ``FilterResponseNorm``, which does not centre.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Same shape."""
        return torch.maximum(x, self.tau[:, None, None].to(x.dtype))


class BlurPool(nn.Module):
    """Halves the picture through a binomial filter, so that a shift of one pixel changes little.

    Zhang 2019, "Making convolutional networks shift-invariant again", section 3.2. Beyond the picture
    everything is 0.

    Args:
        taps: length of the filter; 2 is the mean of two, 3 is (1, 2, 1), 4 is (1, 3, 3, 1).
    """

    def __init__(self, taps: int) -> None:
        super().__init__()
        line = np.array([math.comb(taps - 1, k) for k in range(taps)], np.float32)
        kernel = torch.from_numpy(np.outer(line, line) / line.sum() ** 2)
        self.register_buffer("kernel", kernel[None, None], persistent=False)
        before = (taps - 1) // 2
        self.padding = (before, taps - 1 - before) * 2

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Half the size."""
        channels = x.shape[1]
        kernel = self.get_buffer("kernel").to(x.dtype).expand(channels, -1, -1, -1)
        return F.conv2d(F.pad(x, self.padding), kernel, stride=2, groups=channels)


class ConvBlock(nn.Module):
    """3 x 3 convolution, normalised."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.frn = FilterResponseNorm(outputs)
        self.tlu = ThresholdedUnit(outputs)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Same size, ``outputs`` channels."""
        return self.tlu(self.frn(self.conv(x)))


class Doubling(nn.Module):
    """Twice the picture: transposed 3 x 3 convolution with stride 2.

    Pixel (2i, 2j) of the output has pixel (i, j) of the input under the kernel's corner, as where padding is
    "same" in TensorFlow; torch's own ``output_padding`` would shift it by one.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, 3, stride=2)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Twice the size, ``outputs`` channels."""
        return self.conv(x)[..., : 2 * x.shape[-2], : 2 * x.shape[-1]]


class UpConvBlock(Doubling):
    """``Doubling``, normalised."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.frn = FilterResponseNorm(outputs)
        self.tlu = ThresholdedUnit(outputs)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Twice the size, ``outputs`` channels."""
        return self.tlu(self.frn(super().forward(x)))

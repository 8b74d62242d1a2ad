"""How weights start. Everything draws from torch's global generator: seed it before."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

InitName = Literal["glorot", "aware"]
"""What ``init_weights`` knows."""


def init_weights(module: nn.Module, how: InitName) -> None:
    """Starts every convolution and dense layer in ``module`` in the named way."""
    if how == "aware":
        init_convolution_aware(module)
    else:
        init_glorot(module)


def init_glorot(module: nn.Module) -> None:
    """Uniform Glorot weights and zero biases for every convolution and dense layer in ``module``.

    Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks",
    equation 16. Draws from torch's global generator: seed it before.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def init_convolution_aware(module: nn.Module) -> None:
    """Kernels that are orthogonal in Fourier space, for every convolution in ``module``; zero biases.

    Aghajanyan 2017, "Convolution aware initialization" (arXiv 1702.06295): the kernels with which one filter
    looks at its input channels shall not repeat each other, so their spectra are taken from random
    orthonormal bases, as many bases as the channels need, and scaled to the variance of He et al. 2015,
    "Delving deep into rectifiers", equation 10: 2 / (channels in · kernel pixels).

    Where we differ. The known implementations (Keras, DeepFaceLab) draw half spectra as *real* numbers. Those
    belong to point-symmetric kernels only, which have fewer numbers than half spectra, so the orthogonality
    is lost on the way back, and noise has to break the symmetry. We take bases of all spectra that real
    kernels can have. The Fourier transform keeps angles (Parseval), so such a basis is a random orthonormal
    basis of the kernels themselves: drawn there, it is exactly orthogonal with neither transform nor noise.

    Dense layers and 1 x 1 kernels, which have no spectrum to speak of, start as in ``init_glorot``.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight[0, 0].numel() > 1:
            with torch.no_grad():
                layer.weight.copy_(orthogonal_kernels(layer.weight))
        elif isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def orthogonal_kernels(like: Tensor) -> Tensor:
    """Random kernels in the shape of ``like`` (filters, channels, rows, columns), in its type and place.

    Within a filter, each run of as many channels as a kernel has pixels is an orthogonal basis. Bases are
    uniform over all there are (Mezzadri 2007, "How to generate random matrices from the classical compact
    groups", section 5).
    """
    filters, channels, *_ = like.shape
    pixels = like[0, 0].numel()
    held = min(channels, pixels)  # vectors that are needed of a basis
    bases = -(-channels // pixels)
    drawn = torch.randn(filters * bases, pixels, held, device=like.device)
    columns, triangle = torch.linalg.qr(drawn)
    columns = columns * triangle.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    kernels = columns.mT.reshape(filters, bases * held, pixels)[:, :channels]
    # every kernel has norm 1, thus a mean square of 1 / pixels
    return (kernels * math.sqrt(2.0 / channels)).reshape(like.shape).to(like.dtype)

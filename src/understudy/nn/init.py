"""How weights start."""

from __future__ import annotations

from torch import nn


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

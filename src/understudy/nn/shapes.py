"""What a network gives, found by showing it an empty picture."""

from __future__ import annotations

import torch
from torch import nn

from understudy.learning import SwapModel


def code_shape(model: SwapModel) -> tuple[int, int, int]:
    """Channels, height and width of the codes that a swap model gives its decoders.

    The model is shown two black faces in evaluation mode; torch's generators stay where they were.
    """
    assert isinstance(model, nn.Module), "a swap model is an nn.Module"
    parameter = next(model.parameters())
    black = torch.zeros(1, 3, model.resolution, model.resolution, device=parameter.device)
    training = model.training
    model.eval()
    try:
        with torch.random.fork_rng(enabled=parameter.device.type == "cpu"), torch.no_grad():
            code = model.reconstruct(black, black).codes[0]
    finally:
        model.train(training)
    return int(code.shape[1]), int(code.shape[2]), int(code.shape[3])

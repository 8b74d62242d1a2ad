"""What a swap model gives, found by showing it two black faces."""

from __future__ import annotations

import torch
from torch import nn

from understudy.learning import Reconstruction, SwapModel


def latent_width(model: SwapModel) -> int:
    """How many numbers there are in a model's bottleneck; 0 where it has none."""
    latents = _shown(model).latents
    return 0 if latents is None else int(latents[0].shape[1])


def _shown(model: SwapModel) -> Reconstruction:
    """What the model makes of black faces, in evaluation mode; torch's generators stay where they were."""
    assert isinstance(model, nn.Module), "a swap model is an nn.Module"
    device = next(model.parameters()).device
    black = torch.zeros(1, 3, model.resolution, model.resolution, device=device)
    training = model.training
    model.eval()
    try:
        with torch.random.fork_rng(enabled=device.type == "cpu"), torch.no_grad():
            return model.reconstruct(black, black)
    finally:
        model.train(training)

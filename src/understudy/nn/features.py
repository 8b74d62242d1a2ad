"""Features of pictures, and how far apart two pictures are in them.

Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", equation 1,
with all learned weights equal to one: features of several layers, scaled to unit length at every place,
squared difference summed over channels and averaged over places. Which network gives the features is the
caller's choice: ``FeatureNetwork`` is ours, ``nn.vgg`` the published one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from understudy.errors import WeightsError

ASSET = "features.safetensors"
"""Our trained network among the assets of the package."""
WIDTHS = (32, 64, 128, 256)
"""Channels of our network's stages."""
_EPSILON = 1e-8
"""Added to a squared length: a place without features has no direction."""


@runtime_checkable
class Features(Protocol):
    """What gives features, and stays as it is while others learn from it."""

    def __call__(self, pictures: Tensor) -> list[Tensor]:
        """Features of RGB pictures (B, 3, S, S) in [0, 1], (B, C, H, W) each, from fine to coarse."""
        ...


class FeatureNetwork(nn.Module):
    """Four stages of two 3 x 3 convolutions each, 1.2 million parameters.

    As VGG (Simonyan and Zisserman 2015), narrow, and halving by means instead of maxima, so that a shift of
    the picture moves the features smoothly.

    Args:
        widths: channels of the stages.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        inputs = [3, *widths[:-1]]
        self.stages = nn.ModuleList(_stage(i, o) for i, o in zip(inputs, widths, strict=True))

    def forward(self, pictures: Float[Tensor, "b 3 s s"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Features after each stage: the whole size, a half, a quarter, an eighth."""
        x = 4 * pictures - 2  # mid-grey at zero, a spread of about one
        out: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            x = stage(F.avg_pool2d(x, 2) if index else x)
            out.append(x)
        return out


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    first, second = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
    for layer in (first, second):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())


def read_features(data: bytes) -> FeatureNetwork:
    """Our network with stored weights, frozen.

    Args:
        data: content of a safetensors file with its ``state_dict``; half precision becomes single.

    Raises:
        WeightsError: it is of another kind or network.
    """
    try:
        state = load(data)
    except SafetensorError as error:
        raise WeightsError(f"these are no weights of our feature network: {error}") from error
    return from_state(state)


def from_state(state: Mapping[str, Tensor]) -> FeatureNetwork:
    """Our network with weights by name, frozen.

    Raises:
        WeightsError: one is missing or of another shape.
    """
    network = FeatureNetwork()
    fill(network, state, "our feature network")
    return network


def own_features() -> FeatureNetwork | None:
    """Our trained network, from the assets of the package; None where they have none."""
    file = resources.files("understudy") / "assets" / ASSET
    return read_features(file.read_bytes()) if file.is_file() else None


def fill(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Give a network stored weights, and freeze it.

    Args:
        network: every one of its parameters must be there, in its shape.
        state: by name; entries beyond the network's are for others.
        what: the network, for the message.

    Raises:
        WeightsError: a weight is missing or of another shape.
    """
    for name, parameter in network.named_parameters():
        came = state.get(name)
        if came is None or came.shape != parameter.shape:
            found = "nothing" if came is None else f"{tuple(came.shape)}"
            wanted = f"{name} of shape {tuple(parameter.shape)}"
            raise WeightsError(f"these are no weights of {what}: wanted {wanted}, got {found}")
        parameter.data.copy_(came)
    network.requires_grad_(False).eval()


def feature_distance(
    features: Sequence[Float[Tensor, "b _ _ _"]], others: Sequence[Float[Tensor, "b _ _ _"]]
) -> Float[Tensor, " b"]:
    """How far apart two batches of pictures are, for each pair, equation 1 of Zhang et al.

    Args:
        features: of some pictures, layer by layer.
        others: of what they are compared with.

    Returns:
        Sum over the layers, each in [0, 4]; 0 for equal features.
    """
    layers = [
        (unit_length(a) - unit_length(b)).square().sum(1).mean((1, 2))
        for a, b in zip(features, others, strict=True)
    ]
    return torch.stack(layers).sum(0)


def unit_length(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Every place's channels at length one, in single precision."""
    wide = x.float()
    return wide * torch.rsqrt(wide.square().sum(1, keepdim=True) + _EPSILON)

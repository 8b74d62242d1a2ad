"""How alike two pictures look to a trained network: the LPIPS form.

Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric", equation 1 with
all learned weights equal to one: features of several layers, scaled to unit length at every place, squared
difference summed over channels and averaged over places, summed over layers. 0 for equal pictures; no unit.

A figure depends on the network, so it carries the network's name: ``perceptual/vgg19`` with weights that the
user has, ``perceptual/performers`` with our small network that was trained on performers. Neither is the
published LPIPS, which has learned weights; figures of different names must not be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from understudy.nn.feature_files import read_network
from understudy.nn.features import Features, own_features, unit_length


@dataclass(frozen=True, eq=False)
class PerceptualDistance:
    """The distance in the features of one network."""

    network: Features
    """What gives the features, frozen."""
    name: str
    """Under which figures are reported: ``perceptual/vgg19``, ``perceptual/performers``."""

    @torch.inference_mode()
    def __call__(
        self,
        picture: Float[Tensor, "b 3 h w"],
        truth: Float[Tensor, "b 3 h w"],
        mask: Float[Tensor, "b 1 h w"] | None = None,
    ) -> Float[Tensor, " b"]:
        """Distance of each pair, float64, 0 or more; NaN where the mask is empty.

        Args:
            picture: what is judged, RGB in [0, 1].
            truth: what it should be.
            mask: weight of every place, in [0, 1], averaged down to each layer's size; None for all alike.
        """
        layers = [
            _layer_distance(first, second, mask)
            for first, second in zip(self.network(picture.float()), self.network(truth.float()), strict=True)
        ]
        return torch.stack(layers).sum(0)


def perceptual_distance(path: Path | None = None) -> PerceptualDistance | None:
    """The distance with a user's network, or else with ours.

    Args:
        path: VGG19 in torchvision's naming, or our feature network; .safetensors or .pth.

    Returns:
        None where no path is given and the package came without a network.

    Raises:
        WeightsError: the file is neither.
    """
    if path is None:
        own = own_features()
        return None if own is None else PerceptualDistance(own, "perceptual/performers")
    network, name = read_network(path)
    return PerceptualDistance(network, f"perceptual/{name}")


def _layer_distance(first: Tensor, second: Tensor, mask: Tensor | None) -> Tensor:
    places = (unit_length(first) - unit_length(second)).square().sum(1, keepdim=True).double()
    if mask is None:
        return places.mean((1, 2, 3))
    weights = F.interpolate(mask.float(), places.shape[-2:], mode="area").double()
    return (places * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3))

"""Distance between the features that a network sees in picture and truth.

Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric" (LPIPS),
equation 1 without learned weights; see ``nn.features``. The network is VGG19 from a file of the user's, or
else what the pipeline gives, or else the small one that we train on performers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.learning import PictureTerm
from understudy.losses import LOSSES, PictureLoss
from understudy.nn.feature_files import read_network
from understudy.nn.features import Features, feature_distance, own_features


@LOSSES.register("perceptual")
@dataclass(frozen=True, kw_only=True)
class Perceptual(PictureLoss):
    """Distance in the features of a trained network: texture and form as people see them."""

    network: Path | None = None
    """VGG19 weights in torchvision's naming, .safetensors or .pth, or what understudy features wrote; none:
    the small network that comes with the package."""
    layers: int = 5
    """How many layers to compare, from the finest; more than the network has means all."""

    def __post_init__(self) -> None:
        if not 1 <= self.layers <= 5:
            raise ConfigError(f"layers: perceptual wants 1 to 5, got {self.layers}")

    def build(self, context: Context) -> PictureTerm:
        """Load the network onto the context's device.

        Raises:
            ConfigError: there is no network.
            WeightsError: the file is not what it should be.
        """
        network = self._network(context.given.get("features"))
        if isinstance(network, nn.Module):
            network = network.to(context.device)
        return PerceptualTerm(network, self.layers)

    def _network(self, given: Features | None) -> Features:
        if self.network is not None:
            return read_network(self.network, self.layers)[0]
        network = own_features() if given is None else given
        if network is None:
            raise ConfigError(
                "losses.perceptual wants a network that sees features, and none comes with this copy of the "
                "package; give VGG19 weights in torchvision's naming (.safetensors or .pth) with "
                "--losses.perceptual.network FILE, or leave this loss out with --losses.perceptual off"
            )
        return network


class PerceptualTerm:
    """Perceptual distance, with its network.

    Args:
        network: frozen, on the pictures' device.
        layers: how many of its layers to compare.
    """

    def __init__(self, network: Features, layers: int) -> None:
        self.network = network
        self.layers = layers

    def __call__(
        self, prediction: Float[Tensor, "b 3 s s"], truth: Float[Tensor, "b 3 s s"]
    ) -> Float[Tensor, ""]:
        """Mean over pictures of the sum over layers."""
        with torch.autocast(truth.device.type, enabled=False):
            with torch.no_grad():
                wanted = self.network(truth.float())[: self.layers]
            return feature_distance(self.network(prediction.float())[: self.layers], wanted).mean()

"""VGG19 up to its last convolution, with the published weights that a user has.

Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", table 1,
configuration E. Weights are named as torchvision names them (``features.0.weight`` … ``features.34.bias``);
the classifier behind them is not needed. No weights come with this package: they were trained on pictures of
ImageNet, whose terms a user may accept for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from understudy.nn.features import fill

_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and convolutions of each stage; a maximum of 2 x 2 stands between stages."""
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures: the network was trained with pictures normalised by them."""


class Vgg19(nn.Module):
    """The convolutions of VGG19; see ``nn.features.Features``.

    Args:
        stages: how many of the five stages to keep.
    """

    def __init__(self, stages: int = len(_STAGES)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        self.ends: list[int] = []
        for width, count in _STAGES[:stages]:
            if layers:
                layers.append(nn.MaxPool2d(2))
            for _ in range(count):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
            self.ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Float[Tensor, "b 3 s s"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Features at the end of each stage, after its last ReLU: relu1_2, relu2_2, relu3_4 and so on."""
        x = (pictures - self.get_buffer("mean")) / self.get_buffer("deviation")
        out: list[Tensor] = []
        begin = 0
        for end in self.ends:
            x = self.features[begin:end](x)
            out.append(x)
            begin = end
        return out


def read_vgg19(state: Mapping[str, Tensor], stages: int = len(_STAGES)) -> Vgg19:
    """VGG19 with stored weights, frozen.

    Args:
        state: tensors by torchvision's names.
        stages: how many of the five stages to keep.

    Raises:
        WeightsError: a weight is missing or of another shape.
    """
    network = Vgg19(stages)
    fill(network, state, "VGG19 in torchvision's naming")
    return network

"""TernausNet: a U-Net whose way down is VGG11, so that it can start from what that saw in ImageNet.

Iglovikov and Shvets 2018, "TernausNet: U-Net with VGG11 encoder pre-trained on ImageNet for image
segmentation" (arXiv 1801.05746), figure 1; the DeepFaceLab paper (arXiv 2005.05535, section 3.1) takes its
masks from it. As in that program, pictures are halved through a filter (``BlurPool``) where VGG takes maxima.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]  # its PathLike is bare
from torch import Tensor, nn

from understudy.errors import WeightsError
from understudy.nn.init import init_glorot
from understudy.nn.segmentation import BlurPool, Doubling
from understudy.segmenters import SEGMENTERS, SegmenterSettings
from understudy.training.segmenter import TrainableSegmenter

_VGG_PLACES = (0, 3, 6, 8, 11, 13, 16, 18)
"""Places of VGG11's convolutions in torchvision's ``features``."""
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's colours, in which VGG11 expects its pictures."""

_Refused = torch.serialization.pickle.UnpicklingError  # pyright: ignore  # what torch.load raises and never exports


@SEGMENTERS.register("ternausnet")
@dataclass(frozen=True, kw_only=True)
class Ternausnet(TrainableSegmenter, SegmenterSettings):
    """U-Net on VGG11 (23.0 M weights), trained by the user."""

    base: int = 64
    """Channels of the first layer; 64 is VGG11."""
    vgg11: Path | None = None
    """A state dict of torchvision's vgg11 (.pth or .safetensors) from which a new network starts."""

    @property
    def step(self) -> int:
        """Five halvings."""
        return 32

    def network(self) -> TernausnetNetwork:
        """A new network; its way down is VGG11's when a file of that was given.

        Raises:
            WeightsError: the file cannot be read, or is not of VGG11.
        """
        network = TernausnetNetwork(self)
        if self.vgg11 is not None:
            network.start_from(self.vgg11)
        return network


class TernausnetNetwork(nn.Module):
    """Picture to logits."""

    mean: Tensor
    spread: Tensor

    def __init__(self, settings: Ternausnet) -> None:
        super().__init__()
        b = settings.base
        self.conv1 = _conv(3, b)
        self.conv2 = _conv(b, 2 * b)
        self.conv3s, self.conv3 = _conv(2 * b, 4 * b), _conv(4 * b, 4 * b)
        self.conv4s, self.conv4 = _conv(4 * b, 8 * b), _conv(8 * b, 8 * b)
        self.conv5s, self.conv5 = _conv(8 * b, 8 * b), _conv(8 * b, 8 * b)
        self.pool = BlurPool(3)
        self.center = _conv(8 * b, 8 * b)
        self.up5, self.dec5 = Doubling(8 * b, 4 * b), _conv(12 * b, 8 * b)
        self.up4, self.dec4 = Doubling(8 * b, 4 * b), _conv(12 * b, 8 * b)
        self.up3, self.dec3 = Doubling(8 * b, 2 * b), _conv(6 * b, 4 * b)
        self.up2, self.dec2 = Doubling(4 * b, b), _conv(3 * b, 2 * b)
        self.up1, self.dec1 = Doubling(2 * b, b // 2), _conv(b + b // 2, b)
        self.out_conv = _conv(b, 1)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(_SPREAD)[:, None, None], persistent=False)
        init_glorot(self)

    def forward(self, x: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b 1 r r"]:
        """Logits of the face."""
        x0 = F.relu(self.conv1((x - self.mean) / self.spread))
        x1 = F.relu(self.conv2(self.pool(x0)))
        x2 = F.relu(self.conv3(F.relu(self.conv3s(self.pool(x1)))))
        x3 = F.relu(self.conv4(F.relu(self.conv4s(self.pool(x2)))))
        x4 = F.relu(self.conv5(F.relu(self.conv5s(self.pool(x3)))))
        x = F.relu(self.center(self.pool(x4)))
        x = F.relu(self.dec5(torch.cat([F.relu(self.up5(x)), x4], 1)))
        x = F.relu(self.dec4(torch.cat([F.relu(self.up4(x)), x3], 1)))
        x = F.relu(self.dec3(torch.cat([F.relu(self.up3(x)), x2], 1)))
        x = F.relu(self.dec2(torch.cat([F.relu(self.up2(x)), x1], 1)))
        x = F.relu(self.dec1(torch.cat([F.relu(self.up1(x)), x0], 1)))
        return self.out_conv(x)

    def start_from(self, file: Path) -> None:
        """Take VGG11's convolutions over.

        Raises:
            WeightsError: the file cannot be read, or is not of VGG11.
        """
        known = _read_state(file)
        mine = (self.conv1, self.conv2, self.conv3s, self.conv3)
        mine += (self.conv4s, self.conv4, self.conv5s, self.conv5)
        for place, layer in zip(_VGG_PLACES, mine, strict=True):
            for kind, wanted in (("weight", layer.weight), ("bias", layer.bias)):
                name = f"features.{place}.{kind}"
                came = known.get(name)
                shape = tuple(came.shape) if isinstance(came, Tensor) else None
                if not isinstance(came, Tensor) or wanted is None or shape != tuple(wanted.shape):
                    raise WeightsError(
                        f"{file}: wanted torchvision's vgg11 with {name} of shape "
                        f"{tuple(wanted.shape) if wanted is not None else ()}, got {shape or 'none'}"
                    )
                wanted.data.copy_(came)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _read_state(file: Path) -> dict[str, Any]:
    """Named tensors of a user's file; a .pth is read without running anything that it holds."""
    try:
        if file.suffix == ".safetensors":
            return cast("dict[str, Any]", load_file(file))
        state: object = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError, _Refused) as error:
        raise WeightsError(f"{file}: weights of vgg11 cannot be read ({error})") from error
    if not isinstance(state, dict):
        raise WeightsError(f"{file}: wanted a state dict of torchvision's vgg11, got {type(state).__name__}")
    return cast("dict[str, Any]", state)

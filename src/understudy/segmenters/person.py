"""Which pixels belong to a person: MediaPipe's selfie segmentation.

A MobileNetV3-like network at 256 pixels, trained on people within two metres of the camera. It tells person
from background, not face from hand: for hair and the contour of the head, not for what lies before a face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from understudy.contracts import Context
from understudy.nn.litert import LiteNetwork
from understudy.segmenters import SEGMENTERS, SegmenterSettings


@SEGMENTERS.register("person")
@dataclass(frozen=True, kw_only=True)
class Person(SegmenterSettings):
    """Person against background (MediaPipe's selfie segmentation)."""

    weights: ClassVar[tuple[str, ...]] = ("selfie_segmentation",)

    def build(self, context: Context) -> PersonSegmenter:
        """Load the network; it runs on the processor."""
        model = context.weights.path("selfie_segmentation").read_bytes()
        return PersonSegmenter(LiteNetwork(model, (256 * 256,)))


class PersonSegmenter:
    """Probability of a person; see ``contracts.Segmenter``. Any thread may call it."""

    def __init__(self, network: LiteNetwork) -> None:
        self.network = network

    def __call__(self, crops: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 1 s s"]:
        """Probability that a pixel shows a person; RGB in [0, 1], no gradient."""
        size = (self.network.height, self.network.width)
        small = F.interpolate(crops.detach().float().cpu(), size, mode="bilinear", antialias=True)
        masks = [self.network(np.ascontiguousarray(picture)) for picture in small.permute(0, 2, 3, 1).numpy()]
        mask = torch.from_numpy(np.stack([outputs[0] for outputs in masks])).permute(0, 3, 1, 2)
        side = (crops.shape[-2], crops.shape[-1])
        return F.interpolate(mask, side, mode="bilinear", antialias=True).clamp(0, 1).to(crops)

"""XSeg: a mask network that a user trains on a few labelled faces, so that it knows what this film has.

A U-Net with a dense bottleneck, as in DeepFaceLab (the paper, arXiv 2005.05535, names it among its
extraction steps and gives no layers; these are those of the program). The bottleneck sees the whole face at
once, so a hand is known by what it belongs to and not by its colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from understudy.nn.init import init_glorot
from understudy.nn.segmentation import BlurPool, ConvBlock, UpConvBlock
from understudy.segmenters import SEGMENTERS, SegmenterSettings
from understudy.training.segmenter import TrainableSegmenter


@SEGMENTERS.register("xseg")
@dataclass(frozen=True, kw_only=True)
class Xseg(TrainableSegmenter, SegmenterSettings):
    """U-Net with a dense bottleneck (17.6 M weights at 256 pixels), trained by the user."""

    base: int = 32
    """Channels of the first layer; the deepest have eight times as many."""
    code: int = 512
    """Width of the bottleneck."""

    @property
    def step(self) -> int:
        """Six halvings."""
        return 64

    def network(self) -> XsegNetwork:
        """A new network."""
        return XsegNetwork(self)


class XsegNetwork(nn.Module):
    """Picture to logits. Levels are numbered from the finest, 0; ``conv`` goes down, ``uconv`` up."""

    def __init__(self, settings: Xseg) -> None:
        super().__init__()
        b = settings.base
        self.conv01, self.conv02, self.bp0 = ConvBlock(3, b), ConvBlock(b, b), BlurPool(4)
        self.conv11, self.conv12, self.bp1 = ConvBlock(b, 2 * b), ConvBlock(2 * b, 2 * b), BlurPool(3)
        self.conv21, self.conv22, self.bp2 = ConvBlock(2 * b, 4 * b), ConvBlock(4 * b, 4 * b), BlurPool(2)
        self.conv31, self.conv32, self.conv33 = ConvBlock(4 * b, 8 * b), *_pair(8 * b)
        self.bp3 = BlurPool(2)
        self.conv41, self.conv42, self.conv43 = ConvBlock(8 * b, 8 * b), *_pair(8 * b)
        self.bp4 = BlurPool(2)
        self.conv51, self.conv52, self.conv53 = ConvBlock(8 * b, 8 * b), *_pair(8 * b)
        self.bp5 = BlurPool(2)
        self.side = settings.resolution // 64
        flat = self.side**2 * 8 * b
        self.dense1, self.dense2 = nn.Linear(flat, settings.code), nn.Linear(settings.code, flat)
        self.up5 = UpConvBlock(8 * b, 4 * b)
        self.uconv53, self.uconv52, self.uconv51 = ConvBlock(12 * b, 8 * b), *_pair(8 * b)
        self.up4 = UpConvBlock(8 * b, 4 * b)
        self.uconv43, self.uconv42, self.uconv41 = ConvBlock(12 * b, 8 * b), *_pair(8 * b)
        self.up3 = UpConvBlock(8 * b, 4 * b)
        self.uconv33, self.uconv32, self.uconv31 = ConvBlock(12 * b, 8 * b), *_pair(8 * b)
        self.up2 = UpConvBlock(8 * b, 4 * b)
        self.uconv22, self.uconv21 = ConvBlock(8 * b, 4 * b), ConvBlock(4 * b, 4 * b)
        self.up1 = UpConvBlock(4 * b, 2 * b)
        self.uconv12, self.uconv11 = ConvBlock(4 * b, 2 * b), ConvBlock(2 * b, 2 * b)
        self.up0 = UpConvBlock(2 * b, b)
        self.uconv02, self.uconv01 = ConvBlock(2 * b, b), ConvBlock(b, b)
        self.out_conv = nn.Conv2d(b, 1, 3, padding=1)
        init_glorot(self)

    def forward(self, x: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b 1 r r"]:
        """Logits of the face."""
        x = x0 = self.conv02(self.conv01(x))
        x = x1 = self.conv12(self.conv11(self.bp0(x)))
        x = x2 = self.conv22(self.conv21(self.bp1(x)))
        x = x3 = self.conv33(self.conv32(self.conv31(self.bp2(x))))
        x = x4 = self.conv43(self.conv42(self.conv41(self.bp3(x))))
        x = x5 = self.conv53(self.conv52(self.conv51(self.bp4(x))))
        x = self.dense2(self.dense1(self.bp5(x).flatten(1))).unflatten(1, (-1, self.side, self.side))
        x = self.uconv51(self.uconv52(self.uconv53(torch.cat([self.up5(x), x5], 1))))
        x = self.uconv41(self.uconv42(self.uconv43(torch.cat([self.up4(x), x4], 1))))
        x = self.uconv31(self.uconv32(self.uconv33(torch.cat([self.up3(x), x3], 1))))
        x = self.uconv21(self.uconv22(torch.cat([self.up2(x), x2], 1)))
        x = self.uconv11(self.uconv12(torch.cat([self.up1(x), x1], 1)))
        x = self.uconv01(self.uconv02(torch.cat([self.up0(x), x0], 1)))
        return self.out_conv(x)


def _pair(channels: int) -> tuple[ConvBlock, ConvBlock]:
    """Two more blocks of a level."""
    return ConvBlock(channels, channels), ConvBlock(channels, channels)

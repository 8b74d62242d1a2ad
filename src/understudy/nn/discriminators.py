"""Networks that tell the made from the true. All of them give logits: positive means true.

How they are set against a model is the business of the losses that use them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from understudy.nn.blocks import groups_of
from understudy.nn.init import init_glorot

_MOST_LAYERS = 9


class CodeDiscriminator(nn.Module):
    """Whose code is it? The latent discriminator of DeepFaceLab's TrueFace.

    Convolutions with stride 2, the first 4 x 4 and the others 3 x 3, one for every eight pixels of the code
    and one more, and a logit for every place that is left (reference implementation of arXiv 2005.05535).

    Args:
        channels: of the code.
        side: of the code, pixels.
        width: channels of the first layer; they double up to eight times that.
    """

    def __init__(self, channels: int, side: int, width: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(1 + side // 8):
            kernel, outputs = 3 if index else 4, width * min(2**index, 8)
            layers += [
                nn.Conv2d(channels, outputs, kernel, stride=2, padding=kernel // 2),
                nn.LeakyReLU(0.1, inplace=True),
            ]
            channels = outputs
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))
        init_glorot(self)

    def forward(self, code: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """Logits."""
        return self.layers(code)


def receptive_field(strides: Iterable[int]) -> int:
    """How many pixels along a side one output of 3 x 3 convolutions with these strides sees."""
    field, step = 1, 1
    for stride in strides:
        field += 2 * step
        step *= stride
    return field


@lru_cache(maxsize=32)
def find_strides(patch: int) -> tuple[int, ...]:
    """The strides of up to nine 3 x 3 convolutions, the first of stride 2, that see about ``patch`` pixels.

    The receptive field nearest to ``patch`` wins, of two equally near ones the smaller; then fewer layers,
    then larger strides, then large strides late.
    """
    candidates = (
        (2, *rest) for count in range(_MOST_LAYERS) for rest in itertools.product((1, 2), repeat=count)
    )

    def rank(strides: tuple[int, ...]) -> tuple[int, int, int, int, tuple[int, ...]]:
        field = receptive_field(strides)
        late = tuple(-stride for stride in reversed(strides))
        return abs(field - patch), field, len(strides), -sum(strides), late

    return min(candidates, key=rank)


class UNetPatchDiscriminator(nn.Module):
    """Is it true, seen as a whole patch, and at this very pixel? DeepFaceLab's patch discriminator.

    A U-Net of 3 x 3 convolutions without normalisation: its bottleneck gives a logit for every patch, its end
    one for every pixel (Schönfeld et al. 2020, "A U-Net based discriminator for generative adversarial
    networks"; layers as in the reference implementation of arXiv 2005.05535). A layer of the way up is cut at
    the right and the bottom to the size of the layer of the way down that it is put beside, as there, and so
    that any size of picture will do.

    Args:
        patch: side of the patches that the bottleneck is to see, pixels; see ``find_strides``.
        width: channels after the first layer; they double with every further one, up to 512.
        channels: of the picture.
        spectral: divide every weight by its largest singular value (Miyato et al. 2018, "Spectral
            normalization for generative adversarial networks"). It is followed by one power iteration each
            time the network is asked while in training mode.
    """

    def __init__(self, patch: int, width: int = 16, channels: int = 3, *, spectral: bool = False) -> None:
        super().__init__()
        self.strides = find_strides(patch)
        levels = [min(width * 2**index, 512) for index in range(len(self.strides) + 1)]
        self.enter = nn.Conv2d(channels, levels[0], 1)
        self.down = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
            for stride, (inputs, outputs) in zip(self.strides, itertools.pairwise(levels), strict=True)
        )
        self.center_logit = nn.Conv2d(levels[-1], 1, 1)
        self.center = nn.Conv2d(levels[-1], levels[-1], 1)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(
                levels[index + 1] * (1 if index == len(self.strides) - 1 else 2),
                levels[index],
                3,
                stride=stride,
                padding=0 if stride == 2 else 1,
            )
            for index, stride in reversed(list(enumerate(self.strides)))
        )
        self.logit = nn.Conv2d(2 * levels[0], 1, 1)
        init_glorot(self)
        for layer in self.up:
            assert isinstance(layer, nn.ConvTranspose2d)
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]  # it has one
        if spectral:
            for layer in list(self.modules()):
                if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                    spectral_norm(layer)

    def forward(
        self, picture: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b 1 h2 w2"], Float[Tensor, "b 1 h w"]]:
        """Logits of patches and of pixels."""
        x = F.leaky_relu(self.enter(picture), 0.2)
        passed: list[Tensor] = []
        for layer in self.down:
            passed.append(x)
            x = F.leaky_relu(layer(x), 0.2)
        patches = self.center_logit(x)
        x = F.leaky_relu(self.center(x), 0.2)
        for layer, beside in zip(self.up, reversed(passed), strict=True):
            x = F.leaky_relu(layer(x)[..., : beside.shape[2], : beside.shape[3]], 0.2)
            x = torch.cat([beside, x], dim=1)
        return patches, self.logit(x)


class PatchDiscriminator(nn.Module):
    """Is the picture true, given another? pix2pix's, which looks at patches of 70 pixels.

    Isola et al. 2017, "Image-to-image translation with conditional adversarial networks", appendix 6.1.2:
    4 x 4 convolutions, three of stride 2 and one of stride 1, and a logit for every place. Group
    normalisation stands where the paper has batch normalisation, so that no picture changes another's logit.

    Args:
        channels: of the picture and its condition together.
        width: channels of the first layer; they double up to eight times that.
    """

    smallest = 24
    """Side in pixels below which nothing is left of a picture."""

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for index, stride in enumerate((2, 2, 1)):
            outputs = width * 2 ** (index + 1)
            layers += [
                nn.Conv2d(outputs // 2, outputs, 4, stride, 1),
                nn.GroupNorm(groups_of(outputs), outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))
        init_glorot(self)

    def forward(
        self, picture: Float[Tensor, "b c h w"], condition: Float[Tensor, "b d h w"]
    ) -> Float[Tensor, "b 1 h2 w2"]:
        """Logits, one for each place of a coarse grid."""
        return self.layers(torch.cat([picture, condition], dim=1))

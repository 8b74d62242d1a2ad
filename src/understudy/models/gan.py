"""faceswap-GAN: self-attention, and a mask by which the drawn face is laid over the picture that went in.

After shaoanlu's faceswap-GAN 2.2, which trains the deepfakes autoencoder against discriminators. A shared
encoder with a dense bottleneck; for each person a decoder that gives a face and a mask α. What counts, in
training and at the swap, is the composition

    output = α · face + (1 - α) · input

so that the network need not draw what is right already, and an obstacle in front of the face can stay. The
mask that this gives to merging is α; used there once more it only makes soft edges a little narrower, and
outside it the picture is the target's own, so that no treatment of the mask can show anything odd.

It is trained by the losses ``l1``, ``edge``, ``eyes_mouth`` and ``conditional_gan``, see recipe ``gan``, and
``perceptual`` where there is a feature network. The original learns α without being told where the face is,
and keeps it from growing and from speckles by two more terms; here ``task.mask_weight`` tells it.

Where we differ: the layers follow from the resolution, five halvings at 128 pixels as there; group
normalisation stands for instance normalisation, whose statistics of 4 x 4 pixels are poor; attention is where
the picture is 16 to 32 pixels wide; colours are in [0, 1], not [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from understudy.contracts import Context, CropMode
from understudy.errors import ConfigError
from understudy.learning import Drawing, Reconstruction
from understudy.models import MODELS, ModelSettings
from understudy.nn.attention import SelfAttention
from understudy.nn.blocks import Downscale, Residual, Upscale
from understudy.nn.init import init_glorot

_ATTENTIVE = range(16, 33)
"""Sides at which places look at each other; the cost grows with the fourth power of the side."""


@MODELS.register("gan")
@dataclass(frozen=True, kw_only=True)
class Gan(ModelSettings):
    """faceswap-GAN: attention, and a learnt mask that composes the result; wants its recipe's losses."""

    resolution: int = 128
    """Side of the square face crop that goes in, pixels."""
    crop: CropMode = "full"
    """How much of the head a crop shows."""
    width: int = 64
    """Channels of the encoder's first layer; they double up to sixteen times that."""
    code: int = 1024
    """Width of the dense bottleneck."""
    attention: bool = True
    """Let far parts of the face see each other."""

    def __post_init__(self) -> None:
        step = 2**self.halvings
        if self.resolution < 32 or self.resolution % step:
            wanted = f"a multiple of {step}" if self.resolution >= 32 else "32 or more"
            raise ConfigError(f"resolution: gan wants {wanted} here, got {self.resolution}")
        if self.width < 2 or self.width % 2:
            raise ConfigError(f"width: gan wants an even number, got {self.width}")

    @property
    def halvings(self) -> int:
        """How often the encoder halves the picture: until 4 to 7 pixels are left."""
        return max(3, self.resolution.bit_length() - 3)

    def build(self, context: Context) -> GanNetwork:
        """Make the network, freshly initialised, on the context's device."""
        return GanNetwork(self).to(context.device)


class Encoder(nn.Module):
    """Face to features that serve both decoders."""

    def __init__(self, settings: Gan) -> None:
        super().__init__()
        side, channels = settings.resolution, settings.width
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 5, padding=2), nn.LeakyReLU(0.1, inplace=True)]
        for index in range(settings.halvings):
            outputs = settings.width * min(2 ** (index + 1), 16)
            layers.append(Downscale(channels, outputs, normalized=index > 0))
            side, channels = side // 2, outputs
            if settings.attention and side in _ATTENTIVE:
                layers.append(SelfAttention(channels))
        self.side = side
        self.down = nn.Sequential(*layers)
        self.squeeze = nn.Linear(channels * side**2, settings.code)
        self.expand = nn.Linear(settings.code, channels * side**2)
        self.up = Upscale(channels, 8 * settings.width)

    def forward(self, face: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b c s s"]:
        """Twice the side of the smallest picture, eight times ``width`` channels."""
        return self.spread(self.latent(face))

    def latent(self, face: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b n"]:
        """The few numbers of the bottleneck."""
        return self.squeeze(self.down(face).flatten(1))

    def spread(self, latent: Float[Tensor, "b n"]) -> Float[Tensor, "b c s s"]:
        """Features from the bottleneck's numbers."""
        return self.up(self.expand(latent).unflatten(1, (-1, self.side, self.side)))


class Decoder(nn.Module):
    """Features to one person's face and α."""

    def __init__(self, settings: Gan) -> None:
        super().__init__()
        channels = 8 * settings.width
        side = settings.resolution >> (settings.halvings - 1)
        layers: list[nn.Module] = []
        while side < settings.resolution:
            outputs = max(settings.width, channels // 2)
            layers.append(Upscale(channels, outputs))
            side, channels = 2 * side, outputs
            if settings.attention and side in _ATTENTIVE:
                layers.append(SelfAttention(channels))
        self.up = nn.Sequential(*layers, Residual(channels))
        self.face = nn.Conv2d(channels, 3, 5, padding=2)
        self.alpha = nn.Conv2d(channels, 1, 5, padding=2)

    def forward(
        self, features: Float[Tensor, "b c s s"], beneath: Float[Tensor, "b 3 r r"]
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """The face laid over ``beneath``, and α, in [0, 1]."""
        drawn = self.up(features)
        face, alpha = torch.sigmoid(self.face(drawn)).float(), torch.sigmoid(self.alpha(drawn)).float()
        return torch.lerp(beneath.float(), face, alpha), alpha


class GanNetwork(nn.Module):
    """The whole of faceswap-GAN but its discriminators; implements ``learning.SwapModel``.

    It has no code that alone makes the swap: the decoder lays its face over the target's. Nor does it say
    where the target's own face is: α says how much has to be drawn anew.
    """

    def __init__(self, settings: Gan) -> None:
        super().__init__()
        self.resolution = settings.resolution
        self.output_resolution = settings.resolution
        self.encoder = Encoder(settings)
        self.decoder_source = Decoder(settings)
        self.decoder_target = Decoder(settings)
        init_glorot(self)

    def reconstruct(
        self, source: Float[Tensor, "b 3 r r"], target: Float[Tensor, "c 3 r r"]
    ) -> Reconstruction:
        """Each person through their own decoder, laid over what was shown."""
        sizes = [len(source), len(target)]
        latent = self.encoder.latent(torch.cat([source, target]))
        source_latent, target_latent = latent.split(sizes)
        source_code, target_code = self.encoder.spread(latent).split(sizes)
        return Reconstruction(
            source=Drawing(*self.decoder_source(source_code, source)),
            target=Drawing(*self.decoder_target(target_code, target)),
            codes=(source_code, target_code),
            draw_swap=lambda codes: Drawing(*self.decoder_source(codes[1], target)),
            latents=(source_latent, target_latent),
        )

    forward = reconstruct

    def swap(
        self, target: Float[Tensor, "b 3 r r"]
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """The source's face with the target's expression laid over the target's, and α."""
        return self.decoder_source(self.encoder(target), target)

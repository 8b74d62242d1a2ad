"""The first deepfakes autoencoder (December 2017): one encoder, two decoders, 64 pixels.

The network that gave the field its name, rated in table 1 of the DeepFaceLab paper as "DeepFakes". An encoder
of four strided 5 x 5 convolutions, a dense bottleneck that sees the whole face, one doubling, and for each
person a decoder of three doublings. It learnt no mask; ours has a fourth output channel for it, because
merging wants one.
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
from understudy.nn.blocks import Downscale, Upscale
from understudy.nn.init import init_glorot


@MODELS.register("original")
@dataclass(frozen=True, kw_only=True)
class Original(ModelSettings):
    """The first deepfakes autoencoder: shared encoder, dense bottleneck, two decoders."""

    resolution: int = 64
    """Side of the square face crop that goes in, pixels."""
    crop: CropMode = "mid_full"
    """How much of the head a crop shows."""
    width: int = 128
    """Channels of the encoder's first layer; the others follow from it (128: 128, 256, 512, 1024)."""
    code: int = 1024
    """Width of the dense bottleneck."""

    def __post_init__(self) -> None:
        if self.resolution < 16 or self.resolution % 16:
            raise ConfigError(f"resolution: original wants a multiple of 16, got {self.resolution}")
        if self.width < 2 or self.width % 2:
            raise ConfigError(f"width: original wants an even number, got {self.width}")

    def build(self, context: Context) -> OriginalNetwork:
        """Make the network, freshly initialised, on the context's device."""
        return OriginalNetwork(self).to(context.device)


class Encoder(nn.Module):
    """Face to features that serve both decoders."""

    def __init__(self, settings: Original) -> None:
        super().__init__()
        w, side = settings.width, settings.resolution // 16
        self.side = side
        self.down = nn.Sequential(
            Downscale(3, w), Downscale(w, 2 * w), Downscale(2 * w, 4 * w), Downscale(4 * w, 8 * w)
        )
        self.squeeze = nn.Linear(8 * w * side**2, settings.code)
        self.expand = nn.Linear(settings.code, 8 * w * side**2)
        self.up = Upscale(8 * w, 4 * w)

    def forward(self, face: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b c s s"]:
        """An eighth of the size, four times ``width`` channels."""
        return self.spread(self.latent(face))

    def latent(self, face: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b n"]:
        """The few numbers of the bottleneck."""
        return self.squeeze(self.down(face).flatten(1))

    def spread(self, latent: Float[Tensor, "b n"]) -> Float[Tensor, "b c s s"]:
        """Features from the bottleneck's numbers."""
        return self.up(self.expand(latent).unflatten(1, (-1, self.side, self.side)))


class Decoder(nn.Module):
    """Features to one person's face and mask."""

    def __init__(self, settings: Original) -> None:
        super().__init__()
        w = settings.width
        self.up = nn.Sequential(Upscale(4 * w, 2 * w), Upscale(2 * w, w), Upscale(w, w // 2))
        self.out = nn.Conv2d(w // 2, 4, 5, padding=2)

    def forward(
        self, features: Float[Tensor, "b c s s"]
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """Face and mask in [0, 1]."""
        face, mask = torch.sigmoid(self.out(self.up(features))).split([3, 1], dim=1)
        return face, mask


class OriginalNetwork(nn.Module):
    """The whole autoencoder; implements ``learning.SwapModel``."""

    def __init__(self, settings: Original) -> None:
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
        """Each person through their own decoder."""
        sizes = [len(source), len(target)]
        latent = self.encoder.latent(torch.cat([source, target]))
        source_latent, target_latent = latent.split(sizes)
        source_code, target_code = self.encoder.spread(latent).split(sizes)
        return Reconstruction(
            source=Drawing(*self.decoder_source(source_code)),
            target=Drawing(*self.decoder_target(target_code)),
            codes=(source_code, target_code),
            draw_swap=lambda codes: Drawing(*self.decoder_source(codes[1])),
            latents=(source_latent, target_latent),
        )

    forward = reconstruct

    def swap(
        self, target: Float[Tensor, "b 3 r r"]
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """The source's face with the target's expression, and its mask."""
        return self.draw(self.code(target))

    def code(self, target: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b n"]:
        """The few numbers of the bottleneck."""
        return self.encoder.latent(target)

    def draw(self, code: Float[Tensor, "b n"]) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """The source's face from the bottleneck's numbers, and its mask."""
        return self.decoder_source(self.encoder.spread(code))

    def target_mask(self, target: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b 1 r r"]:
        """The mask of the target's own face, by the target's decoder."""
        return self.decoder_target(self.encoder(target))[1]

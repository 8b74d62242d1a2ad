"""AMP: one decoder for both persons, and a code that can be anywhere between them.

DeepFaceLab's third model (reference implementation of arXiv 2005.05535; the paper does not describe it). An
encoder gives a short code; each person has a dense layer that makes a small picture of features of it. The
decoder is shown the target's features as they are, and for the source a mixture: of each face, some channels
drawn at random come from the source's layer and the rest from the target's. So every channel learns to stand
for either person beside any others, and at the swap the share of the source's channels can be chosen: a
morph.

In that implementation, as it stands, only encoder and decoder are trained and both persons' layers keep the
random weights they began with. Here they learn like everything else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from understudy.contracts import Context, CropMode
from understudy.errors import ConfigError
from understudy.learning import Drawing, Reconstruction
from understudy.models import MODELS, ModelSettings
from understudy.nn.blocks import Downscale, PixelNorm, Residual, Upscale
from understudy.nn.init import init_glorot


@MODELS.register("amp")
@dataclass(frozen=True, kw_only=True)
class Amp(ModelSettings):
    """One decoder and a morph between the persons, channel by channel."""

    resolution: int = 224
    """Side of the square face crop that goes in, pixels."""
    crop: CropMode = "whole"
    """How much of the head a crop shows."""
    e_dims: int = 64
    """Channels of the encoder's first layer; they grow to eight times that."""
    ae_dims: int = 256
    """Width of the bottleneck."""
    inter_dims: int = 1024
    """Channels of the features from which the decoder draws; these are mixed."""
    d_dims: int = 64
    """Channels of the decoder's last layer, halved."""
    d_mask_dims: int = 22
    """The same for the mask."""
    morph_factor: float = 0.5
    """Training: share of the source's own channels in what the decoder draws the source from. Less makes the
    morph smoother and the likeness weaker; 1 leaves nothing to morph."""
    morph: float = 1.0
    """The swap: share of the source's channels, from 0 (the target again) to 1 (the source)."""

    def __post_init__(self) -> None:
        if self.resolution < 32 or self.resolution % 32:
            raise ConfigError(f"resolution: amp wants a multiple of 32, got {self.resolution}")
        if not 0 < self.morph_factor <= 1:
            raise ConfigError(f"morph_factor: amp wants a share above 0 and up to 1, got {self.morph_factor}")
        if not 0 <= self.morph <= 1:
            raise ConfigError(f"morph: amp wants a share from 0 to 1, got {self.morph}")
        if int(self.inter_dims * self.morph_factor) < 1:
            raise ConfigError(
                f"morph_factor: {self.morph_factor} of {self.inter_dims} inter_dims is not one channel"
            )

    def build(self, context: Context) -> AmpNetwork:
        """Make the network, freshly initialised, on the context's device."""
        return AmpNetwork(self).to(context.device)


class Encoder(nn.Module):
    """Face to a short code: five halvings."""

    def __init__(self, settings: Amp) -> None:
        super().__init__()
        e = settings.e_dims
        self.down = nn.Sequential(
            Downscale(3, e),
            Residual(e),
            Downscale(e, 2 * e),
            Downscale(2 * e, 4 * e),
            Downscale(4 * e, 8 * e),
            Downscale(8 * e, 8 * e),
            Residual(8 * e),
        )
        self.norm = PixelNorm()
        self.squeeze = nn.Linear(8 * e * (settings.resolution // 32) ** 2, settings.ae_dims)

    def forward(self, face: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b ae"]:
        """The face's code."""
        return self.squeeze(self.norm(self.down(face).flatten(1)))


class Inter(nn.Module):
    """One person's way from the code to a small picture of features."""

    def __init__(self, settings: Amp) -> None:
        super().__init__()
        self.side = settings.resolution // 32
        self.expand = nn.Linear(settings.ae_dims, self.side**2 * settings.inter_dims)

    def forward(self, code: Float[Tensor, "b ae"]) -> Float[Tensor, "b i s s"]:
        """Features."""
        return self.expand(code).unflatten(1, (-1, self.side, self.side))


class Decoder(nn.Module):
    """Features to a face and its mask: four doublings, and a fifth by interleaving four pictures."""

    def __init__(self, settings: Amp) -> None:
        super().__init__()
        i, d, m = settings.inter_dims, settings.d_dims, settings.d_mask_dims
        self.face = nn.Sequential(
            Upscale(i, 8 * d),
            Residual(8 * d),
            Upscale(8 * d, 8 * d),
            Residual(8 * d),
            Upscale(8 * d, 4 * d),
            Residual(4 * d),
            Upscale(4 * d, 2 * d),
            Residual(2 * d),
        )
        # four pictures of half the size are interleaved: the first by a 1 x 1, three by 3 x 3 kernels
        self.out = nn.ModuleList(nn.Conv2d(2 * d, 3, kernel, padding=kernel // 2) for kernel in (1, 3, 3, 3))
        self.mask = nn.Sequential(
            Upscale(i, 8 * m), Upscale(8 * m, 8 * m), Upscale(8 * m, 4 * m), Upscale(4 * m, 2 * m),
            Upscale(2 * m, m),
        )  # fmt: skip
        self.out_mask = nn.Conv2d(m, 1, 1)

    def forward(
        self, features: Float[Tensor, "b i s s"]
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """Face and mask in [0, 1]."""
        drawn = self.face(features)
        parts = torch.stack([convolution(drawn) for convolution in self.out], dim=2)  # b 3 4 h w
        face = F.pixel_shuffle(parts.flatten(1, 2), 2)
        return torch.sigmoid(face), torch.sigmoid(self.out_mask(self.mask(features)))


class AmpNetwork(nn.Module):
    """The whole of AMP; implements ``learning.SwapModel``."""

    def __init__(self, settings: Amp) -> None:
        super().__init__()
        self.resolution = settings.resolution
        self.output_resolution = settings.resolution
        self.channels = settings.inter_dims
        self.morph_factor = settings.morph_factor
        self.morph = settings.morph
        self.encoder = Encoder(settings)
        self.inter_source = Inter(settings)
        self.inter_target = Inter(settings)
        self.decoder = Decoder(settings)
        init_glorot(self)

    def reconstruct(
        self, source: Float[Tensor, "b 3 r r"], target: Float[Tensor, "c 3 r r"]
    ) -> Reconstruction:
        """The source from a mixture of channels, the target from its own.

        In training the mixture is drawn from torch's generator. Otherwise the source has all its channels, as
        the swap has, so that figures and previews do not depend on chance.
        """
        sizes = [len(source), len(target)]
        source_flat, target_flat = self.encoder(torch.cat([source, target])).split(sizes)
        own = self.inter_source(source_flat)
        if self.training:
            chosen = draw_channels(len(source), self.channels, self.morph_factor, source.device)
            own = torch.where(chosen[:, :, None, None], own, self.inter_target(source_flat))
        codes = (own, self.inter_target(target_flat))
        faces, masks = self.decoder(torch.cat(codes))
        source_face, target_face = faces.split(sizes)
        source_mask, target_mask = masks.split(sizes)

        def draw_swap(codes: tuple[Tensor, Tensor]) -> Drawing:
            # the swap reads channels that neither code holds: they are made again, and are held back from
            # learning where the given code is
            swapped = self._mix(target_flat, self.morph)
            return Drawing(*self.decoder(swapped if codes[1].requires_grad else swapped.detach()))

        return Reconstruction(
            source=Drawing(source_face, source_mask),
            target=Drawing(target_face, target_mask),
            codes=codes,
            draw_swap=draw_swap,
        )

    forward = reconstruct

    def swap(
        self, target: Float[Tensor, "b 3 r r"], morph: float | None = None
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """The target's face on its way to the source's, and its mask.

        Args:
            target: faces.
            morph: share of the source's channels, from 0 (the target again) to 1 (the source); None: as in
                the settings.
        """
        return self.decoder(self._mix(self.encoder(target), self.morph if morph is None else morph))

    def _mix(self, code: Float[Tensor, "b ae"], morph: float) -> Float[Tensor, "b i s s"]:
        """The first channels, a share of ``morph``, from the source's layer, the rest from the target's."""
        count = int(self.channels * morph)
        if count == self.channels:
            return self.inter_source(code)
        first, rest = self.inter_source(code)[:, :count], self.inter_target(code)[:, count:]
        return torch.cat([first, rest], dim=1)


def draw_channels(
    faces: int, channels: int, share: float, device: torch.device
) -> Bool[Tensor, "faces channels"]:
    """For each face, which ``int(channels · share)`` channels are the source's, from torch's generator."""
    lots = torch.rand(faces, channels, device=device)
    drawn = lots.topk(int(channels * share), dim=1).indices
    return torch.zeros_like(lots, dtype=torch.bool).scatter(1, drawn, value=True)

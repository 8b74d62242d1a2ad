"""AMP: one decoder for both persons, and a code that can be anywhere between them.

DeepFaceLab's third model (reference implementation of arXiv 2005.05535; the paper does not describe it). An
encoder gives a short code; each person has a dense layer that makes a small picture of features of it. The
decoder is shown the target's features as they are, and for the source a mixture: of each face, some channels
drawn at random come from the source's layer and the rest from the target's. So every channel learns to stand
for either person beside any others, and at the swap the share of the source's channels can be chosen: a
morph.

In that implementation, as it stands, only encoder and decoder are trained and both persons' layers keep the
random weights they began with. Here they learn like everything else.

Encoder and decoder are those of DF and LIAE with the options u, d and t, see ``nn.autoencoder``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from understudy.contracts import Context, CropMode
from understudy.errors import ConfigError
from understudy.learning import Drawing, Reconstruction
from understudy.models import MODELS, ModelSettings
from understudy.nn.autoencoder import AutoencoderSettings, Decoder
from understudy.nn.autoencoder import Encoder as FlatEncoder
from understudy.nn.init import init_weights


@MODELS.register("amp")
@dataclass(frozen=True, kw_only=True)
class Amp(AutoencoderSettings, ModelSettings):
    """One decoder and a morph between the persons, channel by channel."""

    resolution: int = 224
    """Side of the square face crop that goes in, pixels: a multiple of 32."""
    crop: CropMode = "whole"
    """How much of the head a crop shows."""
    options: Literal["udt", "udtc"] = "udt"
    """Letters as of df and liae. AMP always has u, d and t; c: x·cos(x) in place of leaky ReLU."""
    inter_dims: int = 1024
    """Channels of the features from which the decoder draws; these are mixed."""
    morph_factor: float = 0.5
    """Training: share of the source's own channels in what the decoder draws the source from. Less makes the
    morph smoother and the likeness weaker; 1 leaves nothing to morph."""
    morph: float = 1.0
    """The swap: share of the source's channels, from 0 (the target again) to 1 (the source)."""

    def __post_init__(self) -> None:
        super().__post_init__()
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


class Encoder(FlatEncoder):
    """Face to a short code: the flat code of DF and LIAE, and a dense layer."""

    def __init__(self, settings: Amp) -> None:
        super().__init__(settings)
        self.squeeze = nn.Linear(self.outputs, settings.ae_dims)

    def forward(self, face: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b ae"]:
        """The face's code."""
        return self.squeeze(super().forward(face))


class Inter(nn.Module):
    """One person's way from the code to a small picture of features."""

    def __init__(self, settings: Amp) -> None:
        super().__init__()
        self.side = settings.resolution // 32
        self.expand = nn.Linear(settings.ae_dims, self.side**2 * settings.inter_dims)

    def forward(self, code: Float[Tensor, "b ae"]) -> Float[Tensor, "b i s s"]:
        """Features."""
        return self.expand(code).unflatten(1, (-1, self.side, self.side))


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
        self.decoder = Decoder(settings, settings.inter_dims)
        init_weights(self, settings.init)

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
            latents=(source_flat, target_flat),
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
        return self.draw(self.code(target), morph)

    def code(self, target: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b ae"]:
        """The short code, from which both persons' layers make features."""
        return self.encoder(target)

    def draw(
        self, code: Float[Tensor, "b ae"], morph: float | None = None
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """Face and mask from codes; see ``swap``."""
        return self.decoder(self._mix(code, self.morph if morph is None else morph))

    def target_mask(self, target: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b 1 r r"]:
        """The mask of the target's own face: from the target's channels alone."""
        return self.decoder.draw_mask(self.inter_target(self.encoder(target)))

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

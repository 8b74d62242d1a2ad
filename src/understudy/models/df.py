"""DF: one encoder and one bottleneck for both persons, a decoder for each.

Petrov et al., "DeepFaceLab: integrated, flexible and extensible face-swapping framework" (arXiv 2005.05535),
section 3.2, figure 4. The bottleneck must describe pose, expression and light in a way that serves both
decoders; who it is stays in the decoders. The swap sends a target's code through the source's decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.learning import Drawing, Reconstruction
from understudy.models import MODELS, ModelSettings
from understudy.nn.blocks import Downscale, PixelNorm, Residual, Upscale
from understudy.nn.init import init_glorot


@MODELS.register("df")
@dataclass(frozen=True, kw_only=True)
class Df(ModelSettings):
    """Shared encoder and bottleneck, two decoders: keeps the source's face shape."""

    options: Literal["", "u", "d", "ud"] = "ud"
    """u: the code is normalised before the bottleneck (likeness). d: the decoder works at half the size and
    its last layer doubles it (twice the resolution at the same cost)."""
    e_dims: int = 64
    """Channels of the encoder's first layer; each further one doubles them."""
    ae_dims: int = 128
    """Width of the bottleneck."""
    d_dims: int = 64
    """Channels of the decoders' last layer, halved."""
    d_mask_dims: int = 16
    """The same for the mask."""
    normalized: bool = False
    """Group normalisation in the encoder: learns faster in the first thousands of steps."""

    def __post_init__(self) -> None:
        step = 32 if "d" in self.options else 16
        if self.resolution < step or self.resolution % step:
            raise ConfigError(
                f"resolution: df-{self.options} wants a multiple of {step}, got {self.resolution}"
            )

    def build(self, context: Context) -> DfNetwork:
        """Make the network, freshly initialised, on the context's device."""
        return DfNetwork(self).to(context.device)


class Encoder(nn.Module):
    """Face to flat code: four halvings."""

    def __init__(self, settings: Df) -> None:
        super().__init__()
        e = settings.e_dims
        self.down = nn.Sequential(
            Downscale(3, e, normalized=settings.normalized),
            Downscale(e, 2 * e, normalized=settings.normalized),
            Downscale(2 * e, 4 * e, normalized=settings.normalized),
            Downscale(4 * e, 8 * e, normalized=settings.normalized),
        )
        self.norm = PixelNorm() if "u" in settings.options else nn.Identity()
        self.outputs = 8 * e * (settings.resolution // 16) ** 2

    def forward(self, face: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b n"]:
        """The face's flat code."""
        return self.norm(self.down(face).flatten(1))


class Inter(nn.Module):
    """The bottleneck: a few numbers, then a small picture of features again."""

    def __init__(self, settings: Df, inputs: int) -> None:
        super().__init__()
        self.side = settings.resolution // (32 if "d" in settings.options else 16)
        self.squeeze = nn.Linear(inputs, settings.ae_dims)
        self.expand = nn.Linear(settings.ae_dims, self.side**2 * settings.ae_dims)
        self.up = Upscale(settings.ae_dims, settings.ae_dims)

    def forward(self, code: Float[Tensor, "b n"]) -> Float[Tensor, "b ae s s"]:
        """Features from which both decoders draw."""
        features = self.expand(self.squeeze(code))
        return self.up(features.unflatten(1, (-1, self.side, self.side)))


class Decoder(nn.Module):
    """Features to one person's face and its mask."""

    def __init__(self, settings: Df) -> None:
        super().__init__()
        ae, d, m = settings.ae_dims, settings.d_dims, settings.d_mask_dims
        self.doubled = "d" in settings.options
        self.face = nn.Sequential(
            Upscale(ae, 8 * d),
            Residual(8 * d),
            Upscale(8 * d, 4 * d),
            Residual(4 * d),
            Upscale(4 * d, 2 * d),
            Residual(2 * d),
        )
        # with d, four pictures of half the size are interleaved: the first by a 1 x 1, three by 3 x 3 kernels
        self.out = nn.ModuleList(
            nn.Conv2d(2 * d, 3, kernel, padding=kernel // 2)
            for kernel in ((1, 3, 3, 3) if self.doubled else (1,))
        )
        self.mask = nn.Sequential(Upscale(ae, 8 * m), Upscale(8 * m, 4 * m), Upscale(4 * m, 2 * m))
        if self.doubled:
            self.mask.append(Upscale(2 * m, m))
        self.out_mask = nn.Conv2d(m if self.doubled else 2 * m, 1, 1)

    def forward(
        self, features: Float[Tensor, "b ae s s"]
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """Face and mask in [0, 1]."""
        drawn = self.face(features)
        parts = torch.stack([convolution(drawn) for convolution in self.out], dim=2)  # b 3 (1 or 4) h w
        face = F.pixel_shuffle(parts.flatten(1, 2), 2 if self.doubled else 1)
        return torch.sigmoid(face), torch.sigmoid(self.out_mask(self.mask(features)))


class DfNetwork(nn.Module):
    """The whole of DF; implements ``contracts.SwapModel``."""

    def __init__(self, settings: Df) -> None:
        super().__init__()
        self.resolution = settings.resolution
        self.output_resolution = settings.resolution
        self.encoder = Encoder(settings)
        self.inter = Inter(settings, self.encoder.outputs)
        self.decoder_source = Decoder(settings)
        self.decoder_target = Decoder(settings)
        init_glorot(self)

    def reconstruct(
        self, source: Float[Tensor, "b 3 r r"], target: Float[Tensor, "c 3 r r"]
    ) -> Reconstruction:
        """Each person through their own decoder."""
        codes = self.inter(self.encoder(torch.cat([source, target])))
        source_code, target_code = codes.split([len(source), len(target)])
        return Reconstruction(
            source=Drawing(*self.decoder_source(source_code)),
            target=Drawing(*self.decoder_target(target_code)),
            codes=(source_code, target_code),
            draw_swap=lambda codes: Drawing(*self.decoder_source(codes[1])),
        )

    forward = reconstruct

    def swap(
        self, target: Float[Tensor, "b 3 r r"]
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """The source's face with the target's expression, and its mask."""
        return self.decoder_source(self.inter(self.encoder(target)))

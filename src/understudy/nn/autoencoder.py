"""The three parts of the autoencoders that swap: encoder, inter, decoder.

DeepFaceLab (arXiv 2005.05535, section 3.2, figures 4 and 5) builds DF and LIAE from the same parts, and so do
we; ``nn.wiring`` puts them together. Layers as in its reference implementation, "SAEHD". With e, ae, d and m
for ``e_dims``, ``ae_dims``, ``d_dims`` and ``d_mask_dims``, and a residual block behind each width in
brackets, each number being the channels after a halving or a doubling::

              encoder                       inter, then          decoder, face         decoder, mask
    (none)    e 2e 4e 8e                    dense dense double   [8d] [4d] [2d]        8m 4m 2m
    t         [e] 2e 4e 8e [8e]             dense dense          [8d] [8d] [4d] [2d]   8m 8m 4m 2m
    heavy     [e] [2e] [4e] [8e]            dense dense double   [[8d]] [[4d]] [[2d]]  8m 4m 2m

Option d lets the dense layers make a picture of half the side: four pictures come out at the end, whose
pixels are interleaved, and the mask is doubled once more, to m channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from understudy.errors import ConfigError
from understudy.nn.blocks import Downscale, PixelNorm, Residual, Upscale, rectify, x_cos_x
from understudy.nn.init import InitName

OPTIONS = "udtc"
"""Letters of ``AutoencoderSettings.options``."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderSettings:
    """Sizes and options of the parts."""

    heavy: ClassVar[bool] = False
    """More residual blocks, and a shortcut past every halving and doubling: the ablation's HD."""

    resolution: int = 128
    """Side of the square face crop that goes in, pixels."""
    options: str = "ud"
    """Letters, each at most once. u: the code is normalised before the bottleneck (likeness). d: the decoder
    works at half the size and its last layer doubles it (twice the resolution at the same cost). t: one level
    deeper, with residual blocks in the encoder. c: x·cos(x) in place of leaky ReLU."""
    e_dims: int = 64
    """Channels of the encoder's first layer; each further one doubles them."""
    ae_dims: int = 256
    """Width of the bottleneck."""
    d_dims: int = 64
    """Channels of the decoders' last layer, halved."""
    d_mask_dims: int = 22
    """The same for the mask."""
    normalized: bool = False
    """Group normalisation in the encoder: learns faster in the first thousands of steps."""
    init: InitName = "glorot"
    """How weights start. glorot: random. aware: the kernels of a filter are orthogonal to each other."""
    checkpointed: bool = False
    """Compute encoder and decoder a second time on the way back instead of remembering everything: less
    memory, a third more time, the same numbers."""

    def __post_init__(self) -> None:
        unknown = set(self.options) - set(OPTIONS)
        if unknown or len(set(self.options)) < len(self.options):
            raise ConfigError(
                f"options: wanted letters of {OPTIONS!r}, each at most once, got {self.options!r}"
            )
        for name in ("e_dims", "ae_dims", "d_dims", "d_mask_dims"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: wanted 1 or more, got {getattr(self, name)}")
        self._check_resolution()

    def _check_resolution(self) -> None:
        """Sides that halvings and doublings bring back to themselves: 4 each, 5 with t or d."""
        step = 32 if self.deep or self.doubled else 16
        below = self.resolution // step * step
        if below < step or below != self.resolution:
            near = f"{below} and {below + step}" if below >= step else f"{step}"
            raise ConfigError(
                f"resolution: wanted a multiple of {step}, got {self.resolution} with options "
                f"{self.options!r}; next to it: {near}"
            )

    @property
    def pixel_norm(self) -> bool:
        """Option u."""
        return "u" in self.options

    @property
    def doubled(self) -> bool:
        """Option d."""
        return "d" in self.options

    @property
    def deep(self) -> bool:
        """Option t."""
        return "t" in self.options

    @property
    def wave(self) -> bool:
        """Option c."""
        return "c" in self.options


class Encoder(nn.Module):
    """Face to flat code: four halvings, five with t."""

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        activate = x_cos_x if settings.wave else rectify
        e = settings.e_dims
        widths = [e, 2 * e, 4 * e, 8 * e] + [8 * e] * settings.deep
        self.down = nn.Sequential()
        inputs = 3
        for level, width in enumerate(widths):
            halve = Downscale(
                inputs,
                width,
                normalized=settings.normalized,
                activate=activate,
                shortcut=settings.heavy,
            )
            self.down.append(halve)
            if settings.heavy or (settings.deep and level in (0, 4)):
                self.down.append(Residual(width, activate=activate))
            inputs = width
        self.norm = PixelNorm() if settings.pixel_norm else nn.Identity()
        self.checkpointed = settings.checkpointed
        self.outputs = 8 * e * (settings.resolution // 2 ** len(widths)) ** 2

    def forward(self, face: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b n"]:
        """The face's flat code."""
        return self.norm(run_stages(self.down, face, checkpointed=self.checkpointed).flatten(1))


class Inter(nn.Module):
    """The bottleneck: a few numbers, then a small picture of features again.

    Args:
        settings: sizes and options.
        inputs: length of the flat code.
        outputs: channels of the picture.
    """

    def __init__(self, settings: AutoencoderSettings, inputs: int, outputs: int) -> None:
        super().__init__()
        self.side = settings.resolution // (32 if settings.doubled else 16)
        self.squeeze = nn.Linear(inputs, settings.ae_dims)
        self.expand = nn.Linear(settings.ae_dims, self.side**2 * outputs)
        # with t the decoder doubles once more instead
        activate = x_cos_x if settings.wave else rectify
        self.up = nn.Identity() if settings.deep else Upscale(outputs, outputs, activate=activate)

    def forward(self, code: Float[Tensor, "b n"]) -> Float[Tensor, "b c s s"]:
        """Features from which a decoder draws."""
        return self.spread(self.squeeze(code))

    def spread(self, latent: Float[Tensor, "b ae"]) -> Float[Tensor, "b c s s"]:
        """Features from the few numbers that ``squeeze`` left."""
        return self.up(self.expand(latent).unflatten(1, (-1, self.side, self.side)))


class Decoder(nn.Module):
    """Features to a face and its mask.

    Args:
        settings: sizes and options.
        inputs: channels of the features.
    """

    def __init__(self, settings: AutoencoderSettings, inputs: int) -> None:
        super().__init__()
        activate = x_cos_x if settings.wave else rectify
        self.doubled, self.checkpointed = settings.doubled, settings.checkpointed
        d, m = settings.d_dims, settings.d_mask_dims
        levels = (8, 8, 4, 2) if settings.deep else (8, 4, 2)
        self.face = nn.Sequential()
        for before, level in zip((0, *levels), levels, strict=False):
            self.face.append(
                Upscale(before * d or inputs, level * d, activate=activate, shortcut=settings.heavy)
            )
            for _ in range(2 if settings.heavy else 1):
                self.face.append(Residual(level * d, activate=activate))
        # with d, four pictures of half the size are interleaved: the first by a 1 x 1, three by 3 x 3 kernels
        self.out = nn.ModuleList(
            nn.Conv2d(2 * d, 3, kernel, padding=kernel // 2)
            for kernel in ((1, 3, 3, 3) if self.doubled else (1,))
        )
        if self.doubled:
            levels = (*levels, 1)
        self.mask = nn.Sequential(
            *(
                Upscale(before * m or inputs, level * m, activate=activate)
                for before, level in zip((0, *levels), levels, strict=False)
            )
        )
        self.out_mask = nn.Conv2d(levels[-1] * m, 1, 1)

    def forward(
        self, features: Float[Tensor, "b c s s"]
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """Face and mask in [0, 1]."""
        drawn = run_stages(self.face, features, checkpointed=self.checkpointed)
        parts = torch.stack([convolution(drawn) for convolution in self.out], dim=2)  # b 3 (1 or 4) h w
        face = F.pixel_shuffle(parts.flatten(1, 2), 2 if self.doubled else 1)
        return torch.sigmoid(face), self.draw_mask(features)

    def draw_mask(self, features: Float[Tensor, "b c s s"]) -> Float[Tensor, "b 1 r r"]:
        """The mask alone, in [0, 1]."""
        return torch.sigmoid(self.out_mask(run_stages(self.mask, features, checkpointed=self.checkpointed)))


def run_stages(stages: nn.Sequential, x: Tensor, *, checkpointed: bool) -> Tensor:
    """``stages(x)``, with what lies within a stage computed again on the way back if ``checkpointed``.

    A stage is a halving or a doubling and the residual blocks behind it. Chen et al. 2016, "Training deep
    nets with sublinear memory cost", section 4. Nothing in the stages is random, so the generator's state is
    not kept for them.
    """
    if not (checkpointed and torch.is_grad_enabled()):
        return stages(x)
    starts = [i for i, block in enumerate(stages) if not isinstance(block, Residual)]
    for start, end in zip(starts, [*starts[1:], len(stages)], strict=True):
        stage = stages[start:end]
        x = cast("Tensor", checkpoint(stage, x, use_reentrant=False, preserve_rng_state=False))
    return x

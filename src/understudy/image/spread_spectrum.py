"""Symbols spread over the DCT of a small square by a secret key, and gathered again.

Each coefficient of a band carries one symbol, turned by a sign; which and how comes from the key (Cox,
Kilian, Leighton and Shamoon 1997, "Secure spread spectrum watermarking for multimedia"). Whoever has no key
sees noise.

* The square is 128 pixels wide whatever the picture's size and shape, so scaling changes nothing; its blocks
  are 8 wide.
* The band is the frequencies (u, v) with u + v from 3 to 5: below, the picture itself is too strong, above,
  codecs throw away what is weak.
* Coefficients are divided by their block's own strength before they are gathered, as the best detector for
  noise of that strength does. Under a key that has nothing to do with the picture, a gathered value divided
  by the root of its sum of squares has mean 0 and variance 1 exactly: the signs alone are random.
* The embedder knows the picture, so it adds no more than is missing (Malvar and Florencio 2003, "Improved
  spread spectrum"): the picture's own share in every symbol is cancelled.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from understudy.image.dct import block_dct, inverse_block_dct

SIDE, BLOCK = 128, 8
LOWEST, HIGHEST = 3, 5
"""Of u + v in the band."""
BLOCKS = SIDE // BLOCK
BAND = sum(level + 1 for level in range(LOWEST, HIGHEST + 1))
"""Coefficients of a block that are used."""
FLOOR = 0.7
"""Strength of a block below which it is not taken for quieter, units of 1/219 luma a coefficient."""
STRONGEST = 40.0
"""Largest amplitude of a coefficient before tolerance."""
EDGES = (0.5, 0.9, 1.0, 1.0, 1.0, 1.0, 0.9, 0.5)
"""Weight of the pattern across a block: cosines are strongest at its edges and would show as lines there."""


@lru_cache(maxsize=1)
def _band() -> tuple[Bool[Tensor, "8 8"], Float[Tensor, "15"]]:
    """The coefficients used, and their radius in the block: pictures fall off with it."""
    down, across = torch.meshgrid(torch.arange(BLOCK), torch.arange(BLOCK), indexing="ij")
    used = (down + across >= LOWEST) & (down + across <= HIGHEST)
    return used, torch.hypot(down.float(), across.float())[used]


@lru_cache(maxsize=1)
def window() -> Float[Tensor, "128 128"]:
    """``EDGES`` over every block, both ways; multiply the tolerance by it."""
    row = torch.tensor(EDGES).repeat(BLOCKS)
    return row[:, None] * row


class Spread:
    """The places and signs that a key gives to a number of symbols.

    Args:
        key: secret bytes.
        symbols: how many.
    """

    def __init__(self, key: bytes, symbols: int) -> None:
        self.symbols = symbols
        count = BLOCKS * BLOCKS * BAND
        noise = hashlib.shake_256(b"understudy mark, places and signs\0" + key).digest(9 * count)
        order = np.argsort(np.frombuffer(noise[: 8 * count], ">u8"), kind="stable")
        places = np.empty(count, np.int64)
        places[order] = np.arange(count) % symbols
        signs = np.frombuffer(noise[8 * count :], np.uint8) & 1
        self.places = torch.from_numpy(places)
        self.signs = torch.from_numpy(signs.astype(np.float32) * 2 - 1)

    def gather(self, values: Float[Tensor, "*b n"]) -> Float[Tensor, "*b symbols"]:
        """Sums of a value a coefficient, by symbol."""
        out = values.new_zeros((*values.shape[:-1], self.symbols))
        return out.index_add(-1, self.places, values)

    def scores(self, gathered: Float[Tensor, "*b n"]) -> Float[Tensor, "*b symbols"]:
        """How much each symbol was heard; 0 for what nothing was heard of.

        Args:
            gathered: ``features``, or their sum over frames; 0 where nothing was seen, as outside a crop.
        """
        power = self.gather(gathered * gathered)
        return self.gather(gathered * self.signs) / power.clamp_min(1e-20).sqrt()

    def correlation(self, gathered: Float[Tensor, " n"], symbols: Float[Tensor, " symbols"]) -> float:
        """How far the features agree with symbols, in standard deviations of what a foreign key would give.

        Args:
            gathered: ``features``, or their sum over frames.
            symbols: -1 and 1; 0 for those that are left out.
        """
        expected = symbols[self.places] * self.signs
        seen = gathered.double()
        power = float((seen[expected != 0] ** 2).sum())
        return float((seen * expected.double()).sum()) / power**0.5 if power > 0.0 else 0.0

    def pattern(
        self, symbols: Float[Tensor, " symbols"], tolerance: Float[Tensor, "s s"] | None = None
    ) -> Float[Tensor, "s s"]:
        """What is added to the square for symbols of some amplitude.

        Args:
            symbols: amplitude of each, with its sign.
            tolerance: multiplies the pattern, place by place; None: 1 everywhere.
        """
        used, _ = _band()
        blocks = torch.zeros(BLOCKS, BLOCKS, BLOCK, BLOCK)
        blocks[..., used] = (symbols[self.places] * self.signs).view(BLOCKS, BLOCKS, -1)
        plain = inverse_block_dct(blocks)
        return plain if tolerance is None else plain * tolerance

    def amplitudes(
        self,
        square: Float[Tensor, "s s"],
        symbols: Float[Tensor, " symbols"],
        tolerance: Float[Tensor, "s s"],
        energy: float,
        boosts: Float[Tensor, " symbols"] | None = None,
        *,
        enough: float = -math.inf,
        most: float | None = None,
    ) -> tuple[Float[Tensor, " symbols"], float]:
        """Amplitude of each symbol so that all are heard equally well, for a given energy.

        Args:
            square: the picture's luma.
            symbols: -1 and 1.
            tolerance: how much can be hidden where.
            energy: sum of squares that the pattern may have.
            boosts: how much better than the others a symbol shall be heard; None: 1 everywhere.
            enough: score below which more energy is spent, up to ``most``.
            most: sum of squares that it may have then; None: ``energy``.

        Returns:
            0 to ``STRONGEST``, without signs; and the score that every symbol has then, times its boost:
            below 0, not even the picture's own share can be cancelled.
        """
        features, weights = _weighted(square)
        own = self.gather(features * self.signs) * symbols
        noise = self.gather(features * features).sqrt()
        blocks = tolerance.view(BLOCKS, BLOCK, BLOCKS, BLOCK)
        local, power = (each.mean((1, 3)).view(-1, 1) for each in (blocks, blocks * blocks))
        gain = self.gather((local * weights).flatten()).clamp_min(1e-6)
        cost = self.gather(power.expand_as(weights).flatten()).numpy()
        wanted = noise if boosts is None else noise * boosts
        # in numpy: so many steps on so few numbers take a third of the time there
        slope, start = (wanted / gain).numpy(), (own / gain).numpy()
        low, high = -10.0, 200.0  # the score that all shall have; negative where even that is too much
        for _ in range(20):
            middle = 0.5 * (low + high)
            trial = (middle * slope - start).clip(0.0, STRONGEST)
            if float((trial * trial) @ cost) > (energy if middle > enough else most or energy):
                high = middle
            else:
                low = middle
        return torch.from_numpy((low * slope - start).clip(0.0, STRONGEST)), low


def features(squares: Float[Tensor, "*b s s"]) -> Float[Tensor, "*b n"]:
    """Coefficients of the band, block after block, each divided by its block's strength; differentiable.

    Args:
        squares: luma in units of 1/219, ``SIDE`` pixels.
    """
    return _weighted(squares)[0]


def _weighted(squares: Tensor) -> tuple[Tensor, Tensor]:
    used, radius = _band()
    values = block_dct(squares, BLOCK)[..., used]  # (…, blocks down, blocks across, band)
    white = values * radius.to(values)
    strength = (white * white).mean(-1, keepdim=True).sqrt()
    weights = radius.to(values) / (strength + FLOOR)
    return (values * weights).flatten(-3), weights.expand_as(values).flatten(-3, -2)

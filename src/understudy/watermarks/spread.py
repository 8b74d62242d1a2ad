"""Our own mark: spread spectrum in the DCT of the luma, by a key; see ``provenance.spread``."""

from __future__ import annotations

from dataclasses import dataclass

from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.provenance.mark import MarkKeys
from understudy.provenance.spread import HOLD, SpreadMarker
from understudy.watermarks import WATERMARKS, WatermarkSettings


@WATERMARKS.register("spread")
@dataclass(frozen=True, kw_only=True)
class Spread(WatermarkSettings):
    """Spread spectrum in the luma by a key of this installation; no weights."""

    psnr: float | None = None
    """Decibels of a marked frame; fewer is stronger. Without it, 46 for a shorter side of 480 pixels and 2
    more for each doubling."""
    hold: float = HOLD
    """How much of the frame before stays in the pattern, 0 to below 1; more flickers less."""

    def __post_init__(self) -> None:
        if self.psnr is not None and not 30.0 <= self.psnr <= 60.0:
            raise ConfigError(f"psnr: wanted 30 to 60 decibels, got {self.psnr}")
        if not 0.0 <= self.hold < 1.0:
            raise ConfigError(f"hold: wanted 0 to below 1, got {self.hold}")

    def build(self, context: Context) -> SpreadMarker:
        """The method with the given key."""
        key = context.given.get("mark_key")
        return SpreadMarker(MarkKeys().load() if key is None else key, psnr=self.psnr, hold=self.hold)

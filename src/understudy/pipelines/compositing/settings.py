"""How a swapped face is put into its frame: settings, and the ways of doing it that have names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from understudy.blends import BLENDS, Blend
from understudy.color_transfers import COLOR_TRANSFERS, ColorTransfer
from understudy.config import slot
from understudy.errors import ConfigError
from understudy.image.temporal import REACH
from understudy.pipelines.compositing.detail_settings import DetailSettings
from understudy.pipelines.compositing.masks import MaskSettings


@dataclass(frozen=True, kw_only=True)
class TemporalSettings:
    """What is averaged along a track, so that a face does not flicker."""

    reach: int = 8
    """Frames before and after over which the colours of a face are measured, 0 to 8; 0: in each frame by
    itself."""
    sameness: float = 0.03
    """Difference of the mean colour, of a range of 1, at which another frame counts 0.6 times as much: light
    that changes is followed."""
    mask: int = 0
    """Frames before and after over which the mask is averaged, 0 to 8; pixels whose colour changed, as when
    a hand passes, are not."""
    code: int = 0
    """Frames before and after over which the network's code of a face is averaged before the face is drawn, 0
    to 8. Off: with the flicker it takes away movement of the mouth. Not with the model gan."""

    def __post_init__(self) -> None:
        for name in ("reach", "mask", "code"):
            if not 0 <= getattr(self, name) <= REACH:
                raise ConfigError(f"{name}: wanted 0 to {REACH} frames, got {getattr(self, name)}")
        if self.sameness <= 0.0:
            raise ConfigError(f"sameness: wanted more than 0, got {self.sameness}")


@dataclass(frozen=True, kw_only=True)
class CompositeSettings:
    """How a swapped face is put into its frame.

    The defaults are among the best of ``benchmarks/compositing.py``, by the colour difference in the face and
    round its edge: no other combination is nearer to the exact swap by more than chance, neither with ideal
    faces nor with those of trained swappers. Of those that cannot be told apart from them, ``histogram``
    stains open mouths and dark skin, ``poisson`` draws the darkness of a beard or of hair at the mask's edge
    far into the face, and ``multiband`` keeps so much of the old face's shading that the new one is less like
    its person. ``mkl`` takes a tenth of the time of ``idt``.
    """

    color_transfer: ColorTransfer = slot(COLOR_TRANSFERS, "idt")
    """How the colours of the face follow the target's, before it is blended in."""
    mask: MaskSettings = field(default_factory=MaskSettings)
    """Where the new face goes."""
    blend: Blend = slot(BLENDS, "feather")
    """How it is laid over the old one."""
    color_transfer_after: ColorTransfer = slot(COLOR_TRANSFERS, "none")
    """A second colour transfer, on the face as the blend has made it; it is then laid over once more."""
    detail: DetailSettings = field(default_factory=DetailSettings)
    """Its sharpness, grain and size, between the colours and the blend."""
    temporal: TemporalSettings = field(default_factory=TemporalSettings)
    """What is averaged along a track."""
    edge: Literal["known", "repeat"] = "known"
    """What networks are shown of a face that the frame's edge cuts, beyond the edge. ``known``: the stored
    crop of the same track, or else person, that agrees best with what is seen; where there is none and less
    than half of the face is seen, the mirror image of that half. ``repeat``: the last pixels, and so they do
    where nothing is known. Nothing beyond the edge is ever written."""
    raw: Literal["no", "face", "mask", "learned"] = "no"
    """Instead of a composite, lay the whole square over the frame: the swapper's face as it is, the mask
    that would be used, or the swapper's own, in grey."""
    max_size: int = 512
    """Largest working size, pixels; a face that is larger in its frame is enlarged from this."""


MODES: Mapping[str, Mapping[str, Any]] = {
    "overlay": {"color_transfer": "reinhard", "blend": "feather"},
    "hist-match": {"color_transfer": {"name": "histogram", "threshold": 0.933}, "blend": "feather"},
    "seamless": {
        "color_transfer": "none",
        "blend": {"name": "poisson", "reach": 0.0},
        "color_transfer_after": "reinhard",
    },
    "seamless-hist-match": {
        "color_transfer": "none",
        "blend": {"name": "poisson", "reach": 0.0},
        "color_transfer_after": {"name": "histogram", "threshold": 0.933},
    },
    "raw-rgb": {"raw": "face"},
    "raw-mask": {"raw": "mask"},
    "raw-learned-mask": {"raw": "learned"},
}
"""DeepFaceLab's merge modes as changes to ``CompositeSettings``, for ``config.merge``; whatever else is set
comes on top. Its colour transfer before the blend is left out where another one follows that undoes it."""

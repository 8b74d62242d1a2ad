"""Detail of a swapped face: what there is to set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from understudy.config import slot
from understudy.enhancers import ENHANCERS, Enhancer
from understudy.errors import ConfigError

_LIMITS = {
    "sharpen": (-100.0, 100.0),
    "radius": (0.0, 0.1),
    "degrade": (0.0, 100.0),
    "soften": (0.0, 1.0),
    "shutter": (0.0, 720.0),
    "grain": (0.0, 4.0),
    "blocks": (0.0, 2.0),
    "scale": (-50.0, 50.0),
}


@dataclass(frozen=True, kw_only=True)
class DetailSettings:
    """Sharpness, motion blur, grain, blocks and size of a swapped face."""

    enhancer: Enhancer = slot(ENHANCERS, "none")
    """What draws a face larger than the swapper made it."""
    sharpen: float = 0.0
    """-100 to 100: above 0 sharper, by an unsharp mask; below 0 softer."""
    kernel: Literal["gaussian", "box"] = "gaussian"
    """What sharpening and softening blur with."""
    radius: float = 0.006
    """Of the detail that is sharpened, as a fraction of the crop side."""
    degrade: float = 0.0
    """Percent of the resolution that is taken away."""
    soften: float = 0.0
    """0 to 1: how far a face that is crisper than its plate (out of focus, compressed) is made as soft."""
    shutter: float = 0.0
    """Motion blur, by the way that the face's landmarks go from frame to frame: degrees that the shutter is
    open, 180 for film; 0 for none."""
    grain: float = 0.0
    """Noise as the plate has it, measured in every frame: 1 for as much, 0 for none."""
    blocks: float = 0.0
    """Blocks of 8 x 8 samples where the plate shows them (JPEG, motion JPEG, key frames of MPEG-2), found in
    every frame: 1 for as coarse, 0 for none."""
    scale: float = 0.0
    """-50 to 50: percent by which the face is larger or smaller, about its middle."""

    def __post_init__(self) -> None:
        for name, (least, most) in _LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name}: wanted {least:g} to {most:g}, got {value:g}")

    @property
    def does_anything(self) -> bool:
        """Whether ``apply_detail`` has something to do; enhancer and scale come before it, blocks after."""
        return any((self.sharpen, self.degrade, self.soften, self.shutter, self.grain))

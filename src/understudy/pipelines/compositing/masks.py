"""Where the new face goes: from the landmarks' hull, the swapper's own masks, and the face set's masks.

Two things are kept apart until the end. The *contour* says where the face is and is drawn in and blurred,
so that no edge is seen. The *front* says what of it is seen, and what stands before it (a hand, hair, the
frame of glasses) stays the target's to the pixel: it is widened a little, and softened towards the face
only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor
from torch.nn import functional as F

from understudy.contracts import Alignment
from understudy.errors import ConfigError, ShapeError
from understudy.image.draw import REGIONS, region_mask
from understudy.image.filter import dilate, erode, gaussian_blur
from understudy.image.geometry import compose, invert
from understudy.image.warp import warp

_LEAST = 1.0 / 255.0
"""Values below count as 0: a network's mask is never quite empty."""
_WHOLE = 0.98
"""Values from which a mask has no hole."""
_SURE = 0.25
"""How far above ``front_level`` a stored mask is face altogether."""


@dataclass(frozen=True, kw_only=True)
class RegionSettings:
    """A part of the face whose mask is its own."""

    weight: float | None = None
    """How much of the new face is seen there, 0 (the target's stays) to 1; none: as everywhere else."""
    grow: float = 0.1
    """How far it reaches beyond its landmarks, as a fraction of its width."""
    soften: float = 0.02
    """Width of its soft contour, as a fraction of the crop side."""

    def __post_init__(self) -> None:
        if self.weight is not None and not 0.0 <= self.weight <= 1.0:
            raise ConfigError(f"weight: wanted 0 to 1, got {self.weight}")
        if not -0.5 <= self.grow <= 2.0:
            raise ConfigError(f"grow: wanted a fraction of the region's width, -0.5 to 2, got {self.grow}")
        if not 0.0 <= self.soften <= 0.5:
            raise ConfigError(f"soften: wanted a fraction of the crop side, 0 to 0.5, got {self.soften}")


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """Where the new face goes."""

    source: Literal["hull", "learned", "target", "product", "union", "learned_product", "learned_union"] = (
        "product"
    )
    """``hull``: round the landmarks. ``learned``: where the swapper says that its new face is. ``target``:
    where it says that the old one was. ``product``: where hull and learned agree. ``union``: where one of
    them does. ``learned_product``, ``learned_union``: the same of learned and target, without the hull."""
    stored: Literal["cut", "alone", "ignore"] = "cut"
    """What the masks of the target's face set do where it has some (understudy mask apply, or painted ones).
    ``cut``: what they leave out, as a hand before the face, is left out. ``alone``: only they count.
    ``ignore``: nothing."""
    person: bool = False
    """Keep out what the segmenter of persons takes for background: a cheek's outline in profile."""
    fill: float = 0.02
    """Largest hole in the swapper's masks that is closed, as a fraction of the crop's area."""
    erode: float = 0.01
    """How far the contour is drawn in, as a fraction of the crop side; negative lets it out."""
    blur: float = 0.03
    """Width of the soft contour, as a fraction of the crop side."""
    front_level: float = 0.7
    """Value of a stored mask from which a pixel begins to count as face; what is below stands before it and
    stays as it is, however unsure the network that made the mask was. Higher keeps more of a hand or of
    glasses, and more of the old face beside them."""
    front_grow: float = 0.02
    """How far what stands before the face is widened, as a fraction of the crop side."""
    front_blur: float = 0.01
    """Width of its soft edge, as a fraction of the crop side; it lies on the face's side."""
    rest: float = 1.0
    """How much of the new face is seen outside of the regions below: 0, with ``mouth.weight`` 1, replaces
    the mouth alone."""
    jaw: RegionSettings = field(default_factory=RegionSettings)
    """Chin and lower cheeks."""
    nose: RegionSettings = field(default_factory=RegionSettings)
    """From its root to the wings."""
    mouth: RegionSettings = field(default_factory=RegionSettings)
    """The lips and what is between them."""
    brows: RegionSettings = field(default_factory=RegionSettings)
    """Both eyebrows."""
    eyes: RegionSettings = field(default_factory=RegionSettings)
    """Both eyes within their lids."""

    def __post_init__(self) -> None:
        if not -0.5 <= self.erode <= 0.5:
            raise ConfigError(f"erode: wanted a fraction of the crop side, -0.5 to 0.5, got {self.erode}")
        for name in ("blur", "front_grow", "front_blur"):
            if not 0.0 <= (value := getattr(self, name)) <= 0.5:
                raise ConfigError(f"{name}: wanted a fraction of the crop side, 0 to 0.5, got {value}")
        if not 0.0 <= self.front_level < 1.0:
            raise ConfigError(
                f"front_level: wanted a value of the mask, 0 to below 1, got {self.front_level}"
            )
        for name in ("fill", "rest"):
            if not 0.0 <= (value := getattr(self, name)) <= 1.0:
                raise ConfigError(f"{name}: wanted 0 to 1, got {value}")

    @property
    def asks_target(self) -> bool:
        """Whether the swapper has to say where the target's own face is."""
        return self.source in ("target", "learned_product", "learned_union")

    @property
    def by_region(self) -> dict[str, RegionSettings]:
        """Regions that have a weight of their own, in the order in which they are laid over each other."""
        found = {name: getattr(self, name) for name in REGIONS}
        return {name: region for name, region in found.items() if region.weight is not None}


@dataclass(frozen=True, eq=False)
class StoredMask:
    """The mask that the target's face set has for a face."""

    pixels: UInt8[np.ndarray, "s s"]
    """White is face."""
    alignment: Alignment
    """What its square shows: that of the stored crop."""

    def framed(
        self, settings: MaskSettings, matrix: Float64[np.ndarray, "2 3"], size: int
    ) -> Float32[np.ndarray, "{size} {size}"]:
        """The mask in a crop of the frame, in [0, 1]; beyond its square it leaves out nothing, or all.

        Args:
            settings: alone, it has to say where the face is; otherwise only what lies before it.
            matrix: frame pixels to pixels of the crop.
            size: side of the crop.
        """
        back = compose(self.alignment.crop_matrix(self.pixels.shape[0]), invert(matrix))
        values = self.pixels.astype(np.float32) / np.float32(255.0)
        if settings.stored == "alone":
            return warp(values, back, (size, size), "zero").clip(0.0, 1.0)
        return 1.0 - warp(1.0 - values, back, (size, size), "zero").clip(0.0, 1.0)


def join_masks(
    settings: MaskSettings,
    hull: Float[Tensor, "b 1 s s"],
    learned: Float[Tensor, "b c s s"] | None,
    stored: Float[Tensor, "b 1 s s"] | None = None,
) -> Float[Tensor, "b 1 s s"]:
    """The contour before it is softened.

    Args:
        settings: which of them count.
        hull: from the landmarks, in [0, 1].
        learned: the swapper's, in [0, 1], same size: of the new face, and as a second channel of the old one
            where the settings ask for it; None where the swapper has none, then only the hull counts.
        stored: of the face set, see ``StoredMask``; None where no face has one. It counts here where it is
            to count alone; otherwise it says what is before the face.

    Raises:
        ShapeError: the settings ask for the old face's mask and there is none.
    """
    if stored is not None and settings.stored == "alone":
        return stored * (stored >= _LEAST)
    joined = hull if learned is None or settings.source == "hull" else _joined(settings, hull, learned)
    return joined * (joined >= _LEAST)


def _joined(settings: MaskSettings, hull: Tensor, learned: Tensor) -> Tensor:
    """``join_masks`` where the swapper has a say."""
    if settings.asks_target and learned.shape[1] < 2:
        wanted = f"(B, 2, S, S), of the new and the old face, for mask.source {settings.source!r}"
        raise ShapeError("the swapper's masks", wanted, tuple(learned.shape))
    first = learned[:, 1:] if settings.source == "target" else learned[:, :1]
    first = fill_holes(first, settings.fill)
    if settings.source in ("learned", "target"):
        return first
    second = fill_holes(learned[:, 1:], settings.fill) if settings.asks_target else hull
    together = settings.source in ("product", "learned_product")
    return second * first if together else torch.maximum(second, first)


def fill_holes(masks: Float[Tensor, "b c s s"], largest: float) -> Float[Tensor, "b c s s"]:
    """Masks without the holes that their face encloses.

    Args:
        masks: in [0, 1].
        largest: area of the largest hole that is closed, as a fraction of the picture's; 0 closes none.
    """
    if largest <= 0.0:
        return masks
    open_pixels = (masks < _WHOLE).to(torch.uint8).flatten(0, 1).cpu().numpy()
    limit = largest * open_pixels[0].size
    holes = np.stack([_holes(plane, limit) for plane in open_pixels])
    if not holes.any():
        return masks
    return masks.masked_fill(torch.from_numpy(holes).view(masks.shape).to(masks.device), 1.0)


def _holes(open_pixels: UInt8[np.ndarray, "s s"], limit: float) -> np.ndarray:
    """Pixels of the small open areas that do not reach the border."""
    height, width = open_pixels.shape
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(open_pixels, connectivity=4)
    x, y = boxes[:, cv2.CC_STAT_LEFT], boxes[:, cv2.CC_STAT_TOP]
    right, bottom = x + boxes[:, cv2.CC_STAT_WIDTH], y + boxes[:, cv2.CC_STAT_HEIGHT]
    inner = (x > 0) & (y > 0) & (right < width) & (bottom < height)
    chosen = inner & (boxes[:, cv2.CC_STAT_AREA] <= limit) & (np.arange(count) > 0)
    return chosen[labels]


def weigh_regions(
    settings: MaskSettings,
    mask: Float[Tensor, "b 1 s s"],
    points: list[Float32[np.ndarray, "n d"]],
    matrices: list[Float64[np.ndarray, "2 3"]],
) -> Float[Tensor, "b 1 s s"]:
    """The mask, less where a region of the face is to show less of the new one.

    Args:
        settings: the regions.
        mask: softened.
        points: landmarks of every face, frame pixels.
        matrices: frame pixels to crop pixels, of every face.
    """
    regions = settings.by_region
    if not regions and settings.rest == 1.0:
        return mask
    size = mask.shape[-1]
    weight = torch.full_like(mask, settings.rest)
    for name, region in regions.items():
        assert region.weight is not None
        drawn = [region_mask(p, m, size, name, region.grow) for p, m in zip(points, matrices, strict=True)]
        radius = round(region.soften * size / 2.0)
        part = gaussian_blur(torch.from_numpy(np.stack(drawn))[:, None].to(mask), radius / 2.0, radius)
        weight = torch.lerp(weight, torch.full_like(weight, region.weight), part)
    return mask * weight


def soften(settings: MaskSettings, mask: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """The contour drawn in and blurred; 0 along the border of the crop, whose edge must not be seen."""
    size = mask.shape[-1]
    step = round(abs(settings.erode) * size)
    mask = erode(mask, step) if settings.erode > 0 else dilate(mask, step)
    radius = round(settings.blur * size / 2.0)
    frame = min(radius + 1, (size - 1) // 2)
    mask = F.pad(mask[..., frame:-frame, frame:-frame], (frame,) * 4) if frame else mask
    return gaussian_blur(mask, radius / 2.0, radius)


def front_of(settings: MaskSettings, stored: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """1 where nothing stands before the face, by the face set's masks.

    Args:
        settings: from which value on a pixel is face.
        stored: as ``StoredMask.framed`` gives it.
    """
    if settings.stored == "alone":  # then it is the contour
        return torch.ones_like(stored)
    if settings.front_level == 0.0:
        return stored
    reach = min(_SURE, 1.0 - settings.front_level)
    return ((stored - settings.front_level) / reach).clamp(0.0, 1.0)


def soften_front(settings: MaskSettings, front: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 1 s s"]:
    """What is seen of the face once the things before it are widened; soft towards the face only.

    Args:
        settings: how far and how soft.
        front: 1 where nothing stands before the face.
    """
    size = front.shape[-1]
    grow, radius = round(settings.front_grow * size), round(settings.front_blur * size / 2.0)
    # the crop's border is no thing before the face
    seen = 1.0 - dilate(1.0 - front, grow + radius)
    return torch.minimum(gaussian_blur(seen, radius / 2.0, radius), front) if radius else seen

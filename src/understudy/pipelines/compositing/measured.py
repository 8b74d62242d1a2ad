"""What a frame alone says of its faces, before their neighbours in time are asked: colours and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional as F

from understudy.color_transfers import StableTransfer
from understudy.pipelines.compositing.masks import soften
from understudy.pipelines.compositing.settings import CompositeSettings

IN_TIME = 128
"""Side at which masks are averaged over time; what is averaged away is added at the working size."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Averaged:
    """What may be averaged over time."""

    before: Tensor | None
    """Measurements of the colour transfer before the blend; None for one that cannot be averaged."""
    after: Tensor | None
    """Of the one after it."""
    masks: Tensor | None = None
    """Contour and front at ``_IN_TIME``; None where they are not averaged."""
    guide: Tensor | None = None
    """What the frame shows there."""
    points: Float32[np.ndarray, "n d"]
    """Landmarks of the face, as it is pasted."""
    points_before: Float32[np.ndarray, "n d"] | None = None
    """Those of the track in the frame before; None where there is none, or nobody looked."""
    points_after: Float32[np.ndarray, "n d"] | None = None
    """Those in the next frame."""


def measure_faces(
    settings: CompositeSettings,
    base: Float[Tensor, "b 3 s s"],
    faces: Float[Tensor, "b 3 o o"],
    contour: Float[Tensor, "b 1 s s"],
    front: Float[Tensor, "b 1 s s"],
    seen: Float[Tensor, "b 1 s s"],
    points: Sequence[np.ndarray],
) -> list[Averaged]:
    """What a frame alone says of its faces.

    Colours are measured and moved at the swapper's own size where that is smaller: contrast is then
    compared at one sharpness, and there are fewer pixels.

    Args:
        settings: what is measured.
        base: the frames' own faces.
        faces: the new ones.
        contour: where the faces are.
        front: 1 where nothing stands before them.
        seen: the same, and 0 beyond the frame's edge: where colours are measured.
        points: landmarks of every face, frame pixels.
    """
    own = faces.shape[-1]
    first, second = settings.color_transfer, settings.color_transfer_after
    before = after = masks = guide = None
    if isinstance(first, StableTransfer) or isinstance(second, StableTransfer):
        small, mask = resize(base, own, "bilinear"), resize(contour * seen, own, "bilinear")
        if isinstance(first, StableTransfer):
            before = first.measure(faces, small, mask)
        if isinstance(second, StableTransfer):
            moved = faces
            if isinstance(first, StableTransfer) and before is not None:
                moved = first.apply(faces, before)
            blended = settings.blend(small, moved, soften(settings.mask, mask))
            after = second.measure(blended, small, mask)
    if settings.temporal.mask:
        # one side for every face, so that those of a track can be averaged when it comes nearer
        masks = resize(torch.cat([contour, front], 1), IN_TIME, "bilinear")
        guide = resize(base, IN_TIME, "bilinear")

    def row(values: Tensor | None, number: int) -> Tensor | None:
        return None if values is None else values[number]

    return [
        Averaged(
            before=row(before, n),
            after=row(after, n),
            masks=row(masks, n),
            guide=row(guide, n),
            points=points[n],
        )
        for n in range(len(faces))
    ]


def resize(pictures: Tensor, size: int, mode: str) -> Tensor:
    """To the working size, filtered where it is smaller, clipped to [0, 1]; float32."""
    pictures = pictures.detach().float()
    if pictures.shape[-1] != size:
        pictures = F.interpolate(pictures, (size, size), mode=mode, antialias=True)
    return pictures.clamp(0.0, 1.0)

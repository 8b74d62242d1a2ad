"""Measurements and masks of faces averaged along their tracks, so that what is made of them does not flicker.

A measurement is what ``StableTransfer.measure`` gives for a face: first how much of the crop the face
covers (0 where nothing could be measured), then the mean colour of the reference, then anything that may be
averaged.

A window reaches equally far back and ahead, at most 8 frames; the frames that are waited for are held by
whoever calls. A frame counts less the further away it is and the more its light differs: a flash or a lamp
that is switched on is not smeared over its neighbours. Nothing depends on frames outside the window, so work
that begins a reach early gives the very same numbers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.errors import ConfigError

REACH = 8
"""Most frames that a window reaches back and ahead."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Run(Generic[T]):
    """What a track has in a frame and in those around it, without a gap."""

    items: list[T]
    """In the order of time."""
    middle: int
    """Place of the frame itself."""

    def within(self, reach: int) -> Run[T]:
        """The part that is at most so many frames away."""
        first = max(0, self.middle - reach)
        return Run(self.items[first : self.middle + reach + 1], self.middle - first)


class TrackWindow(Generic[K, T]):
    """Gives what every track has in a frame together with what it has in the frames around it.

    For every frame, in order, call ``push``; at a cut and at the end ``reset``. Both give the frames that are
    ready, oldest first: in all as many as were pushed. A run ends where its track is missing in a frame.

    Args:
        reach: frames looked at before and after each; 0 gives everything back as it came.
    """

    def __init__(self, reach: int = REACH) -> None:
        if not 0 <= reach <= REACH:
            raise ConfigError(f"reach: wanted 0 to {REACH}, got {reach}")
        self.reach = reach
        self._window: deque[dict[K, T]] = deque(maxlen=2 * reach + 1)
        self._middle = 0  # place in the window of the next frame to come out

    def push(self, items: Mapping[K, T]) -> list[dict[K, Run[T]]]:
        """One frame more.

        Args:
            items: one for every track in the frame; empty for a frame without a face.
        """
        if len(self._window) == self._window.maxlen:
            self._middle -= 1
        self._window.append(dict(items))
        return self._ready(self.reach)

    def reset(self) -> list[dict[K, Run[T]]]:
        """The frames that are still held; the next one begins anew. For cuts, and for the end."""
        out = self._ready(0)
        self._window.clear()
        self._middle = 0
        return out

    def _ready(self, ahead: int) -> list[dict[K, Run[T]]]:
        """Frames that have as many after them."""
        out: list[dict[K, Run[T]]] = []
        while self._middle + ahead < len(self._window):
            out.append({track: self._run(track) for track in self._window[self._middle]})
            self._middle += 1
        return out

    def _run(self, track: K) -> Run[T]:
        back, ahead = (self._length(track, step) for step in (-1, 1))
        places = range(self._middle - back, self._middle + ahead + 1)
        return Run([self._window[place][track] for place in places], back)

    def _length(self, track: K, step: int) -> int:
        """Frames next to the middle one in which the track goes on, as far as the window reaches."""
        for distance in range(1, self.reach + 1):
            place = self._middle + step * distance
            if not (0 <= place < len(self._window) and track in self._window[place]):
                return distance - 1
        return self.reach


def weighted_window(
    lines: Sequence[Float[Tensor, "k"]], middle: int, reach: int, sameness: float
) -> Float[Tensor, "k"]:
    """The average of the measurements of neighbouring frames, as the frame ``middle`` is to have it.

    Weights are cos² of the distance in time, times a Gaussian of the difference in light (a bilateral filter,
    Tomasi and Manduchi 1998), times the area measured. A frame in which nothing could be measured adds
    nothing, and takes what its neighbours have.

    Args:
        lines: measurements of consecutive frames, all of one transfer.
        middle: place of the frame that is wanted.
        reach: frames from it at which the weight is about to become 0; 0 gives the line itself.
        sameness: difference of the mean colour, of a range of 1, at which a frame counts 0.6 times as much.
    """
    if reach == 0:
        return lines[middle]
    block = torch.stack(list(lines))
    weights = _in_time(len(block), middle, reach, block) * block[:, 0]
    unlike = (block[:, 1:4] - block[middle, 1:4]).square().sum(-1) / (3.0 * sameness**2)
    known = block[middle, 0] > 0.0
    weights = torch.where(known, weights * torch.exp(-0.5 * unlike), weights)
    total = weights.sum()
    counted = block.masked_fill(weights[:, None] <= 0.0, 0.0)
    return torch.where(total > 0.0, weights @ counted / total.clamp(min=1e-12), block[middle])


def weighted_masks(
    masks: Sequence[Float[Tensor, "c h w"]],
    guides: Sequence[Float[Tensor, "3 h w"]],
    middle: int,
    reach: int,
    sameness: float,
) -> Float[Tensor, "c h w"]:
    """The average of the masks of neighbouring frames, pixel by pixel, in the crop of the face.

    A cross-bilateral filter along time (Eisemann and Durand 2004, "Flash photography enhancement via
    intrinsic relighting"): a pixel of another frame counts by its distance in time and by how like its colour
    is, so that skin which holds still is averaged and a hand that passes is not.

    Args:
        masks: of consecutive frames.
        guides: what each frame shows there, RGB in [0, 1].
        middle: place of the frame that is wanted.
        reach: frames from it at which the weight is about to become 0; 0 gives its mask itself.
        sameness: difference of colour, of a range of 1, at which a pixel counts 0.6 times as much.
    """
    if reach == 0:
        return masks[middle]
    own = guides[middle]
    in_time = _in_time(len(masks), middle, reach, own).tolist()
    total, out = torch.zeros_like(own[:1]), torch.zeros_like(masks[middle])
    for mask, guide, weight in zip(masks, guides, in_time, strict=True):
        unlike = (guide - own).square_().sum(0, keepdim=True)
        share = unlike.mul_(-0.5 / (3.0 * sameness**2)).exp_().mul_(weight)
        total += share
        out.addcmul_(mask, share)
    return out / total


def _in_time(count: int, middle: int, reach: int, like: Tensor) -> Tensor:
    """cos² of the distance in frames, 1 in the middle and 0 just beyond the reach."""
    away = torch.arange(count, device=like.device, dtype=like.dtype) - middle
    return torch.cos(away * (0.5 * math.pi / (reach + 1))).square()

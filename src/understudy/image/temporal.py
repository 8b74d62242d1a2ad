"""Measurements of faces averaged along their tracks, so that what is made of them does not flicker.

A measurement is what ``StableTransfer.measure`` gives for a face: first how much of the crop the face
covers (0 where nothing could be measured), then the mean colour of the reference, then anything that may be
averaged.

The window reaches equally far back and ahead, at most 8 frames; the frames that are waited for are held by
whoever calls. A frame counts less the further away it is and the more its light differs: a flash or a lamp
that is switched on is not smeared over its neighbours.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.errors import ConfigError

REACH = 8
"""Most frames that a window reaches back and ahead."""


class StatisticsSmoother:
    """Averages the measurements of every track over a window of frames.

    For every frame, in order, call ``push``; at a cut and at the end ``reset``. Both give the frames that are
    ready, oldest first: in all as many as were pushed. A window ends where its track is missing in a frame.

    Args:
        reach: frames looked at before and after each; 0 gives everything back as it came.
        sameness: difference of the mean colour, of a range of 1, at which a frame counts 0.6 times as much.
    """

    def __init__(self, reach: int = REACH, sameness: float = 0.03) -> None:
        if not 0 <= reach <= REACH:
            raise ConfigError(f"reach: wanted 0 to {REACH}, got {reach}")
        if sameness <= 0.0:
            raise ConfigError(f"sameness: wanted more than 0, got {sameness}")
        self.reach, self.sameness = reach, sameness
        self._window: deque[dict[int, Tensor]] = deque(maxlen=2 * reach + 1)
        self._middle = 0  # place in the window of the next frame to come out

    def push(self, statistics: Mapping[int, Float[Tensor, "k"]]) -> list[dict[int, Float[Tensor, "k"]]]:
        """One frame more.

        Args:
            statistics: a line for every track in the frame, all of one transfer; empty for a frame without
                a face.
        """
        if len(self._window) == self._window.maxlen:
            self._middle -= 1
        self._window.append(dict(statistics))
        return self._ready(self.reach)

    def reset(self) -> list[dict[int, Float[Tensor, "k"]]]:
        """The frames that are still held; the next one begins anew. For cuts, and for the end."""
        out = self._ready(0)
        self._window.clear()
        self._middle = 0
        return out

    def _ready(self, ahead: int) -> list[dict[int, Tensor]]:
        """Frames that have as many after them."""
        out: list[dict[int, Tensor]] = []
        while self._middle + ahead < len(self._window):
            lines = self._window[self._middle]
            out.append({track: self._smoothed(track) for track in lines})
            self._middle += 1
        return out

    def _smoothed(self, track: int) -> Tensor:
        """The measurement of a track in the frame that comes out."""
        ends = [self._run(track, step) for step in (-1, 1)]
        first, last = self._middle - ends[0], self._middle + ends[1]
        return weighted_window(
            [self._window[place][track] for place in range(first, last + 1)],
            ends[0],
            self.reach,
            self.sameness,
        )

    def _run(self, track: int, step: int) -> int:
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
    """
    if reach == 0:
        return lines[middle]
    block = torch.stack(list(lines))
    away = torch.arange(len(block), device=block.device, dtype=block.dtype) - middle
    weights = torch.cos(away * (0.5 * math.pi / (reach + 1))).square() * block[:, 0]
    unlike = (block[:, 1:4] - block[middle, 1:4]).square().sum(-1) / (3.0 * sameness**2)
    known = block[middle, 0] > 0.0
    weights = torch.where(known, weights * torch.exp(-0.5 * unlike), weights)
    total = weights.sum()
    counted = block.masked_fill(weights[:, None] <= 0.0, 0.0)
    return torch.where(total > 0.0, weights @ counted / total.clamp(min=1e-12), block[middle])

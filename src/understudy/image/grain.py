"""Grain: how much noise a picture has at three scales, and noise that has as much.

The deviation is that of the diagonal differences of Haar's wavelet, which no smooth shading and no upright
edge excites (Donoho and Johnstone 1994, "Ideal spatial adaptation by wavelet shrinkage", section 4), where
the picture is flat; of their mean magnitude instead of the median (Immerkær 1996, "Fast noise variance
estimation", equation 3), because a codec leaves half of them at nothing. It is taken on the pixels, on
squares of 2 x 2 and of 4 x 4: for white noise each is half the one before, for the
soft grain of film and for noise that a codec has smoothed it falls less or rises. Noise with the same
figures is a sum of a few kinds, from one that is finer than white to very soft ones, whose variances follow
from a linear system.

Colours are the luma and two differences of BT.709, each with noise of its own: codecs and sensors treat them
apart. Of the differences the finest scale is left out, which hardly a format stores. Noise is cut out of a
large still of random numbers at a place that follows from the number of the frame, so that it is another one
in each and the same whenever it is asked for.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.optimize import nnls
from torch import Tensor
from torch.nn import functional as F

from understudy.image.filter import box_blur, gaussian_blur

SCALES = 3
"""Scales at which noise is measured, each twice as coarse."""
KINDS = 4
"""Kinds of noise that are mixed: high-passed, white, soft, softer."""
_BLURS = (0.6, 0.0, 0.8, 1.8)
"""Standard deviations of their blurs, pixels; the first is what its blur takes away."""
_FLAT = 0.4
"""Share of the pixels that count as flat."""
_CLIPPED = 0.012
"""Distance from black and white within which noise is cut off and says nothing."""
_FEWEST = 16
"""Flat pixels below which nothing was measured."""
_ROOM = 192
"""How much larger the still is than what is cut from it, pixels."""
_WEIGHTS = np.array([[1.0, 0.5, 0.25], [0.0, 1.0, 0.5], [0.0, 1.0, 0.5]])
"""How much the scales of every colour count where they cannot all be met."""
_THRIFT = (0.01, 0.003, 0.003)
"""What an amplitude costs, for every colour, against missing the deviations."""
_LEAST = 5e-5
"""Amplitude that is as good as none."""

_FROM_RGB = np.array(
    [
        [0.2126, 0.7152, 0.0722],
        [-0.2126 / 1.8556, -0.7152 / 1.8556, 0.5],
        [0.5, -0.7152 / 1.5748, -0.0722 / 1.5748],
    ]
)
"""RGB to luma and colour differences (ITU-R BT.709-6, section 3)."""


def measure_noise(
    pictures: Float[Tensor, "b 3 h w"], weight: Float[Tensor, "b 1 h w"] | None = None
) -> Float[Tensor, "b 3 3"]:
    """Deviation of the noise of luma and both colour differences, at every scale.

    Args:
        pictures: RGB in [0, 1], at the resolution at which they were taken.
        weight: where to look, in [0, 1]; a place counts where the mean of 4 x 4 pixels is above a half. None
            for everywhere.

    Returns:
        Standard deviations, (b, colour, scale); 0 where there are too few pixels to be measured, and at the
        finest scale of the differences.
    """
    if weight is None:
        weight = pictures.new_ones(len(pictures), 1, *pictures.shape[-2:])
    return measure_regions(pictures, weight)[:, 0].nan_to_num(0.0)


def measure_regions(
    pictures: Float[Tensor, "b 3 h w"], weights: Float[Tensor, "b k h w"]
) -> Float[Tensor, "b k 3 3"]:
    """``measure_noise`` of several regions at once; NaN where one has too few pixels."""
    height, width = (side // 4 * 4 for side in pictures.shape[-2:])
    out = pictures.new_full((*weights.shape[:2], 3, SCALES), torch.nan)
    if min(height, width) < 12 or not len(pictures):
        return out
    pictures, weights = pictures[..., :height, :width], weights[..., :height, :width]
    matrix = torch.from_numpy(_FROM_RGB).to(pictures)
    luma = (pictures * matrix[0].view(1, 3, 1, 1)).sum(1, keepdim=True)
    small = torch.einsum("ij,bjhw->bihw", matrix, _halved(pictures))
    smaller = _halved(small)
    counted = _flat_places(smaller[:, :1], _halved(_halved(weights)))
    out[..., :1, 0] = _deviation(luma, _doubled(_doubled(counted)))
    out[..., 1] = _deviation(small, _doubled(counted))
    out[..., 2] = _deviation(smaller, counted)
    out[..., 1:, 0] = out[..., :1, 0] * 0.0
    return out


def _halved(values: Tensor) -> Tensor:
    """Means of 2 x 2 pixels; on a CPU faster than pooling."""
    rows = values[..., ::2, :] + values[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)


def _doubled(places: Tensor) -> Tensor:
    return places.repeat_interleave(2, -1).repeat_interleave(2, -2)


def _deviation(values: Float[Tensor, "b c h w"], counted: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k c"]:
    """The estimate for every region and channel, at the places that count."""
    places = counted[..., :-1, :-1].flatten(2)
    total = places.sum(-1, keepdim=True)
    mean = places @ _diagonal(values).abs_().flatten(2).mT / total.clamp(min=1.0)
    return torch.where(total >= _FEWEST, mean * math.sqrt(math.pi / 2.0), torch.nan)


def _diagonal(values: Tensor) -> Tensor:
    """Haar's diagonal differences at every place, of norm 1; a picture less a row and a column."""
    across = values[..., :, 1:] - values[..., :, :-1]
    return (across[..., 1:, :] - across[..., :-1, :]).mul_(0.5)


def _flat_places(
    luma: Float[Tensor, "b 1 h w"], weights: Float[Tensor, "b k h w"]
) -> Float[Tensor, "b k h w"]:
    """1 at the places of each region that the slope of the smoothed luma is least at, 0 elsewhere."""
    padded = F.pad(box_blur(luma, 1), (1, 1, 1, 1), mode="replicate")
    slope = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]).abs()
    slope += (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]).abs()
    allowed = (weights > 0.5) & (luma > _CLIPPED) & (luma < 1.0 - _CLIPPED)
    slope = slope.expand_as(allowed)
    limits: list[Tensor] = []
    for row, kept in zip(slope.flatten(0, 1), allowed.flatten(0, 1), strict=True):
        values = row[kept]
        count = values.numel()
        limits.append(values.kthvalue(max(1, int(_FLAT * count))).values if count else row.new_zeros(()))
    return (allowed & (slope <= torch.stack(limits).view(*allowed.shape[:2], 1, 1))).to(luma)


# ------------------------------------------------------------------------------------------- synthesis


def solve_amplitudes(
    wanted: Float64[np.ndarray, "3 scales"],
    there: Float64[np.ndarray, "3 scales"],
    response: Float64[np.ndarray, "3 scales kinds"],
) -> Float64[np.ndarray, "3 kinds"]:
    """How much of each kind of noise brings the deviations that are there to those that are wanted.

    Variances of independent noises add up. The relative errors at all scales are made smallest, under the
    condition that no kind has less than nothing (Lawson and Hanson 1974, "Solving least squares problems",
    chapter 23); much noise of which little arrives counts against a kind. Colour differences get nowhere
    more than is wanted: a paste takes most of their finest noise away, and coarser noise is no substitute.

    Args:
        wanted: deviations to be reached, see ``measure_noise``.
        there: deviations that there are already.
        response: variance that each kind of noise has at each scale, for an amplitude of 1.

    Returns:
        Amplitudes; 0 where there is enough noise already.
    """
    out = np.zeros((len(wanted), response.shape[-1]))
    for row in range(len(wanted)):
        missing = np.maximum(wanted[row] ** 2 - there[row] ** 2, 0.0)
        weights = _WEIGHTS[row] / np.maximum(wanted[row] ** 2, 1e-9)
        if not (missing * weights).any():
            continue
        size = _THRIFT[row] / max(float(np.max(wanted[row])) ** 2, 1e-9)
        matrix = np.concatenate([response[row] * weights[:, None], size * np.eye(KINDS)])
        right = np.concatenate([missing * weights, np.zeros(KINDS)])
        scale = float(np.max(wanted[row])) ** 2  # numbers of about 1 for the solver
        found = nnls(matrix * scale, right)[0] * scale
        if row:  # blotches of colour are seen first: no scale gets more than it is to have
            seen = response[row] @ found
            shares = missing[seen > 0.0] / seen[seen > 0.0]
            found *= min(1.0, float(shares.min(initial=1.0)))
        out[row] = np.sqrt(found)
    return out


@lru_cache(maxsize=4)
def _still(side: int, device: torch.device) -> Float[Tensor, "3 kinds side side"]:
    """Noise of every kind for three channels; deviation 1, each for itself."""
    generator = torch.Generator().manual_seed(2_061)
    margin = math.ceil(3.0 * max(_BLURS))
    kinds: list[Tensor] = []
    for number, softness in enumerate(_BLURS):
        white = torch.randn(1, 3, side + 2 * margin, side + 2 * margin, generator=generator)
        field = gaussian_blur(white, softness)
        field = (white - field if number == 0 else field)[0, :, margin:-margin, margin:-margin]
        kinds.append(field / field.std((-2, -1), keepdim=True))
    return torch.stack(kinds, 1).to(device)


def grain(
    amplitudes: Float64[np.ndarray, "3 kinds"], side: int, seed: int, device: torch.device
) -> Float[Tensor, "3 s s"]:
    """Noise to be added to an RGB picture.

    Args:
        amplitudes: of luma and both colour differences, see ``solve_amplitudes``.
        side: pixels.
        seed: what the noise follows from; that of two seeds has nothing in common.
        device: where it is wanted.
    """
    still = _still(side + _ROOM, device)
    random = np.random.default_rng([seed, 2_062])
    places = random.integers(0, _ROOM + 1, (*amplitudes.shape, 2))
    out = torch.zeros(3, side, side, device=device)
    to_rgb = np.linalg.inv(_FROM_RGB)
    for color in range(3):
        used = [kind for kind in range(KINDS) if amplitudes[color, kind] > _LEAST]
        if not used:
            continue
        mixed = torch.zeros(side, side, device=device)
        for kind in used:
            x, y = (int(place) for place in places[color, kind])
            mixed.add_(still[color, kind, y : y + side, x : x + side], alpha=float(amplitudes[color, kind]))
        for channel in range(3):
            out[channel].add_(mixed, alpha=float(to_rgb[channel, color]))
    return out

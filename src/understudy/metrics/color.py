"""How far apart two colours look: CIEDE2000, over the whole picture or inside a mask.

Sharma, Wu and Dalal 2005, "The CIEDE2000 color-difference formula: implementation notes, supplementary test
data, and mathematical observations", equations 2 to 22, with all weighting factors one. About 1 is the
smallest difference that people see between two patches side by side; 100 is black against white.

Rank correlation with tints of 2 to 16 code values 1.00, with seams 1.00 (``benchmarks/metrics.py``, ten
pairs of performers). Blind spot: a mean over pixels hides a small place of quite another colour.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.image.lab import rgb_to_lab

_CHROMA_7 = 25.0**7
_TURN = 2.0 * math.pi


def color_difference(
    picture: Float[Tensor, "b 3 h w"],
    truth: Float[Tensor, "b 3 h w"],
    mask: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Mean CIEDE2000 difference of pictures, 0 for equal ones, seldom above 50.

    Args:
        picture: what is judged, R'G'B' in [0, 1].
        truth: what it should be.
        mask: weight of every pixel, in [0, 1]; None for all alike.

    Returns:
        ``(b,)``, float64; NaN where the mask is empty.
    """
    places = delta_e_2000(rgb_to_lab(picture), rgb_to_lab(truth)).double()
    if mask is None:
        return places.mean((1, 2))
    weights = mask[:, 0].double()
    return (places * weights).sum((1, 2)) / weights.sum((1, 2))


def delta_e_2000(first: Float[Tensor, "b 3 *n"], second: Float[Tensor, "b 3 *n"]) -> Float[Tensor, "b *n"]:
    """CIEDE2000 difference of every colour.

    Args:
        first: CIE L*a*b*, L* in [0, 100].
        second: what it is compared with; the order does not matter.
    """
    L1, a1, b1 = first.unbind(1)
    L2, a2, b2 = second.unbind(1)
    # equations 2 to 7: reds and greens near grey count more
    mean_chroma = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2.0
    stretch = 1.5 - 0.5 * _saturation(mean_chroma)
    a1, a2 = a1 * stretch, a2 * stretch
    C1, C2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = torch.atan2(b1, a1) % _TURN, torch.atan2(b2, a2) % _TURN
    # equations 8 to 11: differences; the hue's is taken the short way round
    grey = C1 * C2 == 0.0
    hue = h2 - h1
    hue = torch.where(hue > math.pi, hue - _TURN, torch.where(hue < -math.pi, hue + _TURN, hue))
    hue = torch.where(grey, torch.zeros_like(hue), hue)
    dL, dC = L2 - L1, C2 - C1
    dH = 2.0 * (C1 * C2).sqrt() * torch.sin(hue / 2.0)
    # equations 12 to 14: means; that of the hue lies between the two, on the shorter arc
    L, C = (L1 + L2) / 2.0, (C1 + C2) / 2.0
    h = torch.where(grey, h1 + h2, h1 + hue / 2.0)
    weight_l, weight_c, weight_h, rotation = _weights(L, C, h)
    l_part, c_part, h_part = dL / weight_l, dC / weight_c, dH / weight_h
    total = l_part**2 + c_part**2 + h_part**2 + rotation * c_part * h_part
    return total.clamp(min=0.0).sqrt()


def _weights(L: Tensor, C: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Equations 15 to 21: how much a difference of lightness, chroma and hue counts, and their interplay."""
    cosines = (
        1.0
        - 0.17 * torch.cos(h - math.radians(30.0))
        + 0.24 * torch.cos(2.0 * h)
        + 0.32 * torch.cos(3.0 * h + math.radians(6.0))
        - 0.20 * torch.cos(4.0 * h - math.radians(63.0))
    )
    middle = (L - 50.0) ** 2
    weight_l = 1.0 + 0.015 * middle / (20.0 + middle).sqrt()
    degrees = torch.rad2deg(h) % 360.0
    blue = math.radians(30.0) * torch.exp(-(((degrees - 275.0) / 25.0) ** 2))
    rotation = -2.0 * _saturation(C) * torch.sin(2.0 * blue)
    return weight_l, 1.0 + 0.045 * C, 1.0 + 0.015 * C * cosines, rotation


def _saturation(chroma: Tensor) -> Tensor:
    """0 for grey, near 1 for vivid colours."""
    power = chroma**7
    return (power / (power + _CHROMA_7)).sqrt()

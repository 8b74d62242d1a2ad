"""Weighted statistics of the colours of pictures: moments, quantiles, and curves between two distributions.

A pixel counts as much as its weight says. Where all weights are 0 the results are finite and mean nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_BINS = 1024
"""Of the histograms that quantiles are read from; four to a code value of 8 bits."""
_TINY = 1e-6


def weighted_mean(
    values: Float[Tensor, "b c h w"], weights: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, "b c"]:
    """Mean of every channel."""
    total = weights.flatten(1).sum(-1, keepdim=True).clamp(min=_TINY)
    return (values * weights).flatten(2).sum(-1) / total


def weighted_deviation(
    values: Float[Tensor, "b c h w"], weights: Float[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """Mean and standard deviation of every channel."""
    mean = weighted_mean(values, weights)
    return mean, weighted_mean((values - mean[..., None, None]).square_(), weights).sqrt()


def weighted_covariance(
    points: Float[Tensor, "b c n"], weights: Float[Tensor, "b 1 n"]
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c c"]]:
    """Mean and covariance (divided by the sum of weights) of points."""
    total = weights.sum(-1, keepdim=True).clamp(min=_TINY)
    mean = (points * weights).sum(-1, keepdim=True) / total
    centred = points - mean
    return mean[..., 0], (centred * weights) @ centred.mT / total


def weighted_quantiles(
    values: Float[Tensor, "b c h w"], weights: Float[Tensor, "b 1 h w"], levels: int
) -> Float[Tensor, "b c l"]:
    """Quantiles of every channel of pictures in [0, 1], at the levels (i + ½) / ``levels``.

    From a histogram, within whose bins the distribution is taken for even. Counted in integers, so that a GPU
    that adds in any order gives the same sum.
    """
    batch, channels = values.shape[:2]
    bins = (values.flatten(2) * _BINS).long().clamp_(0, _BINS - 1)
    counts = (weights.flatten(2) * 2.0**20).long().expand_as(bins)
    histogram = torch.zeros(batch, channels, _BINS, dtype=torch.long, device=values.device)
    histogram.scatter_add_(-1, bins, counts)
    below = torch.cumsum(histogram, -1).double()
    wanted = (torch.arange(levels, device=values.device, dtype=torch.double) + 0.5) / levels * below[..., -1:]
    found = torch.searchsorted(below, wanted.contiguous()).clamp_(max=_BINS - 1)
    inside = histogram.double()
    before = (below - inside).gather(-1, found)
    part = (wanted - before) / inside.gather(-1, found).clamp(min=1.0)
    return ((found + part.clamp(0.0, 1.0)) / _BINS).float()


def quantile_curve(
    start: Float[Tensor, "b c l"], end: Float[Tensor, "b c l"], nodes: int, max_slope: float
) -> Float[Tensor, "b c nodes"]:
    """The map that carries one distribution to another, ``x + (end - start)(F(x))``, F that of ``start``.

    In one dimension this increasing map is the optimal transport. Where nothing differs it is exactly x.

    Args:
        start: quantiles of what is mapped.
        end: quantiles of what it shall become.
        nodes: of the result, at i / (nodes - 1).
        max_slope: steepest and, inverted, flattest part of the map; the median goes where it should.
    """
    levels = start.shape[-1]
    places = torch.linspace(0.0, 1.0, nodes, device=start.device).expand(*start.shape[:-1], nodes)
    place = _level_of(start.contiguous(), places.contiguous())
    low = place.floor().clamp(0, levels - 2).long()
    shift = end - start
    shift = shift.gather(-1, low) + shift.diff(dim=-1).gather(-1, low) * (place - low)
    curve = places + shift
    step = 1.0 / (nodes - 1)
    rises = curve.diff(dim=-1).clamp(step / max_slope, step * max_slope)
    middle = (start[..., levels // 2, None] * (nodes - 1)).round().long().clamp(0, nodes - 1)
    limited = torch.cat([curve[..., :1], rises], -1).cumsum(-1)
    offset = (curve - limited).gather(-1, middle)
    changed = (rises - curve.diff(dim=-1)).abs().amax(-1, keepdim=True) > step * 1e-3
    return torch.where(changed, limited + offset, curve)


def _level_of(quantiles: Tensor, places: Tensor) -> Tensor:
    """Where on the axis of quantiles a value lies, between 0 and their number less 1; ties count half."""
    levels = quantiles.shape[-1]
    low = torch.searchsorted(quantiles, places, right=False)
    high = torch.searchsorted(quantiles, places, right=True)
    before, after = (index.clamp(0, levels - 1) for index in (low - 1, low))
    left, right = quantiles.gather(-1, before), quantiles.gather(-1, after)
    between = before + ((places - left) / (right - left).clamp(min=1e-12)).clamp(0.0, 1.0)
    return torch.where(high > low, 0.5 * (low + high - 1), between).clamp_(0.0, levels - 1.0)


def follow_curve(
    values: Float[Tensor, "b c h w"], curve: Float[Tensor, "b c nodes"]
) -> Float[Tensor, "b c h w"]:
    """Every channel of pictures in [0, 1] through its curve, linear between the nodes."""
    nodes = curve.shape[-1]
    place = values.flatten(2).clamp(0.0, 1.0) * (nodes - 1)
    low = place.long().clamp_(max=nodes - 2)
    rise = curve.diff(dim=-1)
    return (curve.gather(-1, low) + rise.gather(-1, low) * (place - low)).view_as(values)

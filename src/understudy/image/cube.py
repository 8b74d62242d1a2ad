"""Look-up tables of two or three dimensions: fitted to scattered points, read between their nodes.

The cube reaches from -1 to 1. A table has ``cells`` nodes a side, each in the middle of its cell; beyond the
outermost nodes it goes on as it ends. Axis i of the table belongs to coordinate i.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

_UNIT = 2.0**20
"""Sums are made of integers of this fraction; the order, which a GPU does not keep, then changes nothing."""
_ROUNDS = 3
"""Of fitting what the fit before left over."""
_FAINT = 1e-3
"""How little a coarser table counts beside a finer one that has data."""


def gather_cells(
    points: Float[Tensor, "b d n"], weights: Float[Tensor, "b 1 n"], cells: int
) -> tuple[Float[Tensor, "b d m"], Float[Tensor, "b 1 m"]]:
    """The mean place of the points in every cell, and their weight there; the middle of the cube where none.

    Points beyond the cube count in its outermost cells, with their true place. The weights sum to 1.
    """
    dimensions = points.shape[1]
    cell = ((points * 0.5 + 0.5) * cells).long().clamp_(0, cells - 1)
    index = cell[:, :1]
    for axis in range(1, dimensions):
        index = index * cells + cell[:, axis : axis + 1]
    share = weights / weights.sum(-1, keepdim=True).clamp(min=1e-6) * weights.shape[-1]
    amounts = (torch.cat([share, points * share], 1) * _UNIT).long()
    sums = torch.zeros(len(points), 1 + dimensions, cells**dimensions, dtype=torch.long, device=points.device)
    sums.scatter_add_(-1, index.expand_as(amounts), amounts)
    mass = sums[:, :1].clamp(min=1)
    places = sums[:, 1:].double() / mass
    return places.float(), (sums[:, :1].double() / (_UNIT * weights.shape[-1])).float()


def densest(
    points: Float[Tensor, "b d n"], mass: Float[Tensor, "b 1 n"], count: int
) -> tuple[Float[Tensor, "b d m"], Float[Tensor, "b 1 m"]]:
    """The points of most mass, ``count`` at most, as many as the item with the most of them has."""
    count = max(2, min(count, int((mass > 0.0).sum(-1).max())))
    most, index = mass.topk(count, dim=-1, sorted=False)
    return points.gather(-1, index.expand(-1, points.shape[1], -1)), most


def fit_table(
    points: Float[Tensor, "b d n"],
    values: Float[Tensor, "b c n"],
    mass: Float[Tensor, "b 1 n"],
    cells: int,
) -> Float[Tensor, "b c *cells"]:
    """A table that takes about these values at these points, and where there are none goes on smoothly.

    Values are spread over the nodes round them; what a table so made leaves over is fitted again, as in
    multilevel B-splines (Lee, Wolberg and Shin 1997). Nodes that no point reaches take the mean of the
    smallest larger cell that has data (pull and push, Gortler et al. 1996).

    Args:
        points: where; any that lie beyond the cube count as if on its edge.
        values: one column a point.
        mass: how much each point counts; 0 for not at all.
        cells: nodes a side, a power of two.
    """
    dimensions = points.shape[1]
    index, parts = _corners(points, cells)
    table = values.new_zeros(len(points), values.shape[1], *(cells,) * dimensions)
    left = values
    for round_number in range(_ROUNDS):
        sums = _spread(left, mass, index, parts, cells**dimensions).view(
            len(points), -1, *(cells,) * dimensions
        )
        if round_number == 0:
            sums = _with_coarser(sums)
        table = table + sums[:, :-1] / sums[:, -1:].clamp(min=1e-30)
        if round_number < _ROUNDS - 1:
            left = values - _read(table, index, parts)
    return table


def read_table(table: Float[Tensor, "b c *cells"], points: Float[Tensor, "b d n"]) -> Float[Tensor, "b c n"]:
    """Values between the nodes, linear along every axis."""
    dimensions = points.shape[1]
    grid = points.flip(1).mT.reshape(len(points), *(1,) * (dimensions - 1), -1, dimensions)
    return F.grid_sample(table, grid, padding_mode="border", align_corners=False).flatten(2)


def _corners(points: Tensor, cells: int) -> tuple[Int[Tensor, "b k n"], Float[Tensor, "b k n"]]:
    """Numbers of the nodes round each point, and its share in each."""
    place = ((points * 0.5 + 0.5) * cells - 0.5).clamp(0.0, cells - 1.0)
    low = place.floor().clamp(max=cells - 2)
    part = place - low
    low = low.long()
    indices: list[Tensor] = []
    parts: list[Tensor] = []
    for corner in itertools.product((0, 1), repeat=points.shape[1]):
        index, share = torch.zeros_like(low[:, 0]), torch.ones_like(part[:, 0])
        for axis, step in enumerate(corner):
            index = index * cells + low[:, axis] + step
            share = share * (part[:, axis] if step else 1.0 - part[:, axis])
        indices.append(index)
        parts.append(share)
    return torch.stack(indices, 1), torch.stack(parts, 1)


def _spread(values: Tensor, mass: Tensor, index: Tensor, parts: Tensor, nodes: int) -> Tensor:
    """Sums of values times mass, and of mass, at every node."""
    amounts = torch.cat([values * mass, mass], 1)[:, :, None] * parts[:, None] * 2.0**40
    flat = index[:, None].expand_as(amounts).flatten(2)
    sums = torch.zeros(*amounts.shape[:2], nodes, dtype=torch.long, device=values.device)
    return (sums.scatter_add_(-1, flat, amounts.long().flatten(2)).double() / 2.0**40).float()


def _read(table: Tensor, index: Tensor, parts: Tensor) -> Tensor:
    """The table at the points that ``_corners`` was made for."""
    flat = table.flatten(2)
    corners = flat.gather(-1, index.flatten(1)[:, None].expand(-1, flat.shape[1], -1))
    return (corners.view(*flat.shape[:2], *index.shape[1:]) * parts[:, None]).sum(2)


def _with_coarser(sums: Tensor) -> Tensor:
    """The sums, and much fainter those of cells twice, four times… as large."""
    dimensions = sums.dim() - 2
    pool = F.avg_pool2d if dimensions == 2 else F.avg_pool3d
    mode = "bilinear" if dimensions == 2 else "trilinear"
    out, coarse, faint = sums, sums, _FAINT
    while coarse.shape[-1] > 1:
        coarse = pool(coarse, 2)
        wide = F.interpolate(coarse, sums.shape[2:], mode=mode, align_corners=False)
        out = out + faint * wide
        faint *= _FAINT
    return out

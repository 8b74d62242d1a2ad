"""Maps that carry one cloud of colours onto another: linear ones in closed form, and sliced transport.

A cloud is known by its points and their weights, or by mean and covariance alone. Covariances are floored, so
that a flat face has a root and an inverse; small matrices are float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from understudy.image.cube import densest, fit_table, gather_cells, read_table
from understudy.image.statistics import weighted_covariance

_FLAT = 1e-3**2
"""Variance that is taken for none: a quarter of a code value of 8 bits."""
_LEVELS = 128
"""Quantiles of a cloud along a direction."""
_POINTS = 1024
"""Most points that stand for a cloud."""
_FAR = 1e3
"""Beyond any colour."""
_CELLS = {2: 64, 3: 32}
"""Cells a side, by dimensions, whose mean colours stand for a cloud."""
_NODES = {2: 32, 3: 16}
"""Nodes a side of a table: coarser, so that a map is smooth where the cloud is thin."""


# --------------------------------------------------------------------------------------------------- matrices


def symmetric_power(matrix: Float[Tensor, "b d d"], power: float) -> Float64[Tensor, "b d d"]:
    """A power of covariances, whose eigenvalues are floored first."""
    values, vectors = torch.linalg.eigh(matrix.double())
    return (vectors * values.clamp(min=_FLAT).pow(power)[:, None]) @ vectors.mT


def monge_kantorovich(
    start: Float[Tensor, "b d d"], end: Float[Tensor, "b d d"], max_gain: float
) -> Float64[Tensor, "b d d"]:
    """The linear map between two covariances that moves colours least.

    Pitié and Kokaram 2007, "The linear Monge-Kantorovitch linear colour mapping for example-based colour
    transfer", equation 4: T = A^-½ (A^½ B A^½)^½ A^-½, symmetric and positive.

    Args:
        start: A, of what is mapped.
        end: B, of what it shall become.
        max_gain: bound of the eigenvalues of T, and of their inverses.
    """
    root, back = symmetric_power(start, 0.5), symmetric_power(start, -0.5)
    floored = symmetric_power(end, 1.0)
    values, vectors = torch.linalg.eigh(root @ floored @ root)
    middle = (vectors * values.clamp(min=0.0).sqrt()[:, None]) @ vectors.mT
    values, vectors = torch.linalg.eigh(back @ middle @ back)
    return (vectors * values.clamp(1.0 / max_gain, max_gain)[:, None]) @ vectors.mT


def matched_roots(
    start: Float[Tensor, "b d d"],
    end: Float[Tensor, "b d d"],
    max_gain: float,
    root: Literal["pca", "cholesky"],
) -> Float64[Tensor, "b d d"]:
    """B^½ A^-½ with the symmetric roots or with Cholesky's; the gain is bounded in every direction."""
    if root == "pca":
        linear = symmetric_power(end, 0.5) @ symmetric_power(start, -0.5)
    else:
        below, above = (torch.linalg.cholesky(symmetric_power(matrix, 1.0)) for matrix in (start, end))
        linear = torch.linalg.solve_triangular(below, above, upper=False, left=False)
    left, gains, right = torch.linalg.svd(linear)
    return (left * gains.clamp(1.0 / max_gain, max_gain)[:, None]) @ right


def measure_moments(
    start: Float[Tensor, "b d h w"], end: Float[Tensor, "b d h w"], weights: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, "b k"]:
    """Mean and covariance of two pictures in one line a face; may be averaged over time."""
    flat = weights.flatten(2)
    parts = [*weighted_covariance(start.flatten(2), flat), *weighted_covariance(end.flatten(2), flat)]
    return torch.cat([part.flatten(1) for part in parts], 1)


def split_moments(lines: Float[Tensor, "b k"], dimensions: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and covariance of the one, then of the other, as ``measure_moments`` has them."""
    square = (-1, dimensions, dimensions)
    mean, covariance, end, end_covariance = lines.split([dimensions, dimensions**2] * 2, dim=1)
    return mean, covariance.view(square), end, end_covariance.view(square)


def move(
    points: Float[Tensor, "b d n"],
    linear: Float[Tensor, "b d d"],
    start: Float[Tensor, "b d"],
    end: Float[Tensor, "b d"],
) -> Float[Tensor, "b d n"]:
    """``linear (points - start) + end``, in the type of the points."""
    shift = end - (linear @ start.to(linear.dtype)[..., None])[..., 0]
    return torch.baddbmm(shift[..., None].to(points.dtype), linear.to(points.dtype), points)


# ------------------------------------------------------------------------------------------------- directions


@lru_cache(maxsize=8)
def rotations(count: int, dimensions: int = 3) -> Float64[np.ndarray, "count d d"]:
    """Orthogonal bases, the axes first, then as evenly spread as chance has it; always the same."""
    generator = np.random.default_rng(2005)
    factors = [np.linalg.qr(generator.standard_normal((dimensions, dimensions)))[0] for _ in range(count - 1)]
    out = np.stack([np.eye(dimensions), *factors])
    out.setflags(write=False)
    return out


def turned_directions(rounds: int, count: int, dimensions: int = 3) -> Float64[np.ndarray, "rounds count d"]:
    """``half_sphere``, turned anew in every round."""
    return half_sphere(count, dimensions) @ rotations(rounds, dimensions)


@lru_cache(maxsize=8)
def half_sphere(count: int, dimensions: int = 3) -> Float64[np.ndarray, "count d"]:
    """Directions spread evenly over half a circle, or half a sphere (a Fibonacci spiral)."""
    places = (np.arange(count) + 0.5) / count
    if dimensions == 2:
        angles = math.pi * places
        out = np.stack([np.cos(angles), np.sin(angles)], 1)
    else:
        turns, radius = (
            2.0 * math.pi * np.arange(count) * 0.5 * (math.sqrt(5.0) - 1.0),
            np.sqrt(1 - places**2),
        )
        out = np.stack([radius * np.cos(turns), radius * np.sin(turns), places], 1)
    out.setflags(write=False)
    return out


# ------------------------------------------------------------------------------------------- sliced transport


def carry(
    points: Float[Tensor, "b d n"],
    mass: Float[Tensor, "b 1 n"],
    target: Float[Tensor, "b d m"],
    target_mass: Float[Tensor, "b 1 m"],
    directions: Float64[np.ndarray, "rounds s d"],
) -> Float[Tensor, "b d n"]:
    """Points moved until they are distributed as the target's, round by round.

    In a round the points are projected on some directions, in each of which the transport is known (quantile
    to quantile), and moved by the mean of these moves times the number of dimensions. With the three axes of
    a rotation that is iterative distribution transfer (Pitié, Kokaram and Dahyot 2005); with many directions
    a step of Newton's method on the sliced Wasserstein distance (Rabin, Peyré, Delon and Bernot 2011,
    equation 9; Bonneel, Rabin, Peyré and Pfister 2015, section 3).
    """
    batch, dimensions = points.shape[:2]
    rounds, count = directions.shape[:2]
    lines = torch.tensor(directions, dtype=points.dtype, device=points.device)
    aims = _quantiles(lines.flatten(0, 1) @ target, target_mass)[0].view(batch, rounds, count, _LEVELS)
    for number in range(rounds):
        found, order, level = _quantiles(lines[number] @ points, mass)
        shift = aims[:, number] - found
        place = (level * _LEVELS - 0.5).clamp_(0.0, _LEVELS - 1.0)
        low = place.long().clamp_(max=_LEVELS - 2)
        steps = shift.gather(-1, low) + shift.diff(dim=-1).gather(-1, low) * (place - low)
        steps = torch.empty_like(steps).scatter_(-1, order, steps)
        points = torch.add(points, lines[number].mT @ steps, alpha=dimensions / count)
    return points


def _quantiles(values: Tensor, mass: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantiles of every row at the levels (i + ½) / L; the order of the values, and the level of each.

    Points without mass, by which a batch is filled up, come last and repeat the largest value: they change
    nothing.
    """
    empty = mass <= 0.0
    ordered, order = values.masked_fill(empty, _FAR).sort(dim=-1)
    ordered = ordered.minimum(values.masked_fill(empty, -_FAR).amax(-1, keepdim=True))
    shares = mass.expand_as(values).gather(-1, order)
    level = shares.cumsum(-1)
    level = (level - 0.5 * shares) / level[..., -1:].clamp(min=1e-12)
    wanted = (torch.arange(_LEVELS, device=values.device, dtype=values.dtype) + 0.5) / _LEVELS
    wanted = wanted.expand(*values.shape[:-1], _LEVELS).contiguous()
    after = torch.searchsorted(level, wanted).clamp_(1, values.shape[-1] - 1)
    low, high = level.gather(-1, after - 1), level.gather(-1, after)
    part = ((wanted - low) / (high - low).clamp(min=1e-9)).clamp_(0.0, 1.0)
    return torch.lerp(ordered.gather(-1, after - 1), ordered.gather(-1, after), part), order, level


# ------------------------------------------------------------------------------------------------ whole maps


@dataclass(frozen=True, eq=False)
class Transport:
    """A map between two clouds: the linear one of their covariances, and a table of what that leaves over.

    All of it may be averaged over time. Made of tensors with one item a face.
    """

    start: Float[Tensor, "b d"]
    """Mean of what is mapped."""
    end: Float[Tensor, "b d"]
    """Mean of what it becomes."""
    start_covariance: Float[Tensor, "b d d"]
    end_covariance: Float[Tensor, "b d d"]
    rest: Float[Tensor, "b d *cells"]
    """Further moves by place before the map."""

    def packed(self) -> Float[Tensor, "b k"]:
        """Everything in one line a face."""
        return torch.cat([getattr(self, field.name).flatten(1) for field in fields(self)], 1)

    @staticmethod
    def unpacked(lines: Float[Tensor, "b k"], dimensions: int) -> Transport:
        """The reverse of ``packed``."""
        nodes = _NODES[dimensions]
        shapes = [(dimensions,), (dimensions,), (dimensions,) * 2, (dimensions,) * 2]
        shapes.append((dimensions, *(nodes,) * dimensions))
        parts = lines.split([math.prod(shape) for shape in shapes], dim=1)
        return Transport(*(part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)))

    def __call__(
        self, points: Float[Tensor, "b d n"], max_gain: float, departure: float = math.inf
    ) -> Float[Tensor, "b d n"]:
        """The points where they belong.

        Args:
            points: between -1 and 1.
            max_gain: that of ``fit_transport``.
            departure: longest further move after the linear map; a longer one is shortened to it.
        """
        linear = monge_kantorovich(self.start_covariance, self.end_covariance, max_gain)
        rest = self.rest
        if departure < math.inf:
            length = torch.linalg.vector_norm(rest, dim=1, keepdim=True)
            rest = rest * (departure / length.clamp(min=max(departure, _FLAT)))
        return move(points, linear, self.start, self.end) + read_table(rest, points)


def fit_transport(
    start: Float[Tensor, "b d n"],
    end: Float[Tensor, "b d n"],
    weights: Float[Tensor, "b 1 n"],
    directions: Float64[np.ndarray, "rounds s d"],
    max_gain: float,
) -> Transport:
    """A map between the colours of two pictures, which lie between -1 and 1.

    The linear map of the covariances is laid down first; ``carry`` then moves what is not Gaussian, for the
    mean colours of the cells of a grid, and a table is fitted to its moves. The table's nodes lie evenly in
    the space of colours: a map that followed the cloud more closely where it is thin would turn grain into
    blotches.
    """
    cells, nodes = _CELLS[start.shape[1]], _NODES[start.shape[1]]
    mean, covariance = weighted_covariance(start, weights)
    end_mean, end_covariance = weighted_covariance(end, weights)
    (points, mass), (target, target_mass) = (
        densest(*gather_cells(cloud, weights, cells), _POINTS) for cloud in (start, end)
    )
    laid = move(points, monge_kantorovich(covariance, end_covariance, max_gain), mean, end_mean)
    moved = carry(laid, mass, target, target_mass, directions)
    rest = fit_table(points, moved - laid, mass, nodes)
    return Transport(mean, end_mean, covariance, end_covariance, rest)

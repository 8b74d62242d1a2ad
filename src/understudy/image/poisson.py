"""Gradient-domain cloning: a face whose gradients are kept while its edge takes the colours round it.

Perez, Gangnet and Blake 2003, "Poisson image editing", equation 10, with the face's own gradient as
guidance. The result is the face plus a *membrane*: the picture that equals base - face on the edge of the
mask and whose every pixel inside is the mean of its four neighbours. The membrane is found by conjugate
gradients, preconditioned with one multigrid cycle (Tatebe 1993). A coarse grid knows how far away the edge
of the mask is to a fraction of its own spacing (as in Shortley and Weller 1938), which makes the cycle as
good for a face's outline as for a rectangle: the error shrinks about ten times an iteration. Channels are
never mixed.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

_DAMPING = 0.8
"""Of the Jacobi smoother; 4/5 damps the upper half of the spectrum of the five-point stencil best."""
_COARSEST = 12
"""Longest side of the grid that is solved directly."""
_TINY = 1e-30


def clone(
    base: Float[Tensor, "b c h w"],
    face: Float[Tensor, "b c h w"],
    mask: Bool[Tensor, "b 1 h w"],
    tolerance: float = 1e-4,
    iterations: int = 30,
) -> Float[Tensor, "b c h w"]:
    """Lay ``face`` over ``base`` inside the mask, with the face's gradients and the base's edge.

    Args:
        base: what is kept outside the mask.
        face: whose gradients are wanted inside.
        mask: True where a pixel is wanted. Pixels on the border of the picture always belong to the base.
        tolerance: largest error that may be left, in the unit of the pictures.
        iterations: bound for masks on which the solver is slow; ten are rarely needed.

    Returns:
        The composite, not clipped; equal to ``base`` bit for bit where the mask is False.
    """
    inside = _without_border(mask)
    if base.device.type == "cpu":  # as fast, and no item's result depends on its company
        out = base.clone()
        for item in range(len(base)):
            one = slice(item, item + 1)
            out[one] = _clone(base[one], face[one], inside[one], tolerance, iterations)
        return out
    return _clone(base, face, inside, tolerance, iterations)


def _clone(base: Tensor, face: Tensor, inside: Tensor, tolerance: float, iterations: int) -> Tensor:
    """``clone`` in the smallest rectangle that holds all masks."""
    reached = inside.any(dim=0)[0].nonzero()
    if len(reached) == 0:
        return base.clone()
    y0, x0, y1, x1 = (int(value) for value in torch.cat([reached.amin(0), reached.amax(0)]))
    rows, columns = slice(y0 - 1, y1 + 2), slice(x0 - 1, x1 + 2)
    base_part, face_part, part = (picture[..., rows, columns] for picture in (base, face, inside))
    shift = membrane(base_part - face_part, part, tolerance, iterations)
    out = base.clone()
    out[..., rows, columns] = torch.where(part, face_part + shift, base_part)
    return out


def membrane(
    values: Float[Tensor, "b c h w"],
    mask: Bool[Tensor, "b 1 h w"],
    tolerance: float = 1e-4,
    iterations: int = 30,
) -> Float[Tensor, "b c h w"]:
    """Fill a masked region with the solution of Laplace's equation (five-point stencil) that fits round it.

    Args:
        values: what is known outside the mask; inside it is not read.
        mask: True where a pixel is to be found. Pixels on the border of the picture are always known.
        tolerance: largest error that may be left.
        iterations: bound for masks on which the solver is slow.
    """
    inside = _without_border(mask)
    known = values.masked_fill(inside, 0.0)
    grids = _grids(inside.to(values.dtype), values.shape[1])
    fine = grids[0]
    _sum_of_neighbours(F.pad(known, (1, 1, 1, 1)), fine.rest)
    torch.mul(fine.rest, fine.mask, out=fine.right)
    found = _conjugate_gradients(grids, tolerance, iterations)
    return torch.where(inside, found, values)


def _without_border(mask: Tensor) -> Tensor:
    """The mask with the outermost pixels of the picture taken off."""
    inside = mask.clone()
    inside[..., 0, :] = inside[..., -1, :] = False
    inside[..., :, 0] = inside[..., :, -1] = False
    return inside


class _Grid:
    """One level: A u = right, A u = diagonal * u - sum of the four neighbours in the mask, u = 0 outside.

    Arrays are made once; a new one for every step would cost more than the arithmetic.
    """

    def __init__(self, mask: Tensor, diagonal: Tensor, channels: int) -> None:
        batch, _, height, width = mask.shape
        self.mask, self.diagonal = mask, diagonal
        self.step = mask / diagonal * _DAMPING
        """What a residual is multiplied by in one damped Jacobi step."""
        self.padded = mask.new_zeros(batch, channels, height + 2, width + 2)
        self.solution = self.padded[..., 1:-1, 1:-1]
        self.right = mask.new_empty(batch, channels, height, width)
        self.rest = torch.zeros_like(self.right)
        self.rest_padded = torch.zeros_like(self.padded)
        """The residual inside zeros, for restriction."""
        half = ((height + 1) // 2, (width + 1) // 2)
        self.rows = mask.new_empty(batch, channels, half[0], width + 2)
        """Every second row, restricted vertically."""
        self.wide = mask.new_zeros(batch, channels, half[0] + 1, width)
        """A coarse correction, already interpolated along x, and a last row of zeros."""
        self.inverse: Tensor | None = None

    def residual(self, out: Tensor) -> None:
        """Mask * (right - A u)."""
        _sum_of_neighbours(self.padded, self.rest)
        self.rest.addcmul_(self.diagonal, self.solution, value=-1.0).add_(self.right)
        torch.mul(self.rest, self.mask, out=out)

    def smooth(self) -> None:
        """One damped Jacobi step."""
        _sum_of_neighbours(self.padded, self.rest)
        self.rest.addcmul_(self.diagonal, self.solution, value=-1.0).add_(self.right)
        self.solution.addcmul_(self.rest, self.step)


def _sum_of_neighbours(padded: Tensor, out: Tensor) -> None:
    torch.add(padded[..., :-2, 1:-1], padded[..., 2:, 1:-1], out=out)
    out.add_(padded[..., 1:-1, :-2]).add_(padded[..., 1:-1, 2:])


def _grids(mask: Tensor, channels: int) -> list[_Grid]:
    """The fine grid and its halves, until the last is small enough to be inverted."""
    distances = torch.ones_like(mask).repeat(1, 4, 1, 1)  # to the edge of the mask, at most one step
    grids = [_Grid(mask, torch.full_like(mask, 4.0), channels)]
    while max(mask.shape[-2:]) > _COARSEST:
        distances = _coarse_distances(mask, distances)
        mask = mask[..., ::2, ::2].contiguous()
        grids.append(_Grid(mask, (1.0 / distances).sum(1, keepdim=True), channels))
    grids[-1].inverse = _inverse(grids[-1])
    return grids


_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def _coarse_distances(mask: Tensor, distances: Tensor) -> Tensor:
    """From every second pixel to the edge of the mask in the four directions, in steps of the coarse grid."""
    height, width = mask.shape[-2:]
    wide_mask = F.pad(mask, (2, 2, 2, 2))
    wide_distances = F.pad(distances, (1, 1, 1, 1), value=1.0)

    def moved(picture: Tensor, margin: int, steps: int) -> Tensor:
        """The picture seen from that many steps further, each channel in its own direction."""
        views = [
            picture[:, number % picture.shape[1], top : top + height : 2, left : left + width : 2]
            for number, (y, x) in enumerate(_DIRECTIONS)
            for top, left in ((margin + steps * y, margin + steps * x),)
        ]
        return torch.stack(views, dim=1)

    further = torch.where(moved(wide_mask, 2, 2) == 0, 0.5 + 0.5 * moved(wide_distances, 1, 1), 1.0)
    return torch.where(moved(wide_mask, 2, 1) == 0, 0.5 * distances[..., ::2, ::2], further)


def _inverse(grid: _Grid) -> Tensor:
    """Inverse matrix of the coarsest grid, ``(b, 1, n, n)``; known pixels give 0."""
    height, width = grid.mask.shape[-2:]
    number = torch.arange(height * width, device=grid.mask.device)
    y, x = number // width, number % width
    near = ((y[:, None] - y).abs() + (x[:, None] - x).abs() == 1).to(grid.mask)
    inside = grid.mask.flatten(2)
    pairs = inside[..., :, None] * inside[..., None, :]
    diagonal = torch.where(inside > 0, grid.diagonal.flatten(2), torch.ones_like(inside))
    operator = torch.diag_embed(diagonal) - near * pairs
    return torch.linalg.inv(operator)  # pyright: ignore  # torch's stub names no type


def _cycle(grids: list[_Grid]) -> None:
    """One symmetric multigrid cycle from zero: the first grid's ``solution`` becomes nearly A⁻¹ ``right``."""
    for fine, coarse in itertools.pairwise(grids):
        torch.mul(fine.right, fine.step, out=fine.solution)
        fine.residual(fine.rest_padded[..., 1:-1, 1:-1])
        _restrict(fine, coarse)
    last = grids[-1]
    assert last.inverse is not None, "the coarsest grid holds its inverse"
    solved = torch.matmul(last.inverse, last.right.flatten(2).unsqueeze(-1))
    last.solution.copy_(solved.view_as(last.right))
    for coarse, fine in itertools.pairwise(reversed(grids)):
        _prolong(coarse, fine)
        fine.smooth()


def _restrict(fine: _Grid, coarse: _Grid) -> None:
    """Full weighting of the residual, times 4 for the spacing that doubles."""
    height, width = coarse.mask.shape[-2:]
    source, rows = fine.rest_padded, fine.rows
    torch.add(source[..., 0 : 2 * height - 1 : 2, :], source[..., 2 : 2 * height + 1 : 2, :], out=rows)
    rows.add_(source[..., 1 : 2 * height : 2, :], alpha=2.0)
    torch.add(rows[..., 0 : 2 * width - 1 : 2], rows[..., 2 : 2 * width + 1 : 2], out=coarse.right)
    coarse.right.add_(rows[..., 1 : 2 * width : 2], alpha=2.0).mul_(0.25 * coarse.mask)


def _prolong(coarse: _Grid, fine: _Grid) -> None:
    """Add the coarse correction, interpolated linearly, inside the mask."""
    height, width = fine.mask.shape[-2:]
    wide, source = fine.wide, coarse.solution
    between = coarse.padded[..., 1:-1, 1:]
    wide[..., :-1, 0::2] = source
    torch.add(between[..., : width // 2], between[..., 1 : width // 2 + 1], out=wide[..., :-1, 1::2])
    wide[..., 1::2].mul_(0.5)
    fine.solution[..., 0::2, :].addcmul_(wide[..., :-1, :], fine.mask[..., 0::2, :])
    odd = fine.rest[..., : height // 2, :]
    torch.add(wide[..., : height // 2, :], wide[..., 1 : height // 2 + 1, :], out=odd)
    fine.solution[..., 1::2, :].addcmul_(odd, fine.mask[..., 1::2, :], value=0.5)


def _conjugate_gradients(grids: list[_Grid], tolerance: float, iterations: int) -> Tensor:
    """Solve A u = ``right`` of the first grid, which is used up."""
    fine = grids[0]
    found = torch.zeros_like(fine.right)
    direction = torch.zeros_like(fine.padded)
    inner = direction[..., 1:-1, 1:-1]
    product, image = torch.empty_like(found), torch.empty_like(found)
    _cycle(grids)
    inner.copy_(fine.solution)
    strength = torch.mul(fine.right, fine.solution, out=product).sum((-2, -1), keepdim=True)
    for _ in range(iterations):
        _sum_of_neighbours(direction, image)
        image.neg_().add_(inner, alpha=4.0).mul_(fine.mask)
        curvature = torch.mul(inner, image, out=product).sum((-2, -1), keepdim=True)
        length = strength / (curvature + _TINY)
        found.addcmul_(inner, length)
        fine.right.addcmul_(image, length, value=-1.0)
        _cycle(grids)  # of what is left: nearly the error itself
        if float(fine.solution.abs().max()) < tolerance:
            return found.add_(fine.solution)
        before = strength
        strength = torch.mul(fine.right, fine.solution, out=product).sum((-2, -1), keepdim=True)
        inner.mul_(strength / (before + _TINY)).add_(fine.solution)
    return found

"""Gradient-domain cloning: a face whose detail is kept while the light and colour round it flow in.

Perez, Gangnet and Blake 2003, "Poisson image editing", with the guidance field of their equations 11 (the
face's own gradient) and 12 (mixed gradients), and the screening of Bhat, Curless, Cohen and Zitnick 2008,
"Fourier analysis of the 2D screened Poisson equation for gradient domain problems", equation 3.

**Which problem is solved.** R is the smallest rectangle that holds the mask and two pixels round it, grown
to the right and downwards (and by as much to the left and upwards) until its sides have no prime factor
above 5; it may reach beyond the picture. The result is ``base + d`` inside the mask and ``base`` outside,
where d minimises over R, for every channel by itself::

      sum over neighbours i, j of (d_j - d_i - v_ij)^2          the steps that are wanted
    + sum over sides of R's outermost pixels of 2 d_i^2         d is 0 on the border line of R
    + sum over pixels of (d_i - g_i)^2 / reach^2                the face's own colour, further in

``g`` is ``face - base`` inside the mask and 0 outside; ``v_ij`` is ``g_j - g_i`` where both pixels lie in the
mask (and, for mixed gradients, where the face's step is no smaller than the base's, over all channels
together) and 0 elsewhere, so that the base keeps its own steps outside and across the edge.

So the misfit along the edge of the mask is shared between the two sides instead of being carried into the
face alone, as it would be with ``d`` fixed to 0 on the edge (Perez's equation 3; OpenCV's ``seamlessClone``
shares it too). What falls to the outside is left out of the result: the caller lets the face fade in. On
drawn performers, whose exact swap is known, sharing was as good at the edge and no worse inside, and it is
one pair of sine transforms instead of a multigrid iteration. Nothing outside the mask is read of the face.
"""

from __future__ import annotations

import math

import cv2
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from understudy.errors import ConfigError
from understudy.image.dst import smooth_length, solve_on_rectangle

_MARGIN = 2
"""Pixels of the rectangle round the mask, at least. Wider ones leave more of the misfit outside."""


def clone(
    base: Float[Tensor, "b c h w"],
    face: Float[Tensor, "b c h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    reach: float = math.inf,
    mixed: bool = False,
) -> Float[Tensor, "b c h w"]:
    """Lay ``face`` over ``base`` inside the mask, with the face's gradients and the light of the base.

    Args:
        base: what is kept outside the mask; float32 or float64.
        face: whose gradients are wanted inside; what lies outside the mask is not read.
        mask: True where a pixel is wanted.
        reach: pixels over which the misfit at the edge fades into the face; infinite carries it all over the
            face, as Perez, Gangnet and Blake do.
        mixed: of the face's and the base's steps take the larger.

    Returns:
        The composite, not clipped; equal to ``base`` bit for bit where the mask is False. No item depends on
        the others.

    Raises:
        ConfigError: the reach is not above 0.
    """
    if not reach > 0.0:
        raise ConfigError(f"reach: wanted more than 0 pixels, got {reach}")
    out = base.clone()
    for item in range(len(base)):
        window = _bounds(mask[item, 0])
        if window is not None:
            part = (item, slice(None), *window)
            out[part] += _shift(base[part], face[part], mask[part], 1.0 / (reach * reach), mixed)
    return out


def _bounds(mask: Tensor) -> tuple[slice, slice] | None:
    """Rows and columns of the smallest rectangle that holds the mask; None where it is empty."""
    left, top, width, height = cv2.boundingRect(mask.contiguous().view(torch.uint8).cpu().numpy())
    return (slice(top, top + height), slice(left, left + width)) if width else None


def _shift(base: Tensor, face: Tensor, mask: Tensor, screen: float, mixed: bool) -> Tensor:
    """The d of ``clone``, in the rectangle that just holds the mask, 0 outside the mask; ``(c, h, w)``."""
    channels, height, width = base.shape
    sides = smooth_length(height + 2 * _MARGIN), smooth_length(width + 2 * _MARGIN)
    top, left = (sides[0] - height) // 2, (sides[1] - width) // 2
    source = base.new_zeros(channels, *sides)
    inner = source[:, top : top + height, left : left + width]
    wanted = _only_inside(face - base, mask)
    for axis, length in ((-2, height), (-1, width)):
        first, second = (wanted.narrow(axis, start, length - 1) for start in (0, 1))
        steps = second - first
        kept = mask.narrow(axis, 0, length - 1) & mask.narrow(axis, 1, length - 1)
        if mixed:
            kept &= _face_steps_more(base, steps, axis, length)
        steps = _only_inside(steps, kept)
        inner.narrow(axis, 0, length - 1).sub_(steps)
        inner.narrow(axis, 1, length - 1).add_(steps)
    if screen:
        inner.add_(wanted, alpha=screen)
    solved = solve_on_rectangle(source, screen)[:, top : top + height, left : left + width]
    return _only_inside(solved, mask)


def _only_inside(values: Tensor, mask: Tensor) -> Tensor:
    """The values, in place, with zeros outside the mask, even for what is no number there.

    The bits are masked: on a CPU ``torch.where`` takes about ten times as long.
    """
    kind = torch.int64 if values.dtype == torch.float64 else torch.int32
    values.view(kind).bitwise_and_(mask.to(kind).neg_())
    return values


def _face_steps_more(base: Tensor, steps: Tensor, axis: int, length: int) -> Tensor:
    """Where the face's step to the next pixel is no smaller than the base's, all channels together.

    ``steps`` is by how much they differ: ``|b + s|^2 - |b|^2 = s (s + 2 b)``.
    """
    of_base = base.narrow(axis, 1, length - 1) - base.narrow(axis, 0, length - 1)
    return torch.add(steps, of_base, alpha=2.0).mul_(steps).sum(0) >= 0.0

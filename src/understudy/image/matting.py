"""Mattes that follow a picture: what is coarsely marked is drawn to the edges that the picture has.

The guided filter of He, Sun and Tang 2010, "Guided image filtering", with a colour guide (their section 3.5,
equations 19 to 21), and the subsampling of He and Sun 2015, "Fast guided filter": the coefficients of the
local linear model are found on small pictures, and only the model itself is applied at full size. It stands
in for closed-form matting (Levin, Lischinski and Weiss 2008), which rests on the same local model and solves
a linear system as large as the picture.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_LEAST_CONTRAST = 1e-4


def guided_filter(
    guide: Float[Tensor, "b 3 h w"],
    target: Float[Tensor, "b 1 h w"],
    radius: int,
    epsilon: float = 1e-4,
    step: int = 1,
    weight: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, "b 1 h w"]:
    """The target as a function of the guide's colours that is linear in every window, windows averaged.

    Args:
        guide: RGB in [0, 1].
        target: what is wanted coarsely.
        radius: of the square windows, pixels; at the border they are cut off.
        epsilon: variance of the guide below which an edge is none.
        step: side of the squares of pixels that are averaged before the models are found; it need not divide
            the picture's sides.
        weight: how much each pixel of the target is to be trusted, above 0; None for all alike. With it,
            windows are averaged by how much the target varies in them, because a window that knows one side
            only cannot tell which colours belong to it.

    Returns:
        Not clipped; a target of one value comes back.
    """
    reach = max(1, round(radius / step))
    small_guide, small_target = _shrunk(guide, step), _shrunk(target, step)
    small_weight = None if weight is None else _shrunk(weight, step)
    models, contrast = _linear_models(small_guide, small_target, small_weight, reach, epsilon)
    if weight is None:
        models = _box(models, reach)
    else:
        contrast = contrast.clamp(min=_LEAST_CONTRAST)
        models = _box(models * contrast, reach) / _box(contrast, reach)
    if step > 1:
        # the last square may be cut off, and the next finer grid still begins at the corner
        size = (models.shape[-2] * step, models.shape[-1] * step)
        models = F.interpolate(models, size, mode="bilinear", align_corners=False)
        models = models[..., : guide.shape[-2], : guide.shape[-1]]
    return (models[:, :3] * guide).sum(1, keepdim=True).add_(models[:, 3:])


def _shrunk(pictures: Tensor, step: int) -> Tensor:
    return F.avg_pool2d(pictures, step, ceil_mode=True) if step > 1 else pictures


def _linear_models(
    guide: Tensor, target: Tensor, weight: Tensor | None, radius: int, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Slope (3 channels) and offset of every window, equations 19 and 20, and the variance of the target.

    Means are taken with the weights.
    """
    red, green, blue = guide.split(1, 1)
    pairs = [red * red, red * green, red * blue, green * green, green * blue, blue * blue]
    values = torch.cat([guide, target, guide * target, target * target, *pairs], 1)
    means = _box(values, radius) if weight is None else _box(values * weight, radius) / _box(weight, radius)
    mean, level, both, square = means[:, :3], means[:, 3:4], means[:, 4:7], means[:, 7:8]
    r, g, b = mean.split(1, 1)
    seconds = torch.cat([r * r, r * g, r * b, g * g, g * b, b * b], 1)
    rr, rg, rb, gg, gb, bb = (means[:, 8:] - seconds).split(1, 1)
    slope = _solve_symmetric((rr + epsilon, rg, rb, gg + epsilon, gb, bb + epsilon), both - mean * level)
    return torch.cat([slope, level - (slope * mean).sum(1, keepdim=True)], 1), square - level * level


def _solve_symmetric(matrix: tuple[Tensor, ...], right: Tensor) -> Tensor:
    """Solve a symmetric 3 x 3 system at every pixel, by cofactors."""
    a, b, c, d, e, f = matrix  # rows a b c, b d e, c e f
    cofactors = (d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b)
    aa, ab, ac, bb, bc, cc = cofactors
    determinant = a * aa + b * ab + c * ac
    x, y, z = right.split(1, 1)
    rows = (aa * x + ab * y + ac * z, ab * x + bb * y + bc * z, ac * x + bc * y + cc * z)
    return torch.cat(rows, 1) / determinant


def _box(pictures: Tensor, radius: int) -> Tensor:
    """Mean over squares of ``2 radius + 1`` pixels, cut off at the border."""
    for axis in (-2, -1):
        length = pictures.shape[axis]
        reach = min(radius, length - 1)
        padded = F.pad(pictures, (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach))
        total = padded.narrow(axis, 0, length).clone()
        for start in range(1, 2 * reach + 1):
            total += padded.narrow(axis, start, length)
        place = torch.arange(length, device=pictures.device)
        counts = 1 + place.clamp(max=reach) + place.flip(0).clamp(max=reach)
        pictures = total.div_(counts if axis == -1 else counts[:, None])
    return pictures

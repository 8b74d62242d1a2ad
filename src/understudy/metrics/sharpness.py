"""Whether a face is as sharp as what is round it: a soft face in a sharp picture is the commonest giveaway.

No reference is needed. Sharpness is the standard deviation of the Laplacian of the luma (Pech-Pacheco et al.
2000, "Diatom autofocusing in brightfield microscopy", whose measure is its square).

Rank correlation with blur 1.00 (ten pairs of performers, ``benchmarks/metrics.py``). Blind spot: any hard
edge inside the face, such as a seam, counts as sharpness (−0.24).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)


def relative_sharpness(
    pictures: Float[Tensor, "b 3 h w"],
    face: Float[Tensor, "b 1 h w"],
    surroundings: Float[Tensor, "b 1 h w"],
) -> Float[Tensor, " b"]:
    """Sharpness of a face over that of its surroundings, a ratio, 0 or more.

    Skin is smoother than hair and cloth, so an untouched face is not at 1: divide by the target's own ratio
    to see what a swap did (below 1: softer than the footage, above: sharper, or noisier).

    Args:
        pictures: crops in the footage's own resolution: shrunk ones hide what is looked for. RGB in [0, 1].
        face: where the face is, in [0, 1]; keep clear of its border.
        surroundings: where to look for comparison, in [0, 1]; background out of focus does not belong there.

    Returns:
        ``(b,)``, float64; NaN where either place is empty.
    """
    luma = (pictures.double() * pictures.new_tensor(_LUMA).double().view(1, 3, 1, 1)).sum(1, keepdim=True)
    middle = luma[..., 1:-1, 1:-1]
    laplacian = (
        luma[..., :-2, 1:-1] + luma[..., 2:, 1:-1] + luma[..., 1:-1, :-2] + luma[..., 1:-1, 2:] - 4.0 * middle
    )
    inside, outside = (
        _deviation(laplacian, weights.double()[..., 1:-1, 1:-1]) for weights in (face, surroundings)
    )
    return inside / outside


def _deviation(values: Tensor, weights: Tensor) -> Tensor:
    total = weights.sum((1, 2, 3))
    mean = (values * weights).sum((1, 2, 3)) / total
    squares = ((values - mean.view(-1, 1, 1, 1)) ** 2 * weights).sum((1, 2, 3)) / total
    return torch.sqrt(squares)

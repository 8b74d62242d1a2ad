"""Structural similarity in torch: what the losses that are built on it share.

Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", equations 6 and
13, for pictures in [0, 1]: constants 0.01 and 0.03, a Gaussian window of sigma 1.5 over the places where it
fits.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.nn.window import band_matrix, filter_separable


def similarity_maps(
    prediction: Float[Tensor, "b c s s"], truth: Float[Tensor, "b c s s"], window: int
) -> tuple[Float[Tensor, "b c o o"], Float[Tensor, "b c o o"]]:
    """Luminance, and contrast times structure, at every place; their product is SSIM.

    Args:
        prediction: in single precision, as is the truth.
        truth: what it is compared with.
        window: side of the Gaussian window, pixels, at most the pictures'.
    """
    matrix = band_matrix(truth.shape[-1], window, 1.5, False, truth.device)
    maps = torch.stack(
        [prediction, truth, prediction * truth, prediction.square() + truth.square()],
    )
    mean_p, mean_t, mean_product, mean_squares = filter_separable(maps, matrix)
    product, squares = mean_p * mean_t, mean_p.square() + mean_t.square()
    luminance = (2 * product + 0.01**2) / (squares + 0.01**2)
    structure = (2 * (mean_product - product) + 0.03**2) / (mean_squares - squares + 0.03**2)
    return luminance, structure


def dissimilarity(
    prediction: Float[Tensor, "b c s s"], truth: Float[Tensor, "b c s s"], window: int
) -> Float[Tensor, ""]:
    """(1 - SSIM) / 2, SSIM averaged over all places, channels and pictures."""
    luminance, structure = similarity_maps(prediction, truth, window)
    return (1 - (luminance * structure).mean()) / 2

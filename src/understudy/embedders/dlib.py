"""dlib's 128 numbers for who a face is, by a torch network of ours: differentiable, batched, on any device.

King 2017, "High Quality Face Recognition with Deep Metric Learning". The crop is dlib's own: 150 pixels, the
mean face without brows and lower lip, a quarter of it as padding on every side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32, Float64
from torch import Tensor, nn

from understudy.contracts import Context
from understudy.embedders import EMBEDDERS, EmbedderSettings
from understudy.errors import ShapeError
from understudy.image.geometry import TEMPLATE_51, fit_similarity
from understudy.image.landmarks import points68
from understudy.nn.descriptor import DIMENSION, SIDE, DescriptorNetwork, read_dlib

PADDING = 0.25
"""Margin round the mean face, in units of its box."""

_USED = (*range(27, 55), *range(60, 65))
"""Of the 68 points: nose, eyes, upper lip and the corners of the mouth."""
_SHIFT = 0.009873
"""How far dlib's mean face, with which the network was trained, lies left of the centred one."""
_MEAN_FACE = TEMPLATE_51[[index - 17 for index in _USED]] - (_SHIFT, 0.0)
_TEMPLATE = (_MEAN_FACE + PADDING) / (1 + 2 * PADDING) * SIDE


@EMBEDDERS.register("dlib")
@dataclass(frozen=True, kw_only=True)
class Dlib(EmbedderSettings):
    """dlib's face descriptor (ResNet, 128 numbers), run by torch."""

    weights: ClassVar[tuple[str, ...]] = ("dlib_face_recognition",)

    def build(self, context: Context) -> DlibEmbedder:
        """Read the weights onto the context's device."""
        network = read_dlib(context.weights.path("dlib_face_recognition").read_bytes())
        return DlibEmbedder(network).to(context.device)


class DlibEmbedder(nn.Module):
    """Identity vectors of faces; see ``contracts.Embedder``."""

    side = SIDE
    dimension = DIMENSION
    same_person = 0.6

    def __init__(self, network: DescriptorNetwork) -> None:
        super().__init__()
        self.network = network

    def crop_matrix(self, points: Float32[np.ndarray, "478 3"]) -> Float64[np.ndarray, "2 3"]:
        """Frame pixels to pixels of the crop: the similarity that fits the mean face best."""
        marks = np.asarray(points68(points), np.float64)[list(_USED)]
        return fit_similarity(marks, _TEMPLATE)

    def forward(self, crops: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """Identity vectors of RGB crops in [0, 1]; the gradient reaches the crops."""
        if crops.ndim != 4 or crops.shape[1:] != (3, SIDE, SIDE):
            raise ShapeError("crops", f"(B, 3, {SIDE}, {SIDE})", tuple(crops.shape))
        return self.network(crops)

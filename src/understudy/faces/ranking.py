"""How good a face is to learn from."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8


def sharpness(picture: UInt8[np.ndarray, "s s 3"], mask: Float32[np.ndarray, "s s"]) -> float:
    """Variance of the luma's Laplacian where the mask is, on the 8-bit scale; larger is sharper.

    Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy": LAPV. It grows with noise too.

    Args:
        picture: RGB crop.
        mask: where the face is, in [0, 1]; below a half does not count.
    """
    edges = cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    # the hull's own border is no edge of the face
    inside = cv2.erode((mask > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    return float(edges[inside].var()) if inside.any() else 0.0

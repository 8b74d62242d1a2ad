"""Whose face it is: distances of identity vectors.

Vectors are those of one embedder; distances are Euclidean. For dlib's 128 numbers 0.6 and less means one
person; the verification column of the DeepFaceLab paper is the mean distance to the source person.

Rank correlation with the target's own face mixed back in by quarters (ten pairs of performers,
``benchmarks/metrics.py``): distance to the source 0.96, distance to the target 1.00. Blind spots:
``top_1`` is coarse (0.77; in a gallery of 20 it jumps from found to lost); dlib's vectors follow skin
tone, so that an exact swap that keeps a much darker target's skin is 0.67 from its source, further than a
poor one that brings the tone along.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64


def distances(
    vectors: Float[np.ndarray, "n d"], reference: Float[np.ndarray, "m d"] | Float[np.ndarray, " d"]
) -> Float64[np.ndarray, " n"]:
    """Distance of every vector to a person.

    Args:
        vectors: one a face.
        reference: the person's vector, or several, then the distance to their mean is meant.
    """
    center = np.asarray(reference, np.float64).reshape(-1, vectors.shape[1]).mean(0)
    return np.linalg.norm(np.asarray(vectors, np.float64) - center, axis=1)


def share_closer(
    vectors: Float[np.ndarray, "n d"],
    source: Float[np.ndarray, "m d"] | Float[np.ndarray, " d"],
    target: Float[np.ndarray, "k d"] | Float[np.ndarray, " d"],
) -> float:
    """Share of faces that are closer to the source person than to the target; NaN without faces."""
    if len(vectors) == 0:
        return float("nan")
    return float((distances(vectors, source) < distances(vectors, target)).mean())


def top_1(vectors: Float[np.ndarray, "n d"], gallery: Float[np.ndarray, "p d"], person: int) -> float:
    """Share of faces whose nearest person in a gallery is the right one, in [0, 1]; NaN without faces.

    Identity retrieval as FaceShifter reports it (Li et al. 2019, section 4.1), with this embedder's Euclidean
    distance. The figure depends on the size of the gallery; say it beside the figure.

    Args:
        vectors: one a swapped face.
        gallery: one a person.
        person: which of them the source is, from 0.
    """
    if len(vectors) == 0:
        return float("nan")
    away = np.stack([distances(vectors, other) for other in gallery])
    return float((away.argmin(0) == person).mean())

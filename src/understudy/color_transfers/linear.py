"""Mean and covariance of RGB, as the target's face has them: a linear map through the principal axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from understudy.color_transfers import COLOR_TRANSFERS, StableTransfer
from understudy.image.transport import matched_roots, measure_moments, move, split_moments


@COLOR_TRANSFERS.register("linear")
@dataclass(frozen=True, kw_only=True)
class Linear(StableTransfer):
    """Mean and covariance of RGB, as the target's face has them: a linear map through the principal axes.

    y = B^½ A^-½ (x - mean of face) + mean of reference, A the covariance of the face and B that of the
    reference: Abadpour and Kasaei 2007, "An efficient PCA-based color transfer method"; with Cholesky's roots
    Hertzmann 2001, "Algorithms for rendering in artistic styles", section 6.2.
    """

    root: Literal["pca", "cholesky"] = "pca"
    """Which square root of a covariance: by its principal axes, or Cholesky's triangle."""
    max_gain: float = 3.0
    """Most by which contrast is raised, and lowered, in any direction."""

    def _measure(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        weights: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 24"]:
        """Mean and covariance of the face, then of the reference."""
        return measure_moments(face, reference, weights)

    def _apply(
        self, face: Float[Tensor, "b 3 s s"], statistics: Float[Tensor, "b 24"]
    ) -> Float[Tensor, "b 3 s s"]:
        """One matrix and one shift."""
        mean, covariance, wanted, wanted_covariance = split_moments(statistics)
        linear = matched_roots(covariance, wanted_covariance, self.max_gain, self.root)
        return move(face.flatten(2), linear, mean, wanted).view_as(face)

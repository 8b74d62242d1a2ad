"""Mean and covariance of RGB, as the target's face has them, by the map that moves colours least."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from understudy.color_transfers import COLOR_TRANSFERS, StableTransfer
from understudy.image.transport import measure_moments, monge_kantorovich, move, split_moments


@COLOR_TRANSFERS.register("mkl")
@dataclass(frozen=True, kw_only=True)
class MongeKantorovich(StableTransfer):
    """Mean and covariance of RGB, as the target's face has them, by the map that moves colours least.

    Pitié and Kokaram 2007, "The linear Monge-Kantorovitch linear colour mapping for example-based colour
    transfer", equation 4. Its matrix is symmetric: colours are
    stretched and not turned.
    """

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
        linear = monge_kantorovich(covariance, wanted_covariance, self.max_gain)
        return move(face.flatten(2), linear, mean, wanted).view_as(face)

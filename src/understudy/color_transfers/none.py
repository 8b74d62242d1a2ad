"""No colour transfer: the face as the swapper made it."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from understudy.color_transfers import COLOR_TRANSFERS, ColorTransfer


@COLOR_TRANSFERS.register("none")
@dataclass(frozen=True, kw_only=True)
class NoTransfer(ColorTransfer):
    """No colour transfer: the face as the swapper made it."""

    def __call__(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        mask: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 3 s s"]:
        """The face."""
        return face

"""The whole distribution of RGB, as the target's face has it, by sliced optimal transport."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from understudy.color_transfers import COLOR_TRANSFERS, StableTransfer
from understudy.errors import ConfigError
from understudy.image.guided import guided_filter
from understudy.image.transport import Transport, fit_transport, turned_directions


@COLOR_TRANSFERS.register("sot")
@dataclass(frozen=True, kw_only=True)
class SlicedTransport(StableTransfer):
    """The whole distribution of RGB, as the target's face has it, by sliced optimal transport.

    Rabin, Peyré, Delon and Bernot 2011, "Wasserstein barycenter and its application to texture mixing";
    Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures". The directions are always
    the same, so that frames do not flicker; the Monge-Kantorovitch map goes before them, and a table with
    linear interpolation holds the result.
    """

    steps: int = 8
    """How often the colours are moved."""
    directions: int = 8
    """Directions that a step looks along."""
    smoothing: float = 0.0
    """Width over which the change of neighbouring pixels of like brightness is averaged, as a fraction of
    the crop side; 0.05 hides banding. After Rabin, Delon and Gousseau 2011, "Removing artefacts from color
    and contrast modifications", with a guided filter."""
    max_gain: float = 2.0
    """Most by which contrast is raised, and lowered, by the linear part of the map."""
    departure: float = 0.05
    """Most by which a colour departs from the linear part, of a range of 1; 1 for no limit. A face that lacks
    the other's highlights, or is less sharp, would otherwise get stains for them."""

    def __post_init__(self) -> None:
        if self.departure < 0.0:
            raise ConfigError(f"departure: wanted 0 or more, of a range of 1, got {self.departure}")

    def _measure(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        weights: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b k"]:
        """The map itself."""
        directions = turned_directions(self.steps, self.directions)
        flat = (face.flatten(2) * 2.0 - 1.0, reference.flatten(2) * 2.0 - 1.0, weights.flatten(2))
        return fit_transport(*flat, directions, self.max_gain).packed()

    def _apply(
        self, face: Float[Tensor, "b 3 s s"], statistics: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b 3 s s"]:
        """The map for every pixel, its change smoothed where that is wanted."""
        moved = Transport.unpacked(statistics, 3)(
            face.flatten(2) * 2.0 - 1.0, self.max_gain, 2.0 * self.departure
        )
        moved = moved.view_as(face) * 0.5 + 0.5
        radius = round(self.smoothing * face.shape[-1])
        if radius < 1:
            return moved
        return face + guided_filter(face.mean(1, keepdim=True), moved - face, radius)

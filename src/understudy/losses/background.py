"""What lies outside the face: near the truth, and calm.

With masked training nothing else asks for anything there, and what a network draws where nobody looks shows
through the soft edge of a mask. DeepFaceLab (reference implementation of arXiv 2005.05535) adds to its
AMP model 0.1 times the mean square of the error outside the softened mask of the target's faces, and 1e-6
times the total variation of what was drawn there, summed over pixels; its SAEHD adds the same, with 0.02, for
the source's faces while a discriminator looks at them. Its variation is written for another order of axes and
takes differences between colour channels on a GPU; here they are between rows and between columns (Rudin,
Osher and Fatemi 1992, with squares).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from understudy.learning import Drawing, Outcome, Sample
from understudy.losses import LOSSES, StepLoss
from understudy.nn.window import soft_mask


@LOSSES.register("background")
@dataclass(frozen=True, kw_only=True)
class Background(StepLoss):
    """Squared error and total variation outside the face's softened mask."""

    weight: float = 0.1
    """Factor in the sum."""
    persons: Literal["source", "target", "both"] = "target"
    """Whose faces; the target's background is what the swapped face is set into."""
    variation: float = 1e-5
    """Weight of the total variation against the squared error; it is a sum over pixels. 0 for none."""

    def __call__(self, outcome: Outcome) -> Float[Tensor, ""]:
        """Mean over pictures, sum over the persons."""
        pairs = {
            "source": (outcome.made.source, outcome.batch.source),
            "target": (outcome.made.target, outcome.batch.target),
        }
        chosen = pairs.values() if self.persons == "both" else [pairs[self.persons]]
        return torch.stack([self._outside(drawn, wanted) for drawn, wanted in chosen]).sum()

    def _outside(self, drawn: Drawing, wanted: Sample) -> Float[Tensor, ""]:
        outside = 1 - soft_mask(wanted.mask)
        face = drawn.face.float() * outside
        error = (face - wanted.truth.float() * outside).square().mean()
        return error + self.variation * total_variation(face) if self.variation else error


def total_variation(pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Squared differences between neighbours in rows and in columns: sum of a picture, mean over pictures."""
    rows = (pictures[:, :, 1:] - pictures[:, :, :-1]).square().sum()
    columns = (pictures[..., 1:] - pictures[..., :-1]).square().sum()
    return (rows + columns) / len(pictures)

"""Eyes and mouth first: what a viewer looks at is a few per cent of the picture.

DeepFaceLab's option ``eyes_mouth_prio`` (reference implementation of arXiv 2005.05535, section 3.2): 300
times the mean over the whole picture of |P - T| where the eyes and the mouth are, for both persons. The
pictures are not multiplied by the face's mask.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from understudy.learning import Drawing, Outcome, Sample
from understudy.losses import LOSSES, StepLoss


@LOSSES.register("eyes_mouth")
@dataclass(frozen=True, kw_only=True)
class EyesMouth(StepLoss):
    """Absolute error of eyes and mouth, with a large weight: gaze, lids and teeth become right sooner."""

    weight: float = 300.0
    """Factor in the sum; the mean is over the whole picture, of which eyes and mouth are little."""

    def __call__(self, outcome: Outcome) -> Float[Tensor, ""]:
        """Sum over both persons of the mean over pixels, channels and pictures."""
        return _error(outcome.made.source, outcome.batch.source) + _error(
            outcome.made.target, outcome.batch.target
        )


def _error(drawn: Drawing, wanted: Sample) -> Float[Tensor, ""]:
    return ((drawn.face.float() - wanted.truth.float()) * wanted.features.float()).abs().mean()

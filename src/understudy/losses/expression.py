"""The first numbers of the bottleneck say what the face does, for both persons alike.

Ours. A shared encoder is free to put the two persons' faces into different corners of its code; each decoder
then learns to read its own corner, and a target's smile, sent to the source's decoder, means nothing there.
That is what happens in the first thousands of steps: each face is given back with its mouth open or shut as
it should be (correlation above 0.9), and the swap's mouth does not follow (0.2 and less). Here mouth, lids,
brows, gaze and pose (``image.expression``), in standard deviations, are what the first eleven numbers of the
bottleneck must be; the same number then stands for an open mouth whoever opens it, and the rest of the
bottleneck is free for light and whatever else there is.

Supervising part of a code is an old idea (Caruana 1997, "Multitask Learning"; Kulkarni et al. 2015, "Deep
convolutional inverse graphics network"). A linear reading of the wide code behind the bottleneck does not do:
it finds other places for each person. The measurements are in ``notes/log.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from understudy.contracts import Context
from understudy.errors import ConfigError
from understudy.image.expression import EXPRESSION
from understudy.learning import Outcome
from understudy.losses import LOSSES, StepLoss
from understudy.nn.shapes import latent_width


@LOSSES.register("expression")
@dataclass(frozen=True, kw_only=True)
class Expression(StepLoss):
    """The bottleneck's first numbers are expression and pose, for both persons: the mouth follows."""

    weight: float = 1.0
    """Factor in the sum."""
    spread: float = 1.0
    """What one standard deviation of an expression is in the bottleneck."""

    def build(self, context: Context) -> Expression:
        """The settings themselves, when the model can be supervised.

        Raises:
            ConfigError: the model has no bottleneck, or too narrow a one.
        """
        width = latent_width(context.given["model"])
        if width < len(EXPRESSION):
            what = f"{width} numbers" if width else "no bottleneck"
            raise ConfigError(
                f"losses.expression: the model has {what}, {len(EXPRESSION)} are wanted; widen it, or switch "
                "this loss off"
            )
        return self

    def __call__(self, outcome: Outcome) -> Float[Tensor, ""]:
        """Mean square of what is missing, in standard deviations."""
        samples = (outcome.batch.source, outcome.batch.target)
        wanted = [sample.expression for sample in samples if sample.expression is not None]
        assert outcome.made.latents is not None, "checked when it was built"
        assert len(wanted) == len(samples), "the feed knows what the faces do"
        told = torch.cat(outcome.made.latents)[:, : len(EXPRESSION)].float()
        with torch.autocast(told.device.type, enabled=False):
            return F.mse_loss(told / self.spread, torch.cat(wanted))

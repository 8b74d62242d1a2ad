"""Both persons' codes must tell, by one and the same reading, what the face does.

Ours. A shared encoder is free to put the two persons' faces into different corners of its code; each decoder
then learns to read its own corner, and a target's smile, sent to the source's decoder, means nothing there.
That is what happens in the first thousands of steps: each face is given back with its mouth open or shut as
it should be (correlation above 0.9), and the swap's mouth does not follow (0.2 and less). Here one linear
layer learns to read mouth, lids, brows, gaze and pose (``image.expression``) from the codes of both persons,
and the encoder learns to make that reading right: the same number then stands for an open mouth whoever opens
it. Auxiliary supervision of a shared code is an old idea (Caruana 1997, "Multitask Learning"); the
measurements that led to it here are in ``notes/log.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from understudy.contracts import Context
from understudy.image.expression import EXPRESSION
from understudy.learning import Outcome
from understudy.losses import LOSSES, StepLoss
from understudy.nn.shapes import code_shape


@LOSSES.register("expression")
@dataclass(frozen=True, kw_only=True)
class Expression(StepLoss):
    """One linear layer reads expression and pose from both persons' codes; the encoder makes it right."""

    weight: float = 1.0
    """Factor in the sum."""

    def build(self, context: Context) -> ExpressionReader:
        """Make the reader for the codes of ``context.given["model"]``."""
        channels, height, width = code_shape(context.given["model"])
        return ExpressionReader(channels * height * width).to(context.device)


class ExpressionReader(nn.Module):
    """Code to expression; learns beside the model, on codes that it cannot change.

    Args:
        inputs: values of a code.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.read = nn.Linear(inputs, len(EXPRESSION))
        nn.init.zeros_(self.read.bias)

    def forward(self, outcome: Outcome) -> Float[Tensor, ""]:
        """How far the reading is off, for the encoder: mean square in standard deviations."""
        codes = torch.cat([code.float().flatten(1) for code in outcome.made.codes])
        wanted = [sample.expression for sample in (outcome.batch.source, outcome.batch.target)]
        known = torch.cat([expression for expression in wanted if expression is not None])
        with torch.autocast(codes.device.type, enabled=False):
            return F.mse_loss(self.read(codes), known)

    def critic(self, outcome: Outcome) -> Float[Tensor, ""]:
        """The same, for the reader itself: here it helps the model, whose codes are detached."""
        return self(outcome)

"""One term of the training loss each.

To add one: a new file here, named as the loss is named, holding one ``PictureLoss`` or ``StepLoss``. Nothing
else changes: the command line, the recipes and the contract tests read the registry.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float

from understudy.contracts import Context
from understudy.learning import Outcome, PictureTerm, StepTerm
from understudy.registry import Plugin, Registry

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Loss(Plugin):
    """One term of the training loss."""

    weight: float = 1.0
    """Factor in the sum."""

    @abstractmethod
    def build(self, context: Context) -> PictureTerm | StepTerm:
        """The term itself, on the context's device.

        ``context.given`` holds ``model`` (the built swap model) and, where the pipeline has them,
        ``embedder`` and ``features``.
        """


@dataclass(frozen=True, kw_only=True)
class PictureLoss(Loss):
    """Compares two pictures, for each person; zero for equal ones, never negative. Stateless by default."""

    def build(self, context: Context) -> PictureTerm:
        """The settings themselves: nothing is loaded."""
        return self

    def __call__(
        self,
        prediction: Float[Tensor, "b c s s"],
        truth: Float[Tensor, "b c s s"],
    ) -> Float[Tensor, ""]:
        """The unweighted term; both pictures in [0, 1]."""
        raise NotImplementedError(f"{self.name} is built before it is called")


@dataclass(frozen=True, kw_only=True)
class StepLoss(Loss):
    """Looks at a whole step: masks, codes, the swap. Stateless by default."""

    def build(self, context: Context) -> StepTerm:
        """The settings themselves: nothing is loaded."""
        return self

    def __call__(self, outcome: Outcome) -> Float[Tensor, ""]:
        """The unweighted term."""
        raise NotImplementedError(f"{self.name} is built before it is called")


LOSSES: Registry[Loss] = Registry("loss", __name__)
Loss.registry = LOSSES

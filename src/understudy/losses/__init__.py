"""One term of the training loss each.

To add one: a new file here, named as the loss is named, holding one ``Loss``. Nothing else changes: the
command line, the recipes and the contract tests read the registry. A stateless loss is called directly.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float

from understudy.registry import Plugin, Registry

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Loss(Plugin):
    """One term of the training loss; zero for equal pictures, never negative."""

    weight: float = 1.0
    """Factor in the sum."""

    @abstractmethod
    def __call__(
        self,
        prediction: Float[Tensor, "b c s s"],
        truth: Float[Tensor, "b c s s"],
    ) -> Float[Tensor, ""]:
        """The unweighted term; both pictures in [0, 1]."""


LOSSES: Registry[Loss] = Registry("loss", __name__)
Loss.registry = LOSSES

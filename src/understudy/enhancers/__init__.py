"""What draws a face larger and sharper than the swapper made it.

To add one: a new file here, named as the enhancer is named, holding one ``Enhancer``. Nothing else changes:
the command line, the recipes and the contract tests read the registry.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from jaxtyping import Float

from understudy.contracts import Context
from understudy.registry import Plugin, Registry

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Enlarge(Protocol):
    """What ``build`` of an enhancer gives."""

    def __call__(self, faces: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        """RGB in [0, 1] to the same faces, so many times as large, on the same device; no gradient."""
        ...


@dataclass(frozen=True, kw_only=True)
class Enhancer(Plugin):
    """Settings of an enhancer."""

    @abstractmethod
    def build(self, context: Context) -> Enlarge | None:
        """Make it, its weights on the context's device; None for one that leaves faces alone."""


ENHANCERS: Registry[Enhancer] = Registry("enhancer", __name__)
Enhancer.registry = ENHANCERS

"""How a finished face is laid over the original crop.

To add one: a new file here, named as the blend is named, holding one ``Blend``. Nothing else changes: the
command line, the recipes and the contract tests read the registry.
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
class Blend(Plugin):
    """Lays ``face`` over ``base`` where ``mask`` is 1; all in crop space, RGB in [0, 1]."""

    @abstractmethod
    def __call__(
        self,
        base: Float[Tensor, "b 3 s s"],
        face: Float[Tensor, "b 3 s s"],
        mask: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 3 s s"]:
        """The composite; bit for bit ``base`` where the mask is 0."""


BLENDS: Registry[Blend] = Registry("blend", __name__)
Blend.registry = BLENDS

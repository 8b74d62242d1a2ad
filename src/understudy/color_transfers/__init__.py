"""How the colours of a swapped face follow those of the target.

To add one: a new file here, named as the transfer is named, holding one ``ColorTransfer``. Nothing else
changes: the command line, the recipes and the contract tests read the registry.
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
class ColorTransfer(Plugin):
    """Changes the colours of ``face`` towards those of ``reference``; deterministic."""

    @abstractmethod
    def __call__(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        mask: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 3 s s"]:
        """Only pixels are measured where ``mask`` is above a half; all pixels of ``face`` are changed.

        Args:
            face: the swapped face, RGB in [0, 1].
            reference: the target's crop, RGB in [0, 1].
            mask: where both show the face; an empty mask changes nothing.
        """


COLOR_TRANSFERS: Registry[ColorTransfer] = Registry("color_transfer", __name__)
ColorTransfer.registry = COLOR_TRANSFERS

"""How the colours of a swapped face follow those of the target.

To add one: a new file here, named as the transfer is named, holding one ``ColorTransfer``. Nothing else
changes: the command line, the recipes and the contract tests read the registry.

Nearly every transfer is a ``StableTransfer``: what it measures and what it does with it are two calls, so
that measurements can be averaged along a track (``image.temporal``) before they are used, and so that one
measurement can recolour two pictures alike.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float

from understudy.registry import Plugin, Registry

if TYPE_CHECKING:
    from torch import Tensor

_FEWEST = 16
"""Pixels below which a mean says nothing."""
_ENOUGH = 128
"""Rows from which every second (third…) is measured: statistics do not need more."""


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
        """A pixel counts as much as ``mask`` says; all pixels of ``face`` are changed.

        Args:
            face: the swapped face, RGB in [0, 1].
            reference: the target's crop, RGB in [0, 1].
            mask: where both show the face, in [0, 1]; an empty mask changes nothing.
        """


@dataclass(frozen=True, kw_only=True)
class StableTransfer(ColorTransfer):
    """A transfer in two calls: ``measure``, whose result may be averaged over time, and ``apply``.

    A plugin writes ``_measure`` and ``_apply``. Any average of two measurements must be a measurement: means,
    covariances, quantiles or the mapping itself, not its eigenvectors. Their unit is the range of a picture.
    """

    masked: bool = True
    """Whether only the face counts, each pixel weighed by the mask, or the whole crop."""

    def __call__(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        mask: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b 3 s s"]:
        """``apply`` what ``measure`` finds."""
        return self.apply(face, self.measure(face, reference, mask))

    def measure(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        mask: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b k"]:
        """What the transfer must know of the two faces.

        Returns:
            One line a face, float32: how much of the crop the face covers, 0 where it has too few pixels to
            be measured; the mean colour of the reference, by which a smoother tells one light from another;
            then the plugin's own.
        """
        step = max(1, mask.shape[-1] // _ENOUGH)
        coarse = (..., slice(None, None, step), slice(None, None, step))
        face, reference, mask = (picture[coarse].detach().float() for picture in (face, reference, mask))
        pixels = mask.flatten(1).sum(-1, keepdim=True)
        area = pixels / mask[0].numel() * (pixels * step**2 >= _FEWEST)
        weights = mask if self.masked else mask * 0.0 + 1.0
        total = weights.flatten(1).sum(-1, keepdim=True).clamp(min=1e-6)
        light = (reference * weights).flatten(2).sum(-1) / total
        own = self._measure(face, reference, weights)
        out = own.new_empty(len(own), 4 + own.shape[1])
        out[:, :1], out[:, 1:4], out[:, 4:] = area, light, own
        return out

    def apply(
        self, face: Float[Tensor, "b 3 s s"], statistics: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b 3 s s"]:
        """The face in the other's colours, clipped to [0, 1]; the face itself where nothing was measured.

        Args:
            face: need not be the picture that was measured, nor of its size.
            statistics: of ``measure``, or an average of such.
        """
        moved = self._apply(face.detach().float(), statistics[:, 4:]).clamp(0.0, 1.0).to(face.dtype)
        return moved.where(statistics[:, 0].view(-1, 1, 1, 1) > 0.0, face.detach())

    @abstractmethod
    def _measure(
        self,
        face: Float[Tensor, "b 3 s s"],
        reference: Float[Tensor, "b 3 s s"],
        weights: Float[Tensor, "b 1 s s"],
    ) -> Float[Tensor, "b k"]:
        """Statistics of the plugin's own, float32 and finite, also where all weights are 0."""

    @abstractmethod
    def _apply(
        self, face: Float[Tensor, "b 3 s s"], statistics: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b 3 s s"]:
        """The face recoloured; may leave [0, 1]."""


COLOR_TRANSFERS: Registry[ColorTransfer] = Registry("color_transfer", __name__)
ColorTransfer.registry = COLOR_TRANSFERS

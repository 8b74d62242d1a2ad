"""The words of training: what a step shows a model, what the model gives back, and what losses look at.

Pictures are RGB, ``(B, C, H, W)`` float in [0, 1], on one device; ``contracts`` has the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Faces of one person as a training step sees them; all ``(B, C, S, S)`` in [0, 1] on the device."""

    input: Tensor
    """Augmented and warped faces: what the model is shown."""
    truth: Tensor
    """What the model should give back for them."""
    mask: Tensor
    """Where the face is in the truth; one channel."""
    features: Tensor
    """Where the eyes and the mouth are in the truth; one channel."""
    expression: Tensor | None = None
    """What the faces do: (B, 11), see ``image.expression``, in standard deviations from the middle between
    both persons. None where the feed does not know it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Faces of both persons."""

    source: Sample
    """The person whose face is put in."""
    target: Sample
    """The footage that receives it."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """Faces that a model drew."""

    face: Tensor
    """(B, 3, S, S) in [0, 1]."""
    mask: Tensor
    """Where the face is, (B, 1, S, S) in [0, 1]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstruction:
    """What a model made of a batch: each person through their own way, and the swap when it is asked for."""

    source: Drawing
    """The source's faces again."""
    target: Drawing
    """The target's faces again."""
    codes: tuple[Tensor, Tensor]
    """What the decoder is given for the source's and the target's faces; (B, C, H, W) each. These are what a
    latent discriminator pulls together."""
    draw_swap: Callable[[tuple[Tensor, Tensor]], Drawing]
    """The target's faces as the source's, from (a copy of) ``codes``: detach them to keep a loss out of the
    encoder."""
    latents: tuple[Tensor, Tensor] | None = None
    """The few numbers in the bottleneck through which everything in the swap goes, (B, N) each; None for a
    model that has no such place."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """One training step, as losses that look at more than one picture see it."""

    batch: Batch
    """What the model was shown and what it should have given back."""
    made: Reconstruction
    """What it gave back; pictures are float32."""

    @cached_property
    def swap(self) -> Drawing:
        """The swap, drawn once a step; its gradient reaches the decoder and not the code."""
        codes = self.made.codes
        return self.made.draw_swap((codes[0].detach(), codes[1].detach()))


@runtime_checkable
class SwapModel(Protocol):
    """What ``build`` of a model gives: an ``nn.Module`` with these methods. Settings live in ``models``."""

    resolution: int
    """Side of the input crops, pixels."""
    output_resolution: int
    """Side of the output crops, pixels."""

    def reconstruct(self, source: Tensor, target: Tensor) -> Reconstruction:
        """Each person through their own way."""
        ...

    def swap(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Target faces in; the source's face with the target's expression, and its mask, out."""
        ...


@runtime_checkable
class KeepsIdentity(Protocol):
    """A swap model that can keep what it knows of who somebody is, while it learns the rest."""

    def freeze_identity(self, frozen: bool) -> None:
        """Keep it, or let it learn again."""
        ...


@runtime_checkable
class HasCode(Protocol):
    """A swap model that draws its swap from a few numbers a face, and from nothing else."""

    def code(self, target: Tensor) -> Tensor:
        """These numbers of target faces, (B, N)."""
        ...

    def draw(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Face and mask: of ``code(target)`` those of ``swap(target)``."""
        ...


@runtime_checkable
class MasksTarget(Protocol):
    """A swap model that can also say where the target's own face is."""

    def target_mask(self, target: Tensor) -> Tensor:
        """The mask that it draws with the target's own face, (B, 1, S, S) in [0, 1]."""
        ...


@runtime_checkable
class PictureTerm(Protocol):
    """A loss that compares two pictures."""

    def __call__(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """The unweighted term, a scalar; both pictures (B, C, S, S) in [0, 1]."""
        ...


@runtime_checkable
class StepTerm(Protocol):
    """A loss that looks at a whole step.

    One that is an ``nn.Module`` with a method ``critic(outcome) -> Tensor`` is an *adversary*: its
    parameters learn by what ``critic`` gives, after the model's own step and on detached tensors, with an
    optimiser of their own.
    """

    def __call__(self, outcome: Outcome) -> Tensor:
        """The unweighted term, a scalar."""
        ...

"""The face that was drawn must be recognised as the one that was wanted.

The identity loss of FaceShifter (Li et al. 2020) and SimSwap (Chen et al. 2020) is one minus the cosine
between the identity vectors of two faces; for vectors of length one that is half their squared distance.
The embedder is given by the pipeline and stays as it is; its gradient reaches the picture.

An approximation: an embedder is used to crops that are cut by landmarks (``Embedder.crop_matrix``). The
model's square is aligned already, by other landmarks, so its centred part, resized, stands in for that crop:
off by some per cent in size and place, and by the augmentation's turn, but by the same for the picture and
the truth, so that equal faces still have equal vectors. With masked training both are black outside the
mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from understudy.contracts import Context, Embedder
from understudy.errors import ConfigError
from understudy.learning import PictureTerm
from understudy.losses import LOSSES, PictureLoss


@LOSSES.register("identity")
@dataclass(frozen=True, kw_only=True)
class Identity(PictureLoss):
    """Distance between the identity vectors of picture and truth; needs an embedder."""

    distance: Literal["squared", "cosine"] = "squared"
    """squared: in units of the distance up to which two vectors are one person's, which is 1 then. cosine:
    one minus the cosine, for embedders that were trained with it."""
    part: float = 0.94
    """Side of the centred part of the model's square that the embedder sees. For dlib's crop: 1 with the
    crops half and mid_full, 0.94 with full, 0.7 with whole, 0.5 with head."""

    def __post_init__(self) -> None:
        if not 0 < self.part <= 1:
            raise ConfigError(f"part: identity wants a fraction above 0 and up to 1, got {self.part}")

    def build(self, context: Context) -> PictureTerm:
        """Takes ``context.given["embedder"]``.

        Raises:
            ConfigError: there is none.
        """
        embedder = context.given.get("embedder")
        if embedder is None:
            raise ConfigError(
                "losses.identity wants an embedder to say who a face is, and none was given; choose one "
                "(dlib), or leave this loss out with --losses.identity off"
            )
        return IdentityTerm(self, embedder)


class IdentityTerm:
    """Identity, with its embedder.

    Args:
        settings: which distance, and of which part of the picture.
        embedder: built, on the pictures' device.
    """

    def __init__(self, settings: Identity, embedder: Embedder) -> None:
        self.settings = settings
        self.embedder = embedder

    def __call__(
        self, prediction: Float[Tensor, "b c s s"], truth: Float[Tensor, "b c s s"]
    ) -> Float[Tensor, ""]:
        """Mean over pictures."""
        with torch.autocast(truth.device.type, enabled=False):
            drawn = self._embed(prediction)
            with torch.no_grad():
                wanted = self._embed(truth)
            if self.settings.distance == "squared":
                return (drawn - wanted).square().sum(1).mean() / self.embedder.same_person**2
            # one minus the cosine, and exactly 0 for equal vectors
            drawn, wanted = F.normalize(drawn, dim=1), F.normalize(wanted, dim=1)
            return (drawn - wanted).square().sum(1).mean() / 2

    def _embed(self, pictures: Float[Tensor, "b c s s"]) -> Float[Tensor, "b d"]:
        crops = centred_part(pictures.float(), self.settings.part, self.embedder.side)
        return self.embedder(crops).float()


def centred_part(pictures: Float[Tensor, "b c s s"], part: float, side: int) -> Float[Tensor, "b c t t"]:
    """The middle of square pictures, resized: bilinear, with a wider filter where it shrinks.

    Args:
        pictures: any square size.
        part: side of what is taken, as a fraction; rounded to pixels, and so that the middle stays in place.
        side: wanted, pixels.
    """
    margin = round(pictures.shape[-1] * (1 - part) / 2)
    middle = pictures[..., margin : pictures.shape[-1] - margin, margin : pictures.shape[-1] - margin]
    return F.interpolate(middle, size=(side, side), mode="bilinear", antialias=True, align_corners=False)

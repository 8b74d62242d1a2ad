"""The task of a mask network: which pixels are face, from labelled faces and from performers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.training.augment import plain
from understudy.training.held_out import PREFIX
from understudy.training.mask_augment import MaskAugmentation, MaskBatch, augment_masks
from understudy.training.preview import contact_sheet
from understudy.training.rundir import SwapperFiles, save_swapper
from understudy.training.sampling import faces_of_step
from understudy.training.store import FaceStore

FIGURE = "heldout/iou"
"""The figure that says how good the network is."""
MOST_HELD_OUT = 64
"""Faces of a kind that a figure is taken of, spread over all that are held out."""
_AT_ONCE = 8
_SHADE = (0.15, 0.9, 0.35)
"""In what colour a preview shows a mask."""


class MaskFeed:
    """Batches for a mask network.

    Args:
        stores: faces and how many of them a step sees; channels are red, green, blue, mask, and where the
            mask is known.
        resolution: side of the network's pictures.
        augmentation: how the faces are changed.
        device: where batches are wanted.
        seed: of the run.
    """

    def __init__(
        self,
        stores: Sequence[tuple[FaceStore, int]],
        *,
        resolution: int,
        augmentation: MaskAugmentation,
        device: torch.device,
        seed: int,
    ) -> None:
        self.stores = [(store, count) for store, count in stores if count]
        self.resolution = resolution
        self.augmentation = augmentation
        self.device = device
        self.seed = seed

    def batch(self, step: int) -> MaskBatch:
        """The batch of a step, from 0."""
        rows = [
            store.rows(faces_of_step(self.seed, number, step, len(store), count), self.device)
            for number, (store, count) in enumerate(self.stores)
        ]
        random = np.random.default_rng([self.seed, 3, step])
        margin = self.stores[0][0].margin
        return augment_masks(torch.cat(rows), random, self.augmentation, margin=margin, size=self.resolution)

    def plain(self, store: FaceStore, count: int) -> MaskBatch:
        """At most ``count`` faces of a store, evenly spread, as they are."""
        spread = np.linspace(0, len(store) - 1, min(count, len(store))).round().astype(np.int64)
        rows = store.rows(spread, self.device)
        drawn = plain(rows, margin=store.margin, size=self.resolution, truth_size=self.resolution)
        return MaskBatch(picture=drawn.input, mask=drawn.mask, known=drawn.features)


class MaskTask:
    """A network that learns where the face is; implements ``task.Task``.

    The loss is the binary cross-entropy of every pixel whose mask is known.

    Args:
        network: pictures to logits.
        feed: where batches come from.
        held_out: faces that are never learned from, by kind.
        name: the segmenter plugin's name, for the file of weights.
        settings: its settings as plain data, for the file of weights.
        preview_faces: rows of a preview.
    """

    def __init__(
        self,
        network: nn.Module,
        feed: MaskFeed,
        held_out: Mapping[str, FaceStore],
        *,
        name: str,
        settings: Mapping[str, Any],
        preview_faces: int = 6,
    ) -> None:
        self.module = network
        self.feed = feed
        self.held_out = dict(held_out)
        self.name = name
        self.settings = dict(settings)
        self.preview_faces = preview_faces

    def batch(self, step: int) -> MaskBatch:
        """Faces and masks of a step."""
        return self.feed.batch(step)

    def losses(self, batch: MaskBatch) -> dict[str, Tensor]:
        """The one term."""
        logits = self.module(batch.picture)
        with torch.autocast(logits.device.type, enabled=False):
            return {"cross_entropy": cross_entropy(logits.float(), batch.mask, batch.known)}

    @property
    def critics(self) -> None:
        """Nothing learns against it."""
        return

    def critic_losses(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def figures(self) -> dict[str, float]:
        """Mean intersection over union of held-out faces: of each kind, and ``heldout/iou``, their mean."""
        out: dict[str, float] = {}
        for kind, store in self.held_out.items():
            shown = self.feed.plain(store, MOST_HELD_OUT)
            value = iou(self.predict(shown.picture), shown.mask, shown.known).mean()
            out[f"{PREFIX}iou_{kind}"] = float(value)
        return {FIGURE: sum(out.values()) / len(out), **out} if out else {}

    def preview(self) -> UInt8[np.ndarray, "h w 3"]:
        """Held-out faces, the masks that they have and get, and what the network is shown in training."""
        kinds = len(self.held_out)
        each = -(-self.preview_faces // max(1, kinds))
        parts = [self.feed.plain(store, each) for store in self.held_out.values()]
        trained = self.feed.batch(0)
        if not parts:
            parts = [self.feed.plain(self.feed.stores[0][0], self.preview_faces)]
        picture = torch.cat([part.picture for part in parts])[: self.preview_faces]
        mask = torch.cat([part.mask for part in parts])[: self.preview_faces]
        found = self.predict(picture)
        shown = np.resize(np.arange(len(trained.picture)), len(picture))
        index = torch.as_tensor(shown, device=picture.device)
        return contact_sheet(
            {
                "held out": picture,
                "mask": mask.expand(-1, 3, -1, -1),
                "network": found.expand(-1, 3, -1, -1),
                "laid over": lay_over(picture, found),
                "training": trained.picture[index],
                "its mask": lay_over(trained.picture[index], trained.mask[index]),
            }
        )

    def predict(self, pictures: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 1 s s"]:
        """Probabilities under the weights that the network has now."""
        self.module.eval()
        try:
            with torch.no_grad():
                return torch.cat([torch.sigmoid(self.module(p).float()) for p in pictures.split(_AT_ONCE)])
        finally:
            self.module.train()

    def deliver(self, folder: Path, step: int) -> None:
        """The file of weights that the segmenter plugin loads."""
        weights = dict(self.module.state_dict())
        save_swapper(
            folder, SwapperFiles(model=self.name, settings=self.settings, weights=weights, step=step)
        )


def cross_entropy(
    logits: Float[Tensor, "b 1 s s"], mask: Float[Tensor, "b 1 s s"], known: Float[Tensor, "b 1 s s"]
) -> Float[Tensor, ""]:
    """Mean binary cross-entropy over the pixels whose mask is known."""
    terms = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    return (terms * known).sum() / known.sum().clamp(min=1.0)


def iou(
    found: Float[Tensor, "b 1 s s"], mask: Float[Tensor, "b 1 s s"], known: Float[Tensor, "b 1 s s"]
) -> Float[Tensor, "b"]:
    """Intersection over union of each face, both masks cut at a half; 1 where both are empty.

    Jaccard 1901; only pixels whose mask is known count.
    """
    seen = known > 0.5
    first, second = (found > 0.5) & seen, (mask > 0.5) & seen
    both, either = ((first & second).sum((1, 2, 3)), (first | second).sum((1, 2, 3)))
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def lay_over(picture: Float[Tensor, "b 3 s s"], mask: Float[Tensor, "b 1 s s"]) -> Float[Tensor, "b 3 s s"]:
    """Pictures with the mask in green, and darker where it is not."""
    color = torch.tensor(_SHADE, device=picture.device)[:, None, None]
    return torch.lerp(0.45 * picture, 0.65 * picture + 0.35 * color, mask)

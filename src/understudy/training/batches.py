"""The batches that a step sees: faces chosen by ``sampling``, read from a ``store``, changed by ``augment``.

All of it is a pure function of the seed and the number of the step.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from understudy.image.expression import mirrored
from understudy.learning import Batch, Sample
from understudy.training.augment import Augmentation, augment, draw, plain, store_side
from understudy.training.sampling import faces_of_step
from understudy.training.store import FaceStore

SOURCE, TARGET = 0, 1


class SwapFeed:
    """Batches of both persons for a swap model.

    Args:
        source: the person whose face is put in.
        target: the footage that receives it.
        batch: faces of each person a step.
        resolution: side of the model's input.
        output_resolution: side of its output.
        augmentation: how the faces are changed.
        device: where the batches are wanted.
        seed: of the run.
    """

    def __init__(
        self,
        source: FaceStore,
        target: FaceStore,
        *,
        batch: int,
        resolution: int,
        output_resolution: int,
        augmentation: Augmentation,
        device: torch.device,
        seed: int,
    ) -> None:
        self.stores = (source, target)
        self.batch_size = batch
        self.resolution = resolution
        self.output_resolution = output_resolution
        self.augmentation = augmentation
        self.device = device
        self.seed = seed
        self._norm = _usual(source.expressions, target.expressions)

    def batch(self, step: int) -> Batch:
        """The batch of a step, from 0."""
        flips = (self.augmentation.flip_source, self.augmentation.flip_target)
        made: list[Sample] = []
        for person, (store, flip) in enumerate(zip(self.stores, flips, strict=True)):
            indices = faces_of_step(self.seed, person, step, len(store), self.batch_size)
            random = np.random.default_rng([self.seed, person, 2, step])
            draws = draw(random, self.batch_size, self.augmentation, flip=flip)
            sample = augment(
                store.rows(indices, self.device),
                draws,
                margin=store.margin,
                size=self.resolution,
                truth_size=self.output_resolution,
            )
            wears = self._expression(store.expressions[indices], draws.mirrored)
            made.append(dataclasses.replace(sample, expression=wears))
        return Batch(source=made[SOURCE], target=made[TARGET])

    def plain(self, count: int) -> Batch:
        """``count`` faces of each person, evenly spread over the set, as they are."""
        made: list[Sample] = []
        for store in self.stores:
            spread = np.linspace(0, len(store) - 1, min(count, len(store))).round().astype(np.int64)
            faces = store.rows(np.resize(spread, count), self.device)
            sample = plain(
                faces, margin=store.margin, size=self.resolution, truth_size=self.output_resolution
            )
            wears = self._expression(store.expressions[np.resize(spread, count)], np.zeros(count, np.bool_))
            made.append(dataclasses.replace(sample, expression=wears))
        return Batch(source=made[SOURCE], target=made[TARGET])

    def _expression(
        self, expressions: Float[np.ndarray, "b 11"], flipped: Bool[np.ndarray, "b"]
    ) -> Float[Tensor, "b 11"]:
        """What the faces of a batch do, in standard deviations from the middle between both persons."""
        middle, spread = self._norm
        seen = np.where(flipped[:, None], mirrored(expressions), expressions)
        scaled = np.clip((seen - middle) / spread, -_FARTHEST, _FARTHEST).astype(np.float32)
        return torch.as_tensor(scaled).to(self.device, non_blocking=True)


_FARTHEST = 4.0


def _usual(
    source: Float[np.ndarray, "n 11"], target: Float[np.ndarray, "m 11"]
) -> tuple[Float[np.ndarray, "11"], Float[np.ndarray, "11"]]:
    """The middle between both persons, and how much a person varies: one scale for both."""
    middle = (source.mean(0) + target.mean(0)) / 2
    spread = np.sqrt((source.var(0) + target.var(0)) / 2)
    return middle, np.maximum(spread, 1e-3)


def random_store(count: int, resolution: int, seed: int) -> FaceStore:
    """Smooth random pictures in place of faces: for tests and measurements."""
    side = store_side(resolution)
    random = np.random.default_rng(seed)
    coarse: Float[Tensor, "n 5 8 8"] = torch.as_tensor(
        np.concatenate([random.random((count, n, 8, 8), np.float32) for n in (4, 1)], axis=1)
    )
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    smooth[:, 3:] = (smooth[:, 3:] > 0.4).float()
    return FaceStore((smooth * 255).to(torch.uint8).numpy())

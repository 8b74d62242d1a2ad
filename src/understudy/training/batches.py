"""The batches that a step sees: faces chosen by ``sampling``, read from a ``store``, changed by ``augment``.

All of it is a pure function of the seed and the number of the step.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from understudy.errors import ConfigError
from understudy.image.expression import mirrored
from understudy.learning import Batch, Sample
from understudy.training.ahead import Ahead
from understudy.training.augment import (
    Augmentation,
    Recolor,
    SourceDraws,
    augment,
    draw,
    draw_source,
    plain,
    store_side,
)
from understudy.training.sampling import Sampling, faces_by_pose, faces_of_step, pose_bins
from understudy.training.store import FaceStore

SOURCE, TARGET = 0, 1


Transfer = Callable[
    [Float[Tensor, "b 3 s s"], Float[Tensor, "b 3 s s"], Float[Tensor, "b 1 s s"]], Float[Tensor, "b 3 s s"]
]
"""A face, a face whose colours it should have, where both show the face: the face recoloured."""


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
        sampling: which faces come how often.
        transfer: how a source's face gets a target's colours; None for none.
        ahead: whether the next batches are made beforehand, in a thread; None: on a GPU.
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
        sampling: Sampling = "uniform",
        transfer: Transfer | None = None,
        ahead: bool | None = None,
    ) -> None:
        self.stores = (source, target)
        self.batch_size = batch
        self.resolution = resolution
        self.output_resolution = output_resolution
        self.augmentation = augmentation
        self.device = device
        self.seed = seed
        self.transfer = transfer
        self._bins = [pose_bins(s.expressions) for s in self.stores] if sampling == "pose" else None
        self._norm = _usual(source.expressions, target.expressions)
        self._beforehand = device.type == "cuda" if ahead is None else ahead
        self._ahead: tuple[tuple[int, int], Ahead[Batch]] | None = None

    def batch(self, step: int, *, rank: int = 0, world: int = 1) -> Batch:
        """The batch of a step, from 0, or one of its equal slices.

        Args:
            step: number of the step.
            rank: which slice.
            world: into how many the batch is cut; what is random does not depend on it.

        Raises:
            ConfigError: the batch cannot be cut so.
        """
        if self.batch_size % world:
            raise ConfigError(
                f"a batch of {self.batch_size} cannot be cut into {world} equal parts, one a process; choose "
                "train.batch as a multiple"
            )
        if not self._beforehand:
            size = self.batch_size // world
            rows = slice(rank * size, (rank + 1) * size)
            return Batch(source=self._sample(SOURCE, step, rows), target=self._sample(TARGET, step, rows))
        if self._ahead is None or self._ahead[0] != (rank, world):
            self.close()
            maker = copy.copy(self)  # the thread holds this one, so that it ends when nobody holds the other
            maker._beforehand = False
            self._ahead = (
                (rank, world),
                Ahead(lambda number: maker.batch(number, rank=rank, world=world), self.device),
            )
        return self._ahead[1](step)

    def close(self) -> None:
        """End the thread that makes batches beforehand; the next batch that is asked for starts it again."""
        if self._ahead is not None:
            self._ahead[1].close()
            self._ahead = None

    def _sample(self, person: int, step: int, rows: slice) -> Sample:
        """Some of one person's faces of a step."""
        store, settings = self.stores[person], self.augmentation
        indices = self._faces(person, step)[rows]
        random = np.random.default_rng([self.seed, person, 2, step])
        flip = (settings.flip_source, settings.flip_target)[person]
        draws = draw(random, self.batch_size, settings, flip=flip).part(rows)
        more = draw_source(random, self.batch_size, settings).part(rows) if person == SOURCE else None
        sample = augment(
            store.rows(indices, self.device),
            draws,
            margin=store.margin,
            size=self.resolution,
            truth_size=self.output_resolution,
            recolor=self._recolor(more) if more and self.transfer else None,
            hsv=more.hsv if more and settings.hsv else None,
            blur_outside=settings.blur_outside,
        )
        wears = self._expression(store.expressions[indices], draws.mirrored)
        return dataclasses.replace(sample, expression=wears)

    def _faces(self, person: int, step: int) -> Int[np.ndarray, " b"]:
        if self._bins is None:
            return faces_of_step(self.seed, person, step, len(self.stores[person]), self.batch_size)
        return faces_by_pose(self.seed, person, step, self._bins[person], self.batch_size)

    def _recolor(self, draws: SourceDraws) -> Recolor:
        """Moves the colours of stored pictures to those of random faces of the target."""
        target, transfer = self.stores[TARGET], self.transfer
        assert transfer is not None
        places = np.minimum((draws.partner * len(target)).astype(np.int64), len(target) - 1)
        partners = target.rows(places, self.device).float() / 255
        chosen = torch.as_tensor(draws.transferred).to(self.device)[:, None, None, None]

        def recolor(
            pictures: Float[Tensor, "b 3 s s"], masks: Float[Tensor, "b 1 s s"]
        ) -> Float[Tensor, "b 3 s s"]:
            moved = transfer(pictures, partners[:, :3], torch.minimum(masks, partners[:, 3:4]))
            return torch.where(chosen, moved, pictures)

        return recolor

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

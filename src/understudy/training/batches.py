"""Faces in memory, and the batches that a step sees.

Which faces a step sees, and how they are augmented, is a pure function of the seed and the number of the
step: there is no sampler state to save, and a run that goes on sees what it would have seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from understudy.errors import FaceSetError, ShapeError
from understudy.image.expression import EXPRESSION, mirrored
from understudy.learning import Batch, Sample
from understudy.training.augment import MARGIN, Augmentation, augment, draw, plain, store_side

SOURCE, TARGET = 0, 1


class FaceStore:
    """The faces of one person, framed for one model.

    Args:
        faces: red, green, blue, where the face is, where eyes and mouth are; an array in memory or one mapped
            from a file.
        expressions: what each face does, see ``image.expression``; None where nothing needs it.
        margin: how many times the model's square the pictures are wide.
    """

    def __init__(
        self,
        faces: UInt8[np.ndarray, "..."],
        expressions: Float[np.ndarray, "n 11"] | None = None,
        *,
        margin: float = MARGIN,
    ) -> None:
        if faces.ndim != 4 or faces.shape[1] != 5 or faces.shape[2] != faces.shape[3]:
            raise ShapeError("faces", "(n, 5, S, S)", faces.shape)
        if not len(faces):
            raise FaceSetError("there is no face to learn from; extract some, or undo some rejections")
        self.faces = faces
        self.expressions = np.zeros((len(faces), len(EXPRESSION))) if expressions is None else expressions
        self.margin = margin
        self._resident: Tensor | None = None

    @classmethod
    def collect(
        cls,
        faces: Iterable[
            tuple[UInt8[np.ndarray, "s s 3"], UInt8[np.ndarray, "s s"], UInt8[np.ndarray, "s s"]]
        ],
        count: int,
        resolution: int,
        expressions: Float[np.ndarray, "n 11"] | None = None,
        *,
        file: Path | None = None,
    ) -> FaceStore:
        """Gather faces one by one, so that they are in memory once.

        Args:
            faces: picture, mask of the face and mask of eyes and mouth each, of side
                ``store_side(resolution)``, showing ``MARGIN`` times the model's square:
                ``warp.crop(stored, matrix, side)`` with the matrix of
                ``alignment.crop_matrix(side, coverage * MARGIN)`` behind the inverse of the stored crop's.
            count: how many there are.
            resolution: of the model, the larger of input and output.
            expressions: what each face does; None where nothing needs it.
            file: map them from this scratch file instead of holding them in memory.

        Raises:
            FaceSetError: there is none.
            ShapeError: a picture or mask of another size.
        """
        side = store_side(resolution)
        shape = (count, 5, side, side)
        held = np.empty(shape, np.uint8) if file is None else np.memmap(file, np.uint8, "w+", shape=shape)
        filled = 0
        for picture, mask, features in faces:
            if picture.shape != (side, side, 3) or mask.shape != (side, side) or features.shape != mask.shape:
                raise ShapeError("face", f"({side}, {side}, 3) and its masks", picture.shape)
            held[filled, :3] = picture.transpose(2, 0, 1)
            held[filled, 3], held[filled, 4] = mask, features
            filled += 1
        return cls(held[:filled], expressions)

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def nbytes(self) -> int:
        """Bytes of all faces."""
        return self.faces.nbytes

    def rows(self, indices: Int[np.ndarray, "b"], device: torch.device) -> UInt8[Tensor, "b 5 s s"]:
        """Faces by number, on the device; a GPU that has the room keeps them all."""
        if device.type == "cuda" and self._resident is None and self.nbytes < _free_memory(device) / 4:
            self._resident = torch.as_tensor(np.ascontiguousarray(self.faces)).to(device)
        if self._resident is not None and self._resident.device == device:
            return self._resident[torch.as_tensor(indices).to(device, non_blocking=True)]
        rows = torch.as_tensor(np.ascontiguousarray(self.faces[indices]))
        if device.type == "cuda":
            return rows.pin_memory().to(device, non_blocking=True)
        return rows.to(device)


def _free_memory(device: torch.device) -> int:
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def faces_of_step(seed: int, person: int, step: int, count: int, batch: int) -> Int[np.ndarray, "b"]:
    """Which faces a step sees: every face once in random order, then all again in another order.

    Args:
        seed: of the run.
        person: ``SOURCE`` or ``TARGET``.
        step: number of the step, from 0.
        count: faces that the person has.
        batch: faces a step.
    """
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = places // count
    orders = {
        int(epoch): np.random.default_rng([seed, person, 1, int(epoch)]).permutation(count)
        for epoch in np.unique(epochs)
    }
    return np.array([orders[int(epoch)][place % count] for epoch, place in zip(epochs, places, strict=True)])


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

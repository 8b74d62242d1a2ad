"""The faces of a render: cut out of the target's frames, swapped several at a time, put back."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from understudy.contracts import Frame
from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.image.warp import crop_frame
from understudy.pipelines.composite import FaceJob, composite
from understudy.pipelines.masks import StoredMask
from understudy.pipelines.merge_settings import MergeSettings, Station
from understudy.pipelines.swapper import Swapper


class FaceMerge:
    """Swaps the faces of frames, several frames at a time, and counts.

    Args:
        swapper: whose faces are put in.
        faces: the target's face set, for its masks.
        by_frame: its faces that are swapped, by frame.
        settings: colour, mask, blend.
        stations: what is done to every finished frame, in this order.
    """

    def __init__(
        self,
        swapper: Swapper,
        faces: FaceSet,
        by_frame: dict[int, list[FaceRecord]],
        settings: MergeSettings,
        stations: Sequence[Station] = (),
    ) -> None:
        self.swapper, self.faces, self.by_frame, self.settings = swapper, faces, by_frame, settings
        self.stations = stations
        self.counts: Counter[int] = Counter()

    def frames(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames with swapped faces, as they are written."""
        for group in self.batches(frames):
            for frame in self.swap(group):
                finished = frame
                for station in self.stations:
                    finished = station(finished)
                yield finished

    def batches(self, frames: Iterator[Frame]) -> Iterator[list[Frame]]:
        """Groups of frames that together have about a batch of faces, and no group of many frames."""
        group: list[Frame] = []
        faces = 0
        for frame in frames:
            group.append(frame)
            faces += len(self.by_frame.get(frame.index, ()))
            if faces >= self.settings.batch or len(group) >= 2 * self.settings.batch:
                yield group
                group, faces = [], 0
        if group:
            yield group

    def swap(self, frames: list[Frame]) -> list[Frame]:
        """The same frames with swapped faces."""
        jobs: list[FaceJob] = []
        crops: list[np.ndarray] = []
        for place, frame in enumerate(frames):
            found = self.by_frame.get(frame.index, [])
            self.counts[len(found)] += 1
            for record in found:
                face = record.face
                aligned = dataclasses.replace(face, alignment=self.swapper.alignment(face.points))
                jobs.append(FaceJob(frame=place, face=aligned, mask=self._mask(record)))
                crops.append(
                    crop_frame(frame, self.swapper.crop_matrix(face.points), self.swapper.resolution)
                )
        if not jobs:
            return frames
        swapped, masks = self.swapper(torch.from_numpy(np.stack(crops)))
        coverage = self.swapper.settings.coverage
        return composite(frames, jobs, swapped, masks, self.settings.composite, coverage)

    def _mask(self, record: FaceRecord) -> StoredMask | None:
        """What the face set says of where a face is."""
        if self.settings.composite.mask.stored == "ignore":
            return None
        pixels = self.faces.read_mask(record)
        return None if pixels is None else StoredMask(np.ascontiguousarray(pixels), record.alignment)

    def summary(self) -> dict[str, Any]:
        """How many frames had how many faces."""
        return {
            "frames": sum(self.counts.values()),
            "frames_without_a_face": self.counts[0],
            "frames_by_number_of_faces": {
                str(number): count for number, count in sorted(self.counts.items())
            },
        }

"""The faces of a render: cut out of the target's frames, swapped several at a time, put back.

A finished frame is the same samples whatever else is rendered in the same call. Faces go through the network
in groups that end at fixed frame numbers (``BLOCK``), because the size of a batch changes the last bits of
its results; and work begins as many frames early as the averages of codes and the compositor look back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from understudy.contracts import Face, Frame, Segmenter
from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.image.warp import crop_frame
from understudy.models import ModelSettings
from understudy.pipelines.compositing.beyond import EdgeFill
from understudy.pipelines.compositing.compositor import Composited, Compositor, reach_of
from understudy.pipelines.compositing.layers import FaceJob, FaceLayer
from understudy.pipelines.compositing.masks import StoredMask
from understudy.pipelines.compositing.settings import CompositeSettings
from understudy.pipelines.merging.codes import CodeAverager, FaceGroup
from understudy.pipelines.merging.settings import Station
from understudy.pipelines.setup import make_context
from understudy.pipelines.swapper import Swapper
from understudy.stream import read_ahead
from understudy.video.convert import on_displayed
from understudy.video.info import VideoInfo
from understudy.video.reader import VideoReader
from understudy.video.stills import StillsReader

BLOCK = 24
"""Groups of frames never reach over a multiple of this."""
AHEAD = 16
"""Decoded frames that may wait at most."""
AHEAD_BYTES = 200 << 20
"""Memory that they may take."""


@runtime_checkable
class FaceSettings(Protocol):
    """Says how each face is put in."""

    common: CompositeSettings
    """For faces of which nothing else is said."""
    reach: int
    """The most frames before and after one that any of the settings' composites looks at."""
    persons: bool
    """Whether any of them asks for the segmenter of persons."""
    code: int
    """The most frames before and after one over which any of them averages codes."""
    target_masks: bool
    """Whether any of them asks where the target's own face is."""

    def of(self, record: FaceRecord) -> CompositeSettings:
        """Of one face."""
        ...


class SameForAll:
    """Every face is put in alike."""

    def __init__(self, common: CompositeSettings) -> None:
        self.common, self.reach, self.persons = common, reach_of(common), common.mask.person
        self.code, self.target_masks = common.temporal.code, common.mask.asks_target

    def of(self, record: FaceRecord) -> CompositeSettings:
        """Of one face."""
        del record
        return self.common


def check_model(model: ModelSettings, settings: FaceSettings) -> None:
    """Refuses settings that a swapper of a model cannot follow, before there is one.

    Args:
        model: what is going to be trained.
        settings: how its faces will be put in.

    Raises:
        ConfigError: a face asks for something that the model does not give.
    """
    if not (settings.code or settings.target_masks):
        return
    with torch.device("meta"):  # it is asked what it can do, and needs no numbers for that
        network = model.build(make_context("meta"))
    _check(Swapper(network, model), code=settings.code > 0, target_masks=settings.target_masks)


def _check(swapper: Swapper, *, code: bool, target_masks: bool) -> None:
    """Refuses what a swapper cannot give. Raises ``ConfigError``."""
    if code:
        swapper.require_code()
    if target_masks:
        swapper.require_target_masks()


class SwapStage:
    """Puts one swapper's faces into frames that go by.

    Args:
        swapper: whose faces are put in.
        faces: the target's face set, for its masks.
        by_frame: the faces that this swapper replaces, by frame.
        batch: faces that go through the network at a time.
        settings: colour, mask and blend of each face.
        segmenter: that of persons, for settings that ask for it.

    Raises:
        ConfigError: the settings of a face ask for something that a swapper of this model does not give.
    """

    def __init__(
        self,
        swapper: Swapper,
        faces: FaceSet,
        by_frame: Mapping[int, Sequence[FaceRecord]],
        batch: int,
        settings: FaceSettings,
        segmenter: Segmenter | None = None,
    ) -> None:
        self.swapper, self.faces, self.by_frame = swapper, faces, by_frame
        self.batch, self.settings, self.segmenter = batch, settings, segmenter
        self._edge_fills: dict[str, EdgeFill] = {}
        self.layers: dict[int, list[FaceLayer]] | None = None
        """Where layers are kept, by frame; None: nowhere."""
        # another swapper's faces may ask for more than this one gives: only its own count
        mine = list(itertools.chain(*by_frame.values())) if settings.code or settings.target_masks else []
        self._code_reach = max((settings.of(record).temporal.code for record in mine), default=0)
        asked = any(settings.of(record).mask.asks_target for record in mine)
        _check(swapper, code=self._code_reach > 0, target_masks=asked)

    @property
    def reach(self) -> int:
        """Frames before and after one that its faces depend on."""
        return self.settings.reach + self._code_reach

    def frames(self, frames: Iterator[Frame], begin: int) -> Iterator[Frame]:
        """The same frames with swapped faces, from number ``begin`` on."""
        compositor = Compositor(
            self.settings.common,
            self.swapper.settings.coverage,
            segmenter=self.segmenter,
            reach=self.settings.reach,
        )
        groups = map(self._read, self._groups(frame for frame in frames if frame.index >= begin))
        if self._code_reach:
            averager = CodeAverager(self.swapper, self._code_reach)
            for group in groups:
                for ready, codes in averager.push(group):
                    yield from self._swap(ready, compositor, codes)
            for ready, codes in averager.flush():
                yield from self._swap(ready, compositor, codes)
        else:
            for group in groups:
                yield from self._swap(group, compositor)
        yield from self._kept(compositor.flush_layered())

    def _kept(self, done: Sequence[Composited]) -> list[Frame]:
        """The frames; their layers are put where they are wanted."""
        if self.layers is not None:
            for composited in done:
                self.layers.setdefault(composited.frame.index, []).extend(composited.layers)
        return [composited.frame for composited in done]

    def _groups(self, frames: Iterator[Frame]) -> Iterator[list[Frame]]:
        """Frames that together have about a batch of faces; none across a block's end."""
        group: list[Frame] = []
        faces = 0
        for frame in frames:
            if group and frame.index // BLOCK != group[0].index // BLOCK:
                yield group
                group, faces = [], 0
            group.append(frame)
            faces += len(self.by_frame.get(frame.index, ()))
            if faces >= self.batch or not faces:  # frames without a face wait for nobody
                yield group
                group, faces = [], 0
        if group:
            yield group

    def _read(self, frames: list[Frame]) -> FaceGroup:
        """What is to be done in these frames, and what the network is shown."""
        jobs: list[FaceJob] = []
        crops: list[np.ndarray] = []
        for place, frame in enumerate(frames):
            for record in self.by_frame.get(frame.index, ()):
                face, how = self.aligned(record), self.settings.of(record)
                mask = None if how.mask.stored == "ignore" else self._mask(record)
                matrix = self.swapper.crop_matrix(face.points)
                crop = crop_frame(frame, matrix, self.swapper.resolution)
                beyond = (
                    None if how.edge == "repeat" else self._edges(record, frame).find(record, crop, matrix)
                )
                jobs.append(FaceJob(frame=place, face=face, mask=mask, settings=how, beyond=beyond))
                crops.append(crop if beyond is None else beyond.fill(crop, matrix))
        side = self.swapper.resolution
        shown = torch.from_numpy(np.stack(crops)) if crops else torch.zeros(0, 3, side, side)
        return FaceGroup(frames=frames, jobs=jobs, crops=shown, batch=self.batch)

    def _swap(self, group: FaceGroup, compositor: Compositor, codes: Tensor | None = None) -> list[Frame]:
        """The frames that are ready once these have gone in; faces are drawn from ``codes`` where given."""
        faces, masks = self._through_network(group, codes)
        return self._kept(compositor.push_layered(group.frames, group.jobs, faces, masks))

    def _through_network(self, group: FaceGroup, codes: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Swapped faces and their masks; those of the old faces behind them where one of them asks for it."""
        if not group.jobs:
            return torch.zeros(0, 3, self.swapper.output_resolution, self.swapper.output_resolution), None
        pieces = group.pieces()
        if codes is None:
            parts = [self.swapper(group.crops[piece]) for piece in pieces]
        else:
            parts = [self.swapper.draw(codes[piece]) for piece in pieces]
        faces, masks = torch.cat([face for face, _ in parts]), torch.cat([mask for _, mask in parts])
        if any(job.settings and job.settings.mask.asks_target for job in group.jobs):
            old = [self.swapper.target_masks(group.crops[piece]) for piece in pieces]
            masks = torch.cat([masks, torch.cat(old)], dim=1)
        return faces, masks

    def aligned(self, record: FaceRecord) -> Face:
        """The face with its alignment in the swapper's crop mode."""
        face = record.face
        return dataclasses.replace(face, alignment=self.swapper.alignment(face.points))

    def _edges(self, record: FaceRecord, frame: Frame) -> EdgeFill:
        """Who knows what is beyond the edges of the footage that a face is in."""
        if record.source not in self._edge_fills:

            def framing(points: np.ndarray, side: int) -> np.ndarray:
                return self.swapper.alignment(points).crop_matrix(side, self.swapper.settings.coverage)

            size = frame.width, frame.height
            self._edge_fills[record.source] = EdgeFill(self.faces, record.source, framing, size)
        return self._edge_fills[record.source]

    def _mask(self, record: FaceRecord) -> StoredMask | None:
        """What the face set says of where a face is."""
        pixels = self.faces.read_mask(record)
        return None if pixels is None else StoredMask(np.ascontiguousarray(pixels), record.alignment)


class FaceMerge:
    """Every swapper's faces into frames, and what is done to finished frames after that.

    Args:
        stages: one a swapper, in this order.
        stations: what is done to every finished frame, in this order.
        layered: keep what is laid over each frame, for ``layers_of``.
    """

    def __init__(
        self, stages: Sequence[SwapStage], stations: Sequence[Station] = (), *, layered: bool = False
    ) -> None:
        self.stages, self.stations = stages, stations
        self._layers: dict[int, list[FaceLayer]] = {}
        for stage in stages:
            stage.layers = self._layers if layered else None
        self.more = True
        """After ``render`` with a ``stop``: whether the footage goes on there."""

    def faces_in(self, frame: int) -> int:
        """How many faces of a frame are swapped."""
        return sum(len(stage.by_frame.get(frame, ())) for stage in self.stages)

    def layers_of(self, frame: int) -> list[FaceLayer]:
        """What was laid over a frame that has just come out, in this order; given once."""
        return self._layers.pop(frame, [])

    def largest_face(self, frame: int) -> Face | None:
        """The largest of the swapped faces of a frame, in its swapper's crop mode; None without one."""
        found = [stage.aligned(record) for stage in self.stages for record in stage.by_frame.get(frame, ())]
        return max(found, key=lambda face: face.alignment.side, default=None)

    def render(
        self,
        reader: VideoReader | StillsReader,
        start: int = 0,
        stop: int | None = None,
        *,
        exact: bool = True,
    ) -> Generator[tuple[Frame, Frame]]:
        """Frames ``start`` up to, not including, ``stop``: as they were, and as they are written.

        Args:
            reader: the footage.
            start: number of the first one.
            stop: None for the end of the footage.
            exact: to the last bit what a render of everything gives. False begins later: for a look.
        """
        begins = self._begins(start, exact)
        self.more = True
        targets: deque[Frame] = deque()
        with contextlib.closing(read_ahead(reader.frames(begins[0]), _ahead(reader.info))) as decoded:
            frames: Iterator[Frame] = _kept(decoded, targets, start)
            for stage, begin in zip(self.stages, begins, strict=True):
                frames = stage.frames(frames, begin)
            for frame in frames:
                if stop is not None and frame.index >= stop:
                    return
                if frame.index < start:
                    self._layers.pop(frame.index, None)
                else:
                    yield targets.popleft(), self._finished(frame)
                if frame.index + 1 == stop:
                    self.more = bool(targets) or next(decoded, None) is not None
                    return
        self.more = False

    def _begins(self, start: int, exact: bool) -> list[int]:
        """The frame from which each stage must see frames so that ``start`` comes out right."""
        out: list[int] = []
        for stage in reversed(self.stages):
            start = max(0, start - stage.reach)
            start -= start % BLOCK if exact else 0
            out.insert(0, start)
        return out

    def _finished(self, frame: Frame) -> Frame:
        for station in self.stations:
            frame = on_displayed(frame, station)
        return frame


def _ahead(info: VideoInfo) -> int:
    """How many decoded frames may wait."""
    samples = info.width * info.height * (3 if info.format.kind == "rgb" else 2)
    return max(2, min(AHEAD, AHEAD_BYTES // (samples * -(-info.format.depth // 8))))


def _kept(frames: Iterator[Frame], targets: deque[Frame], start: int) -> Iterator[Frame]:
    """The same frames; those from ``start`` on are kept in ``targets``."""
    for frame in frames:
        if frame.index >= start:
            targets.append(frame)
        yield frame

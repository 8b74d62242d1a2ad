"""Rendering segments: the same in this process, in a worker beside it and on another machine.

A ``RenderOrder`` is all that a process needs to know, as plain data; a ``Renderer`` is made from it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from understudy import config, durable
from understudy.contracts import Frame
from understudy.errors import ConfigError
from understudy.faces.faceset import FaceSet
from understudy.faces.records import FaceRecord
from understudy.pipelines.compositing.detail import prepare
from understudy.pipelines.footage import open_footage
from understudy.pipelines.merging.faces import FaceMerge, FaceSettings, SameForAll, SwapStage
from understudy.pipelines.merging.flicker import FlickerSampler
from understudy.pipelines.merging.plan import MergePlan
from understudy.pipelines.merging.segments import SegmentReport, part_name, parts_folder, stretches
from understudy.pipelines.merging.settings import MergeSettings, Station
from understudy.pipelines.setup import make_context
from understudy.pipelines.swapper import Swapper
from understudy.provenance.labels import container_tags
from understudy.segmenters import SEGMENTERS
from understudy.video.layers import LayersWriter
from understudy.video.stills import StillsWriter
from understudy.video.writer import VideoWriter, is_folder, open_writer

ByFrame = dict[int, list[FaceRecord]]
Step = tuple[int, int]
"""By how many frames a render got further, and how many faces these had."""


@dataclass(frozen=True, kw_only=True)
class RenderOrder:
    """What is to be rendered."""

    swapper: Path
    """The swapper's folder, or its weight file."""
    target: Path
    """The footage."""
    faces: Path
    """Its face set."""
    persons: tuple[int, ...]
    """Groups of the face set that are swapped."""
    output: Path
    """The result; segments lie beside it."""
    settings: MergeSettings
    """Colour, mask, blend, codec."""
    stations: tuple[Station, ...] = ()
    """What is done to every finished frame."""
    plan: MergePlan | None = None
    """Settings that change, and other swappers; None: the same for every face."""
    start: int = 0
    """Number of the first frame."""
    stop: int | None = None
    """Number of the frame before which it ends; None for the end of the footage."""

    def to_json(self) -> dict[str, Any]:
        """Plain data for another process.

        Raises:
            ConfigError: a station cannot be made again elsewhere.
        """
        layers = self.settings.layers
        settings = dataclasses.replace(self.settings, layers=layers.resolve() if layers else None)
        return {
            "swapper": str(self.swapper.resolve()),
            "target": str(self.target.resolve()),
            "faces": str(self.faces.resolve()),
            "persons": list(self.persons),
            "output": str(self.output.resolve()),
            "settings": config.dump(settings),
            "stations": [_describe(station) for station in self.stations],
            "plan": [self.plan.data, str(self.plan.path.resolve())] if self.plan else None,
            "start": self.start,
            "stop": self.stop,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RenderOrder:
        """What ``to_json`` gave."""
        paths = {name: Path(data[name]) for name in ("swapper", "target", "faces", "output")}
        return cls(
            **paths,
            persons=tuple(data["persons"]),
            settings=config.merge(MergeSettings(), data["settings"]),
            stations=tuple(_remake(each) for each in data["stations"]),
            plan=MergePlan(data["plan"][0], Path(data["plan"][1])) if data["plan"] else None,
            start=data["start"],
            stop=data["stop"],
        )


def _describe(station: Station) -> dict[str, Any]:
    kind = type(station)
    if not hasattr(kind, "from_key"):
        raise ConfigError(
            f"workers: {kind.__name__} works in this process only (it has no from_key); choose --workers 1"
        )
    return {"module": kind.__module__, "name": kind.__qualname__, "key": station.key()}


def _remake(data: Mapping[str, Any]) -> Station:
    kind = getattr(importlib.import_module(data["module"]), data["name"])
    return cast("Station", kind.from_key(data["key"]))


class Renderer:
    """Renders segments of an order.

    Args:
        order: what.

    Raises:
        UnderstudyError: the swapper, the footage or the face set cannot be used.
    """

    def __init__(self, order: RenderOrder) -> None:
        self.order = order
        self.reader = open_footage(order.target, order.settings.footage)
        faces = FaceSet.open(order.faces).choose(order.persons)
        by_frame = faces.for_merging(order.target.name)
        self.records = [record for found in by_frame.values() for record in found]
        context, settings = make_context(order.settings.device), settings_of(order)
        prepare(settings.common.detail, context.device)
        segmenter = SEGMENTERS["person"]().build(context) if settings.persons else None
        self.swappers: list[tuple[Path, Swapper]] = []
        stages: list[SwapStage] = []
        for place, found in _cast(order, by_frame).items():
            swapper = Swapper.load(place, context)
            self.swappers.append((place, swapper))
            stages.append(SwapStage(swapper, faces, found, order.settings.batch, settings, segmenter))
        self.merge = FaceMerge(stages, order.stations, layered=order.settings.layers is not None)
        self._folder = parts_folder(order.output)

    def close(self) -> None:
        """Close the footage."""
        self.reader.close()

    def segments(self, first: int, end: int | None = None) -> Generator[Step | SegmentReport]:
        """Renders segments ``first`` up to, not including, ``end`` (None: until the footage ends).

        Gives a step for every frame, and a report of every segment; one of 0 frames where the footage has
        ended before ``first``.
        """
        order, size = self.order, self.order.settings.segment
        start = order.start + first * size
        ends = [order.stop] if order.stop is not None else []
        ends += [order.start + end * size] if end is not None else []
        stop = min(ends, default=None)
        pairs = self.merge.render(self.reader, start, stop)
        with contextlib.closing(pairs):
            following = next(pairs, None)
            if following is None:
                yield SegmentReport(number=first, first=start, frames=0, more=False)
            for number in itertools.count(first):
                if following is None:
                    return
                last = order.start + (number + 1) * size
                segment = _Segment(self, number, itertools.chain([following], pairs), last)
                report = yield from segment.write()
                following = segment.following
                ended = following is None and not (self.merge.more and stop != order.stop)
                damage = self.reader.damage if ended else None
                told = (damage.message, damage.frame or 0) if damage else None
                yield dataclasses.replace(report, more=not ended, damage=told)

    def part(self, number: int) -> Path:
        """The file or folder of a segment."""
        return self._folder / part_name(self.order.output, number)


class _Segment:
    """One segment while it is written: what its report says is collected here."""

    def __init__(
        self, renderer: Renderer, number: int, pairs: Iterator[tuple[Frame, Frame]], last: int
    ) -> None:
        self.renderer, self.number, self.pairs, self.last = renderer, number, pairs, last
        self.following: tuple[Frame, Frame] | None = None
        self.faces: Counter[int] = Counter()
        self.without: list[int] = []
        self.files: list[str] = []
        self.flicker = FlickerSampler(renderer.merge.largest_face)

    def write(self) -> Generator[Step, None, SegmentReport]:
        """Writes it under its name, all or nothing; gives a step for every frame."""
        part, order = self.renderer.part(self.number), self.renderer.order
        like, encoding = self.renderer.reader.info, order.settings.encode
        with contextlib.ExitStack() as stack:
            folder = is_folder(order.output)
            place = stack.enter_context(durable.new_folder(part)) if folder else part
            tags = container_tags(order.swapper.resolve().parent.name) if folder else None
            writer = stack.enter_context(open_writer(place, like=like, encoding=encoding, metadata=tags))
            layers = order.settings.layers
            layered = stack.enter_context(LayersWriter(layers, like)) if layers else None
            yield from self._write(writer, layered)
            writer.close()
            self.files = sorted(path.name for path in place.iterdir()) if folder else []
        return SegmentReport(
            number=self.number,
            first=order.start + self.number * order.settings.segment,
            frames=sum(self.faces.values()),
            more=True,
            part=part.name,
            faces={str(number): count for number, count in sorted(self.faces.items())},
            without=stretches(self.without),
            flicker=tuple(self.flicker.pairs),
            files=tuple(self.files),
            remarks=tuple(event.message for event in writer.warnings),
        )

    def _write(self, writer: VideoWriter | StillsWriter, layered: LayersWriter | None) -> Generator[Step]:
        for target, finished in self.pairs:
            if target.index >= self.last:
                self.following = target, finished
                return
            count = self.renderer.merge.faces_in(target.index)
            self.faces[count] += 1
            if not count:
                self.without.append(target.index)
            self.flicker.push(target, finished)
            writer.write(finished)
            if layered:
                layered.write(target, self.renderer.merge.layers_of(target.index))
            yield 1, count


def settings_of(order: RenderOrder) -> FaceSettings:
    """How each face is put in.

    Raises:
        ConfigError: the plan has something that does not fit.
    """
    common = order.settings.composite
    return order.plan.for_faces(common) if order.plan else SameForAll(common)


def _cast(order: RenderOrder, by_frame: Mapping[int, Sequence[FaceRecord]]) -> dict[Path, ByFrame]:
    """Faces by frame, by the swapper that replaces them; the order's own comes first."""
    plan = order.plan
    out: dict[Path, ByFrame] = {
        order.swapper: {},
        **{each.swapper: {} for each in (plan.cast if plan else ())},
    }
    for frame, records in by_frame.items():
        for record in records:
            place = (plan.swapper_of(record) if plan else None) or order.swapper
            out[place].setdefault(frame, []).append(record)
    return {place: found for place, found in out.items() if found or place == order.swapper}


def publish(part: Path, output: Path, finish: Sequence[Callable[[Path], object]]) -> None:
    """Gives the pictures of a finished segment their place; those that an earlier call moved stay."""
    if not part.is_dir():
        return
    with durable.explained(output):
        output.mkdir(parents=True, exist_ok=True)
    for file in sorted(part.iterdir()):
        for complete in finish:
            complete(file)
        with durable.new_file(output / file.name) as place:
            file.replace(place)
    with durable.explained(part):
        part.rmdir()

"""Training an enhancer: the faces of a face set, performers, or both, to a run folder with weights in it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from understudy import config
from understudy.contracts import CropMode
from understudy.enhancers import ENHANCERS, Enhancer
from understudy.errors import ConfigError, FaceSetError
from understudy.events import Event, Planned, Progress, StageDone, StageStarted
from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.image.geometry import align, compose, invert
from understudy.image.warp import warp
from understudy.pipelines.runs.mask_faces import Label, check_seeds, draw_faces, split
from understudy.pipelines.setup import choose_device
from understudy.training.average import AverageSettings
from understudy.training.bounds import bounded, check_batch
from understudy.training.degrade import Degradation
from understudy.training.enhance_task import FIGURE, EnhanceFeed, EnhanceTask
from understudy.training.enhancer import TrainableEnhancer
from understudy.training.loop import LoopSettings, Trainer
from understudy.training.optim import OptimizerSettings
from understudy.training.rundir import RunFolder, make_origin

STAGE = "faces"
"""Stage name of reading and drawing them."""
_ENOUGH = 0.8
"""Of the resolution: a face that has fewer pixels in its frame is not sharp enough to learn from."""


@dataclass(frozen=True, kw_only=True)
class EnhanceTrainSettings:
    """How an enhancer is trained."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch: int = 8
    """Patches a step."""
    enhancer: Enhancer = config.slot(ENHANCERS, "superres")
    """What learns."""
    resolution: int = 256
    """Side of the faces that are learned from, pixels. Faces that are smaller in their frames are left out:
    what they lack cannot be learned from them."""
    crop: CropMode = "full"
    """How much of the head they show."""
    patch: int = 24
    """Side of a patch, pixels of the small picture."""
    most_faces: int = 1200
    """Faces of the face sets that are learned from at most, evenly spread."""
    performers: int = 0
    """Performers to learn from besides; 0 for none."""
    first_performer: int = 0
    """Seed of the first; the others follow it."""
    faces_each: int = 4
    """Faces of each performer."""
    held_out: float = 0.1
    """Share of the faces, and so many more performers, that are measured on and never learned from."""
    structure: float = 0.1
    """Weight of the structural dissimilarity beside the absolute error."""
    degradation: Degradation = field(default_factory=Degradation)
    """How bad the faces are that it is shown."""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """How weights follow gradients."""
    average: AverageSettings = field(default_factory=AverageSettings)
    """The running average of the weights that is given away."""
    loop: LoopSettings = field(default_factory=lambda: LoopSettings(figure=FIGURE))
    """How long, how often to save."""

    def __post_init__(self) -> None:
        check_batch(self.batch)
        for name in ("patch", "most_faces", "faces_each"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: wanted 1 or more, got {getattr(self, name)}")
        if self.performers < 0 or not 0.0 <= self.held_out < 1.0:
            raise ConfigError(
                "performers: wanted 0 or more, held_out: 0 to less than 1, got "
                f"{self.performers} and {self.held_out}"
            )
        if self.resolution < 32 or self.resolution % 8:
            raise ConfigError(f"resolution: wanted a multiple of 8 from 32, got {self.resolution}")


def trainable(settings: Enhancer) -> TrainableEnhancer:
    """The settings of an enhancer that can be trained.

    Raises:
        ConfigError: this one cannot.
    """
    if not isinstance(settings, TrainableEnhancer):
        raise ConfigError(f"enhancer: {settings.name!r} cannot be trained; choose superres")
    return settings


def start(settings: EnhanceTrainSettings, sets: Sequence[FaceSet], path: Path) -> RunFolder:
    """Makes the folder of a new run; nothing is trained yet.

    Args:
        settings: how.
        sets: face sets to learn from; may be none when there are performers.
        path: the folder to be.

    Raises:
        FaceSetError: there is nothing to learn from, or faces are too small.
        ConfigError: the place holds something else.
    """
    trainable(settings.enhancer)
    check_seeds(settings.first_performer, settings.performers + _held_out(settings))
    if not sets and not settings.performers:
        raise FaceSetError(
            "there is nothing to learn from: give a face set of the source, or performers (--performers 60)"
        )
    sharp_faces(sets, settings)
    origin = make_origin(settings.loop.seed, {f"faces {n}": faces.digest() for n, faces in enumerate(sets)})
    return RunFolder.create_at(path, {"enhance": config.dump(settings)}, origin)


def settings_of(run: RunFolder) -> EnhanceTrainSettings:
    """The settings with which a run was started.

    Raises:
        CheckpointError: it trains something else, or its recipe cannot be read by this version.
    """
    return run.settings(EnhanceTrainSettings(), "enhance", "not of an enhancer that this version trains")


def train(
    run: RunFolder,
    sets: Sequence[FaceSet],
    *,
    steps: int | None = None,
    time: float | None = None,
    device: str | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Trains a run from where it stands, and measures what it gives away.

    Args:
        run: its folder, see ``start``.
        sets: the face sets that it was started with.
        steps: bound on all steps of the run, those of earlier calls included; None: as in its recipe.
        time: bound on all seconds of training; None: as in its recipe.
        device: where to train; None: as in its recipe.
        stop: asked before every step; True saves and ends.

    Raises:
        FaceSetError: a crop is damaged.
        CheckpointError: the run's checkpoints are damaged or of another network.
    """
    settings = bounded(settings_of(run), steps, time)
    yield from run.remarks_on([faces.digest() for faces in sets])
    chosen = choose_device(device or settings.device)
    torch.manual_seed(settings.loop.seed)
    plugin = trainable(settings.enhancer)
    network = plugin.network()
    before = plugin.start(network)
    learned, held = split(sharp_faces(sets, settings), settings.held_out)
    yield Planned(lines=tuple(_plan(settings, learned, held, before)))
    shown, kept = yield from _gather(settings, learned, held)
    feed = EnhanceFeed(
        shown,
        factor=plugin.factor,
        patch=settings.patch,
        batch=settings.batch,
        degradation=settings.degradation,
        device=chosen,
        seed=settings.loop.seed,
    )
    task = EnhanceTask(
        network.to(chosen),
        feed,
        kept,
        name=plugin.name,
        settings=plugin.described(),
        structure=settings.structure,
    )
    yield from Trainer(task, run, settings.loop, settings.optimizer, settings.average, stop=stop).train()


def sharp_faces(sets: Sequence[FaceSet], settings: EnhanceTrainSettings) -> list[Label]:
    """Faces that have enough pixels in their frames, evenly spread over all of them.

    Raises:
        FaceSetError: there are face sets, and none has such a face.
    """
    every = [(faces, record) for faces in sets for record in faces.for_training()]
    sides = [_side(faces, record, settings.crop) for faces, record in every]
    found = [label for label, side in zip(every, sides, strict=True) if side >= _ENOUGH * settings.resolution]
    if every and not found:
        largest = int(max(sides) / _ENOUGH) // 8 * 8
        raise FaceSetError(
            f"no face is sharp enough to learn {settings.resolution} pixels from; extract with larger crops, "
            f"take other footage, or ask for less: --resolution {max(32, largest)}"
        )
    if len(found) > settings.most_faces:
        spread = np.linspace(0, len(found) - 1, settings.most_faces).round().astype(np.int64)
        found = [found[number] for number in spread]
    return found


def _side(faces: FaceSet, record: FaceRecord, crop: CropMode) -> float:
    """Pixels of a face's square, in its frame or in the stored crop, whichever has fewer."""
    side = align(record.points, crop).side
    return min(side, side / record.alignment.side * int(faces.about["size"]))


def _held_out(settings: EnhanceTrainSettings) -> int:
    """Performers that are drawn to measure on."""
    if not settings.performers or not settings.held_out:
        return 0
    return max(1, round(settings.performers * settings.held_out))


def _plan(
    settings: EnhanceTrainSettings, learned: Sequence[Label], held: Sequence[Label], before: int
) -> Iterator[str]:
    yield (
        f"training {settings.enhancer.name} on {len(learned)} faces and on "
        f"{settings.performers * settings.faces_each} of {settings.performers} performers; {len(held)} faces "
        f"and {_held_out(settings)} other performers are held out"
    )
    if before:
        yield f"starting from weights that were trained {before} steps"


def _gather(
    settings: EnhanceTrainSettings, learned: Sequence[Label], held: Sequence[Label]
) -> Generator[Event, None, tuple[UInt8[np.ndarray, "n 3 s s"], UInt8[np.ndarray, "m 3 s s"]]]:
    """Reads and draws the faces: those to learn from, those to measure on."""
    each, first, more = settings.faces_each, settings.first_performer, _held_out(settings)
    middle = first + settings.performers
    drawn = [(first, settings.performers), (middle, more)]
    total = len(learned) + len(held) + sum(count for _, count in drawn) * each
    yield StageStarted(stage=STAGE, detail="read and drawn", total=total, unit="faces")
    done, out = 0, []
    for labels, (seed, count) in zip((learned, held), drawn, strict=True):
        rows = np.empty((len(labels) + count * each, 3, settings.resolution, settings.resolution), np.uint8)
        pictures = [_framed(labels, settings), _drawn(seed, count, settings)]
        for row, picture in enumerate(picture for part in pictures for picture in part):
            rows[row] = picture.transpose(2, 0, 1)
            done += 1
            yield Progress(stage=STAGE, done=done, total=total)
        out.append(rows)
    yield StageDone(stage=STAGE, summary={"faces": total})
    return out[0], out[1]


def _framed(labels: Sequence[Label], settings: EnhanceTrainSettings) -> Iterator[UInt8[np.ndarray, "s s 3"]]:
    """Faces of face sets at the resolution."""
    side = settings.resolution
    for faces, record in labels:
        picture = faces.read_crop(record)
        wanted = align(record.points, settings.crop).crop_matrix(side)
        back = compose(record.alignment.crop_matrix(picture.shape[0]), invert(wanted))
        yield warp(picture, back, (side, side), "replicate")


def _drawn(first: int, count: int, settings: EnhanceTrainSettings) -> Iterator[UInt8[np.ndarray, "s s 3"]]:
    """Faces of performers at the resolution."""
    for face in draw_faces(first, count, settings.faces_each, settings.crop, settings.resolution):
        yield face.picture

"""Training a mask network: labelled faces, performers, or both, to a run folder with a segmenter in it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from understudy import config
from understudy.contracts import Context
from understudy.errors import CheckpointError, ConfigError, FaceSetError
from understudy.events import Event, Planned, Progress, StageDone, StageStarted
from understudy.faces.faceset import FaceSet
from understudy.pipelines.runs.mask_faces import Label, check_seeds, draw_faces, frame_labels, labelled, split
from understudy.pipelines.setup import choose_device
from understudy.segmenters import SEGMENTERS, SegmenterSettings
from understudy.training.augment import store_side
from understudy.training.average import AverageSettings
from understudy.training.bounds import bounded, check_batch
from understudy.training.loop import LoopSettings, Trainer
from understudy.training.mask_augment import MaskAugmentation
from understudy.training.mask_task import FIGURE, MaskFeed, MaskTask
from understudy.training.optim import OptimizerSettings
from understudy.training.rundir import RunFolder, load_swapper_files, make_origin, weights_file
from understudy.training.segmenter import TrainableSegmenter, TrainedSegmenter
from understudy.training.store import FaceStore, Framed, available_memory, bytes_of

KINDS = ("labelled", "drawn")
"""What faces there are."""
STAGE = "faces"
"""Stage name of reading and drawing them."""


@dataclass(frozen=True, kw_only=True)
class MaskTrainSettings:
    """How a mask network is trained."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch: int = 8
    """Faces a step."""
    segmenter: SegmenterSettings = config.slot(SEGMENTERS, "xseg")
    """What learns: xseg or ternausnet."""
    performers: int = 0
    """Performers to learn from, whose masks are exact; 0 for none."""
    first_performer: int = 0
    """Seed of the first; the others follow it."""
    faces_each: int = 24
    """Faces of each performer."""
    drawn_share: float = 0.5
    """Share of a step's faces that are performers' where there are labelled faces too."""
    held_out: float = 0.1
    """Share of the labelled faces, and so many more performers, that are measured on and never learned
    from."""
    augmentation: MaskAugmentation = field(default_factory=MaskAugmentation)
    """How faces are changed before they are learned from."""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """How weights follow gradients."""
    average: AverageSettings = field(default_factory=AverageSettings)
    """The running average of the weights that is given away."""
    loop: LoopSettings = field(default_factory=lambda: LoopSettings(figure=FIGURE))
    """How long, how often to save."""

    def __post_init__(self) -> None:
        check_batch(self.batch)
        if self.performers < 0 or self.faces_each < 1:
            raise ConfigError(
                "faces_each: wanted 1 or more, performers 0 or more, got "
                f"{self.faces_each} and {self.performers}"
            )
        for name in ("drawn_share", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}: wanted a share, 0 to less than 1, got {getattr(self, name)}")


def trainable(settings: SegmenterSettings) -> TrainableSegmenter:
    """The settings of a segmenter that can be trained.

    Raises:
        ConfigError: this one cannot.
    """
    if not isinstance(settings, TrainableSegmenter):
        raise ConfigError(f"segmenter: {settings.name!r} cannot be trained; choose xseg or ternausnet")
    return settings


def load_segmenter(place: Path, context: Context) -> TrainedSegmenter:
    """The segmenter that a run trained.

    Args:
        place: the run, or its weights.safetensors.
        context: where it runs.

    Raises:
        CheckpointError: damaged, or no segmenter.
    """
    name = load_swapper_files(weights_file(place)).model
    if name in SEGMENTERS:
        plugin = SEGMENTERS[name]
        if issubclass(plugin, TrainableSegmenter):
            return plugin.load(place, context)
    raise CheckpointError(f"{place}: weights of {name!r}, which is no segmenter that can be trained")


def start(settings: MaskTrainSettings, sets: Sequence[FaceSet], path: Path) -> RunFolder:
    """Makes the folder of a new run; nothing is trained yet.

    Args:
        settings: how.
        sets: face sets with labels in them; may be none when there are performers.
        path: the folder to be.

    Raises:
        FaceSetError: there is nothing to learn from.
        OutputError: the place cannot be written, or holds something else.
    """
    trainable(settings.segmenter)
    labels = labelled(sets)
    check_seeds(settings.first_performer, settings.performers + _held_out(settings))
    if not labels and not settings.performers:
        raise FaceSetError(
            "no face has a label: draw polygons or paint masks into the masks folder of the face set, or "
            "learn from performers (--performers 40)"
        )
    hashes = {f"faces {number}": faces.digest() for number, faces in enumerate(sets)}
    origin = make_origin(settings.loop.seed, hashes)
    return RunFolder.create_at(path, {"mask": config.dump(settings)}, origin)


def settings_of(run: RunFolder) -> MaskTrainSettings:
    """The settings with which a run was started.

    Raises:
        CheckpointError: it trains something else, or its recipe cannot be read by this version.
    """
    return run.settings(MaskTrainSettings(), "mask", "not of a mask network that this version trains")


def _held_out(settings: MaskTrainSettings) -> int:
    """Performers that are drawn to measure on."""
    if not settings.performers or not settings.held_out:
        return 0
    return max(min(2, settings.performers), round(settings.performers * settings.held_out))


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
        FaceSetError: a label is damaged.
        CheckpointError: the run's checkpoints are damaged or of another network.
    """
    settings = bounded(settings_of(run), steps, time)
    yield from run.remarks_on([faces.digest() for faces in sets])
    chosen = choose_device(device or settings.device)
    torch.manual_seed(settings.loop.seed)
    plugin = trainable(settings.segmenter)
    network = plugin.network()
    before = plugin.start(network)
    learned, held = split(labelled(sets), settings.held_out)
    yield Planned(lines=tuple(_plan(settings, learned, held, before)))
    stores = yield from _stores(run, settings, learned, held)
    feed = MaskFeed(
        _shares(settings, stores[0], stores[1]),
        resolution=plugin.resolution,
        augmentation=settings.augmentation,
        device=chosen,
        seed=settings.loop.seed,
    )
    task = MaskTask(
        network.to(chosen),
        feed,
        {kind: store for kind, store in zip(KINDS, stores[2:], strict=True) if store is not None},
        name=plugin.name,
        settings=plugin.described(),
    )
    trainer = Trainer(task, run, settings.loop, settings.optimizer, settings.average, stop=stop)
    yield from trainer.train()


def _plan(
    settings: MaskTrainSettings, learned: Sequence[Label], held: Sequence[Label], before: int
) -> Iterator[str]:
    yield (
        f"training {settings.segmenter.name} on {len(learned)} labelled faces and on "
        f"{settings.performers * settings.faces_each} of {settings.performers} performers; {len(held)} "
        f"labelled faces and {_held_out(settings)} other performers are held out"
    )
    if before:
        yield f"starting from weights that were trained {before} steps"


def _stores(
    run: RunFolder, settings: MaskTrainSettings, learned: Sequence[Label], held: Sequence[Label]
) -> Generator[Event, None, list[FaceStore | None]]:
    """Reads and draws the faces; labelled and drawn ones to learn from, then those to measure on."""
    plugin, each = trainable(settings.segmenter), settings.faces_each
    side, first, more = store_side(plugin.resolution), settings.first_performer, _held_out(settings)
    middle = first + settings.performers
    wanted: list[tuple[str, int, Iterator[Framed]]] = [
        ("learned", len(learned), frame_labels(learned, plugin.crop, side)),
        (
            "drawn",
            settings.performers * each,
            draw_faces(first, settings.performers, each, plugin.crop, side),
        ),
        ("held out", len(held), frame_labels(held, plugin.crop, side)),
        ("drawn to measure", more * each, draw_faces(middle, more, each, plugin.crop, side)),
    ]
    total = sum(count for _, count, _ in wanted)
    in_file = bytes_of(total, plugin.resolution) > available_memory() / 2
    yield StageStarted(stage=STAGE, detail="read and drawn", total=total, unit="faces")
    stores: list[FaceStore | None] = []
    before = 0
    for name, count, faces in wanted:
        file = run.path / "cache" / f"{name}.bin" if in_file else None
        if file is not None:
            file.parent.mkdir(exist_ok=True)
        gathering = FaceStore.gather(faces, count, plugin.resolution, file=file)
        store: FaceStore | None = None
        while count and store is None:
            try:
                yield Progress(stage=STAGE, done=before + next(gathering), total=total)
            except StopIteration as end:
                store = end.value
        before += count
        stores.append(store)
    yield StageDone(stage=STAGE, summary={"faces": total})
    return stores


def _shares(
    settings: MaskTrainSettings, labels: FaceStore | None, drawn: FaceStore | None
) -> list[tuple[FaceStore, int]]:
    """How many faces of each kind a step sees; of both, where there are both and room for them."""
    if labels is None or drawn is None:
        return [(store, settings.batch) for store in (labels, drawn) if store is not None]
    count = round(settings.batch * settings.drawn_share)
    if settings.batch > 1 and settings.drawn_share > 0:
        count = min(max(count, 1), settings.batch - 1)
    return [(labels, settings.batch - count), (drawn, count)]

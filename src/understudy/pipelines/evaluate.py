"""How good a swapped video is: against exact truth where there is one, by identity and expression always."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from understudy.contracts import Frame
from understudy.errors import DataError
from understudy.faces.faceset import FaceSet
from understudy.faces.tracks import Tracker
from understudy.image.color import frame_to_rgb8, rect_to_rgb
from understudy.image.expression import mouth_opening
from understudy.image.geometry import pose_of_points
from understudy.image.warp import crop_frame
from understudy.metrics.correlation import pearson
from understudy.metrics.identity import distances, share_closer
from understudy.metrics.structure import psnr, ssim
from understudy.performers.truth import MASK_VIDEO, SWAP_VIDEO
from understudy.pipelines.footage import open_footage
from understudy.pipelines.setup import Finders
from understudy.video.reader import VideoReader


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
            inside = mask.planes[0]
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            if not len(rows):
                continue
            # even edges, and room for the window of structural similarity
            x0, y0 = max(0, columns[0] - 12) & ~1, max(0, rows[0] - 12) & ~1
            x1, y1 = min(mask.width, columns[-1] + 14) & ~1, min(mask.height, rows[-1] + 14) & ~1
            box = (int(x0), int(y0), int(x1), int(y1))
            weight = torch.from_numpy(inside[y0:y1, x0:x1].astype(np.float32) / 255.0)[None, None]
            yield _picture(got, box), _picture(plate, box), _picture(exact, box), weight
    except ValueError as error:
        raise DataError(f"{result}, {target} and {truth} do not have the same number of frames") from error


def _picture(frame: Frame, box: tuple[int, int, int, int]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rect_to_rgb(frame, *box).transpose(2, 0, 1)))[None]


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

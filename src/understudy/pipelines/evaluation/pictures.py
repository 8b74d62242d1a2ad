"""Which frames of an evaluated video a page shows, and their pictures, read again from the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from understudy.contracts import Frame
from understudy.image.color import frame_to_rgb8
from understudy.image.warp import crop_frame
from understudy.performers.truth import SWAP_VIDEO
from understudy.pipelines.evaluation.findings import Evaluation
from understudy.pipelines.footage import open_footage

WHOLE = 720
"""Longest side of a whole frame on the page, pixels."""
CLOSE = 288
"""Side of the square round a face, pixels."""
_ROOM = 2.0
"""Side of that square, in units of the face's height."""
_ONE_PASS = 150
"""A picture wanted in fewer frames than this: the file is read from end to end, else each is looked for."""

Picture = UInt8[np.ndarray, "_ _ 3"]


@dataclass(frozen=True, eq=False)
class Shown:
    """One frame in all videos."""

    place: int
    """Number of the pair."""
    whole: tuple[Picture, ...]
    """Target, result and, where there is one, exact swap; whole frames."""
    close: tuple[Picture, ...]
    """The same round the face."""


_TROUBLE = ("landmarks", "pose", "expression", "mouth", "lids", "color_target", "flicker", "identity_source")


def trouble(columns: Mapping[str, Float64[np.ndarray, " n"]]) -> Float64[np.ndarray, " n"]:
    """How bad each frame is beside the others of its video; larger is worse, NaN where nothing is known.

    With an exact swap, the distance from it (PSNR). Without, the mean over landmarks, pose, expression,
    mouth, lids, colour, flicker and identity of how many quartile widths each lies above its median.
    """
    if "psnr_truth" in columns:
        return -columns["psnr_truth"]
    parts: list[np.ndarray] = []
    for name in _TROUBLE:
        values = columns.get(name)
        if values is None or np.isfinite(values).sum() < 4:
            continue
        low, middle, high = np.nanpercentile(values, (25, 50, 75))
        parts.append((values - middle) / max(high - low, 1e-9))
    if not parts:
        return np.full(len(columns["frame"]), np.nan)
    stacked = np.stack(parts)
    known = np.isfinite(stacked)
    total = np.where(known, stacked, 0.0).sum(0)
    enough = known.sum(0) >= max(1, len(parts) - 2)  # not every frame is described
    return np.where(enough, total / np.maximum(known.sum(0), 1), np.nan)


def apart(values: Float64[np.ndarray, " n"], count: int, gap: int) -> list[int]:
    """Places of the largest values, at least ``gap`` from one another; NaN is left out."""
    taken: list[int] = []
    for place in np.argsort(-np.where(np.isfinite(values), values, -np.inf), kind="stable").tolist():
        if len(taken) == count or not np.isfinite(values[place]):
            break
        if all(abs(place - other) >= gap for other in taken):
            taken.append(place)
    return taken


def read_pictures(evaluation: Evaluation, places: Sequence[int]) -> dict[int, Shown]:
    """Pictures of some pairs; a place whose frame cannot be read again is left out."""
    inputs, offset = evaluation.inputs, evaluation.offset
    videos = [(inputs.target, offset), (inputs.result, 0)]
    if inputs.truth is not None:
        inside = inputs.truth / SWAP_VIDEO
        videos.append((inside if inside.is_file() else inputs.truth, offset))
    found: list[dict[int, tuple[Picture, Picture]]] = []
    size: tuple[int, int] | None = None
    for path, first in videos:
        pictures: dict[int, tuple[Picture, Picture]] = {}
        for place, frame in _frames(path, [place + first for place in places], first).items():
            size = size or (frame.width, frame.height)  # boxes are in pixels of the target
            pictures[place] = (_whole(frame), _close(frame, evaluation.boxes.get(place), size))
        found.append(pictures)
    return {
        place: Shown(place, *zip(*(pictures[place] for pictures in found), strict=True))
        for place in places
        if all(place in pictures for pictures in found)
    }


def whole_frames(path: Path, frames: Sequence[int], offset: int) -> dict[int, Picture]:
    """Whole frames of a video by the number that they have in the target.

    Args:
        path: the video.
        frames: numbers in the target.
        offset: frame of the target that pairs with its frame 0.
    """
    found = _frames(path, [frame - offset for frame in frames if frame >= offset], 0)
    return {number + offset: frame_to_rgb8(frame, WHOLE) for number, frame in found.items()}


def _frames(path: Path, numbers: Sequence[int], first: int) -> dict[int, Frame]:
    """Frames of a video by number less ``first``."""
    wanted = sorted(set(numbers))
    out: dict[int, Frame] = {}
    with open_footage(path) as reader:
        if not wanted:
            return out
        if wanted[-1] < _ONE_PASS * len(wanted):
            chosen = (frame for frame in reader.frames(0, wanted[-1] + 1) if frame.index in wanted)
        else:
            chosen = (frame for number in wanted for frame in reader.frames(number, number + 1))
        for frame in chosen:
            out[frame.index - first] = frame
    return out


def _whole(frame: Frame) -> Picture:
    return frame_to_rgb8(frame, WHOLE)


def _close(frame: Frame, box: np.ndarray | None, size: tuple[int, int]) -> Picture:
    """The square round a face as far as the frame reaches, or the middle of the frame where there is none."""
    width, height = frame.width, frame.height
    scaled = np.array([0.0, 0.0, width, height]) if box is None else box * (width / size[0])
    side = min(width, height, max(16.0, float(scaled[3] - scaled[1]) * _ROOM))
    middle = (scaled[:2] + scaled[2:]) / 2.0
    left = np.clip(middle - side / 2.0, 0.0, np.array([width, height]) - side)
    scale = CLOSE / side
    matrix = np.array([[scale, 0.0, -left[0] * scale], [0.0, scale, -left[1] * scale]])
    shown = crop_frame(frame, matrix, CLOSE).transpose(1, 2, 0)
    return np.ascontiguousarray(np.rint(shown * 255).astype(np.uint8))

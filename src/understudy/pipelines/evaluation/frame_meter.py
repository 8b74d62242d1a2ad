"""What can be said of one frame of a swapped video against its target, and of all of them together.

Faces are compared in the crop of the target's own alignment, both videos through one matrix, at the size that
the face has in the target but no larger than ``largest``. Figures that need the whole performance (an
expression less its person's own middle) are made at the end from the landmarks that are kept: 11 KB a frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from understudy.contracts import Face
from understudy.image.draw import hull_mask
from understudy.image.expression import expression_of_points
from understudy.image.filter import dilate, erode
from understudy.image.geometry import compose, transform_points
from understudy.image.warp import crop_frame
from understudy.metrics.border import border_visibility
from understudy.metrics.color import color_difference
from understudy.metrics.expression import expression_error, gaze_error, lid_closure, lid_error, mouth_error
from understudy.metrics.flicker import SIDE, flicker_of_pair
from understudy.metrics.gradient import gradient_deviation
from understudy.metrics.identity import distances
from understudy.metrics.landmarks import landmark_error, landmark_jitter
from understudy.metrics.neck import face_to_neck
from understudy.metrics.perceptual import PerceptualDistance
from understudy.metrics.pose import pose_error, poses_of
from understudy.metrics.sharpness import relative_sharpness
from understudy.metrics.structure import SMALLEST_MS_SSIM, ms_ssim, psnr, ssim
from understudy.metrics.unswapped import is_unswapped
from understudy.pipelines.evaluation.looker import FramePair, Looked, against_mask, into_target, mask_box
from understudy.pipelines.person import Person
from understudy.pipelines.setup import Finders

_NECK = 2.2
"""Side of the crop in which the neck is looked for, in units of the face's square."""
_MARGIN = 8
"""Pixels round the face that are looked at: a window of structural similarity in the middle of an outermost
pixel reaches 5."""
_NO_FACE = np.full((478, 3), np.nan, np.float32)


@dataclass(frozen=True, eq=False)
class _Crops:
    """A face in both videos."""

    frame: int
    track: int
    target: Float32[np.ndarray, "3 s s"]
    result: Float32[np.ndarray, "3 s s"]
    inside: Float32[np.ndarray, "s s"]

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Result, target and mask, as batches of one."""
        mask = torch.from_numpy(self.inside)[None, None]
        return torch.from_numpy(self.result)[None], torch.from_numpy(self.target)[None], mask


@dataclass(frozen=True, eq=False)
class Compared:
    """A pair with its figures of structure."""

    looked: Looked
    """The pair and its face."""
    row: Mapping[str, float]
    """Figures by name."""


class FrameMeter:
    """Measures pairs and keeps a row of numbers for each; ``columns`` gives them all.

    Two stations share the work: ``compare`` and ``take``, which goes on with what the first gives.

    Args:
        finders: the embedder describes the faces.
        device: where the embedder runs.
        largest: side of the largest crop in which faces are compared, pixels.
        identity_every: every so manyth frame's face is described, and looked at by the slow figures.
        perceptual: the distance in a network's features, if it is wanted.
    """

    def __init__(
        self,
        finders: Finders,
        device: torch.device,
        *,
        largest: int = 256,
        identity_every: int = 2,
        perceptual: PerceptualDistance | None = None,
    ) -> None:
        self.boxes: dict[int, Float64[np.ndarray, "4"]] = {}
        """Where the face is in the target, by the number of the pair."""
        self._finders, self._device = finders, device
        self._largest, self._every, self._perceptual = largest, identity_every, perceptual
        self._rows: list[dict[str, float]] = []
        self._points: list[tuple[np.ndarray, np.ndarray]] = []
        self._vectors: list[tuple[int, np.ndarray, np.ndarray]] = []
        self._last: _Crops | None = None

    @property
    def frames(self) -> int:
        """Pairs that were measured."""
        return len(self._rows)

    def compare(self, items: Iterable[Looked]) -> Iterator[Compared]:
        """The figures of structure, which need nothing but the one frame: for a station of its own."""
        for number, looked in enumerate(items):
            row: dict[str, float] = {}
            every = number % self._every == 0
            if looked.face is not None:
                row |= self._against_target(looked.pair, looked.face, every)
            if looked.pair.exact is not None:
                row |= self._against_truth(looked.pair, looked.face, every)
            yield Compared(looked, row)

    def take(self, compared: Compared) -> None:
        """Takes the other figures of the next frame and keeps its row."""
        pair, face, after = compared.looked.pair, compared.looked.face, compared.looked.after
        row: dict[str, float] = {"frame": pair.target.index, "time": pair.target.time}
        row["target_seen"] = float(face is not None)
        if face is not None:
            self.boxes[self.frames] = face.box
            row["found"] = float(after is not None)
            row |= _alone(pair, face)
            row |= self._over_time(pair, face, compared.looked.cut)
            if after is not None and self.frames % self._every == 0:
                self._describe(pair, face, after)
        self._rows.append(row | dict(compared.row))
        known = (face.points, after) if face is not None and after is not None else (_NO_FACE, _NO_FACE)
        self._points.append(known)

    def _crops(self, pair: FramePair, face: Face, side: int) -> _Crops:
        matrix = face.alignment.crop_matrix(side)
        return _Crops(
            pair.target.index,
            face.track,
            crop_frame(pair.target, matrix, side),
            crop_frame(pair.result, compose(matrix, into_target(pair)), side),
            hull_mask(face.points, matrix, side),
        )

    def _side(self, face: Face) -> int:
        return int(np.clip(round(face.alignment.side), 64, self._largest))

    def _against_target(self, pair: FramePair, face: Face, every: bool) -> dict[str, float]:
        after, before, mask = self._crops(pair, face, self._side(face)).tensors()
        row = _structure(after, before, mask, "target", every)
        if self._perceptual is not None:
            row["perceptual_target"] = float(self._perceptual(after, before, mask))
        side = mask.shape[-1]
        away = (dilate(mask, side // 8) == 0.0).double()
        squares = (after - before).square().mean(1, keepdim=True)
        row["outside"] = math.sqrt(float((squares * away).sum() / away.sum())) if away.any() else math.nan
        row["swapped"] = float(not is_unswapped(after, before, mask))
        if every:
            around = dilate(mask, side // 6) - dilate(mask, side // 24)
            inside = erode(mask, side // 24)
            sharp = [float(relative_sharpness(picture, inside, around)) for picture in (after, before)]
            row["sharpness"] = sharp[0] / sharp[1] if sharp[1] > 0 else math.nan
            seen = [float(border_visibility(picture, mask)) for picture in (after, before)]
            row["border"] = seen[0] / seen[1] if seen[1] > 0 else math.nan
        return row

    def _over_time(self, pair: FramePair, face: Face, cut: bool) -> dict[str, float]:
        now = self._crops(pair, face, SIDE)
        last, self._last = self._last, now
        if last is None or cut or (last.track, last.frame + 1) != (now.track, now.frame):
            return {}
        found = flicker_of_pair((last.target, now.target), (last.result, now.result), last.inside, now.inside)
        return {} if found is None else {"flicker": found.flicker, "brightness": found.brightness}

    def _describe(self, pair: FramePair, face: Face, after: np.ndarray) -> None:
        embedder = self._finders.embedder
        matrix = compose(embedder.crop_matrix(after), into_target(pair))
        chips = np.stack(
            [
                crop_frame(pair.result, matrix, embedder.side),
                crop_frame(pair.target, embedder.crop_matrix(face.points), embedder.side),
            ]
        )
        with torch.inference_mode():
            vectors = embedder(torch.from_numpy(chips).to(self._device)).cpu().numpy()
        self._vectors.append((self.frames, vectors[0], vectors[1]))

    def _against_truth(self, pair: FramePair, face: Face | None, every: bool) -> dict[str, float]:
        if pair.mask is not None:
            box = mask_box(pair.mask)
            return {} if box is None else _structure(*against_mask(pair, box), "truth", every)
        if face is None or pair.exact is None:
            return {}
        exact = FramePair(target=pair.exact, result=pair.result)
        return _structure(*self._crops(exact, face, self._side(face)).tensors(), "truth", every)

    def columns(
        self, source: Person, gallery: tuple[Person, ...] = ()
    ) -> dict[str, Float64[np.ndarray, " n"]]:
        """A number for every pair by name of the figure; NaN where there is none.

        Args:
            source: the person who was put in.
            gallery: other people, among whom the source is to be found.
        """
        names = dict.fromkeys(name for row in self._rows for name in row)
        out = {name: np.array([row.get(name, math.nan) for row in self._rows], np.float64) for name in names}
        out |= self._identity(source, gallery)
        both = np.array([bool(np.isfinite(before[0, 0])) for before, _ in self._points])
        if both.any():
            before, after = (
                np.stack([pair[place] for pair, known in zip(self._points, both, strict=True) if known])
                for place in (0, 1)
            )
            moved = _motion(before, after, out["frame"][both].astype(np.int64))
            out |= {name: _scattered(values, both) for name, values in moved.items()}
        return out

    def _identity(self, source: Person, gallery: tuple[Person, ...]) -> dict[str, np.ndarray]:
        if not self._vectors:
            return {}
        described = np.zeros(self.frames, bool)
        described[[place for place, _, _ in self._vectors]] = True
        after, before = (np.stack([entry[place] for entry in self._vectors]) for place in (1, 2))
        to_source, to_target = distances(after, source.vector), distances(after, before)
        out = {"identity_source": to_source, "identity_target": to_target, "closer": to_source < to_target}
        if gallery:
            others = np.stack([distances(after, person.vector) for person in gallery])
            out["retrieved"] = to_source < others.min(0)
        return {name: _scattered(values.astype(np.float64), described) for name, values in out.items()}


def _structure(picture: Tensor, truth: Tensor, mask: Tensor, name: str, every: bool) -> dict[str, float]:
    """How near the picture is to the truth inside the mask; ``every`` asks for the slow figures too."""
    rows, columns = _part(mask, 2), _part(mask, 3)
    picture, truth, mask = (part[:, :, rows, columns] for part in (picture, truth, mask))
    row = {
        f"ssim_{name}": float(ssim(picture, truth, mask)),
        f"psnr_{name}": float(psnr(picture, truth, mask)),
        f"color_{name}": float(color_difference(picture, truth, mask)),
    }
    if every:
        row[f"gradient_{name}"] = float(gradient_deviation(picture, truth, mask))
        if min(picture.shape[-2:]) >= SMALLEST_MS_SSIM:
            row[f"ms_ssim_{name}"] = float(ms_ssim(picture, truth, mask))
    return row


def _part(mask: Tensor, axis: int) -> slice:
    """Where the mask is along an axis, with room for the window of structural similarity."""
    size = mask.shape[axis]
    inside = torch.nonzero(mask.amax((0, 1, 5 - axis)))
    if not len(inside):
        return slice(0, size)
    return slice(max(0, int(inside[0]) - _MARGIN), min(size, int(inside[-1]) + 1 + _MARGIN))


def _alone(pair: FramePair, face: Face) -> dict[str, float]:
    """Face against neck, less what the target itself has."""
    matrix = face.alignment.crop_matrix(SIDE, _NECK)
    points = transform_points(matrix, face.points)
    found = [
        face_to_neck(np.ascontiguousarray(crop_frame(frame, into, SIDE).transpose(1, 2, 0)), points)
        for frame, into in ((pair.result, compose(matrix, into_target(pair))), (pair.target, matrix))
    ]
    return {"neck": found[0] - found[1]}


def _motion(
    before: Float32[np.ndarray, "m 478 3"], after: Float32[np.ndarray, "m 478 3"], frames: np.ndarray
) -> Mapping[str, Float64[np.ndarray, " m"]]:
    """What the faces do: errors against the target, and the curves of both."""
    poses = poses_of(before), poses_of(after)
    out: dict[str, np.ndarray] = {
        "landmarks": landmark_error(after, before),
        "pose": pose_error(poses[1], poses[0]),
        "expression": expression_error(after, before),
        "mouth": mouth_error(after, before),
        "lids": lid_error(after, before),
        "gaze": gaze_error(after, before),
        "jitter": landmark_jitter(after, frames) - landmark_jitter(before, frames),
    }
    for name, points, turned in (("before", before, poses[0]), ("after", after, poses[1])):
        numbers = expression_of_points(points)
        out[f"yaw_{name}"], out[f"pitch_{name}"] = turned[:, 0], turned[:, 1]
        out[f"mouth_{name}"], out[f"gaze_{name}"] = numbers[:, 0], numbers[:, 7]
        out[f"lids_{name}"] = lid_closure(points).mean(1)
    return out


def _scattered(
    values: Float64[np.ndarray, " m"], places: Bool[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Values at their places, NaN elsewhere."""
    out = np.full(len(places), np.nan)
    out[places] = values
    return out

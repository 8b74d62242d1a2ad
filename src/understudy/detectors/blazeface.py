"""BlazeFace: two small single-shot networks that find faces and six points of each.

Bazarevsky et al. 2019, "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", with the published
anchors and thresholds of MediaPipe's models. The *near* network sees 128 pixels and finds faces that fill a
fifth of a picture or more, the *far* one sees 192 and finds them down to a twelfth. What would be smaller
than that is looked for in overlapping tiles. Half a face at the picture's edge is not seen by either; with
the picture mirrored beyond its edges it is whole. A picture in which nothing sure was found is looked at
turned by 90, 180 and 270 degrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from understudy.contracts import Context, Detection
from understudy.detectors import DETECTORS, DetectorSettings
from understudy.errors import ConfigError
from understudy.image.pyramid import halved, halvings
from understudy.nn.litert import LiteNetwork

NEAR_FACE = 0.2
"""Smallest face that the near network finds well, as a fraction of the picture's long side."""
FAR_FACE = 0.08
"""The same for the far network."""
SURE = 0.85
"""Score of upright faces, which those that stand on their heads do not reach."""
FEWEST_PIXELS = 48
"""Side of a face below which its landmarks mean little; smaller ones are not looked for in tiles."""
TILE_OVERLAP = 0.3
"""Part of a tile that it shares with its neighbour; larger than ``FAR_FACE``, so that no face is only cut."""
SAME_FACE = 0.3
"""Overlap, intersection over union, from which two boxes are one face."""
INSIDE = 0.6
"""Part of the smaller box inside the larger from which two boxes of different looks are one face."""
MIRRORED = 0.3
"""Width of what is mirrored round a picture, as a fraction of its short side: half of a large face."""
CUT = (0.3, 0.9)
"""Parts of its box between which a face in the mirrored picture counts: less is the mirror image of another,
more is seen without."""

_NEAR_STRIDES = (8, 8, 16, 16, 16, 16, 16, 16)  # one anchor each: two a layer, the last three layers alike
_FAR_STRIDES = (4,)


@DETECTORS.register("blazeface")
@dataclass(frozen=True, kw_only=True)
class BlazeFace(DetectorSettings):
    """MediaPipe's BlazeFace, near and far, tiled and turned where needed."""

    weights: ClassVar[tuple[str, ...]] = ("face_detection_short_range", "face_detection_full_range_sparse")

    threshold: float = 0.5
    """Score from which a box of the near network counts as a face, 0 to 1."""
    far_threshold: float = 0.6
    """The same for the far network, which errs more often."""
    smallest: float = 0.045
    """Smallest face that is looked for, as a fraction of the picture's long side; less means more tiles."""
    near: bool = True
    """Use the network for near faces."""
    far: bool = True
    """Use the network for small faces, and tiles."""
    rotated: bool = True
    """Look at the picture turned when nothing was found upright, or nothing sure."""

    def build(self, context: Context) -> BlazeFaceDetector:
        """Load the networks; they run on the processor."""
        if not (self.near or self.far):
            raise ConfigError("blazeface: near and far are both off, so nothing can be found; turn one on")
        near, far = (context.weights.path(name) for name in self.weights)
        return BlazeFaceDetector(
            self,
            near=_Look(near.read_bytes(), 128, _NEAR_STRIDES) if self.near else None,
            far=_Look(far.read_bytes(), 192, _FAR_STRIDES) if self.far else None,
        )


class BlazeFaceDetector:
    """Finds faces; see ``contracts.Detector``. Any thread may call it."""

    def __init__(self, settings: BlazeFace, near: _Look | None, far: _Look | None) -> None:
        self.settings = settings
        self.near = near
        self.far = far

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Faces of an RGB picture, in its pixels, best first."""
        rows = _one_each(self._upright(image))
        # of a cut face that the upright look is not sure of it sees too little: its box is squeezed
        cut = _others(_one_each(self._cut(image)), rows[rows[:, 0] >= SURE])
        rows = _one_each([_others(rows, cut), cut])
        if self.settings.rotated and not np.any(rows[:, 0] >= SURE):
            rows = _one_each([rows, *self._turned(image)])
        return [
            Detection(box=row[1:5].copy(), score=float(row[0]), keypoints=row[5:].reshape(6, 2).copy())
            for row in rows
        ]

    def _upright(self, image: UInt8[np.ndarray, "h w 3"]) -> Iterator[Float64[np.ndarray, "_ 17"]]:
        """Score, box and keypoints of upright faces, of one look after the other."""
        long_side = max(image.shape[:2])
        smallest = max(self.settings.smallest, FEWEST_PIXELS / long_side)
        nothing = True
        if self.near is not None:
            (rows,) = self.near(image, self.settings.threshold)
            nothing = not len(rows)
            yield rows
        if self.far is not None:
            if nothing or smallest < NEAR_FACE:
                yield from self.far(image, self.settings.far_threshold)
            if smallest < FAR_FACE:
                yield from self._tiles(image, self.far, math.ceil(long_side * smallest / FAR_FACE))

    def _cut(self, image: UInt8[np.ndarray, "h w 3"]) -> Iterator[Float64[np.ndarray, "_ 17"]]:
        """The same for faces that the picture's edge cuts."""
        times = halvings(image.shape, max(image.shape[:2]) / 512)
        small = halved(image, times)
        height, width = small.shape[:2]
        margin = round(MIRRORED * min(height, width))
        whole = cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_REFLECT)
        frame = np.array([[1, margin, margin, margin + width, margin + height]], np.float64)
        for look, threshold in (
            (self.near, self.settings.threshold),
            (self.far, self.settings.far_threshold),
        ):
            if look is None:
                continue
            (rows,) = look(whole, threshold)
            corner = np.minimum(rows[:, 3:5], frame[:, 3:5]) - np.maximum(rows[:, 1:3], frame[:, 1:3])
            inside = np.clip(corner, 0, None).prod(1) / (rows[:, 3:5] - rows[:, 1:3]).prod(1)
            rows = rows[(inside > CUT[0]) & (inside < CUT[1])]
            rows[:, 1:] = (rows[:, 1:] - margin) * 2**times
            yield rows

    def _turned(self, image: UInt8[np.ndarray, "h w 3"]) -> Iterator[Float64[np.ndarray, "_ 17"]]:
        """The same for faces that lie or stand on their heads; the whole picture only."""
        if self.near is not None:
            yield from self.near(image, self.settings.threshold, turns=(1, 2, 3))
        if self.far is not None:
            yield from self.far(image, self.settings.far_threshold, turns=(1, 2, 3))

    def _tiles(
        self, image: UInt8[np.ndarray, "h w 3"], far: _Look, side: int
    ) -> Iterator[Float64[np.ndarray, "_ 17"]]:
        """Faces of overlapping squares, without those that a square's edge cuts."""
        height, width = image.shape[:2]
        margin = 0.02 * side
        for top in _starts(height, side):
            for left in _starts(width, side):
                tile = image[top : top + side, left : left + side]
                (rows,) = far(tile, self.settings.far_threshold)
                x0, y0, x1, y1 = rows[:, 1:5].T
                whole = (x0 > margin) | (left == 0)
                whole &= (y0 > margin) | (top == 0)
                whole &= (x1 < tile.shape[1] - margin) | (left + side >= width)
                whole &= (y1 < tile.shape[0] - margin) | (top + side >= height)
                rows = rows[whole]
                rows[:, 1::2] += left
                rows[:, 2::2] += top
                yield rows


class _Look:
    """One network with its anchors: a picture in, scored boxes out."""

    def __init__(self, model: bytes, side: int, strides: tuple[int, ...]) -> None:
        self.anchors = anchor_centers(side, strides)
        self.network = LiteNetwork(model, (len(self.anchors) * 16, len(self.anchors)))
        self.side = side

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"], threshold: float, turns: Sequence[int] = (0,)
    ) -> Iterator[Float64[np.ndarray, "_ 17"]]:
        """Faces of the picture, turned by each of ``turns`` quarters in turn.

        Yields:
            Score, box and six keypoints (x, y) of each face, in pixels of the picture as it came, best first.
        """
        square, scale, shift = _letterboxed(image, self.side)
        for quarters in turns:
            rows = self._faces(np.ascontiguousarray(np.rot90(square, quarters)), threshold)
            points = _turned_back(rows[:, 1:].reshape(-1, 8, 2), quarters, self.side)
            points = (points - shift) / scale
            yield np.concatenate([rows[:, :1], points.reshape(-1, 16)], 1)

    def _faces(self, square: Float32[np.ndarray, "s s 3"], threshold: float) -> Float64[np.ndarray, "n 17"]:
        """The same in pixels of the network's square."""
        values, scores = self.network(square)
        logits = scores[:, 0].astype(np.float64)
        chosen = logits > _logit(threshold)
        pairs = values[chosen].astype(np.float64).reshape(-1, 8, 2)
        # centre, size and keypoints; all but the size are relative to the anchor
        points = np.concatenate([pairs[:, :1], pairs[:, 2:]], 1) + self.anchors[chosen, None] * self.side
        half = pairs[:, 1:2] / 2
        points = np.concatenate([points[:, :1] - half, points[:, :1] + half, points[:, 1:]], 1)
        score = 1 / (1 + np.exp(-np.clip(logits[chosen], -100, 100)))
        return _blended(np.concatenate([score[:, None], points.reshape(-1, 16)], 1))


def anchor_centers(side: int, strides: tuple[int, ...]) -> Float64[np.ndarray, "n 2"]:
    """Centres of a single-shot detector's anchors, in units of the picture's side.

    Liu et al. 2016, "SSD: Single Shot MultiBox Detector", section 2.2; anchors of one stride lie together,
    cell by cell, and all have the size of the picture.

    Args:
        side: of the network's picture, pixels.
        strides: one entry for each anchor of a cell, equal ones side by side.
    """
    out: list[Float64[np.ndarray, "n 2"]] = []
    for stride in dict.fromkeys(strides):
        cells = (np.arange(side // stride) + 0.5) * stride / side
        grid = np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 2)
        out.append(np.repeat(grid, strides.count(stride), 0))
    return np.concatenate(out)


def _letterboxed(
    image: UInt8[np.ndarray, "h w 3"], side: int
) -> tuple[Float32[np.ndarray, "s s 3"], Float64[np.ndarray, "2"], Float64[np.ndarray, "2"]]:
    """The picture in the middle of a black square, in [-1, 1]; its scale (x, y) and place there."""
    reduction = max(image.shape[:2]) / side
    times = halvings(image.shape, reduction)
    image = halved(image, times)
    height, width = image.shape[:2]
    ratio = side / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    out = np.full((side, side, 3), -1, np.float32)
    out[top : top + size[1], left : left + size[0]] = small * np.float32(2 / 255) - np.float32(1)
    scale = np.array([size[0] / width, size[1] / height]) / 2**times
    return out, scale, np.array([left, top], np.float64)


def _blended(rows: Float64[np.ndarray, "n 17"]) -> Float64[np.ndarray, "m 17"]:
    """One row for each group of overlapping boxes: their mean weighted by score, with the best score.

    BlazeFace paper, section 3.4: steadier than to keep the best box alone.
    """
    rows = rows[np.argsort(-rows[:, 0], kind="stable")]
    out: list[Float64[np.ndarray, "17"]] = []
    while len(rows):
        overlap, _ = _overlaps(rows[0], rows)
        group = overlap > SAME_FACE
        group[0] = True
        score = rows[group, :1]
        mean = (rows[group] * score).sum(0) / score.sum()
        mean[0] = rows[0, 0]
        out.append(mean)
        rows = rows[~group]
    return np.array(out).reshape(-1, 17)


def _one_each(looks: Iterable[Float64[np.ndarray, "_ 17"]]) -> Float64[np.ndarray, "m 17"]:
    """Faces of several looks at one picture, each once, best first."""
    rows = np.concatenate([np.empty((0, 17)), *looks])
    kept: list[Float64[np.ndarray, "17"]] = []
    for row in rows[np.argsort(-rows[:, 0], kind="stable")]:
        if not _same(row, np.array(kept).reshape(-1, 17)):
            kept.append(row)
    return np.array(kept).reshape(-1, 17)


def _others(
    rows: Float64[np.ndarray, "n 17"], known: Float64[np.ndarray, "m 17"]
) -> Float64[np.ndarray, "k 17"]:
    """The rows that are none of the known faces."""
    return rows[[not _same(row, known) for row in rows]] if len(rows) else rows


def _same(row: Float64[np.ndarray, "17"], known: Float64[np.ndarray, "m 17"]) -> bool:
    overlap, inside = _overlaps(row, known)
    return bool(np.any((overlap > SAME_FACE) | (inside > INSIDE)))


def _overlaps(
    row: Float64[np.ndarray, "17"], rows: Float64[np.ndarray, "n 17"]
) -> tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]]:
    """Of a box with others: intersection over union, and intersection over the smaller area."""
    corner = np.minimum(row[3:5], rows[:, 3:5]) - np.maximum(row[1:3], rows[:, 1:3])
    common = np.clip(corner, 0, None).prod(1)
    area = (row[3:5] - row[1:3]).prod()
    areas = (rows[:, 3:5] - rows[:, 1:3]).prod(1)
    union, smaller = area + areas - common, np.minimum(area, areas)
    return common / np.maximum(union, 1e-9), common / np.maximum(smaller, 1e-9)


def _starts(length: int, side: int) -> list[int]:
    """First pixels of tiles that cover a length evenly."""
    if length <= side:
        return [0]
    count = math.ceil((length - side) / (side * (1 - TILE_OVERLAP))) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def _turned_back(
    points: Float64[np.ndarray, "n 8 2"], quarters: int, side: int
) -> Float64[np.ndarray, "n 8 2"]:
    """Box corners and keypoints found in ``np.rot90(square, quarters)``, in pixels of the square."""
    x, y = points[..., 0], points[..., 1]
    back = [(x, y), (side - y, x), (side - x, side - y), (y, side - x)][quarters]
    points = np.stack(back, -1)
    corners = points[:, :2]
    return np.concatenate([corners.min(1, keepdims=True), corners.max(1, keepdims=True), points[:, 2:]], 1)


def _logit(probability: float) -> float:
    """The number whose logistic function is a probability."""
    if 0 < probability < 1:
        return math.log(probability / (1 - probability))
    return math.inf if probability >= 1 else -math.inf

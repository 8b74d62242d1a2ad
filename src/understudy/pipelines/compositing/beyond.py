"""Faces that the frame's edge cuts: what a network is shown of them beyond the picture.

A crop that reaches beyond its frame repeats the last pixels there, and a network that is shown such streaks
draws a blank or a ghost. The face set knows better: somewhere else in the footage most of these faces were
seen whole. ``EdgeFill`` finds the picture of the same track, or else person, that agrees best with what is
still seen of the face (and shows what is missing), and ``Beyond`` lays it into crops, in the light of the
frame. Where there is none and less than half of the face is seen, the mirror image of that half stands for
the other. What lies within the picture is never touched.

What is found depends on the face set and on the frame itself alone, so that a render in parts is what it is
in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.image.draw import hull_mask
from understudy.image.geometry import compose, invert, transform_points
from understudy.image.landmarks import SYMMETRIC_PAIRS, points68
from understudy.image.warp import warp

_GRID = 16
"""Places across a face's square at which it is known what is seen."""
_POOL = 512
"""Faces of a track, or person, of which one is chosen, at most; they are spread evenly over all."""
_UNSEEN = 0.25
"""Weight of a landmark beyond the edge, of which the landmarker only guesses where it is."""
_MISSING = 0.2
"""What it costs that a picture shows nothing of what is missing, in sides of the face's square by which the
landmarks are apart."""
_ENOUGH = 0.5
"""Share of what is missing that a picture of the track shows, from which nobody looks beyond the track."""
_HALF = 0.45
"""Share of the face up to which its mirror image stands for the rest: beyond that it harms more often."""
_LIGHT = (0.5, 2.0)
"""Gain by which a picture is made as bright as the frame, of each channel."""
_SURE = 0.1
"""Share of the crop on which both must show the face for all of that gain."""

Framing = Callable[[Float[np.ndarray, "n d"], int], Float64[np.ndarray, "2 3"]]
"""From landmarks in frame pixels, and a side, the matrix of the crop that the network is shown."""


def outside_of(
    matrix: Float64[np.ndarray, "2 3"], side: int, width: int, height: int
) -> Float32[np.ndarray, "{side} {side}"]:
    """How much of each pixel of a crop lies beyond its frame, 0 to 1.

    Args:
        matrix: frame pixels to crop pixels.
        side: of the crop, pixels.
        width: of the frame.
        height: of the frame.
    """
    back = invert(matrix)
    step = float(np.sqrt(abs(np.linalg.det(back[:, :2]))))
    corners = transform_points(back, side * np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
    if (corners.min(0) >= 0.0).all() and (corners.max(0) <= (width, height)).all():  # as most faces are
        return np.zeros((side, side), np.float32)
    middle = np.arange(side) + 0.5
    x, y = (
        row[0] * middle[None, :] + row[1] * middle[:, None] + row[2]  # of the frame, at every pixel
        for row in back
    )
    within = np.minimum(np.minimum(x, width - x), np.minimum(y, height - y))
    return (0.5 - within / step).clip(0.0, 1.0).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Beyond:
    """What stands for the part of a face that lies beyond its frame."""

    picture: Float32[np.ndarray, "s s 3"]
    """RGB in [0, 1]."""
    shown: Float32[np.ndarray, "s s"]
    """1 where the picture shows something."""
    matrix: Float64[np.ndarray, "2 3"]
    """Pixels of the frame, and beyond it, to pixels of the picture."""
    frame: tuple[int, int]
    """Width and height of the frame."""

    def fill(
        self, crop: Float32[np.ndarray, "3 n n"], matrix: Float64[np.ndarray, "2 3"]
    ) -> Float32[np.ndarray, "3 n n"]:
        """A crop of the frame with this beyond its edge.

        Args:
            crop: RGB in [0, 1]; not altered.
            matrix: frame pixels to crop pixels.
        """
        side = crop.shape[-1]
        share = outside_of(matrix, side, *self.frame) * self.shown_in(matrix, side)
        return crop + (self._picture_in(matrix, side) - crop) * share

    def shown_in(self, matrix: Float64[np.ndarray, "2 3"], side: int) -> Float32[np.ndarray, "{side} {side}"]:
        """Where it shows something in a crop of the frame."""
        back = compose(self.matrix, invert(matrix))
        return warp(self.shown, back, (side, side), "zero").clip(0.0, 1.0)

    def _picture_in(self, matrix: np.ndarray, side: int) -> Float32[np.ndarray, "3 {side} {side}"]:
        back = compose(self.matrix, invert(matrix))
        return np.moveaxis(warp(self.picture, back, (side, side), "replicate"), -1, 0).clip(0.0, 1.0)

    def in_light_of(
        self,
        crop: Float32[np.ndarray, "3 n n"],
        face: Float32[np.ndarray, "n n"],
        matrix: Float64[np.ndarray, "2 3"],
    ) -> Beyond:
        """The same, as bright and as warm as the frame where both show the face.

        Args:
            crop: of the frame.
            face: where the face is, in it.
            matrix: frame pixels to crop pixels.
        """
        side = crop.shape[-1]
        picture = self._picture_in(matrix, side)
        both = face * self.shown_in(matrix, side) * (1.0 - outside_of(matrix, side, *self.frame))
        sure = min(1.0, float(both.mean()) / _SURE)
        wanted, there = ((each * both).sum((1, 2)) + 1e-3 for each in (crop, picture))
        gain = (wanted / there).clip(*_LIGHT) ** sure
        lit = (self.picture * gain.astype(np.float32)).clip(0.0, 1.0)
        return Beyond(picture=lit, shown=self.shown, matrix=self.matrix, frame=self.frame)


@dataclass(frozen=True, eq=False)
class _Pool:
    """Faces of which one is chosen."""

    records: Sequence[FaceRecord]
    marks: Float64[np.ndarray, "n 68 2"]
    """Landmarks in the unit square that the network is shown."""
    seen: Bool[np.ndarray, "n places"]
    """What of that square their stored crops show."""


class EdgeFill:
    """Finds what stands for what the frame's edge cuts off.

    Args:
        faces: the face set of the footage.
        source: file name of the footage in it.
        framing: what the network is shown of a face.
        frame: width and height of the footage.
    """

    def __init__(self, faces: FaceSet, source: str, framing: Framing, frame: tuple[int, int]) -> None:
        self._faces, self._framing, self._frame, self._source = faces, framing, frame, source
        self._pools: dict[tuple[str, int], _Pool] = {}
        self._stored = lru_cache(maxsize=16)(self._read)

    @cached_property
    def _groups(self) -> dict[tuple[str, int], list[FaceRecord]]:
        """Faces whose crops are there, by track and by person; looked for when a face is cut, not before."""
        out: dict[tuple[str, int], list[FaceRecord]] = {}
        for record in self._faces.for_training():
            if record.source == self._source:
                out.setdefault(("track", record.track), []).append(record)
                if record.person >= 0:
                    out.setdefault(("person", record.person), []).append(record)
        return out

    def find(
        self,
        record: FaceRecord,
        crop: Float32[np.ndarray, "3 n n"],
        matrix: Float64[np.ndarray, "2 3"],
    ) -> Beyond | None:
        """What stands for what is beyond the edge; None where nothing is, or nothing is known of it.

        Args:
            record: the face.
            crop: what the network is shown of it now.
            matrix: frame pixels to pixels of that crop.
        """
        side = crop.shape[-1]
        outside = outside_of(matrix, side, *self._frame)
        if not outside.any():
            return None
        points = record.points
        hull = hull_mask(points, matrix, side)
        found = self._other_picture(record, points)
        if found is not None:
            return found.in_light_of(crop, hull, matrix)
        if float((hull * (1.0 - outside)).sum()) > _HALF * float(hull.sum()):
            return None
        mirror = mirror_of(points, *self._frame)
        if mirror is None:
            return None
        picture = np.ascontiguousarray(np.moveaxis(crop, 0, -1))
        return Beyond(
            picture=picture, shown=1.0 - outside, matrix=compose(matrix, mirror), frame=self._frame
        ).in_light_of(crop, hull, matrix)

    def _other_picture(self, record: FaceRecord, points: np.ndarray) -> Beyond | None:
        """The stored crop that agrees best with what is seen of a face, and shows what is missing."""
        square = self._framing(points, 1)
        missing = ~self._seen(points, None)
        if not missing.any():  # a sliver between the places that are looked at
            return None
        best: tuple[float, float, FaceRecord] | None = None
        for group in (("track", record.track), ("person", record.person)):
            best = self._best(self._pool(group), record, points, missing)
            if best is not None and best[1] >= _ENOUGH:
                break
        if best is None:
            return None
        picture, shown = self._stored(best[2])
        to_other = compose(invert(self._framing(best[2].points, 1)), square)
        matrix = compose(best[2].alignment.crop_matrix(picture.shape[0]), to_other)
        return Beyond(picture=picture, shown=shown, matrix=matrix, frame=self._frame)

    def _best(
        self, pool: _Pool, record: FaceRecord, points: np.ndarray, missing: Bool[np.ndarray, "places"]
    ) -> tuple[float, float, FaceRecord] | None:
        """Of a pool the cheapest face: its cost, the share of what is missing that it shows, and itself."""
        if not pool.records:
            return None
        marks = points68(points)
        within = np.all((marks > 0.0) & (marks < np.array(self._frame)), axis=1)
        weights = np.where(within, 1.0, _UNSEEN)
        weights /= weights.sum()
        apart = pool.marks - transform_points(self._framing(points, 1), marks)
        distance = np.sqrt((np.square(apart).sum(2) * weights).sum(1))
        shows = (pool.seen & missing).sum(1) / missing.sum()
        cost = distance + _MISSING * (1.0 - shows)
        cost[shows == 0.0] = np.inf
        cost[[other.crop == record.crop for other in pool.records]] = np.inf
        place = int(np.argmin(cost))
        if not np.isfinite(cost[place]):
            return None
        return float(cost[place]), float(shows[place]), pool.records[place]

    def _pool(self, group: tuple[str, int]) -> _Pool:
        """Made when it is first asked for."""
        if group not in self._pools:
            members = self._groups.get(group, [])
            spread = np.linspace(0, len(members) - 1, min(_POOL, len(members))).round().astype(int)
            chosen = [members[place] for place in spread]
            points = [record.points for record in chosen]
            marks = [transform_points(self._framing(p, 1), points68(p)) for p in points]
            seen = [self._seen(p, record) for p, record in zip(points, chosen, strict=True)]
            self._pools[group] = _Pool(
                records=chosen,
                marks=np.stack(marks) if marks else np.zeros((0, 68, 2)),
                seen=np.stack(seen) if seen else np.zeros((0, _GRID * _GRID), bool),
            )
        return self._pools[group]

    def _seen(self, points: np.ndarray, record: FaceRecord | None) -> Bool[np.ndarray, "places"]:
        """Which places of a face's square lie in the picture, and in the stored crop of ``record``."""
        middle = (np.arange(_GRID) + 0.5) / _GRID
        places = np.stack(np.meshgrid(middle, middle), -1).reshape(-1, 2)
        in_frame = transform_points(invert(self._framing(points, 1)), places)
        seen = np.all((in_frame >= 0.0) & (in_frame <= np.array(self._frame)), axis=1)
        if record is not None:
            in_crop = transform_points(record.alignment.matrix, in_frame)
            seen &= np.all((in_crop >= 0.0) & (in_crop <= 1.0), axis=1)
        return seen

    def _read(self, record: FaceRecord) -> tuple[Float32[np.ndarray, "s s 3"], Float32[np.ndarray, "s s"]]:
        """The stored crop of a face, and where it shows its frame."""
        pixels = self._faces.read_crop(record)
        side = pixels.shape[0]
        outside = outside_of(record.alignment.crop_matrix(side), side, *self._frame)
        return pixels.astype(np.float32) / np.float32(255.0), 1.0 - outside


def mirror_of(points: Float[np.ndarray, "n d"], width: int, height: int) -> Float64[np.ndarray, "2 3"] | None:
    """From the unseen side of a face to its seen one: the affine map that its paired landmarks follow.

    Args:
        points: mesh, ``(478, 3)`` or ``(468, 3)``, frame pixels.
        width: of the frame.
        height: of the frame.

    Returns:
        Frame pixels to frame pixels; None where fewer than six landmarks beyond the edge have their mirror
        image in the picture.
    """
    places = np.asarray(points[:, :2], np.float64)
    within = np.all((places > 0.0) & (places < np.array([width, height])), axis=1)
    pairs = np.concatenate([SYMMETRIC_PAIRS, SYMMETRIC_PAIRS[:, ::-1]])
    chosen = pairs[~within[pairs[:, 0]] & within[pairs[:, 1]]]
    if len(chosen) < 6:
        return None
    unseen = np.column_stack([places[chosen[:, 0]], np.ones(len(chosen))])
    return np.linalg.lstsq(unseen, places[chosen[:, 1]], rcond=None)[0].T

"""Faces from frame to frame: one number for one face, from its first frame to the next cut.

A face known in the last frame is looked for where it was; the detector runs at the first frame, at cuts, when
a face was lost, and now and then for faces that have come. Short gaps are filled afterwards (``fill_gaps``);
a filled face says ``found=False``. ``faces.smoothing`` takes the same stream.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from understudy.contracts import CropMode, Detector, Face, Landmarker, Landmarks, Region
from understudy.errors import ConfigError
from understudy.image.geometry import align, box_of_points, pose_of_points

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TrackSettings:
    """How faces are followed."""

    every: int = 15
    """Frames between two looks for new faces while all known ones are followed."""
    presence: float = 0.5
    """Landmarker's presence from which a face counts as found."""
    gap: int = 5
    """Frames for which a face may be missing and is interpolated between its last and next sighting."""
    memory: int = 30
    """Frames after which a face that comes back at its old place is a new track."""
    smallest: float = 16.0
    """Side of the smallest face that is taken, in pixels of the picture that is searched."""
    most: int = 0
    """Faces followed at a time, the largest first; 0 for all."""
    cut: float = 0.12
    """Change of the picture's block histograms, [0, 1], from which a cut is seen."""

    def __post_init__(self) -> None:
        least = {"every": 1, "presence": 0, "gap": 0, "memory": 0, "smallest": 0, "most": 0, "cut": 0}
        for name, bound in least.items():
            value = getattr(self, name)
            if not bound <= value < float("inf"):  # NaN is neither
                raise ConfigError(f"{name}: wanted a number of {bound} or more, got {value}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """One face in one frame."""

    track: int
    """Number of the track, from 0."""
    points: Float32[np.ndarray, "478 3"]
    """Landmarks in frame pixels."""
    presence: float
    """Landmarker's presence, [0, 1]."""
    found: bool = True
    """False where it was interpolated."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen(Generic[T]):
    """A frame with the faces in it; what travels through filling and smoothing."""

    item: T
    """The frame itself, or whatever its owner wants back."""
    faces: tuple[Sighting, ...]
    """In no order."""
    cut: bool = False
    """True when the frame begins a new shot; no track reaches over it."""


# ------------------------------------------------------------------------------------------------ following


@dataclass
class _Track:
    number: int
    points: np.ndarray  # in pixels of the searched picture
    age: int = 0  # frames since it was last found


class Tracker:
    """Finds and follows the faces of a video; feed it every frame in order.

    Args:
        detector: finds faces anywhere.
        landmarker: finds landmarks where a face is expected.
        settings: how faces are followed.
    """

    def __init__(
        self, detector: Detector, landmarker: Landmarker, settings: TrackSettings | None = None
    ) -> None:
        self.settings = settings or TrackSettings()
        self.detections = 0
        """How often the detector ran."""
        self._detector = detector
        self._landmarker = landmarker
        self._tracks: list[_Track] = []
        self._next = 0
        self._idle = 0
        self._cuts = CutDetector(self.settings.cut)

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], item: T, scale: float = 1.0) -> Seen[T]:
        """The faces of the next frame.

        Args:
            image: the frame or a reduced copy of it, RGB.
            item: what ``Seen.item`` shall hold.
            scale: pixels of ``image`` for one pixel of the frame.
        """
        cut = self._cuts(image)
        if cut:
            self._tracks.clear()
        for track in self._tracks:
            track.age += 1
        found = self._follow(image)
        self._idle += 1
        lost = any(track.age <= self.settings.gap for track in self._tracks if track.number not in found)
        if not found or lost or self._idle >= self.settings.every:
            self._look(image, found)
        self._tracks = [track for track in self._tracks if track.age <= self.settings.memory]
        faces = tuple(
            Sighting(
                track=track.number,
                points=(track.points / scale).astype(np.float32),
                presence=found[track.number].presence,
            )
            for track in self._tracks
            if track.number in found
        )
        return Seen(item=item, faces=faces, cut=cut)

    def _follow(self, image: np.ndarray) -> dict[int, Landmarks]:
        """Landmarks of the faces that are where they were in the last frame, by track."""
        known = [track for track in self._tracks if track.age == 1]
        regions = [self._landmarker.region_of_points(track.points) for track in known]
        found: dict[int, Landmarks] = {}
        kept: list[np.ndarray] = []
        for track, marks in zip(known, self._landmarks(image, regions), strict=True):
            box = box_of_points(marks.points)
            if not self._is_face(marks) or not _near(box, box_of_points(track.points), 0.5):
                continue
            if any(overlap(box, other) > 0.6 for other in kept):
                self._tracks.remove(track)  # two tracks have run onto one face; the older one stays
                continue
            kept.append(box)
            found[track.number] = marks
            track.points, track.age = marks.points, 0
        return found

    def _look(self, image: np.ndarray, found: dict[int, Landmarks]) -> None:
        """Run the detector; add what it sees to ``found``, a face that had been lost under its old number."""
        self._idle = 0
        self.detections += 1
        taken = [box_of_points(marks.points) for marks in found.values()]
        new = [d for d in self._detector(image) if not any(_same_place(d.box, box) for box in taken)]
        regions = [self._landmarker.region_of_detection(detection) for detection in new]
        faces = [marks for marks in self._landmarks(image, regions) if self._is_face(marks)]
        for marks in sorted(faces, key=lambda marks: -_side(box_of_points(marks.points))):
            box = box_of_points(marks.points)
            full = 0 < self.settings.most <= len(found)
            if full or any(_same_place(box, other) for other in taken):
                continue
            taken.append(box)
            track = self._revive(box) or self._begin()
            track.points, track.age = marks.points, 0
            found[track.number] = marks

    def _revive(self, box: np.ndarray) -> _Track | None:
        """The lost track whose last place is nearest to the box, if near enough."""
        lost = [track for track in self._tracks if track.age > 0]
        scored = [(overlap(box, box_of_points(track.points)), track) for track in lost]
        near = [
            (score, -track.age, track)
            for score, track in scored
            if _near(box, box_of_points(track.points), 0.6 if track.age <= self.settings.gap else 0.3)
        ]
        return max(near, key=lambda entry: entry[:2])[2] if near else None

    def _begin(self) -> _Track:
        track = _Track(number=self._next, points=np.empty((0, 3)))
        self._next += 1
        self._tracks.append(track)
        return track

    def _is_face(self, marks: Landmarks) -> bool:
        side = _side(box_of_points(marks.points))
        return marks.presence >= self.settings.presence and side >= self.settings.smallest

    def _landmarks(self, image: np.ndarray, regions: list[Region]) -> list[Landmarks]:
        return self._landmarker(image, regions) if regions else []


class CutDetector:
    """Sees where one shot ends and the next begins.

    Two small luma pictures are compared: their histograms block by block, and their correlation, which a
    flash of light leaves as it is. A camera in fast motion changes every picture as much as the last; but
    pictures that have nothing in common (a folder of photographs) are cuts, however usual that is.

    Args:
        threshold: change of the histograms, [0, 1], from which a cut is seen.
    """

    def __init__(self, threshold: float = TrackSettings.cut) -> None:
        self._threshold = threshold
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._usual = 0.0

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> bool:
        """Whether this picture begins a new shot; the first one does not."""
        step = max(1, min(image.shape[:2]) // 144)  # every nth pixel: the area mean below needs no more
        small = cv2.resize(image[::step, ::step], (64, 36), interpolation=cv2.INTER_AREA)
        luma = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        blocks = luma.reshape(4, 9, 4, 16).transpose(0, 2, 1, 3).reshape(16, -1) >> 4
        histogram = np.stack([np.bincount(block, minlength=16) for block in blocks]) / blocks.shape[1]
        # neighbouring bins share: a slow change of light does not move everything at once
        histogram = histogram + 0.5 * (np.roll(histogram, 1, 1) + np.roll(histogram, -1, 1))
        last, self._last = self._last, (luma.astype(np.float64), histogram / 2.0)
        if last is None:
            return False
        change = 0.5 * float(np.abs(self._last[1] - last[1]).sum(1).mean())
        much, unusual = change > self._threshold, change > 3.0 * self._usual
        self._usual += 0.3 * (change - self._usual)
        return much and _correlation(self._last[0], last[0]) < (0.9 if unusual else _UNRELATED)


_UNRELATED = 0.3
"""Correlation below which two pictures show nothing of the same."""


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).sum() / math.sqrt(max(float((first**2).sum() * (second**2).sum()), 1.0)))


# ------------------------------------------------------------------------------------------------ boxes


def overlap(first: Float64[np.ndarray, "4"], second: Float64[np.ndarray, "4"]) -> float:
    """Intersection of two boxes over their union, [0, 1]."""
    size = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    common = float(np.prod(np.maximum(size, 0.0)))
    union = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])) - common
    return common / union if union > 0 else 0.0


def _side(box: np.ndarray) -> float:
    return math.sqrt(max(float((box[2] - box[0]) * (box[3] - box[1])), 0.0))


def _near(box: np.ndarray, last: np.ndarray, reach: float) -> bool:
    """Could the face at ``last`` have come to ``box``, by ``reach`` sides and a factor of 1.6 at most."""
    side, before = _side(box), _side(last)
    if side <= 0 or before <= 0 or max(side, before) / min(side, before) > 1.6:
        return False
    moved = np.linalg.norm(box[:2] + box[2:] - last[:2] - last[2:]) / 2.0
    return float(moved) <= reach * max(side, before)


def _same_place(box: np.ndarray, other: np.ndarray) -> bool:
    """Do two boxes mean the same face: they overlap, or the middle of one lies well inside the other."""
    middle = (box[:2] + box[2:]) / 2.0
    reach = np.abs(middle - (other[:2] + other[2:]) / 2.0) / np.maximum(other[2:] - other[:2], 1e-9)
    return overlap(box, other) > 0.4 or bool((reach < 0.25).all())


# ------------------------------------------------------------------------------------------------ gaps


def fill_gaps(stream: Iterable[Seen[T]], longest: int = TrackSettings.gap) -> Iterator[Seen[T]]:
    """Interpolate faces that are missing for at most ``longest`` frames between two sightings of their track.

    The stream runs ``longest`` frames ahead of what comes out. Nothing is held before the first sighting,
    after the last, or over a cut.
    """
    waiting: deque[Seen[T]] = deque()
    last: dict[int, tuple[int, Sighting]] = {}
    for number, seen in enumerate(stream):
        if seen.cut:
            last.clear()
        for face in seen.faces:
            before, sighting = last.get(face.track, (number - 1, face))
            missing = number - before - 1
            if 0 < missing <= longest:
                for step in range(1, missing + 1):
                    place = len(waiting) - missing + step - 1
                    between = _between(sighting, face, step / (missing + 1))
                    waiting[place] = replace(waiting[place], faces=(*waiting[place].faces, between))
            last[face.track] = (number, face)
        waiting.append(seen)
        if len(waiting) > longest:
            yield waiting.popleft()
    yield from waiting


def _between(before: Sighting, after: Sighting, part: float) -> Sighting:
    points = before.points + np.float32(part) * (after.points - before.points)
    return Sighting(
        track=after.track, points=points, presence=min(before.presence, after.presence), found=False
    )


def faces_of(seen: Seen[T], *, frame: int, time: float, mode: CropMode) -> list[Face]:
    """The faces of a frame from left to right, aligned, as a face set keeps them; sharpness is to come."""
    ordered = sorted(seen.faces, key=lambda face: float(face.points[:, 0].mean()))
    return [
        Face(
            frame=frame,
            time=time,
            index=index,
            track=face.track,
            box=box_of_points(face.points),
            presence=face.presence,
            points=face.points,
            alignment=align(face.points, mode),
            found=face.found,
            pose=pose_of_points(face.points),
        )
        for index, face in enumerate(ordered)
    ]

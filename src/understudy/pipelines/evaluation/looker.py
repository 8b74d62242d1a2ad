"""The same moment of a swapped video and its target, and the face in it that was swapped.

The face is found in the target, followed, and landmarks are looked for at the same place of the swapped
frame, so that faces are searched once. The swapped video need not be ours: nothing but pictures is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor

from understudy.contracts import Face, Frame
from understudy.errors import DataError
from understudy.faces.tracks import Seen, Tracker, faces_of
from understudy.image.color import frame_to_rgb8, rect_to_rgb
from understudy.pipelines.setup import Finders

_MARGIN = 12
"""Pixels round the mask that are compared with an exact swap: room for the window of SSIM."""
_SEARCH = 1280
"""Longest side of the reduced frames in which faces are looked for, pixels."""
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FramePair:
    """The same moment in all videos."""

    target: Frame
    """The footage as it was."""
    result: Frame
    """The swapped frame; of any size, but of the same shape."""
    exact: Frame | None = None
    """The exact swap."""
    mask: Frame | None = None
    """Where the exact swap replaced the face."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Looked:
    """A pair with the face that was swapped."""

    pair: FramePair
    """The frames."""
    face: Face | None
    """In the target, in its pixels; None where none was found."""
    after: Float32[np.ndarray, "478 3"] | None
    """Landmarks in the swapped frame, in pixels of the target; None where none were found."""
    cut: bool = False
    """A new shot begins."""


class Looker:
    """Finds the swapped face of every pair; feed it the pairs in order.

    Args:
        finders: networks that find faces.
    """

    def __init__(self, finders: Finders) -> None:
        self._tracker = Tracker(finders.detector, finders.landmarker)
        self._landmarker = finders.landmarker
        self._current = -1

    def __call__(self, pairs: Iterable[FramePair]) -> Iterator[Looked]:
        """The same pairs, looked at."""
        for pair in pairs:
            yield self._look(pair)

    def _look(self, pair: FramePair) -> Looked:
        target, result = pair.target, pair.result
        before, after = frame_to_rgb8(target, _SEARCH), frame_to_rgb8(result, _SEARCH)
        scale = before.shape[1] / target.width
        seen = self._tracker(before, target, scale=scale)
        if not seen.faces:
            return Looked(pair=pair, face=None, after=None, cut=seen.cut)
        faces = faces_of(seen, frame=target.index, time=target.time, mode="full")
        face = self._swapped(faces, seen, before, after)
        into = after.shape[1] / target.width
        region = self._landmarker.region_of_points((face.points * into).astype(np.float32))
        (marks,) = self._landmarker(after, [region])
        points = (marks.points / into).astype(np.float32) if marks.presence >= 0.5 else None
        return Looked(pair=pair, face=face, after=points, cut=seen.cut)

    def _swapped(
        self,
        faces: list[Face],
        seen: Seen[Frame],
        before: UInt8[np.ndarray, "h w 3"],
        after: UInt8[np.ndarray, "_ _ 3"],
    ) -> Face:
        """The face that differs most between the videos; the last frame's unless another is clear."""
        if len(faces) == 1:
            chosen = faces[0]
        elif before.shape != after.shape:
            chosen = max(faces, key=lambda face: float(face.box[3] - face.box[1]))
        else:
            scale = before.shape[1] / seen.item.width
            changes = [_change(before, after, face.box * scale) for face in faces]
            chosen = faces[int(np.argmax(changes))]
            for face, change in zip(faces, changes, strict=True):
                if face.track == self._current and change > 0.7 * max(changes):
                    chosen = face
        self._current = chosen.track
        return chosen


def _change(before: np.ndarray, after: np.ndarray, box: np.ndarray) -> float:
    """Mean absolute difference inside a box, 8-bit levels."""
    limit = np.array([before.shape[1], before.shape[0]] * 2)
    x0, y0, x1, y1 = np.clip(np.rint(box), 0, limit).astype(int)
    if x1 <= x0 or y1 <= y0:
        return 0.0
    return float(np.abs(before[y0:y1, x0:x1].astype(np.int16) - after[y0:y1, x0:x1]).mean())


def mask_box(mask: Frame) -> Box | None:
    """Where an exact swap's mask is, with room for the window of structural similarity; None if nowhere."""
    inside = mask.planes[0]
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return None
    # even edges: chroma
    x0, y0 = max(0, columns[0] - _MARGIN) & ~1, max(0, rows[0] - _MARGIN) & ~1
    x1 = min(mask.width, columns[-1] + _MARGIN + 2) & ~1
    y1 = min(mask.height, rows[-1] + _MARGIN + 2) & ~1
    return int(x0), int(y0), int(x1), int(y1)


def against_mask(pair: FramePair, box: Box) -> tuple[Tensor, Tensor, Tensor]:
    """Result, exact swap and mask inside a box, ``(1, c, h, w)`` in [0, 1].

    Raises:
        DataError: the videos are not of one size.
    """
    assert pair.exact is not None
    assert pair.mask is not None
    sizes = {(frame.width, frame.height) for frame in (pair.result, pair.exact, pair.mask)}
    if len(sizes) > 1:
        raise DataError(
            f"the result is {pair.result.width} × {pair.result.height} pixels, the truth {pair.exact.width} "
            "× "
            f"{pair.exact.height}: only pictures of one size can be held against the truth; render the "
            "result "
            "at the size of the target"
        )
    x0, y0, x1, y1 = box
    weight = pair.mask.planes[0][y0:y1, x0:x1].astype(np.float32) / 255.0
    return picture_in(pair.result, box), picture_in(pair.exact, box), torch.from_numpy(weight)[None, None]


def picture_in(frame: Frame, box: Box) -> Tensor:
    """A rectangle of a frame, ``(1, 3, h, w)`` in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(rect_to_rgb(frame, *box).transpose(2, 0, 1)))[None]


def into_target(pair: FramePair) -> Float64[np.ndarray, "2 3"]:
    """From pixels of the result to pixels of the target."""
    across, down = pair.target.width / pair.result.width, pair.target.height / pair.result.height
    return np.array([[across, 0.0, 0.0], [0.0, down, 0.0]])

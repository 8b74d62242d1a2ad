"""Faces that the frame's edge cuts: what the swap gains from another frame's picture beyond the edge.

    benchmarks/edges.py RUN TARGET FACES [RUN TARGET FACES …]

Each is a run, the drawn video into which it swaps, with its truth beside it, and that video's face set; as
for ``benchmarks/compositing.py --trained``. Frames are cut on the left or on the right so that a share of the
face's outline is left, and swapped as merging does it: with the last pixels repeated, and with what the
stored crops of the same track know; landmarks are those of the uncut frame, and no crop within 12 frames of
the cut one may stand in. PSNR in the visible inner face: against the same swap of the uncut frame, which is
what the edge alone costs, and against the exact swap, most of whose error is the swapper's own. Then the
same where no crop may stand in at all, and the mirror image has to do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch

from common import Timing, measure, publish
from understudy.contracts import Face, Frame
from understudy.faces.faceset import FaceRecord, FaceSet
from understudy.image.color import frame_to_rgb8
from understudy.image.draw import hull_mask
from understudy.image.warp import crop_frame
from understudy.performers.truth import MASK_VIDEO, SWAP_VIDEO, truth_folder
from understudy.pipelines.compositing.beyond import EdgeFill
from understudy.pipelines.compositing.composite import CompositeSettings, FaceJob, composite
from understudy.pipelines.setup import make_context
from understudy.pipelines.swapper import Swapper
from understudy.training.process import keep_pages
from understudy.video.reader import VideoReader

SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FRAMES, NEAR = 6, 12
WAYS = ("repeated", "known", "mirror alone")


@dataclasses.dataclass(frozen=True, eq=False)
class Shot:
    """A frame of a drawn video."""

    record: FaceRecord
    plate: Frame
    exact: np.ndarray
    inner: np.ndarray


class Moved(FaceRecord):
    """A face in a frame that was cut: its landmarks are elsewhere."""

    def __init__(self, record: FaceRecord, points: np.ndarray) -> None:
        super().__init__(record.data, record.person, record.file)
        self.__dict__["moved"] = points

    @property
    def points(self) -> np.ndarray:
        """In pixels of the cut frame."""
        return self.__dict__["moved"]


class Elsewhere(EdgeFill):
    """Knows the crops of the uncut footage, as if it had been filmed where the cut frame is not."""

    def __init__(
        self, swapper: Swapper, faces: FaceSet, plate: Frame, cut: tuple[int, int], way: str
    ) -> None:
        def framing(points: np.ndarray, side: int) -> np.ndarray:
            return swapper.alignment(points).crop_matrix(side, swapper.settings.coverage)

        source = faces.records[0].source if way == "known" else "none"
        super().__init__(faces, source, framing, cut)
        self._whole = plate.width, plate.height

    def _seen(self, points: np.ndarray, record: FaceRecord | None) -> np.ndarray:
        if record is None:
            return super()._seen(points, None)
        before, self._frame = self._frame, self._whole
        try:
            return super()._seen(points, record)
        finally:
            self._frame = before

    def _read(self, record: FaceRecord) -> tuple[np.ndarray, np.ndarray]:
        before, self._frame = self._frame, self._whole
        try:
            return super()._read(record)
        finally:
            self._frame = before

    def only(self, frame: int) -> Elsewhere:
        """Without the crops about a frame."""
        for key, records in self._groups.items():
            self._groups[key] = [record for record in records if abs(record.frame - frame) >= NEAR]
        return self


def shots_of(video: Path, faces: FaceSet) -> list[Shot]:
    """Some of its frames, spread."""
    found, truth = faces.for_merging(video.name), truth_folder(video)
    numbers = sorted(found)
    chosen = set(numbers[3 :: max(1, len(numbers) // FRAMES)][:FRAMES])
    out: list[Shot] = []
    with contextlib.ExitStack() as opened:
        readers = [
            opened.enter_context(VideoReader(v)) for v in (video, truth / SWAP_VIDEO, truth / MASK_VIDEO)
        ]
        for plate, swap, mask in zip(*(reader.frames() for reader in readers), strict=True):
            if plate.index in chosen:
                exact = frame_to_rgb8(swap).astype(np.float32) / 255.0
                out.append(Shot(found[plate.index][0], plate, exact, mask.planes[0] >= 242))
    return out


def cut(shot: Shot, share: float, side: str) -> tuple[Frame, np.ndarray, slice]:
    """The frame with so much of the face in it, the landmarks in it, and the columns it has."""
    points, width = shot.record.points, shot.plate.width
    hull = hull_mask(points, np.eye(2, 3), max(width, shot.plate.height))[: shot.plate.height, :width]
    seen = np.cumsum(hull.sum(0)) / hull.sum()
    edge = int(np.searchsorted(seen, share if side == "right" else 1.0 - share)) // 2 * 2
    columns = slice(0, edge) if side == "right" else slice(edge, width)
    planes = tuple(
        np.ascontiguousarray(p[:, columns.start >> (n > 0) : columns.stop >> (n > 0)])
        for n, p in enumerate(shot.plate.planes)
    )
    return dataclasses.replace(shot.plate, planes=planes), points - np.float32([columns.start, 0, 0]), columns


def swapped(swapper: Swapper, frame: Frame, face: Face, crop: np.ndarray) -> np.ndarray:
    """The frame with the face in it, in [0, 1]."""
    face = dataclasses.replace(face, alignment=swapper.alignment(face.points))
    drawn, mask = swapper(torch.from_numpy(crop)[None])
    settings, coverage = CompositeSettings(), swapper.settings.coverage
    (made,) = composite([frame], [FaceJob(frame=0, face=face)], drawn, mask, settings, coverage)
    return frame_to_rgb8(made).astype(np.float32) / 255.0


def psnr(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> float:
    """Of the chosen pixels."""
    return float(-10.0 * np.log10(np.square(first - second)[where].mean() + 1e-7))


def look(swapper: Swapper, faces: FaceSet, shot: Shot) -> dict[tuple[float, str], list[tuple[float, float]]]:
    """By share and way: PSNR against the uncut swap and against the exact one, of both sides."""
    out: dict[tuple[float, str], list[tuple[float, float]]] = {}
    points, size = shot.record.points, swapper.resolution
    whole = swapped(
        swapper, shot.plate, shot.record.face, crop_frame(shot.plate, swapper.crop_matrix(points), size)
    )
    for share in SHARES:
        for side in ("left", "right"):
            frame, moved, columns = cut(shot, share, side)
            inner = shot.inner[:, columns]
            if inner.sum() < 100:
                continue
            face = dataclasses.replace(shot.record.face, points=moved)
            matrix = swapper.crop_matrix(moved)
            crop = crop_frame(frame, matrix, size)
            for way in WAYS:
                shown = crop
                if way != "repeated":
                    fill = Elsewhere(swapper, faces, shot.plate, (frame.width, frame.height), way)
                    found = fill.only(frame.index).find(Moved(shot.record, moved), crop, matrix)
                    shown = crop if found is None else found.fill(crop, matrix)
                made = swapped(swapper, frame, face, shown)
                figures = psnr(made, whole[:, columns], inner), psnr(made, shot.exact[:, columns], inner)
                out.setdefault((share, way), []).append(figures)
    return out


def main() -> None:
    """Measure and publish."""
    torch.set_num_threads(1)
    keep_pages()
    named = [Path(word) for word in sys.argv[1:]]
    cases: dict[tuple[float, str], list[np.ndarray]] = {}
    taken: Timing | None = None
    for run, video, folder in zip(named[::3], named[1::3], named[2::3], strict=True):
        swapper, faces = Swapper.load(run / "swapper", make_context("cpu")), FaceSet.open(folder)
        rows: dict[tuple[float, str], list[tuple[float, float]]] = {}
        for shot in shots_of(video, faces):
            for key, found in look(swapper, faces, shot).items():
                rows.setdefault(key, []).extend(found)
        for key, found in rows.items():
            cases.setdefault(key, []).append(np.mean(found, 0))
        if taken is None:
            taken = time_of(swapper, faces, shots_of(video, faces)[0])
    figures: dict[str, Timing | float | str] = {}
    for share in SHARES:
        before = np.array(cases[share, "repeated"])
        for way in WAYS[1:]:
            gain = np.array(cases[share, way]) - before
            error = gain.std(0, ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else gain[0] * np.nan
            figures[f"{share:.0%} of the face visible, {way}"] = (
                f"against the uncut swap {before[:, 0].mean():.2f} dB repeated, {gain[:, 0].mean():+.2f} ± "
                f"{error[0]:.2f}, worst run {gain[:, 0].min():+.2f}; against the exact one "
                f"{before[:, 1].mean():.2f} dB, {gain[:, 1].mean():+.2f} ± {error[1]:.2f}"
            )
    assert taken is not None
    figures["a cut face: found, lit and laid in"] = taken
    publish("edges", figures, {"runs": len(named) // 3, "frames": f"{FRAMES} a run, cut left and right"})


def time_of(swapper: Swapper, faces: FaceSet, shot: Shot) -> Timing:
    """What a cut face takes, once its track's landmarks are known."""
    frame, moved, _ = cut(shot, 0.6, "right")
    matrix = swapper.crop_matrix(moved)
    crop = crop_frame(frame, matrix, swapper.resolution)
    fill = Elsewhere(swapper, faces, shot.plate, (frame.width, frame.height), "known").only(frame.index)
    record = Moved(shot.record, moved)

    def work() -> None:
        found = fill.find(record, crop, matrix)
        assert found is not None
        found.fill(crop, matrix)

    return measure(work, at_least=1.0)


if __name__ == "__main__":
    main()

"""Flicker: what each option that averages over time takes away, and what it costs in likeness.

    benchmarks/flicker.py            landmarks, colours, masks
    benchmarks/flicker.py --trained RUN TARGET FACES …    and the code of trained swappers

A performer moves and talks before a camera with grain. Landmarks tremble as a landmarker's do, and the
swapper's faces and masks tremble as a network's do: in colour, and along the mask's edge. What is put in is
the exact swap in the source's light and skin, framed by the landmarks that are used. Each row changes one
thing against "nothing averaged". Flicker is the warping error inside the face above the target's own
(``metrics.flicker``, R'G'B' of a range of 1); the exact swap's own is the floor. PSNR is against the exact
swap in frames without grain. An option is on by default only where it takes at least 10 % of the flicker
above that floor away.

``--trained`` (any number of times) takes a run, the video into which it swaps and that video's face set. Its
first frames are rendered as ``understudy merge`` renders them, with everything at its default but
``temporal.code``. PSNR is there where the video is a drawn one, with its truth beside it. A face that stands
still does not flicker either, so these rows also say, by landmarks that are found in the render, how the
mouth follows the target's (Pearson's r of both openings), how much it moves (ratio of the standard
deviations) and by how many standard deviations of expression the face is off. The last rows are means over
swappers of what changes against reach 0.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from common import Timing, publish
from compositing import face_of, tensor
from understudy.color_transfers import COLOR_TRANSFERS
from understudy.contracts import Face, Frame, Landmarker
from understudy.faces.faceset import FaceSet
from understudy.faces.smoothing import SmoothingSettings, smooth
from understudy.faces.tracks import Seen, Sighting
from understudy.image.color import frame_to_rgb8
from understudy.image.expression import mouth_opening
from understudy.image.filter import gaussian_blur
from understudy.image.geometry import align
from understudy.image.warp import crop
from understudy.landmarkers import LANDMARKERS
from understudy.metrics.correlation import pearson
from understudy.metrics.expression import expression_error
from understudy.metrics.flicker import FlickerMeter
from understudy.metrics.structure import psnr
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import Rendered, render, render_swap
from understudy.performers.scene import Scene
from understudy.performers.truth import MASK_VIDEO, SWAP_VIDEO, rgb_frame, truth_folder
from understudy.pipelines.compositing.composite import CompositeSettings, FaceJob, TemporalSettings
from understudy.pipelines.compositing.compositor import Compositor
from understudy.pipelines.merging.faces import FaceMerge, SameForAll, SwapStage
from understudy.pipelines.merging.settings import MergeSettings
from understudy.pipelines.setup import make_context
from understudy.pipelines.swapper import Swapper
from understudy.training.process import keep_pages
from understudy.video.reader import VideoReader

FRAMES, SIZE, OWN, SEED = 40, 256, 96, 5
PAIR, SCENES = (58, 7), (12, 71)
GRAIN = 0.01
"""Standard deviation of the camera's noise, of the range."""
JITTER = 0.004
"""Of the landmarks, as a fraction of the face's side."""
TREMBLES = (0.0005, 0.01)
"""Of the swapper's colours from frame to frame, a gain a channel: of a small ``df`` of 2,400 steps, and what
a far worse network would do."""
EDGE = 0.25
"""Of the swapper's mask, in soft patches."""
TRAINED = 60
"""Frames of a trained swapper's target."""
CODES = (0, 2, 5, 8)
"""Reaches over which its code is averaged."""


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """What the camera saw, the exact swap, and the swap that the network would give."""

    drawn: list[Rendered]
    swaps: list[Rendered]
    foreign: list[Rendered]
    plates: list[Frame]


def draw_clip() -> Clip:
    """A talking performer."""
    generator = np.random.default_rng(SEED)
    source, target = (Performer.from_seed(seed) for seed in PAIR)
    here, elsewhere = (Scene.from_seed(seed) for seed in SCENES)
    camera = {name: getattr(here, name) for name in ("distance", "head", "center")}
    lit, motion = dataclasses.replace(elsewhere, **camera), Motion.from_seed(3)
    states = [motion.state(2.0 + number / 25) for number in range(FRAMES)]
    drawn = [render(target, state, here, SIZE) for state in states]
    plates = []
    for number, frame in enumerate(drawn):
        noise = GRAIN * generator.standard_normal(frame.picture.shape)
        plates.append(rgb_frame(number, (frame.picture + noise).clip(0, 1).astype(np.float32), Fraction(25)))
    return Clip(
        drawn,
        [render_swap(source, target, state, here, SIZE) for state in states],
        [render_swap(source, target, state, lit, SIZE, "source") for state in states],
        plates,
    )


def landmarks(clip: Clip, reach: int) -> list[Face]:
    """What a landmarker finds, smoothed or not."""
    generator = np.random.default_rng(SEED + 1)
    found: list[Seen[int]] = []
    for number, drawn in enumerate(clip.drawn):
        trembling = JITTER * drawn.alignment().side * generator.standard_normal(drawn.points.shape)
        # neighbouring landmarks tremble together: half of it is the whole face's
        shared = JITTER * drawn.alignment().side * generator.standard_normal(3)
        points = (drawn.points + 0.5 * trembling + shared).astype(np.float32)
        found.append(Seen(item=number, faces=[Sighting(track=0, points=points, presence=1.0)]))
    smoothed = smooth(found, SmoothingSettings(reach=reach))
    return [
        dataclasses.replace(
            face_of(clip.drawn[seen.item], seen.item),
            points=seen.faces[0].points,
            alignment=align(seen.faces[0].points, "full"),
        )
        for seen in smoothed
    ]


def network(clip: Clip, faces: list[Face], tremble: float) -> tuple[Tensor, Tensor]:
    """Faces and masks of a swapper that sees these crops; it trembles the same way in every row."""
    generator = np.random.default_rng(SEED + 2)
    swapped: list[Tensor] = []
    masks: list[Tensor] = []
    for face, foreign in zip(faces, clip.foreign, strict=True):
        matrix = face.alignment.crop_matrix(OWN)
        gain = torch.from_numpy(1.0 + tremble * generator.standard_normal((1, 3, 1, 1))).float()
        swapped.append((tensor(crop(foreign.picture, matrix, OWN)) * gain).clamp(0, 1))
        patches = torch.from_numpy(generator.standard_normal((1, 1, OWN, OWN))).float()
        patches = gaussian_blur(patches, 4.0) * 4.0 * 2.0 * np.sqrt(np.pi)
        mask = tensor(crop(np.ascontiguousarray(foreign.inner_mask), matrix, OWN)[..., None])
        masks.append(((mask - 0.5) * 1.5 + 0.5 + EDGE * patches * mask * (1 - mask) * 4).clamp(0, 1))
    return torch.cat(swapped), torch.cat(masks)


def measure(clip: Clip, made: list[Frame]) -> tuple[float, float, float]:
    """Flicker and jumps of brightness in thousandths, PSNR inside the face."""
    meter = FlickerMeter()
    likeness: list[float] = []
    for number, frame in enumerate(made):
        meter.push(clip.plates[number], frame, face_of(clip.drawn[number], number))
        exact, mask = tensor(clip.swaps[number].picture), clip.swaps[number].inner_mask
        inside = torch.from_numpy((mask >= 0.95).astype(np.float32))[None, None]
        likeness.append(float(psnr(tensor(frame.planes[0].astype(np.float32) / 255.0), exact, inside)))
    found = meter.result()
    return 1000.0 * found.flicker, 1000.0 * found.brightness, float(np.mean(likeness))


def run(
    clip: Clip, settings: CompositeSettings, smoothing: int, tremble: float
) -> tuple[float, float, float]:
    """Figures of one row."""
    faces = landmarks(clip, smoothing)
    swapped, masks = network(clip, faces, tremble)
    compositor = Compositor(settings)
    jobs = [FaceJob(frame=number, face=face) for number, face in enumerate(faces)]
    made = compositor.push(clip.plates, jobs, swapped, masks) + compositor.flush()
    return measure(clip, made)


def rows() -> dict[str, tuple[CompositeSettings, int]]:
    """Settings, and the reach of the landmarks' smoothing."""
    nothing = TemporalSettings(reach=0, mask=0)
    plain = CompositeSettings(temporal=nothing)
    out: dict[str, tuple[CompositeSettings, int]] = {
        "nothing averaged": (plain, 0),
        "landmarks (matrix), reach 8": (plain, 8),
    }
    for reach in (3, 8):
        colours = dataclasses.replace(plain, temporal=TemporalSettings(reach=reach))
        out[f"colour statistics, reach {reach}"] = (colours, 0)
        masks = dataclasses.replace(plain, temporal=TemporalSettings(reach=0, mask=reach))
        out[f"mask, reach {reach}"] = (masks, 0)
    out["all three, reach 8"] = (CompositeSettings(temporal=TemporalSettings(reach=8, mask=8)), 8)
    for name in ("reinhard", "mkl"):
        for reach in (0, 8):
            temporal = TemporalSettings(reach=reach)
            how = CompositeSettings(color_transfer=COLOR_TRANSFERS[name](), temporal=temporal)
            out[f"{name}: colour statistics, reach {reach}"] = (how, 0)
    return out


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A trained swapper and what it swaps."""

    name: str
    swapper: Swapper
    video: Path
    faces: FaceSet
    landmarker: Landmarker
    truth: list[tuple[Tensor, Tensor]]
    """Exact swap and inside of every frame; empty for footage."""

    def measure(self, code: int) -> np.ndarray:
        """``COLUMNS`` of a render with this reach of the code."""
        how = CompositeSettings(temporal=TemporalSettings(code=code))
        found = self.faces.for_merging(self.video.name)
        stage = SwapStage(self.swapper, self.faces, found, MergeSettings().batch, SameForAll(how))
        merge, meter = FaceMerge([stage]), FlickerMeter()
        likeness: list[float] = []
        points: list[tuple[np.ndarray, np.ndarray]] = []
        with VideoReader(self.video) as reader:
            for target, made in merge.render(reader, 0, TRAINED):
                face, picture = merge.largest_face(target.index), frame_to_rgb8(made)
                if face is not None:
                    meter.push(target, made, face)
                    points.append(self._points(frame_to_rgb8(target), picture, face))
                if self.truth:
                    exact, inside = self.truth[target.index]
                    likeness.append(float(psnr(tensor(picture.astype(np.float32) / 255.0), exact, inside)))
        flicker = meter.result()
        before, after = (np.stack(column) for column in zip(*points, strict=True))
        mouths = [mouth_opening(each) for each in (before, after)]
        out = [flicker.flicker, flicker.brightness, flicker.swapped]
        shown = [float(np.mean(likeness)) if likeness else float("nan"), pearson(*mouths)]
        amount = float(mouths[1].std() / mouths[0].std())
        return np.array(
            [*(1000.0 * value for value in out), *shown, amount, expression_error(after, before).mean()]
        )

    def _points(self, target: np.ndarray, made: np.ndarray, face: Face) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks of the face before and after, both found at the same place and in the same way."""
        region = self.landmarker.region_of_points(face.points)
        before, after = (self.landmarker(picture, [region])[0].points for picture in (target, made))
        return before, after


COLUMNS = (
    "flicker / 1000",
    "jumps of brightness / 1000",
    "warping error of the swapped face / 1000",
    "PSNR inside",
    "mouth follows, r",
    "mouth moves, ratio",
    "expression error",
)


def load(number: int, run: Path, video: Path, faces: Path) -> Trained:
    """A swapper, by the words of the command."""
    swapper = Swapper.load(run / "swapper", make_context("cpu"))
    truth: list[tuple[Tensor, Tensor]] = []
    if (folder := truth_folder(video)).is_dir():
        with VideoReader(folder / SWAP_VIDEO) as swaps, VideoReader(folder / MASK_VIDEO) as masks:
            for swap, mask in islice(zip(swaps.frames(), masks.frames(), strict=True), TRAINED):
                inside = (mask.planes[0].astype(np.float32) / 255.0 >= 0.95).astype(np.float32)
                exact = tensor(frame_to_rgb8(swap).astype(np.float32) / 255.0)
                truth.append((exact, torch.from_numpy(inside)[None, None]))
    kind = "performer" if truth else "footage"
    name = f"trained {number} ({swapper.settings.name}, {swapper.step} steps, {kind})"
    landmarker = LANDMARKERS["facemesh"]().build(make_context("cpu"))
    return Trained(name, swapper, video, FaceSet.open(faces), landmarker, truth)


def trained_figures(chosen: list[Trained]) -> dict[str, str]:
    """A row for every swapper and reach, and the mean change of each reach."""
    out: dict[str, str] = {}
    changes: dict[tuple[str, int], list[np.ndarray]] = {}
    for one in chosen:
        plain = one.measure(0)
        for reach in CODES:
            found = one.measure(reach) if reach else plain
            name = f"{one.name}: code, reach {reach}"
            out[name] = " ".join(f"{value:.3f}" for value in found)
            print(name, out[name], flush=True)
            if reach:
                share = 100.0 * (found[2] / plain[2] - 1.0)
                kind = "performers" if one.truth else "footage"
                changes.setdefault((kind, reach), []).append(np.array([share, *(found - plain)[3:]]))
    for (kind, reach), rows in changes.items():
        share, *others = np.mean(rows, axis=0)
        name = f"change, mean of {len(rows)} ({kind}): code, reach {reach}"
        out[name] = " ".join([f"{share:+.1f} %", *(f"{value:+.3f}" for value in others)])
    return out


def main() -> None:
    """Measure and publish."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--trained", nargs=3, type=Path, action="append", metavar=("RUN", "TARGET", "FACES"))
    chosen = words.parse_args().trained or []
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_pages()
    figures: dict[str, Timing | float | str] = {}
    figures |= trained_figures([load(number, *one) for number, one in enumerate(chosen, 1)])
    clip = draw_clip()
    exact = [rgb_frame(n, swap.picture, Fraction(25)) for n, swap in enumerate(clip.swaps)]
    noisy = []
    for plate, drawn, swap in zip(clip.plates, clip.drawn, clip.swaps, strict=True):
        grain = plate.planes[0].astype(np.float32) / 255.0 - drawn.picture
        noisy.append(rgb_frame(plate.index, (swap.picture + grain).clip(0, 1), Fraction(25)))
    for name, frames in (("exact swap with the plate's grain", noisy), ("exact swap without grain", exact)):
        figures[name] = " ".join(f"{value:.3f}" for value in measure(clip, frames))
    for tremble, (row, (settings, smoothing)) in itertools.product(TREMBLES, rows().items()):
        name = f"tremble {tremble:g}: {row}"
        figures[name] = " ".join(f"{value:.3f}" for value in run(clip, settings, smoothing, tremble))
        print(name, figures[name], flush=True)
    conditions = {
        "clip": f"{FRAMES} frames of {SIZE} x {SIZE}, performers {PAIR}, scenes {SCENES}, grain {GRAIN}",
        "tremble": f"landmarks {JITTER} of the face's side, colours as named, mask {EDGE}",
        "columns": ["flicker / 1000", "jumps of brightness / 1000", "PSNR inside"],
        "columns of trained": list(COLUMNS),
        "columns of changes": list(COLUMNS[2:]),
        "trained": f"{TRAINED} frames of each target, rendered as merge does",
        "rest": f"defaults of this version, faces of {OWN} pixels",
    }
    publish("flicker", figures, conditions)


if __name__ == "__main__":
    main()

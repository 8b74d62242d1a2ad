"""Compositing: which colour transfer, blend and mask bring a face nearest to the exact swap.

    benchmarks/compositing.py            every colour with every blend and every mask
    benchmarks/compositing.py --quick    every colour with every blend; most masks with a few of them
    benchmarks/compositing.py --trained RUN TARGET FACES …    the same with what trained swappers give

Drawn performers have an exact swap: the source's inner face on the target's head, in the target's light.
What is composited is what a swapper trained to the end would give, so that only compositing is judged: the
source's inner face with the target's pose and expression, at 96 pixels, in five kinds of case:

* ``light and skin``: in the source's own light and skin tone; tone, exposure and colour temperature all
  differ,
* ``warmer and darker``: the plate, and with it the truth, is in warm light of 0.55 times the exposure, the
  face is not,
* ``same``: in the right colours; a transfer can only do harm,
* ``mouth``: as the first, but the target's mouth is wide open and the face's, as a swapper that is not yet
  trained gives it, is shut; so is the truth's. Colours are then measured on faces that do not show the same,
* ``beard``: as the first, but the target wears a full beard of dark hair, the source none, so that darkness
  lies along the mask's edge.

Every combination goes through ``composite``, on frames of 256 pixels. Inside is where the exact swap shows
the source by 95 % and more; the border is a ring round the face's outline. Milliseconds are of one thread,
crop and paste included, the median of the cases.

What decides is the colour difference over inside and border together, each pixel counting the same; ``behind
the best`` is by how much a combination is worse in it than the best one, with an interval of 95 % over the
pairs. Combinations whose interval holds 0 are not told apart by this. ``worst`` is the mean difference of the
worst twentieth of those pixels: stains and bleeding that a mean hides.

``--trained`` (any number of times) takes a run, the drawn video into which it swaps, with its truth beside
it, and that video's face set; twelve of its frames are composited in every way. The results go to
``compositing_trained.json``; intervals are over the runs.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import statistics
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from common import Timing, publish
from understudy import config
from understudy.blends import Blend
from understudy.blends.alpha import Alpha
from understudy.blends.feather import Feather
from understudy.blends.multiband import Multiband
from understudy.blends.poisson import Poisson
from understudy.color_transfers import COLOR_TRANSFERS, ColorTransfer
from understudy.color_transfers.mean import Mean
from understudy.contracts import Face, Frame
from understudy.faces.faceset import FaceSet
from understudy.image.color import frame_to_rgb8
from understudy.image.draw import hull_mask
from understudy.image.filter import dilate, erode
from understudy.image.geometry import box_of_points
from understudy.image.lab import linear_to_srgb, rgb_to_lab, srgb_to_linear
from understudy.image.warp import crop, crop_frame
from understudy.metrics.color import delta_e_2000
from understudy.metrics.interval import paired_difference
from understudy.metrics.structure import psnr, ssim
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import Rendered, render, render_swap
from understudy.performers.scene import Scene
from understudy.performers.truth import MASK_VIDEO, SWAP_VIDEO, rgb_frame, truth_folder
from understudy.pipelines.compositing.composite import CompositeSettings, FaceJob, composite
from understudy.pipelines.compositing.masks import MaskSettings
from understudy.pipelines.setup import make_context
from understudy.pipelines.swapper import Swapper
from understudy.training.process import keep_pages
from understudy.video.reader import VideoReader

KINDS = ("light and skin", "warmer and darker", "same", "mouth", "beard")
PAIRS = ((3, 41), (58, 7), (64, 12), (22, 35), (87, 50), (15, 93), (71, 28), (44, 66))
"""Source and target; men and women, light and dark skin, young and old."""
SIZE, OWN, SEED = 256, 96, 17
FRAMES = 12
"""Of a trained swapper's target."""
WARM = (1.0, 0.78, 0.52)
EXPOSURE = 0.55
FIGURES = ("PSNR inside", "SSIM inside", "dE2000 inside", "dE2000 border", "dE2000", "dE2000 worst")
DECIDES = FIGURES.index("dE2000")
Row = tuple[str, str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InLinearLight(Blend):
    """Another blend, but of light instead of R'G'B' values."""

    inner: Blend

    def __call__(self, base: Tensor, face: Tensor, mask: Tensor) -> Tensor:
        """There and back."""
        out = self.inner(srgb_to_linear(base), srgb_to_linear(face), mask)
        return torch.where(mask > 0, linear_to_srgb(out), base)


TRANSFERS: dict[str, ColorTransfer] = {name: COLOR_TRANSFERS[name]() for name in COLOR_TRANSFERS.names()}
TRANSFERS["mean, gain"] = Mean(change="gain")
BLENDS: dict[str, Blend] = {
    "feather": Feather(),
    "feather, linear light": InLinearLight(inner=Feather()),
    "alpha": Alpha(),
    "multiband": Multiband(),
    "poisson": Poisson(),
    "poisson, linear light": InLinearLight(inner=Poisson()),
    "poisson, no reach": Poisson(reach=0.0),
}
MASKS = ("hull", "learned", "product", "union")
TARGET_MASKS = ("target", "learned_product", "learned_union")
"""Those that need the swapper's mask of the old face: with trained swappers only."""
UNTOUCHED = "the plate as it was"


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A plate, what is put into it, and what should come out."""

    kind: str
    plate: Frame
    face: Face
    swapped: Tensor
    learned: Tensor
    exact: Tensor
    inside: Tensor
    border: Tensor
    coverage: float = 1.0


def draw_cases() -> list[list[Case]]:
    """For every pair every kind of case, each time in another light, pose and expression."""
    generator = np.random.default_rng(SEED)
    return [[_case(generator, *pair, kind) for kind in KINDS] for pair in PAIRS]


def _case(generator: np.random.Generator, source_seed: int, target_seed: int, kind: str) -> Case:
    source, target = Performer.from_seed(source_seed), Performer.from_seed(target_seed)
    here, elsewhere = (Scene.from_seed(int(generator.integers(*limits))) for limits in ((0, 50), (50, 99)))
    state = Motion.from_seed(int(generator.integers(1000))).state(float(generator.uniform(0, 30)))
    lit, tone, shown = here, "target", state
    if kind == "mouth":
        still = dataclasses.replace(state.expression, jaw=0.0, lips_part=0.0)
        shown = dataclasses.replace(state, expression=still)
        state = dataclasses.replace(state, expression=dataclasses.replace(still, jaw=1.0))
    if kind == "beard":
        dark = {"hair_color": (0.12, 0.09, 0.07), "beard": 1.0, "moustache": 1.0}
        target = dataclasses.replace(target, look=dataclasses.replace(target.look, **dark))
        shaven = dataclasses.replace(source.look, beard=0.0, moustache=0.0)
        source = dataclasses.replace(source, look=shaven)
    if kind in ("light and skin", "mouth", "beard"):
        camera = {name: getattr(here, name) for name in ("distance", "head", "center")}
        lit, tone = dataclasses.replace(elsewhere, **camera), "source"
    elif kind == "warmer and darker":
        here = warmer_and_darker(here)
    drawn, swap = render(target, state, here, SIZE), render_swap(source, target, shown, here, SIZE)
    foreign = render_swap(source, target, shown, lit, SIZE, tone)
    return assemble(kind, drawn, swap, foreign)


def warmer_and_darker(scene: Scene) -> Scene:
    """The scene in warm light, EXPOSURE times as much of it."""
    changed = {
        name: tuple(EXPOSURE * part * warm for part, warm in zip(getattr(scene, name), WARM, strict=True))
        for name in ("light_color", "ambient", "ground")
    }
    return dataclasses.replace(scene, **changed)


def assemble(kind: str, drawn: Rendered, swap: Rendered, foreign: Rendered) -> Case:
    """What a swapper gives of ``foreign``, for the plate ``drawn`` whose exact swap is ``swap``."""
    alignment = drawn.alignment()
    matrix = alignment.crop_matrix(OWN)
    inner = np.ascontiguousarray(swap.inner_mask)
    hull = hull_mask(drawn.points, np.eye(2, 3), SIZE)
    ring = round(0.05 * alignment.side)
    outline = torch.from_numpy(hull)[None, None]
    inside = torch.from_numpy(inner)[None, None] >= 0.95
    border = (dilate(outline, ring) > 0.5) & (erode(outline, ring) < 0.5)
    return Case(
        kind=kind,
        plate=rgb_frame(0, drawn.picture, Fraction(25)),
        face=face_of(drawn),
        swapped=tensor(crop(foreign.picture, matrix, OWN)),
        learned=tensor(crop(inner, matrix, OWN)[..., None]),
        exact=tensor(swap.picture),
        inside=inside.float(),
        border=(border & ~inside).float(),
    )


def face_of(drawn: Rendered, frame: int = 0) -> Face:
    """The exact face."""
    return Face(
        frame=frame,
        time=frame / 25,
        index=0,
        track=0,
        box=box_of_points(drawn.points),
        presence=1.0,
        points=drawn.points,
        alignment=drawn.alignment(),
    )


def tensor(picture: np.ndarray) -> Tensor:
    """(1, c, h, w) in [0, 1]."""
    return torch.from_numpy(np.moveaxis(picture, -1, 0).astype(np.float32).copy())[None].clamp(0, 1)


def judge(made: Frame, case: Case) -> tuple[float, ...]:
    """``FIGURES`` of a finished frame."""
    rows, columns = (np.flatnonzero(case.border[0, 0].any(axis)) for axis in (1, 0))
    window = (..., slice(rows[0] - 8, rows[-1] + 9), slice(columns[0] - 8, columns[-1] + 9))
    got = tensor(frame_to_rgb8(made).astype(np.float32) / 255.0)[window]
    exact, inside, border = case.exact[window], case.inside[window], case.border[window]
    apart = delta_e_2000(rgb_to_lab(got), rgb_to_lab(exact))[:, None]
    means = [float((apart * where).sum() / where.sum()) for where in (inside, border, inside + border)]
    pixels = apart[(inside + border) > 0]
    worst = float(pixels.topk(max(1, len(pixels) // 20)).values.mean())
    return float(psnr(got, exact, inside)), float(ssim(got, exact, inside)), *means, worst


def compare(case: Case, settings: CompositeSettings) -> tuple[float, ...]:
    """``FIGURES`` and milliseconds of one combination."""
    start = time.perf_counter()
    (made,) = composite(
        [case.plate],
        [FaceJob(frame=0, face=case.face)],
        case.swapped,
        case.learned,
        settings,
        case.coverage,
    )
    taken = 1000.0 * (time.perf_counter() - start)
    return (*judge(made, case), taken)


def combinations(quick: bool, masks: tuple[str, ...]) -> dict[Row, CompositeSettings]:
    """Colour x blend x mask, then single changes to the defaults."""
    out: dict[Row, CompositeSettings] = {}
    for row in itertools.product(TRANSFERS, BLENDS, masks):
        if _asked(*row, quick):
            colour, blend, mask = row
            settings = config.merge(MaskSettings(), {"source": mask})
            out[row] = CompositeSettings(color_transfer=TRANSFERS[colour], blend=BLENDS[blend], mask=settings)
    for colour, transfer in TRANSFERS.items():
        if colour != "none":
            whole = dataclasses.replace(transfer, masked=False)
            out[f"{colour}, whole crop", "feather", "product"] = CompositeSettings(
                color_transfer=whole, blend=Feather()
            )
    histogram = CompositeSettings(color_transfer=TRANSFERS["histogram"], blend=Feather())
    for erode_by, blur in itertools.product((-0.01, 0.01, 0.03), (0.0, 0.03, 0.08)):
        mask = MaskSettings(erode=erode_by, blur=blur)
        row = ("histogram", "feather", f"product, erode {erode_by:g}, blur {blur:g}")
        out[row] = dataclasses.replace(histogram, mask=mask)
    for softness in (0.0, 0.02, 0.1):
        blend = Feather(softness=softness)
        out["histogram", f"feather, softness {softness:g}", "product"] = dataclasses.replace(
            histogram, blend=blend
        )
    return out


def _asked(colour: str, blend: str, mask: str, quick: bool) -> bool:
    """Whether a combination answers a question."""
    if "linear light" in blend:
        return mask == "product" and colour in ("none", "reinhard", "histogram")
    if not quick or mask == "product":
        return blend != "poisson, no reach" or colour in ("none", "reinhard", "histogram")
    if colour not in ("none", "reinhard", "histogram"):
        return mask == "hull" and blend == "poisson"
    return blend in ("feather", "poisson") and (mask == "hull" or colour == "histogram")


def trained_cases(run: Path, video: Path, faces: Path) -> list[Case]:
    """Frames of a drawn video with the faces that a trained swapper gives for them."""
    swapper = Swapper.load(run / "swapper", make_context("cpu"))
    truth = truth_folder(video)
    found = FaceSet.open(faces).for_merging(video.name)
    chosen = sorted(found)[:: max(1, len(found) // FRAMES)][:FRAMES]
    out: list[Case] = []
    with contextlib.ExitStack() as opened:
        videos = (video, truth / SWAP_VIDEO, truth / MASK_VIDEO)
        readers = [opened.enter_context(VideoReader(each)) for each in videos]
        for plate, swap, mask in zip(*(reader.frames() for reader in readers), strict=True):
            if plate.index in chosen:
                face = found[plate.index][0].face
                out.append(_trained_case(run.parent.name, swapper, face, plate, swap, mask))
    return out


def _trained_case(name: str, swapper: Swapper, face: Face, plate: Frame, swap: Frame, mask: Frame) -> Case:
    face = dataclasses.replace(face, alignment=swapper.alignment(face.points))
    crops = torch.from_numpy(crop_frame(plate, swapper.crop_matrix(face.points), swapper.resolution))[None]
    swapped, learned = swapper(crops)
    assert plate.height == plate.width, "draw the performers square"
    size = plate.width
    ring = round(0.05 * face.alignment.side)
    outline = torch.from_numpy(hull_mask(face.points, np.eye(2, 3), size))[None, None]
    inside = torch.from_numpy(mask.planes[0].astype(np.float32) / 255.0)[None, None] >= 0.95
    border = (dilate(outline, ring) > 0.5) & (erode(outline, ring) < 0.5)
    return Case(
        kind=name,
        plate=plate,
        face=face,
        swapped=swapped,
        learned=torch.cat([learned, swapper.target_masks(crops)], dim=1),
        exact=tensor(frame_to_rgb8(swap).astype(np.float32) / 255.0),
        inside=inside.float(),
        border=(border & ~inside).float(),
        coverage=swapper.settings.coverage,
    )


def main() -> None:
    """Measure and publish."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--quick", action="store_true")
    words.add_argument("--trained", nargs=3, type=Path, action="append", metavar=("RUN", "TARGET", "FACES"))
    chosen = words.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_pages()
    if chosen.trained:
        groups = [trained_cases(*one) for one in chosen.trained]
        about = {"cases": f"{FRAMES} frames of each of {len(groups)} trained swappers on drawn performers"}
    else:
        groups = draw_cases()
        about = {
            "cases": f"{len(PAIRS)} pairs of performers, each in: {', '.join(KINDS)}; seed {SEED}",
            "plate": f"RGB 8 bits, {SIZE} x {SIZE}; the swapper's face {OWN} x {OWN}",
        }
    cases = [case for group in groups for case in group]
    tables = {UNTOUCHED: np.array([(*judge(case.plate, case), 0.0) for case in cases])}
    masks = MASKS + TARGET_MASKS if chosen.trained else MASKS
    for row, settings in combinations(chosen.quick, masks).items():
        name = " | ".join(row)
        tables[name] = np.array([compare(case, settings) for case in cases])
        print(name, tables[name].mean(0).round(3), flush=True)
    kinds = dict.fromkeys(case.kind for case in cases)
    conditions = {
        **about,
        "columns": [*FIGURES, *(f"dE2000, {kind}" for kind in kinds), "milliseconds", "behind the best"],
        "threads": "one each for torch and OpenCV",
        "rows": "colour | blend | mask; what is not named is at its default of this version",
    }
    subject = "compositing_trained" if chosen.trained else "compositing"
    publish(subject, _summaries(tables, groups), conditions)


def _summaries(tables: dict[str, np.ndarray], groups: list[list[Case]]) -> dict[str, Timing | float | str]:
    """A line for each table: means over all cases, by kind of case, median time, distance to the best."""
    made = [table for name, table in tables.items() if name != UNTOUCHED]
    best = min(made, key=lambda table: table[:, DECIDES].mean())
    of_kind = np.array([case.kind for group in groups for case in group])
    ends = np.cumsum([len(group) for group in groups])[:-1]
    out: dict[str, Timing | float | str] = {}
    for name, table in tables.items():
        by_kind = [table[of_kind == kind, DECIDES].mean() for kind in dict.fromkeys(of_kind.tolist())]
        columns = [*table[:, : len(FIGURES)].mean(0), *by_kind, statistics.median(table[:, -1])]
        by_group = [[part.mean() for part in np.split(each[:, DECIDES], ends)] for each in (table, best)]
        line = " ".join(f"{value:.3f}" for value in columns)
        out[name] = f"{line} {paired_difference(*by_group).text()}"
    return out


if __name__ == "__main__":
    main()

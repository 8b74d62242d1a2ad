"""Can the metrics be trusted? Exact swaps of performers are spoilt in known steps; do the figures follow?

    .venv/bin/python benchmarks/metrics.py                    ten pairs, about four minutes of one core
    .venv/bin/python benchmarks/metrics.py --pairs 2          a look

The exact swap is known, so its damage is known too: nine kinds, each in four steps besides the exact swap
itself. For every metric and kind the rank correlation (Spearman) of the figure with the step is taken over
the five steps of a pair; the mean over pairs stands in the table, with its bootstrap interval. 1: every step
worse was seen as worse, on every pair. Faces are looked at as ``understudy evaluate`` does, with the
landmarker and the embedder of the package on the spoilt pictures, never with the exact points.

The pairs' seeds are used nowhere else. A pair that is done is kept in ``--folder`` and not done again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch

from common import publish
from understudy.contracts import Face
from understudy.durable import write_text
from understudy.image.filter import dilate, erode
from understudy.image.geometry import box_of_points
from understudy.image.warp import crop
from understudy.metrics.border import border_visibility
from understudy.metrics.color import color_difference
from understudy.metrics.correlation import spearman
from understudy.metrics.expression import expression_error, gaze_error, lid_error, mouth_error
from understudy.metrics.flicker import FlickerMeter
from understudy.metrics.gradient import gradient_deviation
from understudy.metrics.identity import distances, top_1
from understudy.metrics.interval import estimate
from understudy.metrics.landmarks import landmark_error, landmark_jitter
from understudy.metrics.neck import face_to_neck
from understudy.metrics.perceptual import perceptual_distance
from understudy.metrics.pose import pose_error, poses_of
from understudy.metrics.sharpness import relative_sharpness
from understudy.metrics.structure import ms_ssim, psnr, ssim
from understudy.performers.expression import Expression
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.renderer import Rendered, render, render_swap
from understudy.performers.scene import Scene
from understudy.performers.state import State
from understudy.performers.truth import rgb_frame
from understudy.pipelines.extract import ExtractSettings
from understudy.pipelines.setup import Finders, build_finders, make_context

FIRST_SEED = 5401
SIZE = 192
TIMES = (0.5, 0.54, 0.58, 2.3, 2.34, 4.1, 4.14)
"""Three moments of neighbouring frames, seconds."""
ACTING = tuple(0.3 + 0.85 * number for number in range(12))
"""Moments at which the face does various things, for the metrics that need a performance."""
FRAMES = (0, 1, 2, 50, 51, 100, 101)
HIGHER_IS_BETTER = ("psnr", "ssim", "ms_ssim", "retrieval", "sharpness")
OWN: dict[str, tuple[str, ...]] = {
    "psnr": ("blur", "colour", "identity", "seam", "shift", "pose", "expression"),
    "ssim": ("blur", "identity", "shift", "pose", "expression"),
    "ms_ssim": ("blur", "identity", "shift", "pose", "expression"),
    "gmsd": ("blur", "identity", "shift", "pose", "expression"),
    "delta_e": ("colour", "identity", "seam"),
    "perceptual": ("blur", "identity", "shift", "pose", "expression"),
    "to_source": ("identity",),
    "to_target": ("identity",),
    "retrieval": ("identity",),
    "landmarks": ("shift", "pose"),
    "pose": ("pose",),
    "expression": ("expression",),
    "mouth": ("expression",),
    "lids": ("expression",),
    "gaze": ("expression",),
    "flicker": ("flicker", "tremble"),
    "flicker_brightness": ("flicker",),
    "jitter": ("tremble",),
    "sharpness": ("blur",),
    "border": ("seam",),
    "neck": ("colour",),
}
"""The damage each metric is there for."""


@dataclass(frozen=True, eq=False)
class Case:
    """One pair of performers: what the camera saw, and the exact swap."""

    seed: int
    source: Performer
    target: Performer
    scene: Scene
    states: list[State]
    plates: list[Rendered]
    exact: list[Rendered]

    @classmethod
    def draw(cls, seed: int, times: tuple[float, ...] = TIMES, *, swapped: bool = True) -> Case:
        """The pair of a seed and the next one at some moments; without its exact swaps if need be."""
        source, target = Performer.from_seed(seed), Performer.from_seed(seed + 1)
        scene, motion = Scene.from_seed(seed + 1), Motion.from_seed(seed + 1)
        states = [motion.state(time) for time in times]
        plates = [render(target, state, scene, SIZE) for state in states]
        exact = [render_swap(source, target, state, scene, SIZE) for state in states if swapped]
        return cls(seed, source, target, scene, states, plates, exact)

    def swapped(self, change: Callable[[State, int], State]) -> list[np.ndarray]:
        """The exact swap of another performance."""
        states = [change(state, number) for number, state in enumerate(self.states)]
        return [render_swap(self.source, self.target, state, self.scene, SIZE).picture for state in states]


# ------------------------------------------------------------------------------------------------ damage


def inside(case: Case, change: Callable[[np.ndarray, int], np.ndarray]) -> list[np.ndarray]:
    """The exact swaps, changed within the face's soft mask."""
    return [
        one.picture + one.inner_mask[..., None] * (change(one.picture, number) - one.picture)
        for number, one in enumerate(case.exact)
    ]


def blur(case: Case, step: int) -> list[np.ndarray]:
    """Standard deviation 0.5, 1, 2 and 4 pixels."""
    return inside(case, lambda picture, _: cv2.GaussianBlur(picture, (0, 0), 0.25 * 2.0**step))


def colour(case: Case, step: int) -> list[np.ndarray]:
    """A tint of 2, 4, 8 and 16 code values, in a direction of the pair's own."""
    tint = np.random.default_rng([case.seed, 1]).choice([-1.0, 1.0], 3) * 2.0**step / 255
    return inside(case, lambda picture, _: picture + tint.astype(np.float32))


def identity(case: Case, step: int) -> list[np.ndarray]:
    """A quarter, a half, three quarters and all of the target's own face."""
    return inside(case, lambda picture, number: picture + step / 4 * (case.plates[number].picture - picture))


def seam(case: Case, step: int) -> list[np.ndarray]:
    """A hard edge of 3, 6, 12 and 24 code values along the border, fading inwards."""
    out: list[np.ndarray] = []
    for one in case.exact:
        solid = (one.inner_mask > 0.5).astype(np.uint8)
        depth = cv2.distanceTransform(solid, cv2.DIST_L2, 5)
        weight = solid * np.exp(-depth / 8.0) * (1.5 * 2.0**step / 255)
        out.append(one.picture + weight[..., None].astype(np.float32))
    return out


def moved(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """The picture shifted by pixels."""
    return crop(picture, np.array([[1.0, 0.0, x], [0.0, 1.0, y]]), SIZE)


def shift(case: Case, step: int) -> list[np.ndarray]:
    """The face displaced by 1, 2, 4 and 8 pixels."""
    turn = np.random.default_rng([case.seed, 2]).uniform(0, 2 * np.pi)
    far = 0.5 * 2.0**step
    return inside(case, lambda picture, _: moved(picture, far * np.cos(turn), far * np.sin(turn)))


def flicker(case: Case, step: int) -> list[np.ndarray]:
    """Brightness that jumps from frame to frame by 1.5, 3, 6 and 12 code values (standard deviation)."""
    jumps = np.random.default_rng([case.seed, 3]).normal(0, 0.75 * 2.0**step / 255, len(TIMES))
    return inside(case, lambda picture, number: picture + np.float32(jumps[number]))


def tremble(case: Case, step: int) -> list[np.ndarray]:
    """A face that trembles by 0.5, 1, 2 and 4 pixels (standard deviation)."""
    places = np.random.default_rng([case.seed, 4]).normal(0, 0.25 * 2.0**step, (len(TIMES), 2))
    return inside(case, lambda picture, number: moved(picture, *places[number]))


def pose(case: Case, step: int) -> list[np.ndarray]:
    """The head turned by 2, 4, 8 and 16 degrees more, to the side it came from."""

    def turned(state: State, _: int) -> State:
        return dataclasses.replace(state, yaw=state.yaw - np.copysign(2.0**step, state.yaw))

    return case.swapped(turned)


def expression(case: Case, step: int) -> list[np.ndarray]:
    """A quarter, a half, three quarters and all of the way to a face at rest that looks aside."""
    rest = Expression(gaze_x=0.8)

    def calmed(state: State, _: int) -> State:
        worn = {
            item.name: (1 - step / 4) * getattr(state.expression, item.name)
            + step / 4 * getattr(rest, item.name)
            for item in dataclasses.fields(Expression)
        }
        return dataclasses.replace(state, expression=Expression(**worn))

    return case.swapped(calmed)


DAMAGE = (blur, colour, identity, seam, shift, flicker, tremble, pose, expression)


# ------------------------------------------------------------------------------------------------ figures


class Judge:
    """Every metric on the frames of one pair.

    Args:
        case: the pair.
        finders: what looks at faces.
        gallery: identity vectors of all persons, this pair's source at ``place``.
    """

    def __init__(self, case: Case, finders: Finders, gallery: np.ndarray, place: int) -> None:
        self.case, self.finders, self.gallery, self.place = case, finders, gallery, place
        self.exact = batch([one.picture for one in case.exact])
        self.mask = batch([one.inner_mask for one in case.exact])
        self.box = box_of(self.mask)
        self.plates = [one.picture for one in case.plates]
        self.points = look(case, self.plates, finders)
        solid = (self.mask > 0.5).float()
        self.middle, self.around = erode(solid, 4), dilate(solid, 24) - dilate(solid, 4)
        self.usual = self.seen(self.plates)
        self.perceptual = perceptual_distance()

    def seen(self, pictures: list[np.ndarray]) -> dict[str, float]:
        """What needs no reference."""
        frames = batch(pictures)
        necks = [
            face_to_neck(picture.clip(0, 1), points)
            for picture, points in zip(pictures, self.points, strict=True)
        ]
        return {
            "sharpness": float(relative_sharpness(frames, self.middle, self.around).mean()),
            "border": float(border_visibility(frames, self.mask).mean()),
            "neck": float(np.nanmean(necks)),
        }

    def figures(self, pictures: list[np.ndarray]) -> dict[str, float]:
        """Every figure of one video."""
        pictures = [np.clip(picture, 0, 1).astype(np.float32) for picture in pictures]
        frames = batch(pictures)
        near: dict[str, Callable[..., torch.Tensor]] = {
            "psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim, "gmsd": gradient_deviation,
            "delta_e": color_difference,
        }  # fmt: skip
        if self.perceptual is not None:
            near["perceptual"] = self.perceptual
        whole, (rows, columns) = slice(None), self.box
        out: dict[str, float] = {}
        for name, metric in near.items():
            down, right = (whole, whole) if name == "ms_ssim" else (rows, columns)
            trio = (one[..., down, right] for one in (frames, self.exact, self.mask))
            out[name] = float(metric(*trio).mean())
        out["psnr"] = min(out["psnr"], 99.0)  # the exact swap's is infinite
        out |= (
            self.who(pictures) | self.does(look(self.case, pictures, self.finders)) | self.over_time(pictures)
        )
        seen = self.seen(pictures)
        out["sharpness"] = seen["sharpness"] / self.usual["sharpness"]
        out["border"] = seen["border"] - self.usual["border"]
        out["neck"] = abs(seen["neck"] - self.usual["neck"])
        return out

    def who(self, pictures: list[np.ndarray]) -> dict[str, float]:
        """Identity of every third face."""
        vectors = describe(self.finders, pictures[::3], self.points[::3])
        return {
            "to_source": float(distances(vectors, self.gallery[self.place]).mean()),
            "to_target": -float(distances(vectors, self.gallery[self.place + 1]).mean()),
            "retrieval": top_1(vectors, self.gallery, self.place),
        }

    def does(self, points: np.ndarray) -> dict[str, float]:
        """What the face does, against the target's."""
        turned = pose_error(poses_of(points), poses_of(self.points))
        frames = np.array(FRAMES)
        return {
            "landmarks": float(landmark_error(points, self.points).mean()),
            "pose": float(turned.mean()),
            "expression": float(expression_error(points, self.points).mean()),
            "mouth": float(mouth_error(points, self.points).mean()),
            "lids": float(lid_error(points, self.points).mean()),
            "gaze": float(gaze_error(points, self.points).mean()),
            "jitter": float(np.nanmean(landmark_jitter(points, frames))),
        }

    def over_time(self, pictures: list[np.ndarray]) -> dict[str, float]:
        """Flicker over the moments of neighbouring frames."""
        meter = FlickerMeter()
        for number, picture, plate in zip(FRAMES, pictures, self.case.plates, strict=True):
            points = plate.points
            face = Face(
                frame=number, time=0.0, index=0, track=0, box=box_of_points(points), presence=1.0,
                points=points, alignment=plate.alignment(),
            )  # fmt: skip
            rate = Fraction(25)
            meter.push(rgb_frame(number, plate.picture, rate), rgb_frame(number, picture, rate), face)
        found = meter.result()
        return {"flicker": found.flicker, "flicker_brightness": found.brightness}


def box_of(mask: torch.Tensor) -> tuple[slice, slice]:
    """Rows and columns that hold all masks and the windows round them; the first ones are even."""
    inside = mask.amax((0, 1)) > 0
    found = [torch.nonzero(inside.any(axis))[:, 0].tolist() for axis in (1, 0)]
    rows, columns = (slice(max(0, one[0] - 12) & ~1, one[-1] + 13) for one in found)
    return rows, columns


def batch(planes: list[np.ndarray]) -> torch.Tensor:
    """Pictures or masks as one tensor."""
    return torch.from_numpy(np.stack([np.atleast_3d(plane).transpose(2, 0, 1) for plane in planes])).float()


def to_8_bits(picture: np.ndarray) -> np.ndarray:
    """As a decoder gives it."""
    return cv2.convertScaleAbs(np.ascontiguousarray(picture), alpha=255.0)


def describe(finders: Finders, pictures: list[np.ndarray], points: np.ndarray) -> np.ndarray:
    """Identity vectors."""
    embedder = finders.embedder
    chips = [
        crop(picture.astype(np.float32), embedder.crop_matrix(marks), embedder.side).clip(0, 1)
        for picture, marks in zip(pictures, points, strict=True)
    ]
    with torch.inference_mode():
        return embedder(batch(chips)).cpu().numpy()


def persons(seeds: list[int], finders: Finders) -> np.ndarray:
    """One identity vector a person, of four moments in a light that no pair has."""
    out: list[np.ndarray] = []
    for seed in seeds:
        performer, motion = Performer.from_seed(seed), Motion.from_seed(seed + 500)
        drawn = [render(performer, motion.state(time), Scene(), SIZE) for time in (0.2, 1.4, 2.9, 4.4)]
        points = np.stack([one.points for one in drawn])
        out.append(describe(finders, [one.picture for one in drawn], points).mean(0))
    return np.stack(out)


def main() -> None:
    """Every pair, every damage, every step; then the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--pairs", type=int, default=10)
    words.add_argument("--folder", type=Path, default=Path("benchmarks/work/metrics"))
    chosen = words.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    usual = ExtractSettings()
    finders = build_finders(usual.detector, usual.landmarker, usual.embedder, make_context("cpu"))
    seeds = list(range(FIRST_SEED, FIRST_SEED + 2 * chosen.pairs))
    names = [kept_in(chosen.folder, seed, seeds) for seed in seeds[::2]]
    gallery = np.empty(0) if all(file.exists() for file in names) else persons(seeds, finders)
    kept: list[dict[str, dict[str, list[float]]]] = []
    for place in range(0, len(seeds), 2):
        kept.append(spoil(place, seeds, gallery, finders, chosen.folder))
        for name, values in act(seeds[place], finders, chosen.folder).items():
            kept[-1][name]["expression"] = values
    table: dict[str, dict[str, object]] = {}
    means: dict[str, list[float]] = {}
    for name in kept[0]:
        for damage in kept[0][name]:
            steps = np.array([one[name][damage] for one in kept])
            own = damage in OWN[name]
            table.setdefault(name, {})[damage] = trust(steps, name in HIGHER_IS_BETTER, own)
            if own:
                means[f"{name} {damage}"] = [round(float(value), 5) for value in steps.mean(0)]
    figures = {name: json.dumps(row) for name, row in table.items()}
    conditions = {
        "pairs": chosen.pairs, "size": SIZE, "frames": len(TIMES), "steps": 5,
        "moments_for_expression": len(ACTING),
        "damage": {damage.__name__: damage.__doc__ for damage in DAMAGE},
        "means_by_step": means,
    }  # fmt: skip
    publish("metrics", figures, conditions)


def spoil(
    place: int, seeds: list[int], gallery: np.ndarray, finders: Finders, folder: Path
) -> dict[str, dict[str, list[float]]]:
    """Figures of one pair at the five steps of every damage, by metric and damage."""
    file = kept_in(folder, seeds[place], seeds)
    if file.exists():
        return json.loads(file.read_text())
    case = Case.draw(seeds[place])
    judge = Judge(case, finders, gallery, place)
    best = judge.figures([one.picture for one in case.exact])
    out: dict[str, dict[str, list[float]]] = {name: {} for name in best}
    for damage in DAMAGE:
        steps = [best, *(judge.figures(damage(case, step)) for step in range(1, 5))]
        for name, row in out.items():
            row[damage.__name__] = [figures[name] for figures in steps]
    folder.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(out))
    return out


def kept_in(folder: Path, seed: int, seeds: list[int]) -> Path:
    """Where the figures of a pair are kept; the gallery of all seeds is part of them."""
    return folder / f"{seed}_of_{len(seeds)}.json"


def act(seed: int, finders: Finders, folder: Path) -> dict[str, list[float]]:
    """What a face does, at the five steps of a spoilt expression, over a longer performance."""
    file = folder / f"{seed}_acting.json"
    if file.exists():
        return json.loads(file.read_text())
    case = Case.draw(seed, ACTING, swapped=False)
    before = look(case, [one.picture for one in case.plates], finders)
    found = [look(case, expression(case, step), finders) for step in range(5)]
    out = {
        name: [float(metric(points, before).mean()) for points in found]
        for name, metric in (
            ("expression", expression_error),
            ("mouth", mouth_error),
            ("lids", lid_error),
            ("gaze", gaze_error),
        )
    }
    write_text(file, json.dumps(out))
    return out


def look(case: Case, pictures: list[np.ndarray], finders: Finders) -> np.ndarray:
    """Landmarks as the landmarker sees them."""
    out: list[np.ndarray] = []
    for picture, plate in zip(pictures, case.plates, strict=True):
        region = finders.landmarker.region_of_points(plate.points)
        out.append(finders.landmarker(to_8_bits(picture), [region])[0].points)
    return np.stack(out)


def trust(steps: np.ndarray, higher_is_better: bool, own: bool) -> object:
    """Mean rank correlation over pairs, with its interval where the metric is meant to see this damage."""
    worse = -steps if higher_is_better else steps
    # a figure that never moves has no ranks: it has seen nothing
    ranked = [np.nan_to_num(spearman(pair, np.arange(5.0))) for pair in worse]
    one = estimate(ranked)
    return [round(one.mean, 2), round(one.low, 2), round(one.high, 2)] if own else round(one.mean, 2)


if __name__ == "__main__":
    main()

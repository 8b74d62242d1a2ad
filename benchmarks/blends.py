"""Blends: what each takes and what it is worth, our gradient-domain cloning beside ``cv2.seamlessClone``.

Times are of one thread, as merging has it: the other cores decode and encode. Cloning is timed in turns with
OpenCV's, run by run, so that both see the same neighbours; the face fills an ellipse of 72 x 90 % of the
crop. Taken in turns each finds its data pushed out of the caches, as in a merge; ``alone`` it follows itself.
Processor time stands beside the wall clock: it is the figure to compare where the machine had other work.
OpenCV's works in 8 bits and solves the problem in which the misfit is shared across the mask's edge,
as ours does without a reach; it draws the mask in by three pixels first. The quality is taken on drawn
performers, whose exact swap is known: the face that is blended in is the exact swap in other light and the
source's own skin, or in the right colours but blurred as a network's output is.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import scipy.fft
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import Tensor

from common import Timing, measure, publish
from understudy.blends import BLENDS, Blend
from understudy.blends.poisson import Poisson
from understudy.color_transfers.reinhard import Reinhard
from understudy.image.draw import hull_mask
from understudy.image.dst import _by_mirrors, _by_sines, smooth_length
from understudy.image.filter import dilate, erode, gaussian_blur
from understudy.image.lab import rgb_to_lab
from understudy.image.poisson import clone
from understudy.performers.performer import Performer
from understudy.performers.renderer import render, render_swap
from understudy.performers.scene import Scene
from understudy.performers.state import State
from understudy.pipelines.compositing.masks import MaskSettings, soften
from understudy.training.process import keep_pages

SIDES = (128, 256, 512)
CASES, SIDE, SEED = 16, 256, 11
Figures = dict[str, Timing | float | str]


def smooth_pictures(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Base and face: soft random colours, (s, s, 3) float32 in [0, 1]."""
    generator = np.random.default_rng(0)
    pair = [cv2.GaussianBlur(generator.random((side, side, 3)), (0, 0), 6) * 4 - 1.5 for _ in range(2)]
    return np.clip(pair[0], 0, 1).astype(np.float32), np.clip(pair[1], 0, 1).astype(np.float32)


def depth_in_ellipse(side: int) -> np.ndarray:
    """1 in the middle of the face, 0 on its outline, negative outside."""
    down, across = np.mgrid[:side, :side] - (side - 1) / 2
    return 1.0 - np.hypot(across / (0.36 * side), down / (0.45 * side))


def tensor(picture: np.ndarray) -> Tensor:
    """(1, 3, s, s)."""
    return torch.from_numpy(np.moveaxis(picture, -1, 0).copy())[None]


Work = Callable[[], object]


def in_turns(first: Work, second: Work, seconds: float = 2.0) -> tuple[list[Timing], list[float]]:
    """Time two pieces of work alternately, run by run.

    Returns:
        By the wall clock; and each one's median processor time, milliseconds.
    """
    wall: list[list[float]] = [[], []]
    processor: list[list[float]] = [[], []]
    for work in (first, second):
        work()
    while len(wall[0]) < 20 or sum(map(sum, processor)) < seconds:
        for number, work in enumerate((first, second)):
            start, start_of_thread = time.perf_counter(), time.thread_time()
            work()
            processor[number].append(time.thread_time() - start_of_thread)
            wall[number].append(time.perf_counter() - start)
    timings = [Timing(seconds=tuple(times), units=1.0) for times in wall]
    return timings, [1000.0 * statistics.median(times) for times in processor]


def processor_alone(work: Work) -> float:
    """Median processor time of runs that follow each other and find their caches warm, milliseconds."""
    work()
    taken: list[float] = []
    while len(taken) < 50:
        start = time.thread_time()
        work()
        taken.append(time.thread_time() - start)
    return 1000.0 * statistics.median(taken)


def cloning() -> Figures:
    """Our cloning and OpenCV's of the same face, normal and mixed gradients."""
    out: Figures = {}
    for side in SIDES:
        for mixed in (False, True):
            what = f"{'mixed' if mixed else 'normal'} {side}"
            work = _cloners(side, mixed)
            (ours, theirs), processor = in_turns(*work)
            alone = [processor_alone(one) for one in work]
            out[f"clone {what}"], out[f"cv2.seamlessClone {what}"] = ours, theirs
            out[f"ratio of wall clocks, {what}"] = theirs.median / ours.median
            out[f"clone {what}, processor ms"], out[f"cv2.seamlessClone {what}, processor ms"] = processor
            out[f"ratio of processor times, {what}"] = processor[1] / processor[0]
            out[f"clone {what} alone, processor ms"], out[f"cv2.seamlessClone {what} alone, processor ms"] = (
                alone
            )
            out[f"ratio of processor times, {what} alone"] = alone[1] / alone[0]
    return out


def _cloners(side: int, mixed: bool) -> tuple[Work, Work]:
    base, face = smooth_pictures(side)
    inside = depth_in_ellipse(side) > 0
    tensors = tensor(base), tensor(face), torch.from_numpy(inside)[None, None]
    bytes_of = [(picture * 255).astype(np.uint8) for picture in (face, base)]
    mask, middle = inside.astype(np.uint8) * 255, (side // 2, side // 2)
    flag = cv2.MIXED_CLONE if mixed else cv2.NORMAL_CLONE
    return lambda: clone(*tensors, mixed=mixed), lambda: cv2.seamlessClone(*bytes_of, mask, middle, flag)


def every_blend() -> Figures:
    """What each blend takes, with its own defaults."""
    return {f"{name} {side}": _time_blend(BLENDS[name](), side) for side in SIDES for name in BLENDS.names()}


def _time_blend(blend: Blend, side: int) -> Timing:
    base, face = map(tensor, smooth_pictures(side))
    mask = torch.from_numpy((depth_in_ellipse(side) * 8).clip(0, 1).astype(np.float32))[None, None]
    return measure(lambda: blend(base, face, mask), at_least=1.0)


def solvers() -> Figures:
    """Ways of solving the same rectangle, and how far from a sparse direct solution the chosen one is."""
    out: Figures = {}
    for side in SIDES:
        out |= _solvers(smooth_length(round(0.9 * side) + 4), smooth_length(round(0.72 * side) + 4))
    return out


def _solvers(height: int, width: int) -> Figures:
    source = torch.from_numpy(np.random.default_rng(0).standard_normal((3, height, width)).astype(np.float32))
    shown, axes = f"3 x {height} x {width}", (-2, -1)
    shorter = np.ascontiguousarray(source.numpy()[:, 1:, 1:])  # of type I it is n + 1 that must be smooth
    exact = sparse_solution(source.numpy().astype(np.float64))
    largest = np.abs(exact).max()
    return {
        f"sines of type II, {shown}": measure(lambda: _by_sines(source, 0.0), at_least=0.5),
        f"sines of type I, {shown}": measure(
            lambda: scipy.fft.idstn(scipy.fft.dstn(shorter, type=1, axes=axes), type=1, axes=axes),
            at_least=0.5,
        ),
        f"mirrored, torch.fft, {shown}": measure(lambda: _by_mirrors(source, 0.0), at_least=0.5),
        f"sparse LU, {shown}": measure(lambda: sparse_solution(exact), warm_up=0, runs=1),
        f"largest error beside the sparse LU, of the largest value, {shown}": float(
            f"{np.abs(_by_sines(source, 0.0).numpy() - exact).max() / largest:.1e}"
        ),
    }


def sparse_solution(source: np.ndarray) -> np.ndarray:
    """Poisson's equation on the rectangle as ``image.dst`` states it, by sparse elimination in float64."""
    matrices = []
    for side in source.shape[-2:]:
        diagonal = np.full(side, 2.0)
        diagonal[[0, -1]] = 3.0
        matrices.append(scipy.sparse.diags([-np.ones(side - 1), diagonal, -np.ones(side - 1)], [-1, 0, 1]))
    height, width = source.shape[-2:]
    matrix = scipy.sparse.kron(matrices[0], scipy.sparse.eye(width))
    matrix = matrix + scipy.sparse.kron(scipy.sparse.eye(height), matrices[1])
    factors = scipy.sparse.linalg.splu(matrix.tocsc(), "MMD_AT_PLUS_A")
    return factors.solve(source.reshape(3, -1).T).T.reshape(source.shape)


# ------------------------------------------------------------------------------------------------- quality


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A target's crop, the exact swap, two faces to be blended in, and the mask of the face's outline."""

    base: Tensor
    exact: Tensor
    faces: dict[str, Tensor]
    mask: Tensor


def draw_cases() -> list[Case]:
    """Pairs of performers in light of their own."""
    generator = np.random.default_rng(SEED)
    return [_case(generator) for _ in range(CASES)]


def _case(generator: np.random.Generator) -> Case:
    source, target = (Performer.from_seed(int(seed)) for seed in generator.integers(1, 60, 2))
    here, elsewhere = (Scene.from_seed(int(generator.integers(*limits))) for limits in ((0, 50), (50, 99)))
    kept = {name: getattr(here, name) for name in ("distance", "head", "center")}
    elsewhere = dataclasses.replace(elsewhere, **kept)
    state = State(yaw=float(generator.uniform(-25, 25)), pitch=float(generator.uniform(-10, 10)))
    drawn, swap = render(target, state, here), render_swap(source, target, state, here)
    foreign = render_swap(source, target, state, elsewhere, tone="source")
    alignment = drawn.alignment()
    matrix = alignment.crop_matrix(SIDE)

    def crop(picture: np.ndarray) -> Tensor:
        centred = matrix.copy()
        centred[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5  # OpenCV counts from pixel centres
        return tensor(cv2.warpAffine(picture, centred, (SIDE, SIDE), flags=cv2.INTER_AREA)).clamp(0, 1)

    exact = crop(swap.picture)
    return Case(
        base=crop(drawn.picture),
        exact=exact,
        faces={
            "other light and skin": crop(foreign.picture),
            "right colours, blurred": gaussian_blur(exact, 1.0),
        },
        mask=torch.from_numpy(hull_mask(drawn.points, matrix, SIDE))[None, None],
    )


def quality() -> Figures:
    """PSNR inside and colour difference (CIE 1976) along the edge, mean of the cases."""
    blends: dict[str, Blend] = {name: BLENDS[name]() for name in BLENDS.names()}
    blends["poisson, no reach"] = Poisson(reach=0.0)
    blends["poisson, mixed"] = Poisson(mixed=True)
    cases = draw_cases()
    out: Figures = {}
    for kind in cases[0].faces:
        for transfer in ("none", "reinhard"):
            for name, blend in {**blends, "cv2.seamlessClone": None}.items():
                inside, edge = np.mean([_compare(case, kind, transfer, blend) for case in cases], 0)
                what = f"{kind}, {transfer}, {name}"
                out[f"PSNR inside, {what}"] = round(float(inside), 2)
                out[f"colour difference at the edge, {what}"] = round(float(edge), 2)
    return out


def _compare(case: Case, kind: str, transfer: str, blend: Blend | None) -> tuple[float, float]:
    mask = soften(MaskSettings(), case.mask)
    face = case.faces[kind]
    if transfer == "reinhard":
        face = Reinhard()(face, case.base, case.mask)
    made = blend(case.base, face, mask) if blend else _seamless(case.base, face, mask)
    error = (made - case.exact).square().mean(1, keepdim=True)
    difference = (rgb_to_lab(made) - rgb_to_lab(case.exact)).square().sum(1, keepdim=True).sqrt()
    ring = (dilate((mask > 0).float(), 2) > 0) & (erode(mask, 6) <= 0.5)
    return -10.0 * math.log10(float(error[mask > 0.95].mean())), float(difference[ring].mean())


def _seamless(base: Tensor, face: Tensor, mask: Tensor) -> Tensor:
    """OpenCV's clone, faded in as ours is, at the place where the face was."""
    inside = (mask[0, 0] > 0.5).numpy().astype(np.uint8) * 255
    x, y, width, height = cv2.boundingRect(inside)
    pictures = [
        np.ascontiguousarray(p[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8) for p in (face, base)
    ]
    middle = (x + width // 2, y + height // 2)
    made = cv2.seamlessClone(*pictures, inside, middle, cv2.NORMAL_CLONE)
    return base.lerp(tensor(made.astype(np.float32) / 255.0), ((mask - 0.5) * 2.0).clamp(0.0, 1.0))


def main() -> None:
    """Measure and publish."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_pages()  # as every command does
    conditions = {
        "threads": "one each for torch and OpenCV",
        "face": "an ellipse of 72 x 90 % of the crop",
        "quality": f"{CASES} pairs of performers, seed {SEED}, crop of {SIDE}, default mask settings",
    }
    publish("blends", cloning() | every_blend() | solvers() | quality(), conditions)


if __name__ == "__main__":
    main()

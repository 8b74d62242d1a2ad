"""Where a cropped picture lay in the one that was marked, found by a pattern whose place is known.

The marked picture was seen as a square; a crop of it is a rectangle in that square. What is known of the mark
is correlated with the picture at every place and for a row of sizes (by Fourier transforms), the best places
are then moved by fractions of a pixel until the pattern is heard best. Crops keep the pixels' shape, so width
and height of the rectangle are bound to each other for a given shape of the original; usual ones are tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from understudy.image.masking import halve
from understudy.image.panning import Shift, rolled
from understudy.image.spread_spectrum import BAND, BLOCK, BLOCKS, SIDE, Spread, features

SMALLEST = 0.55
"""Share of width and height below which nothing is looked for."""
SHAPES = (16 / 9, 9 / 16, 4 / 3, 1.0, 2.39)
"""Width by height of originals that are tried beside the shape that the crop has."""
CANDIDATES = 12
"""Places that are refined."""
_REFINE_FRAMES = 6
_STEPS = (0.5, 0.25, 0.125)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A rectangle in the square of the marked picture, pixels of the square."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def region(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in fractions of the marked picture."""
        return (self.x0 / SIDE, self.y0 / SIDE, self.x1 / SIDE, self.y1 / SIDE)

    def coefficients(self) -> Float[Tensor, " n"]:
        """1 for the coefficients of blocks that are wholly seen, else 0."""
        edges = np.arange(BLOCKS) * BLOCK
        slack = 0.25  # pixels that may be missing at a block's edge
        across = (edges >= self.x0 - slack) & (edges + BLOCK <= self.x1 + slack)
        down = (edges >= self.y0 - slack) & (edges + BLOCK <= self.y1 + slack)
        seen = torch.from_numpy((down[:, None] & across).astype(np.float32))
        return seen.flatten().repeat_interleave(BAND)

    def moved(self, edge: int, by: float) -> Placement:
        """With one edge (0 to 3: left, top, right, bottom) elsewhere."""
        edges = [self.x0, self.y0, self.x1, self.y1]
        edges[edge] += by
        return Placement(x0=edges[0], y0=edges[1], x1=edges[2], y1=edges[3])


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search gave."""

    best: tuple[Placement, ...]
    """Likely places, the likeliest first."""
    tries: int
    """At how many places was looked."""


def place(fine: Float32[np.ndarray, "f f"], placement: Placement) -> Float32[np.ndarray, "s s"]:
    """A crop, laid into the square of the marked picture; 0 where nothing is seen.

    Args:
        fine: the crop as a square of any size.
        placement: where it goes.
    """
    side = fine.shape[0]
    across, down = (placement.x1 - placement.x0) * 2, (placement.y1 - placement.y0) * 2
    matrix = np.array(
        [
            [side / across, 0.0, (0.5 - 2 * placement.x0) * side / across - 0.5],
            [0.0, side / down, (0.5 - 2 * placement.y0) * side / down - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return halve(cv2.warpAffine(fine, matrix, (2 * SIDE, 2 * SIDE), flags=flags))


def _whitened(fine: Float32[np.ndarray, "f f"]) -> np.ndarray:
    """Without what is smooth, and evenly strong: what a pattern is looked for in."""
    detail = fine - cv2.GaussianBlur(fine, (0, 0), 5.0)
    return detail / (np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 12.0)) + 1.0)


def _sizes(shape: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Widths and heights of rectangles to try, pixels of the square."""
    least = round(SMALLEST * SIDE)
    own = shape[0] / shape[1]
    seen: set[tuple[int, int]] = set()
    for ratio in (1.0, *(original / own for original in SHAPES)):
        for width in range(least, SIDE + 1):
            middle = round(width * ratio)
            for height in (middle - 1, middle, middle + 1):
                if least <= height <= SIDE and (width, height) not in seen:
                    seen.add((width, height))
                    yield width, height


def search(
    spread: Spread,
    known: Float[Tensor, " symbols"],
    kept: Sequence[Float32[np.ndarray, "f f"]],
    shape: tuple[int, int],
) -> Found:
    """Likely places of a crop.

    Args:
        spread: the key's.
        known: symbols that every mark has, -1 and 1; 0 for the others.
        kept: frames as squares of luma, finer than the marked square.
        shape: width and height of the crop, pixels; only their ratio counts.
    """
    pattern = spread.pattern(known).numpy()
    mean = np.stack([_whitened(each) for each in kept]).mean(0, dtype=np.float32)
    peaks: list[tuple[float, Placement]] = []
    tries = 0
    for width, height in _sizes(shape):
        small = cv2.resize(mean, (width, height), interpolation=cv2.INTER_AREA)
        heard = cv2.matchTemplate(pattern, small, cv2.TM_CCORR_NORMED) * (width * height) ** 0.5
        tries += heard.size
        _, strength, _, (x0, y0) = cv2.minMaxLoc(heard)
        peaks.append((strength, Placement(x0=x0, y0=y0, x1=x0 + width, y1=y0 + height)))
    peaks.sort(key=lambda peak: -peak[0])
    step = max(1, len(kept) // _REFINE_FRAMES)
    some = kept[::step][:_REFINE_FRAMES]
    refined: list[tuple[float, Placement]] = []
    for _, placement in _apart(peaks):
        score, better, count = _refine(spread, known, some, placement)
        tries += count
        refined.append((score, better))
    refined.sort(key=lambda each: -each[0])
    return Found(best=tuple(placement for _, placement in refined), tries=tries)


def search_offset(
    spread: Spread,
    known: Sequence[Float[Tensor, " symbols"]],
    squares: Sequence[Float32[np.ndarray, "s s"]],
) -> tuple[tuple[Shift, ...], int]:
    """How far a picture that is seen whole must be moved, cyclically, for a pattern to be in its place.

    Args:
        spread: the key's.
        known: symbols that a mark may have, -1 and 1; 0 for those that are not known.
        squares: frames, laid over each other.

    Returns:
        Likely movements right and down, pixels of the square, the likeliest first; and how many were tried.
    """
    mean = np.fft.rfft2(np.stack([_whitened(each) for each in squares]).mean(0, dtype=np.float32))
    peaks: list[tuple[float, Shift, Tensor]] = []
    for symbols in known:
        pattern = spread.pattern(symbols).numpy()
        heard = np.fft.irfft2(
            np.fft.rfft2(pattern / np.linalg.norm(pattern)) * np.conj(mean), s=pattern.shape
        )
        for _ in range(CANDIDATES):
            down, across = divmod(int(heard.argmax()), SIDE)
            peaks.append((float(heard[down, across]), (float(across), float(down)), symbols))
            near = np.ix_(*((np.arange(place - 1, place + 2) % SIDE) for place in (down, across)))
            heard[near] = -np.inf
    peaks.sort(key=lambda peak: -peak[0])
    step = max(1, len(squares) // _REFINE_FRAMES)
    some = np.stack(squares[::step][:_REFINE_FRAMES])
    tries = SIDE * SIDE * len(known)
    refined: list[tuple[float, Shift]] = []
    for _, shift, symbols in peaks[:CANDIDATES]:
        score, better, count = _refine_offset(spread, symbols, some, shift)
        refined.append((score, better))
        tries += count
    refined.sort(key=lambda each: -each[0])
    return tuple(shift for _, shift in refined), tries


def _refine_offset(spread: Spread, known: Tensor, some: np.ndarray, shift: Shift) -> tuple[float, Shift, int]:
    """Moves a shift until the known symbols are heard best; gives the score and the number of tries."""

    def heard(where: Shift) -> float:
        squares = torch.from_numpy(np.stack([rolled(each, where) for each in some]))
        return spread.correlation(features(squares).sum(0), known)

    score, tries = heard(shift), 1
    for step in _STEPS:
        for by in ((-step, 0.0), (step, 0.0), (0.0, -step), (0.0, step)):
            trial = (shift[0] + by[0], shift[1] + by[1])
            value = heard(trial)
            tries += 1
            if value > score:
                score, shift = value, trial
    return score, shift, tries


def _apart(peaks: Sequence[tuple[float, Placement]]) -> list[tuple[float, Placement]]:
    """The best peaks, of neighbouring ones only the best."""
    out: list[tuple[float, Placement]] = []
    for strength, placement in peaks:
        new = np.array(placement.region)
        if all(np.abs(new - np.array(other.region)).max() > 1.6 / SIDE for _, other in out):
            out.append((strength, placement))
        if len(out) == CANDIDATES:
            break
    return out


def _refine(
    spread: Spread, known: Tensor, some: Sequence[np.ndarray], placement: Placement
) -> tuple[float, Placement, int]:
    """Moves the edges until the known symbols are heard best; gives the score and the number of tries."""

    def heard(where: Placement) -> float:
        squares = torch.from_numpy(np.stack([place(each, where) for each in some]))
        return spread.correlation((features(squares) * where.coefficients()).sum(0), known)

    score, tries = heard(placement), 1
    for step in _STEPS:
        better = True
        while better and tries < 80:
            better = False
            for edge in range(4):
                for by in (-step, step):
                    trial = placement.moved(edge, by)
                    value = heard(trial)
                    tries += 1
                    if value > score:
                        score, placement, better = value, trial, True
    return score, placement, tries

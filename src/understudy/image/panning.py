"""How far a panning camera has carried the picture, on the small square of luma that marks are made of.

The first picture is the anchor, and every further one is aligned with it by translation: Gauss-Newton on the
blurred squares (Lucas and Kanade 1981, "An iterative image registration technique"), begun where the last one
was, in which pixels that do not fit count little (Geman and McClure's weights), so that a person who walks
through the picture is not taken for the camera. Aligning with an anchor instead of the picture before keeps
errors from adding up. Where too little is left of the anchor's view, the present picture becomes the next
one.

A camera that stands still shall give exactly nothing: movement counts only once most of the picture moves.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32

Shift = tuple[float, float]
"""How far the picture's content has moved: right and down, pixels of the square."""

BLUR = 1.0
"""Standard deviation of the blur, pixels of the square."""
SHARE = 0.5
"""Share of the picture's blocks that must move before the camera is taken to move."""
REACH = 0.2
"""Share of the square's side after which a new anchor is taken."""
LOST = 0.35
"""Share of that side by which one picture may at most be away from the one before."""
THIN = 2
"""Every how many pixels of the blurred square are looked at, each way."""
_BLOCK = 4
_CLEAR = 0.6  # mean square by which one answer must fit a block better than the other, units of 1/219 luma
_PART = 0.5  # of the other answer's mean square, at most
_TURNS = 10  # rounds of an alignment, at most
_STEP, _ENOUGH = 5e-3, 0.05  # pixels: the step that ends it, and the largest that the last one may be
_EDGE = 2  # pixels at the thinned square's edge that are left out


class Panning:
    """Follows the camera from picture to picture; begin a new one at a cut."""

    def __init__(self) -> None:
        self.shift: Shift = (0.0, 0.0)
        self.moves = False
        self._base: Shift = (0.0, 0.0)
        self._anchor: np.ndarray | None = None
        self._whole = np.empty(0)
        self._slopes: tuple[np.ndarray, np.ndarray] = (np.empty(0), np.empty(0))

    def follow(self, square: Float32[np.ndarray, "s s"]) -> Shift:
        """Where the content of the first picture is in this one.

        Args:
            square: luma in units of 1/219; every picture's square has the same size.
        """
        smooth = cv2.GaussianBlur(square, (0, 0), BLUR)
        if self._anchor is None:
            self._take(smooth)
            return self.shift
        before = (self.shift[0] - self._base[0], self.shift[1] - self._base[1])
        if not self.moves and self._unlike(smooth, before) <= SHARE:
            return self.shift
        now = self._align(smooth, before) or self._align(smooth, self._leap(smooth))
        if now is not None and self._moved(smooth, before, now):
            self.shift = (self._base[0] + now[0], self._base[1] + now[1])
        if now is None or max(map(abs, now)) > REACH * len(square):
            self._take(smooth)
        return self.shift

    def _take(self, smooth: np.ndarray) -> None:
        """Make a picture the anchor."""
        self._base, self._whole = self.shift, smooth
        across, along = (cv2.Sobel(smooth, cv2.CV_32F, *axes, scale=1 / 8) for axes in ((1, 0), (0, 1)))
        self._anchor, self._slopes = _thinned(smooth), (_thinned(across), _thinned(along))

    def _leap(self, smooth: np.ndarray) -> Shift:
        """A first guess for a fast movement, by the phases of the Fourier transform."""
        window = cv2.createHanningWindow(smooth.shape[::-1], cv2.CV_32F)
        (right, down), _ = cv2.phaseCorrelate(self._whole, smooth, window)
        return right, down

    def _rest(self, smooth: np.ndarray, shift: Shift) -> tuple[np.ndarray, tuple[slice, slice]] | None:
        """What differs from the anchor once a shift is taken back, and where; None for too little."""
        assert self._anchor is not None
        side = len(self._anchor)
        parts: list[slice] = []
        for by in (shift[1] / THIN, shift[0] / THIN):
            first, last = max(0, int(np.ceil(-by))) + _EDGE, side - max(0, int(np.ceil(by))) - _EDGE
            if last - first < side // 4:
                return None
            parts.append(slice(first, last))
        seen = (parts[0], parts[1])
        matrix = np.array([[THIN, 0.0, shift[0]], [0.0, THIN, shift[1]]], np.float64)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        back = cv2.warpAffine(smooth, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return (back - self._anchor)[seen], seen

    def _align(self, smooth: np.ndarray, guess: Shift) -> Shift | None:
        """The translation from the anchor; None where it is not found."""
        right, down = guess
        largest = np.inf
        for _ in range(_TURNS):
            found = self._rest(smooth, (right, down))
            if found is None or max(abs(right - guess[0]), abs(down - guess[1])) > LOST * len(smooth):
                return None
            rest, seen = found
            rest = rest - np.median(rest[::2, ::2])  # a fade is no movement
            across, along = self._slopes[0][seen], self._slopes[1][seen]
            scale = 1.5 * float(np.median(np.abs(rest[::2, ::2]))) + 0.3
            weights = 1.0 / np.square(1.0 + np.square(rest / scale))
            one, other = weights * across, weights * along
            a, b, c = float(np.vdot(one, across)), float(np.vdot(one, along)), float(np.vdot(other, along))
            u, v = float(np.vdot(one, rest)), float(np.vdot(other, rest))
            area = a * c - b * b
            if area <= 1e-3 * a * c or a * c == 0.0:  # nothing but edges in one direction
                return None
            step = ((b * v - c * u) / area, (b * u - a * v) / area)
            right, down = right + step[0], down + step[1]
            largest = max(map(abs, step))
            if largest < _STEP:
                break
        return (right, down) if largest < _ENOUGH else None

    def _unlike(self, smooth: np.ndarray, shift: Shift) -> float:
        """Share of the blocks that a shift does not explain."""
        found = self._rest(smooth, shift)
        return 1.0 if found is None else float((_by_block(np.square(found[0])) > _CLEAR).mean())

    def _moved(self, smooth: np.ndarray, before: Shift, now: Shift) -> bool:
        """Whether the picture as a whole went on, by its blocks' votes."""
        stay, go = self._rest(smooth, before), self._rest(smooth, now)
        if stay is None or go is None:
            return True
        both = tuple(
            slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(stay[1], go[1], strict=True)
        )
        stays, goes = (_by_block(np.square(_part(rest, both))) for rest in (stay, go))
        going, staying = _better(goes, stays), _better(stays, goes)
        self.moves = bool(going >= staying) if self.moves else bool(going > SHARE)
        return self.moves


def _better(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the blocks that one answer explains and the other does not; noise is explained by neither."""
    return float(((other - one > _CLEAR) & (one < _PART * other)).mean())


def _part(rest: tuple[np.ndarray, tuple[slice, slice]], wanted: tuple[slice, ...]) -> np.ndarray:
    """What lies in some rows and columns, of what lies in more of them."""
    values, has = rest
    return values[tuple(slice(w.start - h.start, w.stop - h.start) for w, h in zip(wanted, has, strict=True))]


def _thinned(plane: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(plane[::THIN, ::THIN])


def _by_block(values: np.ndarray) -> np.ndarray:
    return cv2.resize(
        np.ascontiguousarray(values),
        (values.shape[1] // _BLOCK, values.shape[0] // _BLOCK),
        interpolation=cv2.INTER_AREA,
    )


def rolled(square: Float32[np.ndarray, "s s"], shift: Shift) -> Float32[np.ndarray, "s s"]:
    """A square moved by a shift, right and down; what leaves it comes in at the other side."""
    if shift == (0.0, 0.0):
        return square
    across, down = int(np.floor(shift[0])), int(np.floor(shift[1]))
    whole = np.roll(square, (down, across), (0, 1))
    matrix = np.array([[1.0, 0.0, shift[0] - across], [0.0, 1.0, shift[1] - down]])
    wide = cv2.copyMakeBorder(whole, 2, 2, 2, 2, cv2.BORDER_WRAP)  # what cubics reach for
    return cv2.warpAffine(wide, matrix, wide.shape[::-1], flags=cv2.INTER_CUBIC)[2:-2, 2:-2]

"""Our invisible mark: 64 bits in the luma of every frame, by a key, without a network.

``codeword`` makes symbols of the bits, ``image.spread_spectrum`` spreads them over a small square, and
``image.masking`` says what can be hidden where. Here they meet, and time comes in:

* The pattern is *held*: strengths and tolerance follow the picture slowly and begin anew at a cut; where
  the tolerance falls it falls at once. A still pattern does not flicker, and codecs carry what is still from
  frame to frame instead of coding it anew.
* The pattern *goes along* with a panning camera, as codecs carry the picture: what leaves the square at one
  side comes in at the other. Whoever reads follows the camera again (``image.panning``). Where detail drowns
  even a cancelled pattern it stays where it is: then a picture that moves behind it averages out.
* Frames are *pooled*: features add up over frames before anything is decided.

A marked frame depends on the frames before it since the last ``begin``, and on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from understudy.contracts import Frame
from understudy.image.masking import FINE, add_to_luma, halve, small_luma, tolerance
from understudy.image.panning import Panning, Shift, rolled
from understudy.image.registration import Placement, place, search, search_offset
from understudy.image.spread_spectrum import SIDE, Spread, features, window
from understudy.provenance.codeword import (
    SYMBOLS,
    bits_of,
    number_of,
    read_bits,
    symbols_of,
    sync_symbols,
)
from understudy.provenance.marker import Reading, tail

ALGORITHM = "org.understudy.spread.1"
PSNR, PSNR_SIDE, PSNR_STEP, PSNR_MOST = 46.0, 480, 2.0, 49.0
"""Decibels of a marked frame whose shorter side is ``PSNR_SIDE``, how many more at each doubling, and how
many at most: the larger a frame, the more pixels carry a symbol."""
PSNR_LEAST, ENOUGH = 44.3, 4.5
"""Decibels that are gone down to where detail is everywhere (it hides more, and drowns more), until each
symbol is heard with this score in a single frame, as far as that can be foretold."""
HOLD = 0.95
"""How much of the frame before stays in the pattern, where the picture stands still."""
MOVES = 2.0
"""Mean change of luma between frames, in 1/219, at which the square of that stays: what is cancelled has gone
elsewhere, and where all moves nobody sees the pattern move."""
SYNC_BOOST = 1.5
"""How much better than the others the sync's symbols shall be heard: a crop is found by them alone."""
GOES_ALONG = 0.5
"""Score of the symbols in a shot's first frame from which the pattern goes along with the camera."""
CUT = 12.0
"""Mean change of luma between frames, in 1/219, from which a new shot is assumed."""
GROUP = 72
"""Frames after which the pattern begins anew: a merge renders segments of so many by themselves."""
KEPT = 24
"""Frames of which the picture is kept for the search for a crop."""
REFINED = 6
"""Candidates of that search that are read."""
EXPECTED = 256
"""Numbers of the store by which the camera's way is looked for, at most; each takes a millisecond."""
_SURE = 1e-12  # a p-value at which a search ends
_RISE = 1.25  # how far the tolerance may exceed that of the present frame


class SpreadMarker:
    """Marks and reads with one key.

    Args:
        key: secret bytes.
        psnr: of a marked frame, decibels, luma against white; None: by the frame's size (``PSNR``).
        hold: how much of the frame before stays in the pattern, 0 to 1.
        boosts: how much better than the others each symbol shall be heard; None: the sync a little.
    """

    algorithm = ALGORITHM

    def __init__(
        self,
        key: bytes,
        *,
        psnr: float | None = None,
        hold: float = HOLD,
        boosts: Float[Tensor, "192"] | None = None,
    ) -> None:
        self.key, self.psnr, self.hold = key, psnr, hold
        self.boosts = _standard_boosts() if boosts is None else boosts
        self.spread = Spread(key, SYMBOLS)

    def begin(self, number: int) -> Callable[[Frame], Frame]:
        """See ``Marker``."""
        return _Stamp(self, number)

    def gatherer(self) -> SpreadGatherer:
        """See ``Marker``."""
        return SpreadGatherer(self.spread)

    def decibels(self, frame: Frame) -> tuple[float, float]:
        """PSNR that is aimed at in a frame, and down to which it may go where detail is everywhere."""
        if self.psnr is not None:
            return self.psnr, self.psnr
        psnr = PSNR + PSNR_STEP * math.log2(min(frame.width, frame.height) / PSNR_SIDE)
        return min(max(psnr, PSNR), PSNR_MOST), PSNR_LEAST


def _standard_boosts() -> Tensor:
    boosts = torch.ones(SYMBOLS)
    boosts[torch.from_numpy(sync_symbols() != 0)] = SYNC_BOOST
    return boosts


class _Follower:
    """Lays the squares of a shot over each other as the camera moves."""

    def __init__(self) -> None:
        self.begins = True
        """Whether the last frame began a shot."""
        self.shift: Shift = (0.0, 0.0)
        """How far the picture has moved since the shot's first frame."""
        self._panning = Panning()
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, square: Float32[np.ndarray, "s s"]) -> Float32[np.ndarray, "s s"]:
        """A frame's square, moved to where the shot's first one shows the same."""
        self.shift = self._panning.follow(square)
        laid = rolled(square, (-self.shift[0], -self.shift[1]))
        self.begins = self._before is None or min(map(_change, self._before, (square, laid))) > CUT
        if self.begins and self._before is not None:
            self._panning, self.shift, laid = Panning(), (0.0, 0.0), square
            self._panning.follow(square)
        self._before = (square, laid)
        return laid


def _change(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


class _Stamp:
    """Marks frames in order."""

    def __init__(self, marker: SpreadMarker, number: int) -> None:
        self.marker = marker
        self.symbols = torch.from_numpy(symbols_of(number).astype(np.float32))
        self._follow = _Follower()
        self._goes_along = False
        self._square: np.ndarray | None = None
        self._tolerance: np.ndarray | None = None
        self._amplitudes: Tensor | None = None

    @torch.no_grad()
    def __call__(self, frame: Frame) -> Frame:
        marker = self.marker
        fine = small_luma(frame, FINE * SIDE, FINE * SIDE)
        square, allowed = halve(fine), tolerance(fine)
        laid, shift = self._follow(square), (0.0, 0.0)
        if self._follow.begins:
            self._square = self._tolerance = self._amplitudes = None
        elif self._goes_along:
            square, shift = laid, self._follow.shift
            allowed = rolled(allowed, (-shift[0], -shift[1])).clip(0.0)
        hold = marker.hold ** (1.0 + (0.0 if self._square is None else _change(square, self._square)) / MOVES)
        self._square = square
        if self._tolerance is not None:
            slow = hold * self._tolerance + (1.0 - hold) * allowed
            allowed = np.minimum(slow, _RISE * allowed)
        self._tolerance = allowed
        where = torch.from_numpy(allowed) * window()
        energy, most = (SIDE**2 * 219.0**2 * 10.0 ** (-level / 10.0) for level in marker.decibels(frame))
        wanted, heard = marker.spread.amplitudes(
            torch.from_numpy(square), self.symbols, where, energy, marker.boosts, enough=ENOUGH, most=most
        )
        if self._amplitudes is None:
            self._goes_along = heard >= GOES_ALONG
        else:
            wanted = hold * self._amplitudes + (1.0 - hold) * wanted
        self._amplitudes = wanted
        pattern = marker.spread.pattern(wanted * self.symbols, where)
        spent = float((pattern**2).sum())
        if spent > most:
            pattern = pattern * (most / spent) ** 0.5
        return add_to_luma(frame, rolled(pattern.numpy(), shift))


class SpreadGatherer:
    """Pools the features of frames; see ``Gatherer``.

    They are pooled twice: as the frames are, and as the camera moved since their group began. The second is
    right where the marker took the camera to move; who reads a file that was cut does not know where its
    groups begin, so ``search`` looks for that too.
    """

    def __init__(self, spread: Spread) -> None:
        self.spread = spread
        self.frames = 0
        self.looks = 0
        self.pooled: Tensor | None = None
        self.carried: Tensor | None = None
        self.moved = False
        self._follow = _Follower()
        self._kept: list[tuple[np.ndarray, Shift]] = []
        self._shape = (1, 1)
        self._sync = torch.from_numpy(sync_symbols().astype(np.float32))

    @torch.no_grad()
    def add(self, frame: Frame) -> None:
        """Takes a frame in."""
        if self.frames % GROUP == 0:
            self._follow = _Follower()
        fine = small_luma(frame, FINE * SIDE, FINE * SIDE)
        square = halve(fine)
        laid = self._follow(square)
        heard = features(torch.from_numpy(square))
        carried = heard
        if self._follow.shift != (0.0, 0.0):
            self.moved, carried = True, features(torch.from_numpy(laid))
        self.pooled = heard if self.pooled is None else self.pooled + heard
        self.carried = carried if self.carried is None else self.carried + carried
        self.frames += 1
        self._shape = (frame.width, frame.height)
        if len(self._kept) < KEPT:
            self._kept.append((fine, self._follow.shift))

    def pools(self) -> list[Float[Tensor, " n"]]:
        """Sums of features in which the mark may be: one, or two where the camera moved."""
        assert self.pooled is not None, "frames were added"
        assert self.carried is not None
        return [self.pooled, self.carried] if self.moved else [self.pooled]

    def read(self, known: Collection[int] = ()) -> Reading:
        """Reads the pooled frames, taken for uncropped."""
        self.looks += 1
        pools = self.pools()
        tries = len(pools) * self.looks
        readings = [read_pooled(self.spread, each, known, frames=self.frames, tries=tries) for each in pools]
        return min(readings, key=lambda reading: reading.p_value)

    @torch.no_grad()
    def search(self, known: Collection[int] = ()) -> Reading:
        """Looks for how far the camera had gone, and for the crop, by the sync; reads at the likeliest."""
        assert self.pooled is not None, "frames were added"
        still = [fine for fine, _ in self._kept]
        laid = [rolled(fine, (-FINE * x, -FINE * y)) for fine, (x, y) in self._kept]
        readings: list[Reading] = []
        tries = float(self.looks)
        if self.moved:
            tries += self._at_offsets(laid, known, tries, readings)
        for kept in (still, laid) if self.moved else (still,):
            if readings and min(reading.p_value for reading in readings) < _SURE:
                break
            tries += self._in_crops(kept, known, tries, readings)
        return min(readings, key=lambda reading: reading.p_value) if readings else self.read(known)

    def _at_offsets(
        self, laid: Sequence[np.ndarray], known: Collection[int], tries: float, readings: list[Reading]
    ) -> float:
        """Reads at likely ways that the camera had gone before the first frame; gives how many were tried."""
        squares = [halve(fine) for fine in laid]
        numbers = [torch.from_numpy(symbols_of(each).astype(np.float32)) for each in sorted(known)[:EXPECTED]]
        offsets, count = search_offset(self.spread, [self._sync, *numbers], squares)
        for at in offsets[:REFINED]:
            pooled = features(torch.from_numpy(np.stack([rolled(each, at) for each in squares]))).sum(0)
            readings.append(
                read_pooled(self.spread, pooled, known, frames=len(laid), tries=tries + count + REFINED)
            )
        return float(count + REFINED)

    def _in_crops(
        self, kept: Sequence[np.ndarray], known: Collection[int], tries: float, readings: list[Reading]
    ) -> float:
        """Reads at likely crops; gives how many were tried."""
        found = search(self.spread, self._sync, kept, self._shape)
        for candidate in found.best[:REFINED]:
            readings.append(
                read_pooled(
                    self.spread,
                    place_all(kept, candidate),
                    known,
                    frames=len(kept),
                    tries=tries + found.tries + REFINED,
                    placement=candidate,
                )
            )
        return float(found.tries + REFINED)


def place_all(kept: Sequence[Float32[np.ndarray, "f f"]], placement: Placement) -> Float[Tensor, " n"]:
    """Features of frames, laid where they were in the marked picture, and added up."""
    squares = torch.from_numpy(np.stack([place(each, placement) for each in kept]))
    return (features(squares) * placement.coefficients()).sum(0)


def read_pooled(
    spread: Spread,
    pooled: Float[Tensor, " n"],
    known: Collection[int] = (),
    *,
    frames: int = 1,
    tries: float = 1.0,
    placement: Placement | None = None,
) -> Reading:
    """The likeliest mark in pooled features.

    Args:
        spread: the key's.
        pooled: sum of ``features`` over frames.
        known: numbers that are expected.
        frames: how many were pooled.
        tries: at how many places was looked; the p-value pays for them.
        placement: the part of the picture that is seen; None: all of it.
    """
    total = float((pooled.double() ** 2).sum()) ** 0.5 or 1.0
    heard = spread.gather(pooled * spread.signs).double().numpy() / total
    sync = sync_symbols()
    power = spread.gather(pooled.double() ** 2).numpy()[sync != 0].sum() ** 0.5 / total
    presence = float(heard @ sync) / max(power, 1e-9)
    # three ways to an answer: the sync alone, the number that is read, the numbers that are expected
    answers: list[tuple[float, float, int | None, bool]] = [
        (tail(presence, 3.0 * tries), presence, None, False)
    ]
    number = number_of(read_bits(spread.scores(pooled).numpy()))
    if number is not None:
        score = float(heard @ symbols_of(number))
        answers.append((tail(score, 3.0 * tries * 2.0**32), score, number, number in known))
    if known:
        numbers = list(known)
        scores = np.stack([symbols_of(each) for each in numbers]) @ heard
        first = int(scores.argmax())
        score = float(scores[first])
        answers.append((tail(score, 3.0 * tries * len(numbers)), score, numbers[first], True))
    p_value, score, number, expected = min(answers, key=lambda answer: answer[0])
    return Reading(
        number=number,
        p_value=p_value,
        score=score,
        frames=frames,
        region=placement.region if placement else (0.0, 0.0, 1.0, 1.0),
        known=expected,
    )


@dataclass(frozen=True, kw_only=True)
class BitReport:
    """How well a mark that is known to be there is heard; for benchmarks and for strengthening."""

    bits: float
    """Share of the 64 bits that are read right."""
    symbols: float
    """Share of the 192 symbols."""
    scores: Float32[np.ndarray, "192"]
    """Each symbol's score, positive where it is right."""


def compare(spread: Spread, pooled: Float[Tensor, " n"], number: int) -> BitReport:
    """How much of a number is read from pooled features."""
    scores = spread.scores(pooled).numpy()
    right = (scores * symbols_of(number)).astype(np.float32)
    return BitReport(
        bits=float((read_bits(scores) == bits_of(number)).mean()),
        symbols=float((right > 0).mean()),
        scores=right,
    )

"""What an invisible mark is, whichever method makes it: it is put on frames, and frames are read together.

The answer to "is it marked?" is a p-value: the chance that a picture that has nothing to do with the key
would look at least as marked. It holds for every picture, since the chance is taken over keys and not over
pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from scipy.special import log_ndtr

from understudy.contracts import Frame

Region = tuple[float, float, float, float]
"""x0, y0, x1, y1: the part of the marked picture that is seen, in fractions of its width and height."""
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)
SMALLEST_P = 1e-300
"""No smaller p-value is given: floating point ends there."""
_SIGNS = 1.0 / (2.0 * math.erfc(1.0))


def tail(score: float, tries: float = 1.0) -> float:
    """Chance that one of some tries under foreign keys reaches a score, at most.

    A sum of numbers with random signs exceeds ``score`` times its root of squares with a probability of at
    most 3.18 times that of a normal variable (Bentkus and Dzindzalieta 2015, "A tight Gaussian bound for
    weighted sums of Rademacher random variables"); of several tries the chances add up (Bonferroni).

    Args:
        score: in standard deviations.
        tries: how many sums were looked at.
    """
    logarithm = float(log_ndtr(-score)) + math.log(_SIGNS * max(tries, 1.0))
    return min(1.0, max(SMALLEST_P, math.exp(min(0.0, logarithm))))


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read from frames."""

    number: int | None
    """The mark's number; None when none is legible (its check sum does not fit, and it is no known one)."""
    p_value: float
    """Chance of as good a reading without this mark, over everything that was tried."""
    score: float
    """Agreement with the mark that was read, in standard deviations; without a number, with the sync."""
    frames: int
    """How many were pooled."""
    region: Region = WHOLE
    """What part of the marked picture they show."""
    known: bool = False
    """Whether the number is one of those that were expected."""


@runtime_checkable
class Gatherer(Protocol):
    """Collects frames of one file and reads them together."""

    frames: int
    """How many it has."""

    def add(self, frame: Frame) -> None:
        """Takes a frame in."""
        ...

    def read(self, known: Collection[int] = ()) -> Reading:
        """Reads what is there, taken for uncropped.

        Args:
            known: numbers that are expected; they are recognised when too little is left to read.
        """
        ...

    def search(self, known: Collection[int] = ()) -> Reading:
        """Reads what is there, looking for the crop first; slower. A method that cannot reads as it is."""
        ...


@runtime_checkable
class Marker(Protocol):
    """Puts marks into frames and reads them. Built by a settings class in ``watermarks``."""

    algorithm: str
    """Name for C2PA's soft binding, reverse-DNS."""

    def begin(self, number: int) -> Callable[[Frame], Frame]:
        """What marks the frames of one shot after another, in order.

        Args:
            number: 0 to 2^32 - 1.
        """
        ...

    def gatherer(self) -> Gatherer:
        """For the frames of one file."""
        ...

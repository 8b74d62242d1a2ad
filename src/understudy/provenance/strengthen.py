"""Codec in the loop: a mark that is made stronger until it survives the encoder that it will meet.

A part of the footage is marked, encoded as it will be delivered, decoded and read. Symbols that came out weak
are asked to be heard better, and all get a little more energy; then once more. Each round costs an encode.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from understudy.contracts import Frame
from understudy.provenance.codeword import symbols_of
from understudy.provenance.spread import SpreadMarker
from understudy.video.encoding import Encoding
from understudy.video.reader import open_reader
from understudy.video.writer import VideoWriter

GOAL = 1.0
"""Mean score of a symbol in a single frame behind the codec that is aimed at."""
STEP = 0.7
"""Decibels that each round may add."""
LEAST = 42.0
"""Decibels below which no mark is made."""
STRONGEST = 3.0
"""Largest boost of a symbol."""

Codec = Callable[[Sequence[Frame]], Sequence[Frame]]
"""Frames as they come out of the encoder that they will meet."""


@dataclass(frozen=True, kw_only=True)
class Strengthened:
    """What came of it."""

    marker: SpreadMarker
    """Marks as strongly as was needed."""
    rounds: int
    """Encodes that were made."""
    heard: tuple[float, ...]
    """Share of the symbols that was heard right in single frames, before every round and at the end."""
    psnr: float
    """Decibels that are aimed at."""


def through(encoding: Encoding) -> Codec:
    """An encoder and its decoder, by a temporary file."""

    def act(frames: Sequence[Frame]) -> Sequence[Frame]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trial.mp4"
            with VideoWriter(path, encoding=encoding) as writer:
                for frame in frames:
                    writer.write(frame)
            with open_reader(path) as reader, closing(reader.frames()) as back:
                return list(back)

    return act


def strengthen(
    marker: SpreadMarker, frames: Sequence[Frame], codec: Codec, number: int, *, rounds: int = 3
) -> Strengthened:
    """A marker that is strong enough for a codec, or as strong as ``LEAST`` allows.

    Args:
        marker: where to begin.
        frames: a part of the footage, in order; a second of it will do.
        codec: what the frames will go through, see ``through``.
        number: what the mark says.
        rounds: encodes, at most.
    """
    symbols = torch.from_numpy(symbols_of(number)).float()
    heard: list[float] = []
    made = 0
    for _ in range(rounds + 1):
        stamp, pools = marker.begin(number), []
        for frame in codec([stamp(frame) for frame in frames]):
            pool = marker.gatherer()
            pool.add(frame)
            pools.append(pool.pooled)
        scores = marker.spread.scores(torch.stack(pools)) * symbols
        heard.append(float((scores > 0).float().mean()))
        weak = (GOAL - scores.mean(0)).clamp_min(0.0)
        psnr = marker.decibels(frames[0])[0]
        if made == rounds or float(weak.max()) == 0.0:
            break
        made += 1
        marker = SpreadMarker(
            marker.key,
            psnr=max(psnr - STEP, min(psnr, LEAST)),
            hold=marker.hold,
            boosts=(marker.boosts * (1.0 + weak)).clamp_max(STRONGEST),
        )
    return Strengthened(marker=marker, rounds=made, heard=tuple(heard), psnr=marker.decibels(frames[0])[0])

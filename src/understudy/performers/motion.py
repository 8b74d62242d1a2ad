"""What a performer does over time: talking, blinking, nodding, changing face; smooth, from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from understudy.performers.expression import Expression
from understudy.performers.state import State

_BLINK = 0.32
"""Length of a blink, seconds."""


@dataclass(frozen=True)
class Motion:
    """A performance without end; ``state`` may be asked for any time from 0 on."""

    seed: int
    """Decides everything."""
    turn: float = 28.0
    """Largest yaw, degrees."""
    nod: float = 14.0
    """Largest pitch, degrees."""
    lean: float = 8.0
    """Largest roll, degrees."""
    lively: float = 1.0
    """Factor on expressions."""

    @classmethod
    def from_seed(cls, seed: int) -> Motion:
        """A motion with its own temperament."""
        rng = np.random.default_rng([seed, 31])
        return cls(
            seed, turn=float(rng.uniform(18, 34)), nod=float(rng.uniform(8, 16)), lean=float(rng.uniform(4,
                9)),
            lively=float(rng.uniform(0.85, 1.1)),
        )  # fmt: skip

    @cached_property
    def _knots(self) -> np.ndarray:
        return np.random.default_rng([self.seed, 32]).uniform(-1, 1, (24, 512))

    def _wander(self, channel: int, time: float, period: float) -> float:
        """Smooth noise in [−1, 1] with a new value every ``period`` seconds (cubic in between)."""
        place = time / period + 7.0 * channel
        start = int(np.floor(place))
        t = place - start
        a, b, c, d = (float(self._knots[channel, (start + k) % 512]) for k in (-1, 0, 1, 2))
        value = 0.5 * (
            2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
        )
        return float(np.clip(value, -1, 1))

    def _episode(self, channel: int, time: float, period: float, share: float) -> float:
        """0 most of the time, now and then smoothly up to 1: on for about ``share`` of the time."""
        value = 0.5 + 0.5 * self._wander(channel, time, period)
        t = float(np.clip((value - (1 - share)) / max(0.25 * share + 0.1, 1e-3), 0, 1))
        return t * t * (3 - 2 * t)

    def _blink(self, time: float) -> float:
        """Closing of both lids, 0 to 1."""
        out = 0.0
        for slot in range(max(int(time / 3.0) - 1, 0), int(time / 3.0) + 1):
            begin = 3.0 * slot + 1.2 + 1.2 * float(self._knots[20, slot % 512])
            t = (time - begin) / _BLINK
            if 0 < t < 1:
                out = max(out, float(np.sin(np.pi * t) ** 2) * 1.15)
        return min(out, 1.0)

    def _gaze(self, channel: int, time: float) -> float:
        """Steps from one place to another within a few hundredths of a second, then rest."""
        place = time / 1.3 + 0.37 * channel
        start = int(np.floor(place))
        t = float(np.clip((place - start) / 0.06, 0, 1))
        before, after = self._knots[channel, (start - 1) % 512], self._knots[channel, start % 512]
        return float(before + (after - before) * t * t * (3 - 2 * t))

    def state(self, time: float) -> State:
        """The performance at a time in seconds."""
        wander, lively = self._wander, self.lively
        talking = self._episode(0, time, 2.6, 0.55)
        syllables = 0.5 + 0.5 * wander(1, time, 0.13)
        jaw = talking * (0.08 + 0.5 * syllables) * (0.75 + 0.25 * wander(2, time, 0.7))
        wide = self._episode(3, time, 3.1, 0.18)
        smile = self._episode(4, time, 2.2, 0.42)
        frown = self._episode(5, time, 2.7, 0.28) * (1 - smile)
        pucker = talking * max(wander(6, time, 0.21), 0.0) * 0.7 + 0.5 * self._episode(7, time, 3.7, 0.12)
        blink = self._blink(time)
        squint = 0.18 * smile
        wink = self._episode(8, time, 4.1, 0.06)
        expression = Expression(
            jaw=float(np.clip(lively * max(jaw, 0.9 * wide), 0, 1)),
            smile=float(np.clip(lively * smile * (0.75 + 0.25 * wander(9, time, 1.0)), 0, 1)),
            frown=float(np.clip(lively * frown, 0, 1)),
            brow_raise=float(np.clip(lively * (self._episode(10, time, 1.9, 0.35) + 0.4 * wide), 0, 1)),
            brow_lower=float(np.clip(lively * 0.8 * self._episode(11, time, 2.3, 0.22) * (1 - smile), 0, 1)),
            lid_right=float(np.clip(max(blink, squint, wink) - 0.25 * wide * (1 - blink), -0.3, 1)),
            lid_left=float(np.clip(max(blink, squint) - 0.25 * wide * (1 - blink), -0.3, 1)),
            gaze_x=0.75 * self._gaze(12, time),
            gaze_y=0.45 * self._gaze(13, time),
            pucker=float(np.clip(lively * pucker * (1 - smile), 0, 1)),
            lips_part=float(np.clip(0.75 * smile * (1 - talking) + 0.25 * talking * syllables, 0, 1)),
            cheek_puff=0.0,
        )
        return State(
            yaw=self.turn * float(np.clip(0.8 * wander(14, time, 1.7) + 0.35 * wander(15, time, 0.9), -1, 1)),
            pitch=self.nod * float(np.clip(0.7 * wander(16, time, 1.5) + 0.4 * wander(17, time, 0.6), -1, 1)),
            roll=self.lean * wander(18, time, 2.1),
            x=1.2 * wander(19, time, 2.4),
            y=0.6 * wander(21, time, 2.0),
            nearer=3.0 * wander(22, time, 3.0),
            expression=expression,
        )

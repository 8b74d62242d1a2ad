"""From where a label that stands at a beginning counts: the first frame, and wherever a programme goes on.

The EU's code of practice on marking (June 2026) wants its label at the start and after breaks, so that who
joins after the advertisements is told as well. Where the breaks will be only the channel knows: it names
them, or lets the label come back at equal distances.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from understudy.errors import ConfigError

if TYPE_CHECKING:
    from understudy.video.info import VideoInfo

_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)(s?)")


@dataclass(frozen=True, kw_only=True)
class LabelBreaks:
    """Where labels that stand at the beginning stand again."""

    at: tuple[str, ...] = ()
    """Where the programme goes on after its breaks, by the target's own time from its first frame: 12:30,
    1:02:03.5 or 750s; or by the number of a frame: 18750. Labels on every frame stay as they are."""
    every: float = 0.0
    """Minutes after which they come back throughout, where breaks are not known yet; 0: not at all."""

    def __post_init__(self) -> None:
        for each in self.at:
            parse_break(each)
        if not (self.every == 0.0 or 0.1 <= self.every < math.inf):
            raise ConfigError(f"every: wanted 0, or 0.1 minutes or more, got {self.every}")

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.at or self.every)


@dataclass(frozen=True, kw_only=True)
class Starts:
    """From where labels count that stand for some seconds."""

    frames: tuple[int, ...] = (0,)
    """Numbers of frames; a label stands for so many frames as its seconds have on average."""
    times: tuple[float, ...] = ()
    """Time stamps, seconds; exact where frames lie unevenly in time."""


def parse_break(text: str) -> int | float:
    """A frame's number as an int, or seconds as a float.

    Raises:
        ConfigError: it is neither.
    """
    if re.fullmatch(r"\d+", text):
        return int(text)
    found = _TIME.fullmatch(text)
    hours, minutes, seconds, unit = found.groups() if found else ("", "", "", "")
    whole = bool(minutes) != bool(unit) and not (minutes and float(seconds) >= 60)
    if not found or not whole or (hours and int(minutes) >= 60):
        raise ConfigError(f"at: wanted a time, 12:30, 1:02:03.5 or 750s, or a frame, 18750, got {text!r}")
    return 3600.0 * int(hours or 0) + 60.0 * int(minutes or 0) + float(seconds)


def starts_of(breaks: LabelBreaks, info: VideoInfo, first: int = 0) -> Starts:
    """From where labels count in a render.

    Args:
        breaks: the setting.
        info: of the target.
        first: number of the first frame that is rendered: the beginning of what is made.

    Raises:
        ConfigError: a break lies behind the target's end.
    """
    begin = float(info.first_pts * info.time_base)
    frames, times = [first], [begin] if first == 0 else []
    for text, place in zip(breaks.at, map(parse_break, breaks.at), strict=True):
        frame = place if isinstance(place, int) else place * float(info.rate)
        if frame >= info.frames + (0 if info.frames_exact else float(info.rate)):
            raise ConfigError(
                f"breaks.at: {text} lies behind the target's end ({info.frames} frames, "
                f"{info.duration:.1f} seconds), so that no label would stand there"
            )
        if isinstance(place, int):
            frames.append(place)
        else:
            times.append(begin + place)
    if step := 60.0 * breaks.every:
        times += [begin + step * turn for turn in range(1, math.ceil(info.duration / step))]
    return Starts(frames=tuple(sorted(set(frames))), times=tuple(sorted(set(times))))


def within(place: float, starts: Sequence[float], length: float) -> bool:
    """Whether a place lies no further than ``length`` behind one of the starts, which rise."""
    latest = bisect_right(starts, place)
    return latest > 0 and place - starts[latest - 1] < length

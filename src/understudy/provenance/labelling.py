"""The visible labels of a whole render as one station, which another process can make again from its key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from understudy.contracts import Frame
from understudy.faces.records import FaceRecord
from understudy.provenance.breaks import Starts
from understudy.provenance.visible import AT_THE_BEGINNING, PRESETS, Box, Labeller, Place

VERSION = 1
"""Of how labels are drawn; frames that another version drew are made again."""


class LabelStation:
    """Draws the labels of some presets on every frame that owes them.

    Args:
        labels: presets, each drawn clear of the faces and of the labels before it.
        width: of the frames.
        height: of the frames.
        rate: frames a second.
        faces: boxes of all faces of every frame, by its number.
        cuts: numbers of frames that begin a shot, after the first.
        starts: from where labels count that stand for some seconds.

    Raises:
        ConfigError: there is no such preset, or the frames are too small.
    """

    def __init__(
        self,
        labels: Sequence[str],
        width: int,
        height: int,
        rate: float,
        faces: Mapping[int, Sequence[Box]],
        cuts: Sequence[int] = (),
        starts: Starts = AT_THE_BEGINNING,
    ) -> None:
        self.rate, self.cuts, self.starts = float(rate), sorted(set(cuts)), starts
        self.labellers: dict[str, Labeller] = {}
        taken: dict[int, list[Box]] = {index: list(boxes) for index, boxes in faces.items()}
        for name in labels:
            if name in PRESETS and not PRESETS[name].text:
                continue
            made = Labeller(name, width, height, self.rate, taken, self.cuts, starts)
            self.labellers[name] = made
            for shot, place in made.places.items():
                first = self.cuts[shot - 1] if shot else 0
                box = (place.x0, place.y0, place.x0 + place.width, place.y0 + place.height)
                taken.setdefault(first, []).append(tuple(map(float, box)))  # pyright: ignore[reportArgumentType]  # four numbers

    def __call__(self, frame: Frame) -> Frame:
        """The frame with its labels."""
        for labeller in self.labellers.values():
            frame = labeller(frame)
        return frame

    def key(self) -> dict[str, Any]:
        """Plain data, as JSON gives it back."""
        places = {
            name: {str(shot): list(astuple(place)) for shot, place in labeller.places.items()}
            for name, labeller in self.labellers.items()
        }
        starts = {"frames": list(self.starts.frames), "times": list(self.starts.times)}
        return {
            "labels": places,
            "rate": self.rate,
            "cuts": self.cuts,
            "starts": starts,
            "version": VERSION,
        }

    @classmethod
    def from_key(cls, key: Mapping[str, Any]) -> LabelStation:
        """The station whose ``key`` that is."""
        starts = Starts(frames=tuple(key["starts"]["frames"]), times=tuple(key["starts"]["times"]))
        made = cls((), 0, 0, key["rate"], {}, key["cuts"], starts)
        for name, shots in key["labels"].items():
            places = {
                int(shot): Place(x0=x0, y0=y0, width=width, height=height, letter=letter)
                for shot, (x0, y0, width, height, letter) in shots.items()
            }
            made.labellers[name] = Labeller(name, 0, 0, made.rate, {}, made.cuts, starts, places)
        return made


def boxes_of(records: Iterable[FaceRecord]) -> dict[int, list[Box]]:
    """Boxes of all faces by frame."""
    out: dict[int, list[Box]] = {}
    for record in records:
        x0, y0, x1, y1 = (float(value) for value in record.data["box"])
        out.setdefault(record.frame, []).append((x0, y0, x1, y1))
    return out


def cuts_of(records: Iterable[FaceRecord]) -> list[int]:
    """Frames at which every face that was followed is gone and others are there: a new shot."""
    tracks: dict[int, set[int]] = {}
    for record in records:
        tracks.setdefault(record.frame, set()).add(record.track)
    return [
        frame for frame in sorted(tracks) if (before := tracks.get(frame - 1)) and not before & tracks[frame]
    ]

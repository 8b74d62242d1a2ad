"""The visible label: "AI MODIFIED" in a corner where no face is, drawn straight into the frame's planes.

White letters on a dark, half transparent plate, so that they can be read on any picture; one place for a
whole shot, in a fixed order of preference, so that it neither jumps nor flickers. Only the plate's rectangle
changes.

Presets and what they follow: the EU's code of practice on marking (June 2026: "AI MODIFIED", top right, at
the start and after breaks, see ``provenance.breaks``); China's GB 45438-2025 (letters of at least 5 % of the
shorter side, at least 2 s at the start); credits only, for evidently artistic work; research, on every frame.
They are no legal advice.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from understudy.contracts import Frame
from understudy.errors import ConfigError
from understudy.image.color import quantisation
from understudy.provenance.breaks import Starts, within

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How a label looks and how long it stays."""

    text: str
    """What it says; empty: nothing is drawn."""
    height: float
    """Height of a capital letter as a fraction of the frame's shorter side."""
    seconds: float | None
    """How long after every start; None: on every frame."""


PRESETS: dict[str, Preset] = {
    "eu-modified": Preset(text="AI MODIFIED", height=0.035, seconds=5.0),
    "eu-modified-always": Preset(text="AI MODIFIED", height=0.035, seconds=None),
    "gb45438": Preset(text="AI合成", height=0.056, seconds=3.0),
    "research": Preset(text="AI MODIFIED / RESEARCH", height=0.03, seconds=None),
    "credits-only": Preset(text="", height=0.0, seconds=0.0),
}
AT_THE_BEGINNING = Starts()
"""Where there are no breaks."""
SMALLEST = 9
"""Pixels of a capital letter below which it is hard to read."""
TINY = 6
"""Pixels of a capital letter on pictures on which a larger one finds no room."""
OPACITY = 0.75
_MARGIN = 0.6  # of the plate round the letters, in heights of a capital
_EDGE = 0.8  # between plate and frame, in heights of a capital
_STROKE = 0.15  # of a letter, in its height
_FINE = 192  # height at which letters are drawn before they are made smaller
_INK, _PLATE = 0.95, 0.05
_WHITE = {16: 0.58, 18: 0.75}  # signal of reference white: PQ and HLG (ITU-R BT.2408, table 1); else 1

HAN: dict[str, tuple[tuple[tuple[int, int], ...], ...]] = {
    "合": (
        ((50, 4), (36, 24), (6, 46)),
        ((50, 4), (64, 24), (94, 46)),
        ((30, 46), (70, 46)),
        ((24, 64), (76, 64), (76, 96), (24, 96), (24, 64)),
    ),
    "成": (
        ((18, 26), (92, 26)),
        ((18, 26), (18, 60), (6, 96)),
        ((18, 52), (46, 52), (43, 80), (33, 76)),
        ((56, 4), (60, 44), (74, 80), (92, 96), (94, 76)),
        ((84, 42), (66, 76), (46, 94)),
        ((70, 6), (82, 18)),
    ),
}
"""Strokes of the two characters that GB 45438 wants and no font of OpenCV's has, in a square of 100."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a label lies."""

    x0: int
    y0: int
    width: int
    height: int
    """Of the plate, pixels; even, as the place is."""
    letter: int
    """Height of a capital letter, pixels."""


def place_label(width: int, height: int, faces: Iterable[Box], preset: Preset) -> Place:
    """Where the label goes in a shot.

    Top right if no face is there, then the other corners, then along the edges, then anywhere; if faces fill
    the frame, where it covers least of them.

    Args:
        width: of the frame, pixels.
        height: of the frame, pixels.
        faces: boxes of all faces of all frames of the shot.
        preset: text and size.

    Raises:
        ConfigError: the frame is too small for the text.
    """
    letter = max(SMALLEST, int(np.ceil(preset.height * min(width, height))))
    plate = _size(preset.text, letter)
    while letter > TINY and (plate[0] > width or plate[1] > height):
        letter -= 1
        plate = _size(preset.text, letter)
    if plate[0] > width or plate[1] > height:
        raise ConfigError(
            f"label {preset.text!r} of {plate[0]} × {plate[1]} pixels does not fit into {width} × {height}: "
            "write a larger picture"
        )
    edge = int(_EDGE * letter)
    left, top = min(edge, width - plate[0]), min(edge, height - plate[1])
    right, bottom = max(left, width - plate[0] - edge), max(top, height - plate[1] - edge)
    columns = [int(x) for x in np.linspace(right, left, 9)]
    rows = [int(y) for y in np.linspace(top, bottom, 9)]
    corners = [(right, top), (left, top), (right, bottom), (left, bottom)]
    edges = [(x, y) for y in (top, bottom) for x in columns]
    edges += [(x, y) for y in rows for x in (right, left)]
    anywhere = [(x, y) for y in rows for x in columns]
    boxes = np.array(list(faces), np.float64).reshape(-1, 4)
    best, least = corners[0], np.inf
    for x, y in itertools.chain(corners, edges, anywhere):
        spot = (x & ~1, y & ~1)
        label = (*spot, spot[0] + plate[0], spot[1] + plate[1])
        covered = _overlap(label, boxes)
        if covered < least:
            best, least = spot, covered
        if least == 0:
            break
    return Place(x0=best[0] & ~1, y0=best[1] & ~1, width=plate[0], height=plate[1], letter=letter)


def _size(text: str, letter: int) -> tuple[int, int]:
    """Width and height of the plate."""
    drawn = _letters(text, letter).shape[1]
    return _even(drawn + 2 * _MARGIN * letter), _even(letter * (1 + 2 * _MARGIN))


def draw_label(frame: Frame, preset: Preset, place: Place) -> Frame:
    """The frame with the label; all samples outside the plate stay as they are.

    Args:
        frame: of any layout and depth.
        preset: the text.
        place: from ``place_label``.
    """
    ink, cover = _plate(preset.text, place.width, place.height, place.letter)
    white = _WHITE.get(frame.color.transfer, 1.0)
    signal = white * (_PLATE + (_INK - _PLATE) * ink)
    layout = frame.format
    q = quantisation(layout.depth, frame.color.full_range or layout.kind == "rgb")
    planes = [plane.copy() for plane in frame.planes]
    codes = q.offset + signal * q.luma_scale
    if layout.kind == "rgb":
        for channel in range(3):
            _blend(planes[0][..., channel], codes, cover, place.x0, place.y0)
        if layout.alpha:
            _blend(planes[0][..., 3], np.full_like(codes, q.maximum), cover, place.x0, place.y0)
        return dataclasses.replace(frame, planes=tuple(planes))
    _blend(planes[0], codes, cover, place.x0, place.y0)
    if layout.kind == "yuv":
        step_y, step_x = 1 << layout.shift_y, 1 << layout.shift_x
        x0, y0 = place.x0 // step_x, place.y0 // step_y
        rows = -(-(place.y0 + place.height) // step_y) - y0
        columns = -(-(place.x0 + place.width) // step_x) - x0
        neutral = np.full((rows, columns), q.middle, np.float32)
        small = cv2.resize(cover, (columns, rows), interpolation=cv2.INTER_AREA)
        for plane in planes[1:3]:
            _blend(plane, neutral, small, x0, y0)
        if layout.alpha:
            _blend(planes[3], np.full_like(codes, q.maximum), cover, place.x0, place.y0)
    return dataclasses.replace(frame, planes=tuple(planes))


class Labeller:
    """Draws the label of a preset over a whole video; one place a shot.

    Args:
        preset: name in ``PRESETS``.
        width: of the frames.
        height: of the frames.
        rate: frames a second.
        faces: boxes of the faces of every frame, by its number.
        cuts: numbers of frames that begin a shot, after the first.
        starts: from where ``Preset.seconds`` count: the beginning, and after breaks.
        places: where it lies in each shot, if that was settled before.

    Raises:
        ConfigError: there is no such preset, or the frames are too small.
    """

    def __init__(
        self,
        preset: str,
        width: int,
        height: int,
        rate: float,
        faces: Mapping[int, Sequence[Box]],
        cuts: Sequence[int] = (),
        starts: Starts = AT_THE_BEGINNING,
        places: Mapping[int, Place] | None = None,
    ) -> None:
        if preset not in PRESETS:
            raise ConfigError(f"label: wanted one of {', '.join(PRESETS)}, got {preset!r}")
        self.preset = PRESETS[preset]
        self._rate, self._starts = rate, starts
        self._cuts = sorted(set(cuts))
        self.places: dict[int, Place] = dict(places or {})
        """Where the label lies, by the number of the shot."""
        if self.preset.text and not self.places:
            shots: dict[int, list[Box]] = {shot: [] for shot in range(len(self._cuts) + 1)}
            for index, boxes in faces.items():
                shots[self._shot(index)] += boxes
            self.places = {s: place_label(width, height, boxes, self.preset) for s, boxes in shots.items()}

    def _shot(self, index: int) -> int:
        return int(np.searchsorted(self._cuts, index, side="right"))

    def shows(self, index: int, time: float = -math.inf) -> bool:
        """Whether a frame carries the label.

        Args:
            index: its number.
            time: its time stamp, seconds.
        """
        if not self.preset.text:
            return False
        seconds, starts = self.preset.seconds, self._starts
        if seconds is None:
            return True
        return within(index, starts.frames, seconds * self._rate) or within(time, starts.times, seconds)

    def __call__(self, frame: Frame) -> Frame:
        """The frame, with the label if it carries one."""
        if not self.shows(frame.index, frame.time):
            return frame
        return draw_label(frame, self.preset, self.places[self._shot(frame.index)])


# ------------------------------------------------------------------------------------------------ drawing


@lru_cache(maxsize=16)
def _plate(
    text: str, width: int, height: int, letter: int
) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """How much of each pixel is letter, and how much it covers what was there."""
    ink = np.zeros((height, width), np.float32)
    letters = _letters(text, letter)
    y, x = (height - letters.shape[0]) // 2, (width - letters.shape[1]) // 2
    ink[y : y + letters.shape[0], x : x + letters.shape[1]] = letters
    cover = np.maximum(np.float32(OPACITY), ink)
    ink.setflags(write=False)
    cover.setflags(write=False)
    return ink, cover


@lru_cache(maxsize=16)
def _letters(text: str, height: int) -> Float32[np.ndarray, "h w"]:
    """The text, its capitals ``height`` pixels high, in [0, 1]."""
    if not text:
        return np.zeros((height, 0), np.float32)
    gap = np.zeros((_FINE, int(0.16 * _FINE)), np.uint8)
    parts: list[np.ndarray] = []
    for letter in text:
        parts += [_glyph(letter), gap]
    fine = np.concatenate(parts[:-1], axis=1)
    width = round(fine.shape[1] * height / _FINE)
    small = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255.0)


def _glyph(letter: str) -> np.ndarray:
    """One letter, cut to its ink and brought to ``_FINE`` pixels of height."""
    if letter == " ":
        return np.zeros((_FINE, int(0.3 * _FINE)), np.uint8)
    stroke = int(_STROKE * _FINE)
    canvas = np.zeros((3 * _FINE, 3 * _FINE), np.uint8)
    if letter in HAN:
        for line in HAN[letter]:
            points = np.array([(_FINE + x * _FINE // 100, _FINE + y * _FINE // 100) for x, y in line])
            cv2.polylines(canvas, [points.astype(np.int32)], False, 255, int(0.7 * stroke), cv2.LINE_AA)
    else:
        size = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, _FINE, stroke)
        place = (_FINE // 2, 2 * _FINE)
        cv2.putText(canvas, letter, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, stroke, cv2.LINE_AA)
    rows, columns = np.nonzero(canvas.max(axis=1))[0], np.nonzero(canvas.max(axis=0))[0]
    ink = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = max(1, round(ink.shape[1] * _FINE / ink.shape[0]))
    return cv2.resize(ink, (width, _FINE), interpolation=cv2.INTER_AREA)


def _blend(plane: np.ndarray, codes: np.ndarray, cover: np.ndarray, x0: int, y0: int) -> None:
    """Lays code values over a part of a plane, in place; what reaches beyond the plane is cut off."""
    part = plane[y0 : y0 + codes.shape[0], x0 : x0 + codes.shape[1]]
    codes, cover = codes[: part.shape[0], : part.shape[1]], cover[: part.shape[0], : part.shape[1]]
    part[...] = np.rint(part * (1.0 - cover) + codes * cover).astype(plane.dtype)


def _overlap(one: tuple[int, int, int, int], others: Float64[np.ndarray, "n 4"]) -> float:
    """How many square pixels of the others a box covers, counted once for each."""
    width = np.minimum(others[:, 2], one[2]) - np.maximum(others[:, 0], one[0])
    height = np.minimum(others[:, 3], one[3]) - np.maximum(others[:, 1], one[1])
    return float((width.clip(0) * height.clip(0)).sum())


def _even(value: float) -> int:
    return int(np.ceil(value / 2)) * 2

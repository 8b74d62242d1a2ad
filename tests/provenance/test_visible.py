"""The visible labels, measured on rendered frames: contrast, height of the letters, duration, place."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from provenance_frames import frames

from understudy.contracts import Frame
from understudy.errors import ConfigError
from understudy.image.color import rect_to_rgb
from understudy.provenance.breaks import Starts
from understudy.provenance.visible import PRESETS, Labeller, Place, draw_label, place_label
from understudy.video.reader import VideoReader
from understudy.video.writer import VideoWriter

LAYOUTS = ("yuv420p", "yuv422p10le", "yuv444p16le", "yuva444p10le", "rgb24", "rgba64le", "gray", "gray10le")


def plain(name: str, level: float, width: int = 640, height: int = 360, full_range: bool = False) -> Frame:
    """A frame of one brightness, 0 to 1 of the code values, with strong colour."""
    frame = next(frames(1, name=name, width=width, height=height))
    top = (1 << frame.format.depth) - 1
    planes = [np.full_like(plane, round(level * top)) for plane in frame.planes]
    if frame.format.kind == "yuv":
        planes[1][:], planes[2][:] = round(0.7 * top), round(0.3 * top)
        planes += [np.zeros_like(planes[0])] if frame.format.alpha else []
    if frame.format.kind == "rgb":
        planes = [np.repeat(planes[0][..., None], 4 if frame.format.alpha else 3, axis=2)]
    color = replace(frame.color, full_range=full_range or frame.format.kind == "rgb")
    return replace(frame, planes=tuple(planes), color=color)


def luminance(frame: Frame, place: Place) -> np.ndarray:
    """Relative luminance of the label's pixels (WCAG 2.2; ITU-R BT.709 weights)."""
    x1, y1 = place.x0 + place.width, place.y0 + place.height
    if frame.format.kind == "gray":
        full, unit = frame.color.full_range, 1 << (frame.format.depth - 8)
        span, zero = ((1 << frame.format.depth) - 1, 0) if full else (219 * unit, 16 * unit)
        signal = np.repeat(
            (frame.planes[0][place.y0 : y1, place.x0 : x1, None] - float(zero)) / span, 3, axis=2
        )
    elif frame.format.kind == "rgb":
        part = frame.planes[0][place.y0 : y1, place.x0 : x1, :3]
        signal = part / float((1 << frame.format.depth) - 1)
    else:
        signal = rect_to_rgb(frame, place.x0, place.y0, x1, y1)
    signal = np.clip(signal, 0.0, 1.0)
    linear = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def contrast(values: np.ndarray) -> float:
    """Of the letters against the plate: the brightest tenth part against the median of the darker half."""
    plate = np.median(values[values <= np.median(values)])
    return float((np.quantile(values, 0.97) + 0.05) / (plate + 0.05))


@pytest.mark.parametrize("level", [0.07, 0.5, 0.92])
@pytest.mark.parametrize("name", LAYOUTS)
def test_it_can_be_read_on_any_picture(name: str, level: float) -> None:
    frame = plain(name, level)
    before = [plane.copy() for plane in frame.planes]
    preset = PRESETS["eu-modified"]
    place = place_label(frame.width, frame.height, [], preset)
    out = draw_label(frame, preset, place)
    assert contrast(luminance(out, place)) >= 4.5, "WCAG 2.2, success criterion 1.4.3"
    for old, kept, new in zip(before, frame.planes, out.planes, strict=True):
        np.testing.assert_array_equal(old, kept, "the frame that came is read only")
        assert new.dtype == old.dtype
        rows, columns = (old.shape[0] / frame.height, old.shape[1] / frame.width)
        y, x = int(place.y0 * rows), int(place.x0 * columns)
        inside = np.zeros(old.shape[:2], bool)
        inside[y : y + round(place.height * rows), x : x + round(place.width * columns)] = True
        np.testing.assert_array_equal(new[~inside], old[~inside], "outside the plate nothing changes")
        assert not np.array_equal(new, old)
    if frame.format.alpha:
        opacity = out.planes[3] if frame.format.kind == "yuv" else out.planes[0][..., 3]
        part = opacity[place.y0 : place.y0 + place.height, place.x0 : place.x0 + place.width]
        assert part.min() > 0.7 * ((1 << frame.format.depth) - 1), "a label on nothing is still seen"


@pytest.mark.parametrize("size", [(640, 360), (1920, 1080), (1080, 1920), (300, 200)])
@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].text])
def test_letters_are_as_high_as_promised(name: str, size: tuple[int, int]) -> None:
    frame = plain("gray", 0.0, *size, full_range=True)
    place = place_label(*size, [], PRESETS[name])
    picture = draw_label(frame, PRESETS[name], place).planes[0]
    rows = np.nonzero((picture > 128).any(axis=1))[0]
    height = rows[-1] + 1 - rows[0]
    share = {"gb45438": 0.05, "research": 0.028}.get(name, 0.033)  # the first is the standard's
    assert height >= max(share * min(size), 8)
    assert height <= max(0.065 * min(size), 9), "unobtrusive"
    assert place.x0 >= 0
    assert place.x0 + place.width <= size[0]
    area = place.width * place.height / (size[0] * size[1])
    assert area < (0.03 if min(size) >= 360 else 0.1)


def test_it_stays_as_long_as_promised_in_the_file(tmp_path: Path) -> None:
    rate = 12
    path = tmp_path / "labelled.mp4"
    label = Labeller("gb45438", 160, 120, rate, {})
    with VideoWriter(path) as writer:
        for index in range(4 * rate):
            frame = plain("yuv420p", 0.5, 160, 120)
            writer.write(label(replace(frame, index=index, pts=index, time_base=Fraction(1, rate))))
    place = label.places[0]
    seen = []
    with VideoReader(path) as reader:
        for frame in reader:
            if contrast(luminance(frame, place)) > 3:
                seen.append(frame.time)
    assert seen[0] == 0
    assert 2.0 <= seen[-1] <= 3.0, "the standard asks for 2 s at the start"
    assert len(seen) == 3 * rate, "without a gap"


def test_which_frames_carry_it() -> None:
    always = Labeller("eu-modified-always", 640, 360, 25, {})
    assert all(always.shows(index) for index in range(1000))
    start = Labeller("eu-modified", 640, 360, 25, {}, starts=Starts(frames=(0, 500)))
    assert [index for index in range(1000) if start.shows(index)] == [*range(125), *range(500, 625)]
    none = Labeller("credits-only", 640, 360, 25, {})
    frame = plain("yuv420p", 0.5)
    assert none(frame) is frame
    with pytest.raises(ConfigError, match=r"wanted one of eu-modified.*got 'eu'"):
        Labeller("eu", 640, 360, 25, {})


def covers(place: Place, box: tuple[float, float, float, float]) -> bool:
    """Whether label and box have a pixel in common, counted on a raster."""
    picture = np.zeros((720, 1280), int)
    picture[place.y0 : place.y0 + place.height, place.x0 : place.x0 + place.width] += 1
    picture[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] += 1
    return bool((picture == 2).any())


def test_no_face_is_covered_wherever_it_is() -> None:
    random = np.random.default_rng(0)
    for _ in range(40):
        faces = []
        for _ in range(3):
            x, y, side = random.uniform(0, 1280), random.uniform(0, 720), random.uniform(60, 400)
            faces.append((max(0.0, x - side), max(0.0, y - side), min(1280.0, x), min(720.0, y)))
        place = place_label(1280, 720, faces, PRESETS["eu-modified"])
        assert not any(covers(place, box) for box in faces)
        assert place == place_label(1280, 720, faces[::-1], PRESETS["eu-modified"]), "deterministic"


def test_the_first_choice_is_top_right_and_a_full_frame_still_gets_one() -> None:
    place = place_label(1280, 720, [], PRESETS["eu-modified"])
    assert place.x0 + place.width > 1240
    assert place.y0 < 40
    assert place_label(1280, 720, [(0.0, 0.0, 1280.0, 720.0)], PRESETS["eu-modified"]) == place
    with pytest.raises(ConfigError, match="does not fit into 40"):
        place_label(40, 40, [], PRESETS["eu-modified"])


def test_it_keeps_its_place_through_a_shot_although_faces_walk() -> None:
    walk = {index: [(10.0 * index, 0.0, 10.0 * index + 300, 300.0)] for index in range(98)}
    label = Labeller("eu-modified-always", 1280, 720, 25, walk, cuts=[50])
    assert set(label.places) == {0, 1}
    frame = plain("yuv420p", 0.5, 1280, 720)
    for index in range(0, 98, 7):
        out = label(replace(frame, index=index)).planes[0]
        rows, columns = np.nonzero(out != frame.planes[0])
        place = label.places[int(index >= 50)]
        assert (columns.min(), rows.min()) == (place.x0, place.y0)
        assert not covers(place, walk[index][0])

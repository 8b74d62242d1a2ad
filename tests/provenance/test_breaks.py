"""Labels that come back after breaks: where they start, and what is seen of it in a rendered file."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from provenance_frames import frames

from understudy import config
from understudy.contracts import ColorTags
from understudy.errors import ConfigError
from understudy.provenance.breaks import LabelBreaks, Starts, parse_break, starts_of, within
from understudy.provenance.labelling import LabelStation
from understudy.provenance.visible import Labeller
from understudy.video.info import VideoInfo
from understudy.video.layout import layout_of
from understudy.video.reader import VideoReader
from understudy.video.writer import VideoWriter

EXACT = VideoInfo(
    path=Path("scene.mp4"),
    kind="video",
    width=160,
    height=120,
    format=layout_of("yuv420p"),
    stored_format="yuv420p",
    color=ColorTags(),
    frames=45000,
    frames_exact=True,
    rate=Fraction(25),
    time_base=Fraction(1, 12800),
    first_pts=6400,
    duration=1800.0,
    codec="h264",
    container="mov",
)
"""Half an hour that begins at 0.5 s."""


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("18750", 18750),
        ("0", 0),
        ("750s", 750.0),
        ("0.5s", 0.5),
        ("12:30", 750.0),
        ("1:02:03.5", 3723.5),
        ("90:00", 5400.0),
    ],
)
def test_a_break_is_a_frame_or_a_time(text: str, place: float) -> None:
    assert (parse_break(text), type(parse_break(text))) == (place, type(place))


@pytest.mark.parametrize(
    "text", ["", "12.5", "12:30s", "1:60:00", "12:75", "-3", "1:2:3:4", "01:00:00;02", "s", "1e3", "half"]
)
def test_anything_else_is_refused_before_any_work(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"wanted a time, 12:30, 1:02:03\.5 or 750s, or a frame, 18750, got"
    ):
        LabelBreaks(at=("12:30", text))


@pytest.mark.parametrize("every", [-1.0, 0.01, float("nan"), float("inf")])
def test_a_distance_that_is_none(every: float) -> None:
    with pytest.raises(ConfigError, match=r"every: wanted 0, or 0\.1 minutes or more"):
        LabelBreaks(every=every)


def test_where_labels_start() -> None:
    assert starts_of(LabelBreaks(), EXACT) == Starts(frames=(0,), times=(0.5,))
    breaks = LabelBreaks(at=("20:00", "18750", "1:30"))
    assert starts_of(breaks, EXACT) == Starts(frames=(0, 18750), times=(0.5, 90.5, 1200.5))
    assert starts_of(LabelBreaks(every=12.0), EXACT) == Starts(frames=(0,), times=(0.5, 720.5, 1440.5))
    assert starts_of(LabelBreaks(every=15.0), EXACT).times == (0.5, 900.5), "none at the very end"
    assert starts_of(LabelBreaks(), EXACT, first=500) == Starts(frames=(500,)), (
        "a part begins where it begins"
    )
    for behind in ("45000", "30:00", "1:00:00"):
        with pytest.raises(ConfigError, match=f"breaks.at: {behind} lies behind the target's end"):
            starts_of(LabelBreaks(at=(behind,)), EXACT)
    assert starts_of(LabelBreaks(at=("29:59.9",)), EXACT).times == (0.5, 1800.4)


def test_the_setting_is_written_and_read_like_every_other() -> None:
    breaks = config.merge(LabelBreaks(), {"at": ["12:30", "25:00"], "every": 5})
    assert breaks == LabelBreaks(at=("12:30", "25:00"), every=5.0)
    assert config.merge(LabelBreaks(), config.dump(breaks)) == breaks
    assert [bool(each) for each in (LabelBreaks(), breaks, LabelBreaks(every=1.0))] == [False, True, True]


def test_within_is_what_it_says_counted_one_by_one() -> None:
    random = np.random.default_rng(0)
    starts = sorted(random.uniform(0, 100, 12).tolist())
    for place in random.uniform(-5, 110, 500).tolist():
        assert within(place, starts, 3.0) == any(0 <= place - start < 3.0 for start in starts)
    assert not within(3.0, [], 3.0)


def test_uneven_frames_carry_it_for_its_seconds() -> None:
    """A phone's footage: 60 frames a second at first, 15 later, 24 on the average."""
    times = [*np.arange(0, 4, 1 / 60).tolist(), *np.arange(4, 40, 1 / 15).tolist()]
    rate = len(times) / 40
    info = replace(EXACT, frames=len(times), rate=Fraction(rate), duration=40.0, first_pts=0)
    starts = starts_of(LabelBreaks(at=("0:20",)), info)
    label = Labeller("eu-modified", 160, 120, rate, {}, starts=starts)
    shown = [time for index, time in enumerate(times) if label.shows(index, time)]
    for begin in (0.0, 20.0):
        wanted = [time for time in times if begin <= time < begin + 5.0]
        assert set(wanted) <= set(shown)
    assert len(shown) < 1.5 * 5 * (60 + 15)


def test_after_a_break_it_is_seen_again_in_the_rendered_file(tmp_path: Path) -> None:
    """White of the letters, counted in the decoded pictures of half a minute with two breaks."""
    rate, count = 6, 186
    info = replace(EXACT, frames=count, rate=Fraction(rate), duration=count / rate, first_pts=0)
    breaks = LabelBreaks(at=("0:12", "120"))
    station = LabelStation(("eu-modified",), 160, 120, rate, {}, starts=starts_of(breaks, info))
    again = LabelStation.from_key(json.loads(json.dumps(station.key())))
    assert station.key() != LabelStation(("eu-modified",), 160, 120, rate, {}).key()
    (grey,) = frames(1, width=160, height=120)
    grey = replace(grey, planes=tuple(np.full_like(plane, 128) for plane in grey.planes))
    path = tmp_path / "labelled.mp4"
    with VideoWriter(path) as writer:
        for index in range(count):
            frame = replace(grey, index=index, pts=index, time_base=Fraction(1, rate))
            out = station(frame)
            np.testing.assert_array_equal(out.planes[0], again(frame).planes[0])
            writer.write(out)
    with VideoReader(path) as reader:
        seen = [frame.time for frame in reader if (frame.planes[0] > 190).sum() > 100]
    wanted = [index / rate for index in range(count) if index // (5 * rate) in (0, 4) or 72 <= index < 102]
    np.testing.assert_allclose(seen, wanted, atol=1e-6)

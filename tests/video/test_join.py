"""Parts joined packet by packet equal the video written in one go."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from understudy.errors import OutputError
from understudy.performers.truth import rgb_frame
from understudy.video.join import decoding_times, join_parts
from understudy.video.reader import VideoReader
from understudy.video.writer import VideoWriter


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 4, 2, 1, 3], [-2, -1, 0, 1, 2]),
        ([10, 30, 20], [0, 10, 20]),
        ([5], [5]),
        ([], []),
    ],
)
def test_decoding_times_rise_and_never_pass_the_display_times(times: list[int], wanted: list[int]):
    got = decoding_times(times)
    assert got == wanted
    assert all(a < b for a, b in pairwise(got))
    assert all(dts <= pts for dts, pts in zip(got, times, strict=True))


def frames(count: int) -> list:
    random = np.random.default_rng(0)
    base = random.random((64, 96, 3), np.float32)
    return [rgb_frame(n, np.roll(base, 3 * n, axis=1), Fraction(25)) for n in range(count)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_parts_are_joined_without_loss(tmp_path: Path, suffix: str):
    pictures = frames(25)
    parts = [tmp_path / f"{n}{suffix}" for n in range(3)]
    for part, some in zip(parts, (pictures[:10], pictures[10:11], pictures[11:]), strict=True):
        with VideoWriter(part) as writer:
            for frame in some:
                writer.write(frame)
    join_parts(parts, tmp_path / f"whole{suffix}", metadata={"comment": "joined"})
    with VideoReader(tmp_path / f"whole{suffix}") as reader:
        whole = list(reader.frames())
        assert reader.damage is None
    assert [round(frame.time * 25) for frame in whole] == list(range(25))
    apart = [frame for part in parts for frame in VideoReader(part).frames()]
    for one, other in zip(whole, apart, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))
    with av.open(tmp_path / f"whole{suffix}") as container:
        assert {key.lower(): value for key, value in container.metadata.items()}["comment"] == "joined"


def test_no_parts(tmp_path: Path):
    with pytest.raises(OutputError, match="no frame"):
        join_parts([], tmp_path / "o.mp4")

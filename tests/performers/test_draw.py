"""Performers on disk: the video, its tags and sound, the truth that reads back."""

import json

import av
import numpy as np
import pytest

from understudy.errors import ConfigError, DataError
from understudy.events import Progress, StageDone
from understudy.performers.draw import PerformersSettings, draw, render_clip, scene_of
from understudy.performers.motion import Motion
from understudy.performers.performer import Performer
from understudy.performers.truth import read_truth, truth_folder

SETTINGS = PerformersSettings(seed=7, swap_with=5, frames=6, size=(192, 160), motion=2)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    output = tmp_path_factory.mktemp("drawn") / "scene.mp4"
    return output, list(draw(SETTINGS, output))


def test_events_and_files(drawn):
    output, events = drawn
    assert [event.done for event in events if isinstance(event, Progress)] == [1, 2, 3, 4, 5, 6]
    assert isinstance(events[-1], StageDone)
    names = {file.name for file in truth_folder(output).iterdir()}
    assert names == {"performer.json", "truth.jsonl", "face.mkv", "swap.mkv", "mask.mkv"}
    about = json.loads((truth_folder(output) / "performer.json").read_text(encoding="utf-8"))
    assert (about["performer"], about["source"]) == (7, 5)


def test_the_video_says_whom_it_shows_and_has_sound(drawn):
    output, _ = drawn
    with av.open(str(output)) as container:
        assert container.metadata["comment"] == "understudy performer seed=7"
        assert len(container.streams.audio) == 1
        frames = list(container.decode(video=0))
    assert len(frames) == 6
    assert (frames[0].width, frames[0].height) == (192, 160)


def test_truth_is_lossless(drawn):
    output, _ = drawn
    clip = render_clip(
        Performer.from_seed(7),
        Motion.from_seed(2),
        scene_of(SETTINGS),
        6,
        size=(192, 160),
        source=Performer.from_seed(5),
    )
    truth = truth_folder(output)
    with av.open(str(truth / "swap.mkv")) as swap, av.open(str(truth / "mask.mkv")) as mask:
        stored = zip(swap.decode(video=0), mask.decode(video=0), clip, read_truth(truth), strict=True)
        for picture, weight, wanted, row in stored:
            assert wanted.swap is not None
            np.testing.assert_array_equal(
                picture.to_ndarray(format="rgb24"), np.rint(wanted.swap.picture * 255)
            )
            np.testing.assert_array_equal(
                weight.to_ndarray(format="gray"), np.rint(wanted.swap.inner_mask * 255)
            )
            np.testing.assert_allclose(row.points, wanted.frame.points, atol=1e-3)
            assert row.swap_points is not None
            np.testing.assert_allclose(row.swap_points, wanted.swap.points, atol=1e-3)
            np.testing.assert_allclose(row.alignment, wanted.frame.alignment("full").matrix)
            assert row.pose == pytest.approx(wanted.frame.pose, abs=1e-3)


def test_without_swap_and_sound(tmp_path):
    output = tmp_path / "plain.mkv"
    list(draw(PerformersSettings(seed=7, frames=1, size=(96, 96), sound=False), output))
    with av.open(str(output)) as container:
        assert not container.streams.audio
    assert {file.name for file in truth_folder(output).iterdir()} == {
        "performer.json",
        "truth.jsonl",
        "face.mkv",
    }
    assert next(read_truth(truth_folder(output))).swap_points is None


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"size": (101, 100)}, {"size": (32, 32)}, {"seed": -1}])
def test_settings_that_cannot_be_drawn(wrong):
    with pytest.raises(ConfigError, match="wanted"):
        PerformersSettings(**wrong)


def test_damaged_truth_is_named(tmp_path):
    with pytest.raises(DataError, match=r"truth\.jsonl"):
        list(read_truth(tmp_path))
    (tmp_path / "truth.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1"):
        list(read_truth(tmp_path))

"""The command's pipeline on a small video, with networks that know the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from drawn_sets import draw_set, points_of
from fake_finders import fake_finders
from understudy.cli import evaluate as command
from understudy.errors import ConfigError, DataError, NoFaceError, VideoError
from understudy.events import Event, Progress, StageDone, Warned
from understudy.pipelines.evaluation import compare as comparing
from understudy.pipelines.evaluation import evaluate as evaluating
from understudy.pipelines.evaluation.compare import compare
from understudy.pipelines.evaluation.contenders import Contender, difference
from understudy.pipelines.evaluation.evaluate import EvaluateSettings, evaluate
from understudy.pipelines.evaluation.findings import Evaluation
from understudy.pipelines.evaluation.paired_footage import Inputs, PairedFootage
from understudy.pipelines.evaluation.pictures import apart, trouble
from understudy.pipelines.evaluation.scores import BY_NAME
from understudy.pipelines.evaluation.wanted import resolve
from understudy.pipelines.person import known_person
from understudy.training.rundir import RunFolder, make_origin

SIZE = (320, 240)
FRAMES = 10


def write_video(folder: Path, color: tuple[int, int, int], frames: int = FRAMES, size=SIZE) -> Path:
    """A folder of pictures: texture everywhere, a face's place in one colour."""
    folder.mkdir(parents=True)
    texture = np.random.default_rng(1).integers(60, 120, (SIZE[1], SIZE[0], 3), np.uint8)
    points = points_of(0.0)[:, :2]
    for number in range(frames):
        picture = texture.copy()
        hull = cv2.convexHull(np.rint(points).astype(np.int32))
        cv2.fillPoly(picture, [hull], tuple(channel + number for channel in color[::-1]))
        cv2.imwrite(str(folder / f"{number:03d}.png"), cv2.resize(picture, size))
    return folder


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("footage")
    return {
        "target": write_video(root / "target", (40, 60, 200)),
        "red": write_video(root / "red", (200, 40, 40)),
        "pink": write_video(root / "pink", (180, 90, 90)),
        "short": write_video(root / "short", (200, 40, 40), 6),
        "wide": write_video(root / "wide", (200, 40, 40), 2, (320, 120)),
        "source": write_video(root / "source", (200, 40, 40), 3),
        "nobody": write_black(root / "nobody"),
    }


def write_black(folder: Path) -> Path:
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    return folder


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    monkeypatch.setattr(evaluating, "build_finders", lambda *_: fake_finders(points_of(0.0)))
    monkeypatch.setattr(evaluating, "fetch_weights", lambda _: iter(()))


def inputs(footage, result: str, **more: Path) -> Inputs:
    return Inputs(result=footage[result], target=footage["target"], source=footage["source"], **more)


def ran(stream) -> list[Event]:
    return list(stream)


@pytest.fixture(scope="module")
def measured(footage, tmp_path_factory):
    """One evaluation for several tests."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluating, "build_finders", lambda *_: fake_finders(points_of(0.0)))
        patch.setattr(evaluating, "fetch_weights", lambda _: iter(()))
        wanted = inputs(footage, "short", truth=footage["red"])
        events = ran(evaluate(wanted, folder, EvaluateSettings(pictures=2)))
    return folder, events


def test_the_report_has_the_figures_and_the_page_shows_them(measured):
    folder, events = measured
    data = json.loads((folder / "report.json").read_text())
    assert data["kind"] == "evaluation"
    assert data["counts"] == {"frames": 6, "without_a_face": 0, "face_lost": 0, "not_swapped": 0}
    assert data["scores"]["psnr_truth"]["value"] is None, "no finite value: the result is the truth"
    assert data["scores"]["ssim_truth"]["value"] == pytest.approx(1.0)
    assert data["scores"]["closer"] == {
        "value": 100, "low": None, "high": None, "median": 100, "worst": 100, "n": 3, "unit": "%",
        "better": "high",
    }  # fmt: skip
    assert data["scores"]["identity_source"]["value"] < 0.1 < data["scores"]["identity_target"]["value"]
    assert len(data["frames"]["ssim_target"]) == 6
    assert data["target"]["name"] == "target"
    assert len(data["target"]["fingerprint"]) == 64
    text = (folder / "report.html").read_text()
    for words in ("short, measured", "Beside the DeepFaceLab paper", "The footage differs", "Contact sheet"):
        assert words in text
    assert events[-1].summary["frames"] == 6
    assert any(isinstance(event, Progress) and event.total == 6 for event in events) or len(events) < 9


def test_videos_of_different_length_say_which_frames_pair(measured):
    folder, events = measured
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert "short has 6 frames, target 10: frames 0 to 5 of the target pair with 0 to 5" in warning.message
    assert "frames 0 to 5" in (folder / "report.html").read_text(), "the page says so too"


def test_an_untouched_video_is_told(footage, tmp_path):
    events = ran(evaluate(inputs(footage, "target"), tmp_path, EvaluateSettings(pictures=1)))
    assert any(isinstance(e, Warned) and "10 frames show the target's own face" in e.message for e in events)


def test_no_face_is_an_error(footage, tmp_path):
    with pytest.raises(NoFaceError, match="no face was found"):
        ran(evaluate(Inputs(result=footage["nobody"], target=footage["nobody"], source=footage["source"]),
                     tmp_path, EvaluateSettings()))  # fmt: skip
    with pytest.raises(NoFaceError, match="nobody: no face"):
        known_person(footage["nobody"], fake_finders(points_of(0.0)))


def test_a_truth_that_cannot_be_read(footage, tmp_path):
    broken = tmp_path / "x.truth"
    broken.mkdir()
    with pytest.raises(DataError, match="truth cannot be read"):
        PairedFootage(inputs(footage, "red", truth=broken))
    (broken / "face.mkv").write_bytes(b"")
    with pytest.raises(DataError, match="--swap-with"):
        PairedFootage(inputs(footage, "red", truth=broken))


def test_frames_of_another_shape(footage):
    with pytest.raises(DataError, match="320 × 120 pixels, the target 320 × 240"):
        PairedFootage(inputs(footage, "wide"))


def test_an_offset_pairs_later_frames(footage):
    with PairedFootage(inputs(footage, "short"), offset=4) as paired:
        pairs = [(pair.target.index, pair.result.index) for pair in paired.pairs()]
    assert pairs == [(4 + n, n) for n in range(6)]
    assert paired.remarks == []
    with pytest.raises(DataError, match="no frame in common"):
        PairedFootage(inputs(footage, "short"), offset=10)


def test_the_disk_is_full(footage, tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_FAULT", "1:full")
    monkeypatch.setattr("understudy.durable._counter", iter(range(1, 99)))
    with pytest.raises(Exception, match="disk is full"):
        ran(evaluate(inputs(footage, "short"), tmp_path, EvaluateSettings(pictures=0)))
    assert not (tmp_path / "report.html").exists()


# ------------------------------------------------------------------------------------------------ who


def test_strangers_are_left_out_of_a_person(tmp_path):
    folder = write_video(tmp_path / "mixed", (200, 40, 40), 5)
    blue = write_video(tmp_path / "blue", (40, 40, 200), 1)
    (blue / "000.png").rename(folder / "x.png")
    person = known_person(folder, fake_finders(points_of(0.0)))
    assert (person.faces, person.others) == (5, 1)
    assert person.vector[0] > 0.7 > person.vector[2]
    assert person.pictures[0].shape == (192, 192, 3)


def test_the_person_of_a_face_set(tmp_path):
    draw_set(tmp_path / "set", 8, (200, 90, 90), vector=0.25)
    person = known_person(tmp_path / "set", fake_finders(points_of(0.0)), pictures=3)
    assert person.vector.tolist() == [0.25] * 4
    assert (person.faces, len(person.pictures)) == (2, 3)


# ------------------------------------------------------------------------------------------ what is meant


def wanted(footage, **more: Path) -> Inputs:
    return Inputs(**{"result": Path(), "target": footage["target"], "source": footage["source"], **more})


def test_where_the_report_of_a_video_goes(footage, tmp_path):
    found, folder, before = resolve(footage["red"], wanted(footage), None)
    assert found.result == footage["red"]
    assert folder == footage["red"].with_name("red.report")
    assert list(before) == []
    assert resolve(footage["red"], wanted(footage), tmp_path)[1] == tmp_path


@pytest.mark.parametrize(
    ("result", "changed", "error", "words"),
    [
        (None, {}, ConfigError, "wanted a swapped video or a run"),
        ("red", {"target": Path()}, ConfigError, "--target FOOTAGE"),
        ("red", {"source": Path()}, ConfigError, "wanted --source"),
        ("gone", {}, VideoError, "gone: there is no such file"),
        ("red", {"truth": Path("lost.truth")}, VideoError, "lost.truth: there is no such file"),
        ("empty", {}, VideoError, "no image in this folder"),
        ("faces", {}, VideoError, "faces: wanted a video, .* it is a face set"),
    ],
)
def test_what_is_missing_is_said(footage, tmp_path, result, changed, error, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "faceset.toml").touch()
    path = None if result is None else footage.get(result, tmp_path / result)
    with pytest.raises(error, match=words):
        resolve(path, wanted(footage, **changed), None)


def test_a_run_that_is_in_no_project_wants_a_source(footage, tmp_path):
    run = RunFolder.create(tmp_path, "df", {}, make_origin(0, {}))
    with pytest.raises(ConfigError, match="--source FACES"):
        resolve(run.path, wanted(footage, source=Path()), None)
    found, folder, _ = resolve(run.path, wanted(footage), None)
    assert folder == run.path / "report"
    assert found.result == folder / "result.mp4", "it is to be rendered first"


def test_words_before_the_flags_are_the_video():
    assert command.first_named(["a.mp4", "--target", "b"], "--result") == [
        "--result",
        "a.mp4",
        "--target",
        "b",
    ]
    assert command.first_named(["--target", "b"], "--result") == ["--target", "b"]


# ------------------------------------------------------------------------------------------ which frames


def test_the_worst_frames_lie_apart():
    values = np.array([0.0, 5.0, 4.9, np.nan, 1.0, 3.0, 2.0])
    assert apart(values, 3, 2) == [1, 5]
    assert apart(values, 2, 1) == [1, 2]
    assert apart(np.full(4, np.nan), 2, 1) == []


def test_trouble_is_what_lies_above_the_usual():
    random = np.random.default_rng(2)
    columns = {name: random.normal(1.0, 0.1, 50) for name in ("landmarks", "pose", "mouth")}
    columns["frame"] = np.arange(50.0)
    columns["pose"][17] = 9.0
    assert int(np.argmax(trouble(columns))) == 17
    assert trouble({"psnr_truth": np.array([30.0, 20.0])}).tolist() == [-30.0, -20.0]


# ------------------------------------------------------------------------------------------------ comparing


def contender(name: str, first: int, values: np.ndarray) -> Contender:
    frames = np.arange(first, first + len(values), dtype=np.float64)
    columns = {"frame": frames, "time": frames / 2, "pose": values, "landmarks": values / 100}
    return Contender(name=name, video=Path(name), offset=0, rate=2.0, columns=columns)


def test_differences_are_taken_on_the_frames_that_both_have():
    random = np.random.default_rng(4)
    shared = random.normal(5.0, 3.0, 60)
    one, other = contender("A", 0, shared), contender("B", 10, np.append(shared[10:] + 0.5, 99.0))
    found = difference(one, other, BY_NAME["pose"])
    assert (found.mean, found.n) == (pytest.approx(0.5), 50)
    assert found.low == found.high == pytest.approx(0.5)
    assert found.told_apart
    assert difference(one, other, BY_NAME["landmarks"]).mean == pytest.approx(0.5), "per cent"
    assert difference(one, other, BY_NAME["gaze"]) is None
    noise = contender("C", 0, shared + random.normal(0.0, 1.0, 60))
    assert not difference(one, noise, BY_NAME["pose"]).told_apart


def test_compare_measures_what_is_missing_and_puts_videos_side_by_side(footage, tmp_path, monkeypatch):
    results = [footage["red"], footage["pink"]]
    out = tmp_path / "comparison"
    settings = EvaluateSettings(pictures=1)
    events = ran(compare(results, wanted(footage), out, settings))
    stages = [event.stage for event in events if isinstance(event, StageDone)]
    assert stages == ["evaluate", "evaluate", "compare"]
    data = json.loads((out / "report.json").read_text())
    assert data["contenders"] == ["A: red", "B: pink"]
    assert data["differences_to_the_first"]["identity_source"][0]["mean"] > 0.1, (
        "pink is less like the source"
    )
    assert "A: red" in (out / "report.html").read_text()
    grid = cv2.VideoCapture(str(out / "grid.mp4"))
    assert (grid.get(cv2.CAP_PROP_FRAME_COUNT), grid.get(cv2.CAP_PROP_FRAME_WIDTH)) == (FRAMES, 3 * SIZE[0])
    fine, picture = grid.read()
    assert fine
    x, y = np.rint(points_of(0.0)[4, :2]).astype(int)
    blue, red = picture[y, x], picture[y, x + SIZE[0]]
    assert blue[0] > 150 > blue[2]
    assert red[2] > 150 > red[0]
    monkeypatch.setattr(comparing, "evaluate", lambda *_: pytest.fail("it was measured already"))
    again = ran(compare(results, wanted(footage), out, settings, grid=False))
    assert [event.stage for event in again if isinstance(event, StageDone)] == ["compare"]


def test_one_video_is_nothing_to_compare(footage, tmp_path):
    with pytest.raises(ConfigError, match="at least two"):
        ran(compare([footage["red"]], wanted(footage), tmp_path, EvaluateSettings()))
    with pytest.raises(ConfigError, match="red was named twice"):
        ran(compare([footage["red"], footage["red"]], wanted(footage), tmp_path, EvaluateSettings()))
    crowd = [tmp_path / f"{number}.mp4" for number in range(27)]
    with pytest.raises(ConfigError, match="26 videos or runs at most, got 27"):
        ran(compare(crowd, wanted(footage), tmp_path, EvaluateSettings()))


def test_a_report_against_somebody_else_is_not_taken(measured, footage):
    """Compare measures anew when another source, another truth or the network was asked for."""
    folder, _ = measured
    asked, settings = inputs(footage, "short", truth=footage["red"]), EvaluateSettings()
    assert comparing._measured(folder, asked, settings)
    assert comparing._measured(folder, inputs(footage, "short"), settings)
    assert not comparing._measured(folder, inputs(footage, "short", truth=footage["pink"]), settings)
    assert not comparing._measured(folder, replace(asked, source=footage["pink"]), settings)
    assert not comparing._measured(folder, asked, EvaluateSettings(perceptual=True))


def test_what_is_no_face_is_not_called_the_targets_own(footage):
    """Frames of something else do not show the target's own face, however little they differ."""
    columns = {
        "frame": np.arange(4.0),
        "target_seen": np.ones(4),
        "swapped": np.zeros(4),
        "found": np.array([1.0, 0.0, 1.0, 1.0]),
        "outside": np.array([0.0, 0.0, 0.3, 0.001]),
    }
    found = Evaluation.__new__(Evaluation)
    object.__setattr__(found, "columns", columns)
    assert found.counts()["not_swapped"] == 2
    assert next(found.warnings()).frame == 0

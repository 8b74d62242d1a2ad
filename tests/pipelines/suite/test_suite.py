from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy import config
from understudy.errors import ConfigError
from understudy.events import Event, Measured, StageDone
from understudy.image.color import frame_to_rgb8
from understudy.metrics.groups import AGES, TONES, age_group, tone_group
from understudy.performers import TEST_SEEDS_FROM
from understudy.performers.draw import PerformersSettings, draw
from understudy.performers.performer import Performer
from understudy.performers.truth import MASK_VIDEO, SWAP_VIDEO, truth_folder
from understudy.pipelines.runs.settings import TrainSettings
from understudy.pipelines.suite import suite
from understudy.pipelines.suite.baselines import write_baseline
from understudy.pipelines.suite.cases import BASELINES, CASES, METHODS
from understudy.pipelines.suite.suite import SuiteSettings, run_suite
from understudy.pipelines.suite.table import Row, markdown, results
from understudy.video.reader import VideoReader

ROOT = Path(__file__).resolve().parents[3]

# ------------------------------------------------------------------------------------------------ the cases


def seeds(half: str) -> list[int]:
    return [seed for case in CASES[half] for seed in (case.source, case.target)]  # type: ignore[index]


def test_the_halves_share_nobody_and_only_the_test_half_is_kept():
    development, test = seeds("development"), seeds("test")
    assert len(set(development + test)) == 24
    assert max(development) < TEST_SEEDS_FROM <= min(test)


def test_no_other_file_knows_the_test_half():
    own = ROOT / "src/understudy/pipelines/suite/cases.py"
    numbers = {form for seed in seeds("test") for form in (str(seed), f"{seed:_}")}
    files = [
        path for room in ("src", "benchmarks", "examples", "tests") for path in (ROOT / room).rglob("*.py")
    ]
    knowing = [path for path in files if path != own and any(n in path.read_text("utf-8") for n in numbers)]
    assert knowing == []


@pytest.mark.parametrize("half", CASES)
def test_each_half_has_people_of_every_tone_and_age(half):
    looks = [Performer.from_seed(case.target).look for case in CASES[half]]
    assert sorted(map(tone_group, (look.tone for look in looks))) == sorted(TONES * 2)
    assert {age_group(look.age) for look in looks} == set(AGES)
    assert {case.light for case in CASES[half]} == {"same", "other"}
    assert {case.occluder for case in CASES[half]} == {"none", "glasses", "hand"}


def test_every_method_is_a_training():
    for name, method in METHODS.items():
        settings = config.merge(TrainSettings(), method.changes(64))
        assert settings.model.name == name.split("+")[0]
        assert settings.model.resolution == 64
        assert len(settings.losses) == 2 + name.count("+")


def test_wrong_settings_are_named():
    with pytest.raises(ConfigError, match="there is no 'dff'; there are original, df"):
        SuiteSettings(methods=("dff",))
    with pytest.raises(ConfigError, match="cases: wanted 1 to 6, got 7"):
        SuiteSettings(cases=7)
    with pytest.raises(ConfigError, match="steps"):
        SuiteSettings(steps=0)


# ------------------------------------------------------------------------------------------------ baselines


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("drawn") / "target.mp4"
    for _ in draw(
        PerformersSettings(seed=5202, swap_with=5201, frames=2, size=(128, 128), sound=False), target
    ):
        pass
    return target


def pictures(path: Path) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return [frame_to_rgb8(frame, 128).astype(np.float64) for frame in reader.frames()]


def test_baselines_are_what_they_are_called(drawn, tmp_path):
    made = {}
    for name in BASELINES:
        write_baseline(name, drawn, truth_folder(drawn), tmp_path / f"{name}.mp4")
        made[name] = pictures(tmp_path / f"{name}.mp4")
    plates, exact = pictures(drawn), pictures(truth_folder(drawn) / SWAP_VIDEO)
    with VideoReader(truth_folder(drawn) / MASK_VIDEO) as reader:
        masks = [frame.planes[0] for frame in reader.frames()]
    assert (tmp_path / "untouched.mp4").read_bytes() == drawn.read_bytes()
    for number, mask in enumerate(masks):
        inside = mask > 250

        def away(name: str, truth: list[np.ndarray], where: np.ndarray, place: int = number) -> float:
            return float(np.abs(made[name][place] - truth[place])[where].mean())

        assert 0 < away("re-encoded", plates, mask >= 0) < 3
        assert away("exact", exact, inside) < 5 < away("untouched", exact, inside)
        assert made["mean colour"][number][inside].std(0).max() < 3 < plates[number][inside].std(0).max()
        assert away("mean colour", plates, mask == 0) < 3


# ------------------------------------------------------------------------------------------------ the table


def row(method: str, case: str, tone: str, **figures: float) -> Row:
    return Row(
        case=case, method=method, tone=tone, age="20 to 39", seconds=10.0 if method == "df" else None,
        figures=figures, frames={"frames": 60, "not_swapped": 1},
    )  # fmt: skip


def test_the_table_is_means_over_pairs_with_their_intervals():
    rows = [row("df", f"{n}", TONES[n % 2], psnr_truth=20.0 + n, ssim_target=0.5) for n in range(4)]
    rows += [row("exact", "0", "light", psnr_truth=40.0)]
    table = results(rows, "development", {"steps": 3})
    found = table["methods"]["df"]
    assert found["figures"]["psnr_truth"]["mean"] == 21.5
    assert found["figures"]["psnr_truth"]["n"] == 4
    assert (
        20.0 <= found["figures"]["psnr_truth"]["low"] < 21.5 < found["figures"]["psnr_truth"]["high"] <= 23.0
    )
    assert (found["pairs"], found["frames"], found["not_swapped"], found["paper"]) == (4, 240, 4, "DF")
    assert found["groups"]["tone"]["psnr_truth"]["light"] == {"mean": 21.0, "low": None, "high": None, "n": 2}
    assert found["groups"]["tone"]["psnr_truth"]["dark"]["n"] == 0
    assert table["methods"]["exact"]["kind"] == "baseline"
    json.dumps(table, allow_nan=False)
    lines = markdown(table)
    assert lines[0] == "| method | n | SSIM to target ↑ | PSNR to truth ↑ |"
    assert lines[2].startswith("| df | 4 | 0.500 [0.500, 0.500] | 21.50 [")
    assert lines[3] == "| exact | 1 | – | 40.00 |"


def test_a_report_becomes_a_row(tmp_path):
    report = {
        "scores": {"psnr_truth": {"value": 21.0}, "neck": {"value": math.nan}},
        "correlations": {"mouth": 0.8},
        "counts": {"frames": 60},
    }
    case = CASES["development"][2]
    found = Row.of(case, "df", report, 12.0)
    assert found.figures == {"psnr_truth": 21.0, "mouth_r": 0.8}
    assert (found.tone, found.age) == ("dark", "40 to 59")
    (tmp_path / "row.json").write_text(json.dumps(dataclasses.asdict(found)))
    assert Row.read(tmp_path / "row.json") == found
    assert found.headline() == {"psnr_truth": 21.0}


# ------------------------------------------------------------------------------------------- the pipeline


class Stations:
    """Stands in for the stages, which have tests of their own; notes what was asked of them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.stopped = False
        for name in ("draw", "extract", "train", "merge", "evaluate"):
            patch.setattr(suite, name, getattr(self, name))
        patch.setattr(suite, "write_baseline", self.baseline)
        patch.setattr(suite, "_complete", lambda faces, name: True)
        patch.setattr(suite.FaceSet, "open", lambda path: path)
        patch.setattr(suite._Job, "_run", lambda job, source, target: job)
        patch.setattr(suite._Job, "swapper", None, raising=False)

    def draw(self, drawing: PerformersSettings, video: Path) -> Iterator[Event]:
        self.calls.append(f"draw {drawing.seed}")
        truth_folder(video).mkdir()
        about = {"settings": dataclasses.asdict(drawing)}
        (truth_folder(video) / "performer.json").write_text(json.dumps(about))
        video.touch()
        yield from ()

    def extract(self, inputs: tuple[Path, ...], faces: Path, *_: Any, **__: Any) -> Iterator[Event]:
        self.calls.append(f"extract {inputs[0].stem}")
        faces.mkdir(parents=True)
        (faces / "faceset.toml").touch()
        yield from ()

    def train(self, run: suite._Job, *_: Any, **__: Any) -> Iterator[Event]:
        self.calls.append(f"train {run.case.name} {run.name}")
        yield StageDone(stage="train", summary={"state": "stopped" if self.stopped else "done"})

    def merge(self, *_: Any) -> Iterator[Event]:
        self.calls.append("merge")
        yield from ()

    def baseline(self, name: str, *_: Any) -> None:
        self.calls.append(f"baseline {name}")

    def evaluate(self, inputs: Any, folder: Path, *_: Any) -> Iterator[Event]:
        self.calls.append(f"evaluate {folder.parent.name}")
        assert all("faces/source" in str(path) for path in inputs.gallery)
        folder.mkdir(parents=True)
        found = {"scores": {"psnr_truth": {"value": 20.0}}, "correlations": {}, "counts": {"frames": 1}}
        (folder / "report.json").write_text(json.dumps(found))
        yield from ()


@pytest.fixture
def stations(monkeypatch: pytest.MonkeyPatch) -> Stations:
    return Stations(monkeypatch)


SETTINGS = SuiteSettings(methods=("df",), cases=2, steps=3)


def test_everything_is_done_once(stations, tmp_path):
    events = list(run_suite(SETTINGS, tmp_path))
    assert stations.calls.count("train 5118_5123 df") == stations.calls.count("train 5137_5115 df") == 1
    assert [call for call in stations.calls if call.startswith("draw")] == [
        "draw 5118", "draw 5123", "draw 5137", "draw 5115",
    ]  # fmt: skip
    assert sum(call.startswith("baseline") for call in stations.calls) == 8
    assert len([event for event in events if isinstance(event, Measured)]) == 10
    table = json.loads((tmp_path / "results_development.json").read_text())
    assert list(table["methods"]) == [*BASELINES, "df"]
    assert table["methods"]["df"]["pairs"] == 2
    stations.calls.clear()
    assert isinstance(list(run_suite(SETTINGS, tmp_path))[-1], StageDone)
    assert stations.calls == []


def test_more_methods_and_pairs_only_add(stations, tmp_path):
    list(run_suite(dataclasses.replace(SETTINGS, cases=1), tmp_path))
    stations.calls.clear()
    list(run_suite(dataclasses.replace(SETTINGS, cases=1, methods=("df", "liae")), tmp_path))
    assert stations.calls == ["train 5118_5123 liae", "merge", "evaluate liae"]


def test_a_stopped_suite_goes_on(stations, tmp_path):
    stations.stopped = True
    last = list(run_suite(SETTINGS, tmp_path))[-1]
    assert isinstance(last, StageDone)
    assert last.summary == {"state": "stopped", "done": 4}
    stations.calls.clear()
    stations.stopped = False
    last = list(run_suite(SETTINGS, tmp_path))[-1]
    assert isinstance(last, StageDone)
    assert last.summary["state"] == "done"
    assert stations.calls[0] == "train 5118_5123 df"


def test_other_settings_want_another_folder(stations, tmp_path):
    list(run_suite(dataclasses.replace(SETTINGS, cases=1), tmp_path))
    with pytest.raises(ConfigError, match="holds a suite with another steps; give the same"):
        list(run_suite(dataclasses.replace(SETTINGS, steps=4), tmp_path))

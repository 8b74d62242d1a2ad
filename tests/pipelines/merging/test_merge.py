from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from merge_footage import FRAMES, Footage, make_footage, packets_of, pictures_of
from understudy.contracts import Frame
from understudy.errors import ConfigError, OutputError
from understudy.events import Progress, StageDone, Warned
from understudy.pipelines.merging.merge import MergeSettings, merge, parts_folder
from understudy.pipelines.merging.render import Renderer, RenderOrder
from understudy.pipelines.merging.settings import MOST_BATCH
from understudy.video.encoding import Encoding
from understudy.video.images import read_image

LOSSLESS = MergeSettings(segment=16, encode=Encoding(lossless=True, preset="ultrafast"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return make_footage(tmp_path_factory.mktemp("footage"))


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return make_footage(tmp_path_factory.mktemp("stills"), name="stills", frames=30)


def run(footage: Footage, output: Path, settings: MergeSettings = LOSSLESS, **more) -> list:
    return list(merge(footage.swapper, footage.target, footage.faces, output, settings, **more))


def stop_after(footage: Footage, output: Path, segments: int, settings: MergeSettings = LOSSLESS) -> None:
    """As a Ctrl-C does as soon as so many segments stand in the journal."""
    table = parts_folder(output) / "parts.jsonl"
    events = merge(footage.swapper, footage.target, footage.faces, output, settings)
    for event in events:
        if (
            isinstance(event, Progress)
            and table.is_file()
            and len(table.read_text().splitlines()) >= segments
        ):
            events.close()


@pytest.fixture(scope="module")
def whole(footage: Footage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "out.mp4"
    run(footage, output)
    return output


def test_every_frame_is_there_and_swapped(footage, whole):
    plate, result = list(pictures_of(footage.target)), list(pictures_of(whole))
    assert len(result) == FRAMES
    assert not set(plate) & set(result)
    assert not parts_folder(whole).exists()
    told = json.loads(whole.with_name("out.mp4.json").read_text())
    assert told["frames_by_number_of_faces"] == {"1": FRAMES}


@pytest.mark.parametrize("batch", [0, MOST_BATCH + 1, 100_000_000])
def test_a_batch_that_no_memory_holds_is_refused(batch: int):
    with pytest.raises(ConfigError, match=f"batch: wanted 1 to {MOST_BATCH} faces at a time, got {batch}"):
        MergeSettings(batch=batch)


def test_pictures_are_not_poured_into_a_folder_of_other_things(footage, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match=r"mine holds letter\.txt, so it is no folder of pictures"):
        run(footage, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


@pytest.fixture
def eager(monkeypatch):
    """Progress is told at every frame."""
    monkeypatch.setattr("understudy.pipelines.merging.report._EVERY", 0.0)


@pytest.mark.parametrize("segments", [1, 2])
def test_an_interrupted_render_goes_on(eager, footage, whole, tmp_path, segments):
    output = tmp_path / "out.mp4"
    stop_after(footage, output, segments)
    assert not output.exists()
    events = run(footage, output)
    (first, *_) = [event for event in events if isinstance(event, Progress)]
    assert first.done == 16 * segments + 1
    assert any(f"frame {16 * segments}" in e.message for e in events if isinstance(e, Warned))
    assert packets_of(output) == packets_of(whole)


def render_of(footage: Footage, folder: Path, number: int, end: int | None = None) -> list:
    """Steps and reports of some segments, made by a renderer of their own as another process makes it."""
    order = RenderOrder(
        swapper=footage.swapper,
        target=footage.target,
        faces=footage.faces.path,
        persons=(0,),
        output=folder / "out.mp4",
        settings=LOSSLESS,
    )
    parts = parts_folder(order.output)
    parts.mkdir(parents=True, exist_ok=True)
    order = RenderOrder.from_json(json.loads(json.dumps(order.to_json())))
    return list(Renderer(order).segments(number, end))


def test_a_segment_alone_is_what_it_is_in_one_go(footage, tmp_path):
    reports = [item for item in render_of(footage, tmp_path / "go", 0) if not isinstance(item, tuple)]
    assert [(report.number, report.frames, report.more) for report in reports] == [
        (0, 16, True),
        (1, 16, True),
        (2, 8, False),
    ]
    for number in (2, 0, 1):
        *ticks, report = render_of(footage, tmp_path / "alone", number, number + 1)
        assert report == reports[number]
        assert len(ticks) == report.frames
        alone, go = (tmp_path / name / ".out.mp4.parts" / report.part for name in ("alone", "go"))
        assert list(pictures_of(alone)) == list(pictures_of(go))
    (behind,) = render_of(footage, tmp_path / "alone", 3, 4)
    assert (behind.frames, behind.more) == (0, False)


def test_missing_segments_are_made_in_any_order(footage, whole, tmp_path):
    """The middle one is missing, as after several processes were stopped."""
    output = tmp_path / "out.mp4"
    table = parts_folder(output) / "parts.jsonl"
    events = merge(footage.swapper, footage.target, footage.faces, output, LOSSLESS, finish=[fail])
    with pytest.raises(OutputError, match="not today"):
        list(events)
    assert not output.exists()
    lines = table.read_text().splitlines()
    assert len(lines) == 3
    table.write_text("\n".join([lines[2], lines[1][:20], lines[0]]) + "\n")
    run(footage, output)
    assert packets_of(output) == packets_of(whole)


def fail(staged: Path) -> None:
    assert staged.stat().st_size > 1000
    raise OutputError("not today")


def test_the_whole_file_is_finished_before_it_gets_its_name(footage, tmp_path):
    output = tmp_path / "out.mp4"
    seen = []
    finish = [lambda staged: seen.append((staged.suffix, output.exists(), len(packets_of(staged))))]
    run(footage, output, finish=finish)
    assert seen == [(".mp4", False, FRAMES)]


@dataclasses.dataclass(frozen=True)
class Darker:
    """A station that halves the luma."""

    seen: tuple[str, ...] = ("a",)

    def __call__(self, frame: Frame) -> Frame:
        return dataclasses.replace(frame, planes=(frame.planes[0] // 2, *frame.planes[1:]))

    def key(self):
        return {"darker": list(self.seen)}


def test_stations_are_applied_and_belong_to_the_key(eager, footage, whole, tmp_path):
    output = tmp_path / "out.mp4"
    stop_after(footage, output, 2)
    events = run(footage, output, stations=[Darker()])
    assert next(e for e in events if isinstance(e, Progress)).done == 1  # nothing of before was used
    assert len(list(pictures_of(output))) == FRAMES
    assert not set(pictures_of(output)) & set(pictures_of(whole))


def test_other_settings_throw_the_segments_away_and_speed_does_not(eager, footage, tmp_path):
    output = tmp_path / "out.mp4"
    stop_after(footage, output, 2)
    other = dataclasses.replace(LOSSLESS, device="cpu")
    stop_after(footage, output, 2, other)
    table = parts_folder(output) / "parts.jsonl"
    assert len(table.read_text().splitlines()) == 2
    stop_after(footage, output, 1, dataclasses.replace(LOSSLESS, batch=3))
    assert len(table.read_text().splitlines()) == 1


def test_pictures_go_on_too(eager, stills, tmp_path):
    settings = MergeSettings(segment=8)
    whole = tmp_path / "whole" / "out"  # the same name: the invisible mark stands for it too
    whole.parent.mkdir()
    run(stills, whole, settings)
    output = tmp_path / "out"
    stop_after(stills, output, 2, settings)
    names = [f"shot.{1001 + number}.png" for number in range(30)]
    assert sorted(path.name for path in output.iterdir()) == names[: len(list(output.iterdir()))]
    (output / names[3]).unlink(missing_ok=True)  # its segment is made again
    signed = []
    events = run(stills, output, settings, finish=[lambda path: signed.append(path.name)])
    assert sorted(path.name for path in output.iterdir()) == names
    for name in names:
        samples, expected = (read_image(folder / name)[0] for folder in (output, whole))
        assert np.array_equal(samples, expected)  # the files differ by the time of their signature
    assert any("2 parts" in e.message or "1 parts" in e.message for e in events if isinstance(e, Warned))
    assert not parts_folder(output).exists()
    assert isinstance(events[-1], StageDone)


def test_a_run_can_be_named_for_its_swapper(tmp_path):
    footage = make_footage(tmp_path, frames=2)
    made = {}
    for name, place in (("run", footage.swapper.parent), ("swapper", footage.swapper)):
        output = tmp_path / name / "out.mp4"
        output.parent.mkdir()
        list(merge(place, footage.target, footage.faces, output, MergeSettings()))
        made[name] = json.loads(output.with_name("out.mp4.json").read_text())["swapper"]
    assert made["run"] == made["swapper"]
    assert made["run"]["run"] == footage.swapper.parent.name

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from understudy.errors import OutputError
from understudy.events import Event, Measured, Progress, Saved, StageDone, StageStarted
from understudy.pipelines.runs import preview_page
from understudy.pipelines.runs.preview_page import with_page, write_page
from understudy.training.preview import write_png
from understudy.training.rundir import RunFolder, make_origin


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "df", {"train": {}}, make_origin(0, {}))


def progress(step: int) -> Progress:
    values = {"loss": 5.0 / step, "dssim_source": 1.0, "rate": 1e-3, "steps_per_second": 2.0, "memory": 1e9}
    return Progress(stage="train", done=step, values=values)


def measured(step: int) -> Measured:
    return Measured(step=step, figures={"heldout/ssim_source": 0.5 + step / 100, "heldout/pose_error": 3.0})


def fill(run: RunFolder) -> None:
    for step in (1, 10, 20):
        run.record(progress(step))
        run.record(measured(step))
    for step, grey in ((10, 50), (20, 200)):
        write_png(run.previews / f"{step:08d}.png", np.full((40, 60, 3), grey, np.uint8))


def test_the_page_shows_the_newest_preview_and_the_curves_and_asks_nobody(run):
    fill(run)
    (run.previews / "00000030.png").write_bytes(b"\x89PNG")  # being written by somebody
    text = write_page(run).read_text()
    assert re.findall("<figcaption>(.*?)</figcaption>", text) == ["step 20"]
    assert text.count("data:image/webp;base64,") == 1
    assert '<meta http-equiv="refresh" content="20">' in text
    titles = re.findall("<h2>(.*?)</h2>", text)
    assert titles == [
        "Preview",
        "Loss",
        "Structure of held-out faces",
        "Pose of swapped held-out faces",
    ]
    assert text.count("<polyline") == 2 + 1 + 1
    assert "step 20</h1>" in text
    assert all(value.startswith("data:") for value in re.findall(r'(?:src|href)="([^"]*)"', text))
    assert "<script" not in text


def test_a_run_that_has_just_begun_has_a_page(run):
    assert "step 0" in write_page(run).read_text()


def test_the_page_is_written_when_there_is_something_to_see_and_at_the_end(run, monkeypatch):
    written: list[str] = []
    monkeypatch.setattr(preview_page, "write_page", lambda run: written.append("page"))
    picture = Saved(path=run.previews / "00000001.png", step=1)
    other = Saved(path=run.checkpoints / "00000001", step=1)
    seen: list[tuple[str, int]] = []
    events: list[Event] = [
        StageStarted(stage="train"), progress(1), other, picture, picture, measured(1),
        StageDone(stage="faces"), StageDone(stage="train"),
    ]  # fmt: skip

    def all_of_them():
        yield from events

    for event in with_page(run, all_of_them()):
        seen.append((type(event).__name__, len(written)))
    assert [count for _, count in seen] == [0, 0, 0, 0, 1, 1, 1, 1]  # one look, then not again at once
    assert len(written) == 2


def test_who_leaves_hears_what_goes_wrong_at_the_end(run):
    def events():
        try:
            yield progress(1)
        except GeneratorExit:
            raise OutputError("the disk is full") from None

    stream = with_page(run, events())
    next(stream)
    with pytest.raises(OutputError, match="disk is full"):
        stream.close()

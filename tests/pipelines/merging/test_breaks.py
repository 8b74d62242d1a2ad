"""Labels after the breaks of a programme, as a render draws them and as they are set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from merge_footage import Footage, make_footage
from understudy.errors import ConfigError
from understudy.events import Warned
from understudy.pipelines.merging.merge import MergeSettings, merge
from understudy.provenance.breaks import LabelBreaks
from understudy.provenance.verify import verify
from understudy.provenance.visible import PRESETS
from understudy.video.encoding import Encoding
from understudy.video.reader import open_reader

SETTINGS = MergeSettings(encode=Encoding(lossless=True, preset="ultrafast"), label="eu-modified")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """Twelve frames, everybody under a record whose label stands in the credits."""
    return make_footage(tmp_path_factory.mktemp("footage"), frames=12)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The label stands for three frames."""
    monkeypatch.setitem(PRESETS, "eu-modified", replace(PRESETS["eu-modified"], seconds=0.12))


def labelled(path: Path) -> list[int]:
    """Frames with white letters at the top right, where these dark ones have none."""
    with open_reader(path) as reader:
        lumas = np.stack([frame.planes[0].astype(int) for frame in reader.frames()])
    return [int(n) for n in np.nonzero((lumas[:, 6:26, 50:154] > 180).mean(axis=(1, 2)) > 0.05)[0]]


def run(footage: Footage, output: Path, settings: MergeSettings, **more: object) -> list[str]:
    events = list(merge(footage.swapper, footage.target, footage.faces, output, settings, **more))
    return [event.message for event in events if isinstance(event, Warned)]


@pytest.mark.usefixtures("short")
def test_the_label_returns_and_a_new_break_renders_anew(footage: Footage, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    run(footage, output, SETTINGS)
    assert labelled(output) == [0, 1, 2]
    broken = replace(SETTINGS, breaks=LabelBreaks(at=("5", "0.32s")))
    assert run(footage, output, broken) == []
    assert labelled(output) == [0, 1, 2, 5, 6, 7, 8, 9, 10]
    settings = verify(output, mark="no").actions[2]["parameters"]["org.understudy.settings"]
    assert '"breaks": {"at": ["5", "0.32s"]' in settings


@pytest.mark.usefixtures("short")
def test_a_part_of_the_target_begins_with_its_label(footage: Footage, tmp_path: Path) -> None:
    output = tmp_path / "part.mp4"
    run(footage, output, replace(SETTINGS, breaks=LabelBreaks(at=("9",))), frames=(4, 11))
    assert labelled(output) == [0, 1, 2, 5, 6]


def test_breaks_without_effect_are_named_and_impossible_ones_refused(
    footage: Footage, tmp_path: Path
) -> None:
    always = replace(SETTINGS, label="eu-modified-always", breaks=LabelBreaks(at=("5",)))
    (warned,) = run(footage, tmp_path / "out.mp4", always)
    assert warned.startswith("breaks: without effect")
    with pytest.raises(ConfigError, match="12:30 lies behind the target's end"):
        run(footage, tmp_path / "none.mp4", replace(SETTINGS, breaks=LabelBreaks(at=("12:30",))))
    assert not (tmp_path / "none.mp4").exists()

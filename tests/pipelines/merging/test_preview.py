from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

import consented
from merge_footage import make_footage, make_swapper, one_face
from understudy.blends.poisson import Poisson
from understudy.config import merge as changed
from understudy.errors import ConfigError, ConsentError, NoFaceError
from understudy.events import StageDone, Warned
from understudy.pipelines.compositing.settings import CompositeSettings
from understudy.pipelines.merging.merge import MergeSettings, look
from understudy.pipelines.merging.preview import parse_trial
from understudy.provenance.consent import ConsentStore
from understudy.training.rundir import load_swapper_files, save_swapper


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    footage = make_footage(folder, frames=12, place=lambda n: one_face(n) if n > 2 else [])
    return footage._replace(swapper=make_swapper(folder, seed=1, white=True))


def shown(footage, output, **more):
    settings = changed(MergeSettings(), {"composite": {"color_transfer": "none", "mask": {"source": "hull"}}})
    list(look(footage.swapper, footage.target, footage.faces, output, settings, **more))


def test_a_sheet_and_a_strip_of_frames_with_a_face(footage, tmp_path):
    shown(footage, tmp_path / "out.mp4", frames=(0, 9))
    sheet, strip = (cv2.imread(str(tmp_path / f"out.{name}.png")) for name in ("sheet", "strip"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.sheet.png", "out.strip.png"]
    # six frames have a face: two rows of four, of 160 by 120 pixels each
    assert sheet.shape[:2] == (30 + 2 * (120 + 30), 6 + 4 * 166)
    assert strip.shape[:2] == (30 + 2 * (288 + 30), 6 + 6 * 294)
    before, after = (strip[54 + at : 54 + at + 288, 6:294].astype(int) for at in (0, 318))
    assert np.abs(before - after)[100:180, 100:180].mean() > 4  # the face
    assert np.abs(before - after)[:20, :20].max() == 0


def test_a_grid_has_a_column_a_value_and_a_row_a_combination(footage, tmp_path):
    trials = [parse_trial("mask.erode=0,0.4"), parse_trial("blend=feather,poisson")]
    shown(footage, tmp_path / "out.mp4", trials=trials)
    grid = cv2.imread(str(tmp_path / "out.try.png"))
    assert grid.shape[:2] == (30 + 2 * (288 + 30), 6 + 3 * 294)
    cells = [
        [grid[54 + 318 * row :, 6 + 294 * column :][:288, :288].astype(int) for column in range(3)]
        for row in range(2)
    ]
    assert np.array_equal(cells[0][0], cells[1][0])  # the target
    assert np.abs(cells[0][1] - cells[0][0]).mean() > 1
    assert np.abs(cells[0][1] - cells[0][2]).mean() > 0.2  # the blends differ
    assert np.abs(cells[1][1] - cells[1][0]).mean() < 0.5 * np.abs(cells[0][1] - cells[0][0]).mean()


def test_without_a_record_of_the_source_the_end_says_that_they_are_working_pictures(footage, tmp_path):
    save_swapper(tmp_path / "bare" / "swapper", load_swapper_files(footage.swapper))
    last = []
    for swapper in (footage.swapper, tmp_path / "bare" / "swapper"):
        what = (swapper, footage.target, footage.faces, tmp_path / "out.mp4", MergeSettings())
        *_, end = look(*what, frames=(3, 5), trials=[parse_trial("mask.erode=0,0.4")])
        last.append(end)
    assert isinstance(last[0], StageDone)
    assert isinstance(last[1], Warned)
    assert "not signed, not for publication" in last[1].message


def test_a_withdrawn_record_stops_the_pictures_too(footage, tmp_path):
    gone = consented.agreement()
    files = load_swapper_files(footage.swapper)
    save_swapper(tmp_path / "gone" / "swapper", files, consent=consented.said(gone))
    ConsentStore().withdraw(gone)
    with pytest.raises(ConsentError, match="was withdrawn"):
        shown(footage._replace(swapper=tmp_path / "gone" / "swapper"), tmp_path / "out.mp4")


def test_frames_without_any_face_are_refused(footage, tmp_path):
    with pytest.raises(NoFaceError, match="in the frames"):
        shown(footage, tmp_path / "out.mp4", frames=(0, 2))
    assert not list(tmp_path.iterdir())


def test_trials_are_settings_by_their_dotted_name():
    changes = [changed(CompositeSettings(), change) for _, change in parse_trial("color=none, sot").values]
    assert [made.color_transfer.name for made in changes] == ["none", "sot"]
    ((_, change),) = parse_trial("mask.blur=0.125").values
    assert changed(CompositeSettings(), change).mask.blur == 0.125
    ((_, change),) = parse_trial("mode=seamless").values
    assert changed(CompositeSettings(), change).blend == Poisson(reach=0.0)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("color", "color=reinhard,idt"),
        ("color=", "color=reinhard,idt"),
        ("colour=none", "colour"),
        ("color=rainhard", "did you mean 'reinhard'"),
        ("mask.erode=3", "-0.5 to 0.5"),
        ("mode=overley", "overlay"),
    ],
)
def test_a_trial_that_is_none(text, word):
    with pytest.raises(ConfigError, match="try: ") as caught:
        parse_trial(text)
    assert word in str(caught.value)

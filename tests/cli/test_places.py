"""What a person names that is not there, or is something else."""

from __future__ import annotations

import pytest

from drawn_sets import draw_set
from understudy.cli import audit, demo, enhance, evaluate, mask, weights
from understudy.errors import ConfigError, OutputError, WeightsError


def test_nothing_to_show_is_said(tmp_path, capsys):
    faces = draw_set(tmp_path / "set", 2, (200, 90, 90))
    assert mask.run(["show", str(faces.path)]) == 0
    said = capsys.readouterr().err
    assert "without 2" in said
    assert "no mask to look at" in said
    assert f"understudy mask apply {faces.path} --segmenter RUN" in said


def test_a_folder_is_no_weight_file(tmp_path):
    with pytest.raises(WeightsError, match="is a folder; name the weight file"):
        weights.run(["import", str(tmp_path)])
    with pytest.raises(WeightsError, match="no such file"):
        weights.run(["import", str(tmp_path / "gone")])


@pytest.mark.parametrize("bound", [("--steps", "0"), ("--time", "0s")])
def test_a_demo_without_training_is_refused_before_the_drawing(tmp_path, bound):
    with pytest.raises(ConfigError, match="nothing to train"):
        demo.run(["-o", str(tmp_path / "demo"), *bound])
    assert not (tmp_path / "demo").exists()


def test_a_suite_is_not_begun_in_a_file(tmp_path):
    (tmp_path / "film.mp4").touch()
    with pytest.raises(OutputError, match=r"film\.mp4 is a file, wanted the name of a folder"):
        evaluate.run(["--suite", "performers", "-o", str(tmp_path / "film.mp4")])


def test_facts_that_are_empty_are_not_shown():
    facts = {"hash": "ab" * 32, "number": 3, "time": "now", "what": "export", "records": [], "lane": "none"}
    line = audit._line(audit.Entry(1, facts))
    assert "lane none" in line
    assert "records" not in line


def test_no_faces_at_a_time_are_refused():
    for count in (0, -4):
        with pytest.raises(ConfigError, match=f"batch: wanted 1 face or more at a time, got {count}"):
            mask.Apply(batch=count)
        with pytest.raises(ConfigError, match=f"count: wanted 1 face or more, got {count}"):
            enhance.Show(count=count)

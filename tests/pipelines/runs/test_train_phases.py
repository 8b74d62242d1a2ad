"""Phases of a recipe: what they may change, where they end; a killed run goes on in the right one."""

from __future__ import annotations

import json

import pytest
import torch

from drawn_sets import TINY, draw_set
from understudy import config
from understudy.errors import CheckpointError, ConfigError
from understudy.events import Planned, Progress, StageDone
from understudy.faces.faceset import FaceSet
from understudy.pipelines.measuring import Lent
from understudy.pipelines.runs import train as training
from understudy.pipelines.runs.phases import Ends, PhaseBounds, bounds_of, plan, total_steps
from understudy.pipelines.runs.train import TrainSettings
from understudy.training import checkpoint
from understudy.training.bounds import LoopSettings

PHASES = (
    {"steps": 5},
    {"steps": 6, "optimizer": {"share": 0.5}},
    {"steps": 4, "augmentation": {"warp": "none"}, "losses": {"patch_gan": {"weight": 0.1, "dims": 4}}},
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceSet, FaceSet]:
    folder = tmp_path_factory.mktemp("sets")
    return draw_set(folder / "s", 30, (200, 150, 120), seed=1), draw_set(
        folder / "t", 30, (140, 110, 90), seed=2
    )


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "lend", lambda context: Lent(embedder=None, landmarker=None, lacking=()))


def settings(phases=PHASES, **loop) -> TrainSettings:
    base = config.merge(TrainSettings(), TINY)
    return config.merge(base, {"loop": {"steps": "none", **loop}, "phases": list(phases)})


def losses_of(events) -> dict[int, dict[str, float]]:
    progress = [e for e in events if isinstance(e, Progress) and e.stage == "train"]
    left_out = ("steps_per_second", "memory")
    return {e.done: {k: v for k, v in e.values.items() if k not in left_out} for e in progress}


# ------------------------------------------------------------------------------------------------ the plan


def test_every_phase_changes_what_the_one_before_it_had():
    made = settings()
    first, second, third = plan(made, made.phases)
    assert [p.settings.optimizer.share for p in (first, second, third)] == [1.0, 0.5, 0.5]
    assert [p.settings.augmentation.warp for p in (first, second, third)] == ["cells", "cells", "none"]
    assert list(first.settings.losses) == ["dssim", "mse"]
    assert list(third.settings.losses) == ["dssim", "mse", "patch_gan"]
    assert [p.name for p in (first, second, third)] == ["1", "2", "3"]
    assert all(p.settings.phases == () for p in (first, second, third))


def test_phases_are_written_and_read_back():
    import tomllib

    made = settings()
    text = config.to_toml(config.dump(made))
    assert config.merge(TrainSettings(), tomllib.loads(text)) == made


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ([{"steps": 5}, {"augmentation": {"warp": "grit"}}], ["phase[1].augmentation.warp", "'grid'"]),
        ([{"steps": 5}, {"augmentation": {"wrap": "grid"}}], ["phase[1].augmentation.wrap", "'warp'"]),
        ([{"step": 5}], ["phase[0].step", "'steps'"]),
        ([{"steps": 5, "losses": {"patchgan": {}}}], ["phase[0].losses.patchgan", "'patch_gan'"]),
        ([{"steps": 5, "model": {"e_dims": 8}}], ["phase[0].model", "whole run"]),
        ([{"steps": 5, "loop": {"seed": 8}}], ["phase[0].loop.seed", "whole run"]),
        ([{"steps": 5, "loop": {"steps": 8}}], ["phase[0].loop.steps", "whole run"]),
        ([{"steps": 5, "batch": 0}], ["phase[0]: batch", "1 to 4096"]),
        ([{}, {"steps": 5}], ["phase[0]", "never ends"]),
        ([{"steps": 0}], ["phase[0].steps", "1 or more"]),
        ([{"until": "plateaux"}], ["phase[0].until", "'plateau'"]),
    ],
)
def test_what_a_phase_cannot_be_is_refused_when_the_recipe_is_loaded(phases, words):
    with pytest.raises(ConfigError) as caught:
        settings(phases)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_learning_rate_belongs_to_the_whole_run_and_the_end_to_the_phase():
    made = settings()
    phases = plan(made, made.phases)
    loop = made.loop
    assert total_steps(loop, phases) == 15
    second = bounds_of(loop, phases, 1, 5)
    assert isinstance(second, PhaseBounds)
    assert [second.is_over(step, 0.0) for step in (10, 11)] == [False, True]
    assert second.fraction(5, 0.0) == pytest.approx(1 / 3)
    longer = LoopSettings(steps=40)
    assert bounds_of(longer, phases, 2, 11).is_over(39, 0.0) is False  # the last phase lasts as long as asked
    shorter = LoopSettings(steps=7)
    assert bounds_of(shorter, phases, 1, 5).is_over(7, 0.0)
    timed = bounds_of(LoopSettings(time=9.0), phases, 0, 0)
    assert timed.is_over(1, 9.0)


def test_a_run_of_one_piece_has_its_own_bounds():
    made = settings(())
    phases = plan(made, made.phases)
    assert bounds_of(made.loop, phases, 0, 0) is made.loop
    assert phases[0].name == ""


def test_phases_that_ended_after_the_checkpoint_are_done_again(tmp_path):
    ends = Ends(tmp_path, 0)
    for step in (5, 11):
        ends.add(step)
    assert Ends(tmp_path, 11).steps == [5, 11]
    assert Ends(tmp_path, 10).steps == [5]
    (tmp_path / "phases.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"phases\.json: damaged"):
        Ends(tmp_path, 10)


def test_the_shipped_recipe_has_its_four_phases():
    from understudy.cli.train import Command

    command = config.parse(
        Command(), ["--recipe", "film"], prog="test", description="Test.", sections={"train": ""}
    )
    phases = plan(command, command.phases)
    assert [p.settings.augmentation.warp for p in phases] == ["cells", "cells", "none", "none"]
    assert [p.settings.optimizer.share < 1 for p in phases] == [False, True, True, True]
    assert ["patch_gan" in p.settings.losses for p in phases] == [False, False, False, True]


# ------------------------------------------------------------------------------------------------ the run


def test_killed_anywhere_it_goes_on_in_the_right_phase_with_the_same_losses(sets, tmp_path):
    whole = training.start(settings(), *sets, tmp_path / "whole")
    events = list(training.train(whole, *sets))
    expected = losses_of(events)
    assert sorted(expected) == list(range(1, 16))
    assert "patch_gan" not in expected[11]
    assert {"patch_gan", "critic_patch_gan"} <= expected[12].keys()
    said = [line for e in events if isinstance(e, Planned) for line in e.lines if line.startswith("phase")]
    assert said[1] == "phase 2 of 3: steps 6, optimizer.share 0.5"
    parts = training.start(settings(), *sets, tmp_path / "parts")
    got: dict[int, dict[str, float]] = {}
    for end in (3, 5, 8, 13, 99):  # within a phase, at a border, within the next ones
        for event in training.train(parts, *sets):
            got.update(losses_of([event]))
            if isinstance(event, Progress) and event.stage == "train" and event.done == end:
                break  # the listener leaves: as Ctrl-C, and the checkpoint is of this step
        del event
    assert got == expected
    assert json.loads((parts.path / "phases.json").read_text()) == [5, 11]
    one, other = (checkpoint.load(run.checkpoints)[0] for run in (whole, parts))
    for group in ("weights", "average", "optimizer", "critics", "critics_optimizer"):
        mine, theirs = getattr(one, group), getattr(other, group)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[k], theirs[k]) for k in mine), group


def test_a_run_whose_phases_are_over_is_not_done_again_but_lasts_longer_when_asked(sets, tmp_path):
    run = training.start(settings(PHASES[:2]), *sets, tmp_path)
    list(training.train(run, *sets))
    done = [e for e in training.train(run, *sets) if isinstance(e, StageDone)][-1]
    assert done.skipped
    assert done.summary["steps"] == 11
    assert sorted(losses_of(training.train(run, *sets, steps=13))) == [12, 13]


def test_stopped_in_the_first_phase_the_second_does_not_begin(sets, tmp_path):
    run = training.start(settings(PHASES[:2]), *sets, tmp_path)
    events = list(training.train(run, *sets, stop=lambda: True))
    assert events[-1].summary["state"] == "stopped"
    assert not (run.path / "phases.json").exists()


def test_a_phase_ends_when_a_figure_stops_getting_better(sets, tmp_path):
    phases = [
        {"until": "plateau", "loop": {"patience": 1, "measure_every": 2}, "optimizer": {"rate": 0.0}},
        {"steps": 3, "optimizer": {"rate": 1e-3}},
    ]
    run = training.start(settings(phases), *sets, tmp_path)
    events = list(training.train(run, *sets))
    assert json.loads((run.path / "phases.json").read_text()) == [4]  # the second measurement is no better
    assert max(losses_of(events)) == 7

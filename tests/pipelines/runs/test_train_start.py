"""Beginning with the weights of another run: what fits is taken, what does not is said."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from drawn_sets import TINY, draw_set
from understudy import config
from understudy.errors import CheckpointError, ConfigError
from understudy.faces.faceset import FaceSet
from understudy.pipelines.measuring import Lent
from understudy.pipelines.runs import train as training
from understudy.pipelines.runs.starting import FILE, fit, read_start, take_start
from understudy.pipelines.runs.train import TrainSettings
from understudy.training import checkpoint
from understudy.training.rundir import RunFolder


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceSet, FaceSet]:
    folder = tmp_path_factory.mktemp("sets")
    first = draw_set(folder / "s", 20, (200, 150, 120), seed=1)
    return first, draw_set(folder / "t", 20, (140, 110, 90), seed=2)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "lend", lambda context: Lent(embedder=None, landmarker=None, lacking=()))


def settings(**changes: object) -> TrainSettings:
    return config.merge(config.merge(TrainSettings(), TINY), changes)


@pytest.fixture(scope="module")
def first(sets, tmp_path_factory) -> RunFolder:
    """A run of four steps to begin with."""
    patch = pytest.MonkeyPatch()
    patch.setattr(training, "lend", lambda context: Lent(embedder=None, landmarker=None, lacking=()))
    run = training.start(settings(), *sets, tmp_path_factory.mktemp("first"))
    list(training.train(run, *sets))
    patch.undo()
    return run


@pytest.mark.parametrize("kind", ["run", "swapper", "weights"])
def test_a_run_begins_with_the_average_of_another(sets, first, tmp_path, kind):
    held, _ = checkpoint.load(first.checkpoints)
    path = {"run": first.path, "swapper": first.swapper, "weights": tmp_path / "some.safetensors"}[kind]
    save_file({k: v.contiguous() for k, v in held.average.items()}, tmp_path / "some.safetensors")
    run = training.start(settings(loop={"seed": 5}), *sets, tmp_path, start_from=path)
    told = run.origin["start"]
    assert (told["kind"], told["fresh"], told["not_used"]) == (kind, [], [])
    assert len(told["sha256"]) == 64
    assert str(path) not in (run.path / "origin.toml").read_text()
    model = settings().model.build(training.make_context("cpu"))
    take_start(run, model)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in held.average.items())
    list(training.train(run, *sets))
    after, _ = checkpoint.load(run.checkpoints)
    moved = max(float((after.weights[k] - v).abs().max()) for k, v in held.average.items())
    assert 0 < moved < 0.05  # four steps of Adam from there; a fresh model is far away
    fresh = settings(loop={"seed": 5}).model.build(training.make_context("cpu"))
    assert max(float((fresh.state_dict()[k] - v).abs().max()) for k, v in held.average.items()) > 0.2


def test_once_it_has_a_checkpoint_the_beginning_counts_no_more(sets, first, tmp_path):
    run = training.start(settings(), *sets, tmp_path, start_from=first.path)
    list(training.train(run, *sets))
    (run.path / FILE).unlink()
    list(training.train(run, *sets, steps=6))
    held, _ = checkpoint.load(run.checkpoints)
    assert held.step == 6


def test_a_run_whose_beginning_is_lost_does_not_begin_otherwise(sets, first, tmp_path):
    run = training.start(settings(), *sets, tmp_path, start_from=first.path)
    (run.path / FILE).unlink()
    with pytest.raises(CheckpointError, match="missing, with which this run begins"):
        list(training.train(run, *sets))


def test_weights_of_another_shape_are_named_and_refused_or_begun_anew(sets, first, tmp_path):
    """Defect 8 of DeepFaceLab: there such weights are begun anew without a word."""
    other = settings(model={"ae_dims": 12})
    with pytest.raises(CheckpointError) as caught:
        training.start(other, *sets, tmp_path, start_from=first.path)
    said = str(caught.value)
    assert "inter.squeeze.weight ([8, " in said
    assert "there, [12, " in said
    assert "--start-missing fresh" in said
    assert not list(tmp_path.iterdir())
    run = training.start(other, *sets, tmp_path, start_from=first.path, start_missing="fresh")
    assert "inter.squeeze.weight" in run.origin["start"]["fresh"]
    assert not any(name.startswith("encoder.") for name in run.origin["start"]["fresh"])
    list(training.train(run, *sets))


def test_missing_and_surplus_weights_are_told(first):
    held, _ = checkpoint.load(first.checkpoints)
    model = settings().model.build(training.make_context("cpu"))
    some = {k: v for k, v in held.weights.items() if not k.startswith("decoder_target.")}
    with pytest.raises(CheckpointError, match=r"decoder_target\.\S+ \(missing\).* and \d+ more"):
        fit(model, some, "error")
    taken, fresh = fit(model, {**some, "more": torch.zeros(2)}, "fresh")
    assert taken.keys() == some.keys()
    assert all(name.startswith("decoder_target.") for name in fresh)
    with pytest.raises(CheckpointError, match="none of the 1 weights fits"):
        fit(model, {"more": torch.zeros(2)}, "fresh")


def test_what_is_no_beginning_is_refused(sets, first, tmp_path):
    with pytest.raises(CheckpointError, match="wanted the folder of a run, a swapper"):
        read_start(tmp_path / "none")
    with pytest.raises(CheckpointError, match="without a checkpoint"):
        read_start(training.start(settings(), *sets, tmp_path / "new").path)
    (tmp_path / "bad.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(CheckpointError, match="not a file of weights"):
        read_start(tmp_path / "bad.safetensors")
    data = bytearray((first.swapper / "weights.safetensors").read_bytes())
    data[-5] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="altered since it was written"):
        read_start(tmp_path / "flipped.safetensors")


def test_going_on_and_beginning_are_two_things(sets, first):
    from understudy.cli.train import run

    words = ["-s", sets[0].path, "-t", sets[1].path, "--run", first.path, "--start-from", first.path]
    with pytest.raises(ConfigError, match="give one of them"):
        run([str(word) for word in words])

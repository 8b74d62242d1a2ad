from __future__ import annotations

import json

import pytest
import torch

from understudy.errors import CheckpointError, OutputError
from understudy.events import Progress
from understudy.training.rundir import (
    RunFolder,
    SwapperFiles,
    load_swapper_files,
    make_origin,
    require_weights,
    save_swapper,
)


def new(path):
    return RunFolder.create(
        path, "df", {"model": {"name": "df"}}, make_origin(3, {"source": "ab", "target": "cd"})
    )


def test_created_and_opened_again(tmp_path):
    run = new(tmp_path / "runs")
    assert run.path.name.endswith("_df")
    again = RunFolder(run.path)
    assert again.recipe == {"model": {"name": "df"}}
    assert again.origin["seed"] == 3
    assert again.origin["torch"] == torch.__version__
    assert again.origin["face_sets"] == {"source": "ab", "target": "cd"}
    assert new(tmp_path / "runs").path != run.path
    assert {p.name for p in run.path.iterdir()} == {
        "recipe.toml", "origin.toml", "checkpoints", "previews", "inbox", "swapper"
    }  # fmt: skip


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no recipe"):
        RunFolder(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        new(tmp_path / "file" / "runs")


def test_empty_folders_that_a_zip_dropped_come_back(tmp_path):
    run = new(tmp_path)
    run.inbox.rmdir()
    assert RunFolder(run.path).inbox.is_dir()


def test_a_guest_changes_nothing(tmp_path):
    run = new(tmp_path)
    run.inbox.rmdir()
    left = run.path / ".latest.999999999.part"
    left.touch()
    assert RunFolder(run.path, guest=True).recipe == run.recipe
    assert not run.inbox.exists()
    assert left.exists()
    assert RunFolder(run.path).inbox.exists()
    assert not left.exists()


def test_events_survive_a_torn_line(tmp_path):
    run = new(tmp_path)
    run.record(Progress(stage="train", done=1, values={"loss": 0.5}))
    with run.events.open("a") as file:
        file.write('{"event": "Prog')
    run.record(Progress(stage="train", done=2))
    assert [event["done"] for event in run.history()] == [1, 2]
    assert run.history()[0]["values"] == {"loss": 0.5}


def test_commands_are_taken_once(tmp_path):
    run = new(tmp_path)
    (run.inbox / "save").touch()
    (run.inbox / "stop").write_text("please")
    (run.inbox / "dance").touch()
    assert run.take_commands() == {"save", "stop"}
    assert run.take_commands() == set()
    assert (run.inbox / "dance").exists()


def test_status_is_replaced_whole(tmp_path):
    run = new(tmp_path)
    for step in (1, 2):
        run.write_status({"step": step})
    assert json.loads((run.path / "status.json").read_text())["step"] == 2


def test_swapper_written_and_read(tmp_path):
    files = SwapperFiles(model="df", settings={"resolution": 32}, weights={"a": torch.rand(3)}, step=5)
    save_swapper(tmp_path / "swapper", files)
    for place in (tmp_path / "swapper", tmp_path / "swapper" / "weights.safetensors"):
        read = load_swapper_files(place)
        assert (read.model, read.settings, read.step) == ("df", {"resolution": 32}, 5)
        assert torch.equal(read.weights["a"], files.weights["a"])
    assert 'model = "df"' in (tmp_path / "swapper" / "swapper.toml").read_text()


def test_a_swapper_that_is_not_there_is_said_with_those_that_are(tmp_path):
    trained, begun = new(tmp_path / "runs"), new(tmp_path / "runs")
    files = SwapperFiles(model="df", settings={}, weights={"a": torch.ones(2)}, step=5)
    save_swapper(trained.swapper, files)
    for wrong in (tmp_path / "runs" / "nosuch", tmp_path / "nosuch"):
        with pytest.raises(CheckpointError) as caught:
            require_weights(wrong)
        assert f"{wrong}: there is no such run or swapper" in str(caught.value)
        assert f"(there are: {trained.path})" in str(caught.value)
    with pytest.raises(CheckpointError, match=r"no weights are here; .*there are: "):
        require_weights(tmp_path / "runs")
    with pytest.raises(CheckpointError, match="has saved no swapper yet"):
        require_weights(begun.path)
    with pytest.raises(CheckpointError, match="none is near that name"):
        require_weights(tmp_path / "else" / "where")
    assert require_weights(trained.path) == trained.swapper / "weights.safetensors"


def test_swapper_that_is_none(tmp_path):
    from understudy.training.tensors import write_tensors

    with pytest.raises(CheckpointError, match="no weights are here"):
        load_swapper_files(tmp_path)
    write_tensors(tmp_path / "weights.safetensors", {"a": torch.rand(3)}, {})
    with pytest.raises(CheckpointError, match="not of a swapper"):
        load_swapper_files(tmp_path)

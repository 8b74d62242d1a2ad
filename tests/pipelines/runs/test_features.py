from __future__ import annotations

import pytest
import torch

from understudy.cli.main import main
from understudy.contracts import Context
from understudy.errors import CheckpointError, ConfigError, UnderstudyError
from understudy.losses.perceptual import Perceptual
from understudy.pipelines.runs import features as feature_training
from understudy.pipelines.runs.crowd import CrowdSettings
from understudy.training.rundir import RunFolder

SMALL = ("--side", "32", "--batch", "2", "--crowd.performers", "3", "--crowd.faces", "2", "--device", "cpu")


class NoFiles:
    def path(self, name: str):
        raise AssertionError(name)


def test_command_trains_goes_on_and_writes_what_the_loss_takes(tmp_path, capsys):
    file = tmp_path / "own" / "features.safetensors"
    assert main(["features", *SMALL, "--steps", "2", "--runs", str(tmp_path / "runs")]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert "crowd" in capsys.readouterr().err
    assert main(["features", "--run", str(run), "--steps", "3", "-o", str(file)]) == 0
    said = capsys.readouterr().err
    assert "written" in said
    assert "crowd" not in said  # it is drawn once
    context = Context(device=torch.device("cpu"), weights=NoFiles())
    term = Perceptual(network=file).build(context)
    a, b = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    assert float(term(a, a)) == 0.0
    assert float(term(a, b)) > 0.0


def test_refuses_other_runs_and_wrong_numbers(tmp_path):
    with pytest.raises(ConfigError, match="multiple of 8"):
        feature_training.FeatureSettings(side=50)
    settings = feature_training.FeatureSettings(crowd=CrowdSettings(performers=2, faces=1))
    run = feature_training.start(settings, tmp_path)
    with pytest.raises(UnderstudyError):  # nothing delivered yet
        feature_training.write_features(run, tmp_path / "f.safetensors")
    (run.path / "recipe.toml").write_text("[train]\n", "utf-8")
    with pytest.raises(CheckpointError, match="no feature network"):
        feature_training.settings_of(RunFolder(run.path))

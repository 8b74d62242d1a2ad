from __future__ import annotations

import pytest
import torch

from understudy.cli import models as command
from understudy.models import MODELS
from understudy.pipelines.runs.costs import describe
from understudy.pipelines.runs.train import TrainSettings
from understudy.pipelines.setup import make_context

_SMALL = """
--model.resolution 32 --model.e-dims 4 --model.d-dims 4 --model.ae-dims 8 --model.d-mask-dims 2
--batch 2 --loop.precision fp32 --device cpu
"""
SMALL = tuple(_SMALL.split())


def test_a_model_explains_itself_and_its_parts(capsys):
    assert command.run(["df", *SMALL]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("DF: one encoder and one bottleneck")
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert {"encoder", "inter", "decoder_source", "decoder_target"} <= set(rows)
    assert rows["decoder_target"].endswith("1x3x32x32, 1x1x32x32")
    assert "memory: 2 faces of each person a step, fp32, adam; this machine has" in shown
    assert "gradients" in rows


def test_figures_follow_the_settings():
    settings = TrainSettings(model=MODELS["df"](resolution=32, e_dims=4, d_dims=4, ae_dims=8, d_mask_dims=2))
    card = describe(settings, torch.device("cpu"))
    built = settings.model.build(make_context(torch.device("cpu")))
    assert card.learning.parameters == sum(p.numel() for p in built.parameters())
    assert card.memory.weights >= 4 * card.learning.parameters
    assert card.swap.macs < card.learning.macs
    assert card.sentence == "Shared encoder and bottleneck, two decoders: keeps the source's face shape."


def test_every_model_is_listed(capsys, monkeypatch):
    small = describe(
        TrainSettings(model=MODELS["df"](resolution=32, e_dims=4, d_dims=4, ae_dims=8, d_mask_dims=2)),
        torch.device("cpu"),
    )
    asked: list[tuple[str, int]] = []

    def note(settings, device):
        asked.append((settings.model.name, settings.model.resolution))
        return small

    monkeypatch.setattr(command, "describe", note)
    assert command.run(["--recipe", "cpu", "--device", "cpu"]) == 0
    assert [name for name, _ in asked] == [*MODELS.names(), "df"]
    assert asked[-1] == ("df", 64), "the recipe's own settings are the last row"
    shown = capsys.readouterr().out
    assert "df: cpu" in shown
    assert "4 faces of each person" in shown


@pytest.mark.parametrize("name", MODELS.names())
def test_every_model_can_be_described(name):
    """At its default size: nothing is computed."""
    card = describe(TrainSettings(model=MODELS[name](), batch=1), torch.device("cpu"))
    assert card.learning.parameters > 1e6
    assert card.learning.macs > card.swap.macs > 1e8
    assert card.memory.total > 12 * card.learning.parameters
    assert card.structure

"""Shapes in signatures are really checked while the tests run; a hook that came too late checks nothing."""

from __future__ import annotations

import importlib
from pathlib import Path

import jaxtyping
import pytest
import torch

import understudy
from understudy.losses.mse import Mse

MODULES = sorted(
    f"understudy.{file.parent.name}.{file.stem}"
    for file in Path(understudy.__file__).parent.glob("*/*.py")
    if file.stem != "__init__" and file.parent.name != "cli"
)


@pytest.mark.parametrize("name", MODULES)
def test_module_is_checked(name: str) -> None:
    loader = getattr(importlib.import_module(name).__spec__, "loader", None)
    assert type(loader).__module__.startswith("jaxtyping"), "it was imported before tests/conftest.py"


def test_wrong_shape_is_caught() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="truth"):
        Mse()(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 4, 4))


def test_whole_number_passes_for_a_float() -> None:
    assert Mse(weight=2).weight == 2

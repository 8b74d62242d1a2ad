"""Settings: recipe and command line to one frozen config, and back."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from understudy import config
from understudy.contracts import CropMode
from understudy.errors import ConfigError
from understudy.registry import Plugin, Registry


@dataclass(frozen=True, kw_only=True)
class Tool(Plugin):
    """Some tool."""


TOOLS: Registry[Tool] = Registry("tool", "understudy.recipes")  # a package without plugin files
Tool.registry = TOOLS


@TOOLS.register("hammer")
@dataclass(frozen=True, kw_only=True)
class Hammer(Tool):
    """Hits."""

    mass: float = 1.5
    """Kilograms."""


@TOOLS.register("saw")
@dataclass(frozen=True, kw_only=True)
class Saw(Tool):
    """Cuts."""

    teeth: int = 24
    """Number of teeth."""


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Inner settings."""

    depth: int = 3
    """How deep."""

    def __post_init__(self) -> None:
        if self.depth < 0:
            raise ConfigError(f"depth: wanted 0 or more, got {self.depth}")


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Outer settings."""

    steps: int | None = None
    """How many."""
    crop: CropMode = "full"
    """Mode."""
    files: tuple[Path, ...] = ()
    """Files."""
    inner: Inner = field(default_factory=Inner)
    """Inner."""
    tool: Tool = config.slot(TOOLS, "hammer")
    """Main tool."""
    tools: dict[str, Tool] = config.plugins(TOOLS, hammer={"mass": 2.0}, saw={})
    """All tools."""
    phases: tuple[Mapping[str, Any], ...] = ()
    """What changes on the way."""

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps: wanted 1 or more, got {self.steps}")


def parse(*arguments: str) -> Outer:
    return config.parse(Outer(), arguments, prog="test", description="Test.")


@pytest.mark.parametrize(
    "changed",
    [
        Outer(),
        Outer(steps=5, crop="half", files=(Path("a"), Path("b c"))),
        Outer(tool=Saw(teeth=7), tools={"saw": Saw(teeth=1)}),
        Outer(inner=Inner(depth=9), tools={}),
        Outer(phases=({"steps": 3, "inner": {"depth": 4}}, {"tools": {"saw": "off"}})),
    ],
)
def test_what_is_written_is_read_back_equal(changed: Outer):
    text = config.to_toml(config.dump(changed))
    assert config.merge(Outer(), tomllib.loads(text)) == changed


def test_a_new_plugin_brings_its_own_defaults():
    assert config.merge(Outer(), {"tool": {"name": "saw"}}).tool == Saw(teeth=24)
    assert config.merge(Outer(), {"tool": "saw"}).tool == Saw(teeth=24)


def test_a_recipe_replaces_a_table_of_plugins():
    assert config.merge(Outer(), {"tools": {"saw": {"teeth": 3}}}).tools == {"saw": Saw(teeth=3)}


def test_the_command_line_edits_a_table_of_plugins():
    assert parse("--tools.saw", "off").tools == {"hammer": Hammer(mass=2.0)}
    assert parse("--tools.saw.teeth", "3").tools == {"hammer": Hammer(mass=2.0), "saw": Saw(teeth=3)}


def test_the_command_line_chooses_a_plugin_and_its_settings():
    assert parse("--tool", "saw", "--tool.teeth", "8", "--steps", "4") == Outer(tool=Saw(teeth=8), steps=4)
    assert parse("--tool=saw").tool == Saw()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inner": {"dept": 1}}, ["inner.dept", "depth"]),
        ({"steps": "many"}, ["steps", "whole number", "'many'"]),
        ({"steps": True}, ["steps", "True"]),
        ({"crop": "hal"}, ["crop", "'half'"]),
        ({"tool": {"name": "sew"}}, ["tool.name", "saw"]),
        ({"tools": {"sawx": {}}}, ["tools.sawx", "saw"]),
        ({"inner": 3}, ["inner", "table"]),
        ({"files": [1]}, ["files[0]", "path"]),
        ({"phases": [3]}, ["phases[0]", "a table"]),
    ],
)
def test_an_error_names_the_path_and_the_nearest_spelling(changes: dict, words: list[str]):
    with pytest.raises(ConfigError) as caught:
        config.merge(Outer(), changes)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("path", ["tool.mass", "tools.hammer.mass"])
def test_nan_is_no_number(path: str):
    with pytest.raises(ConfigError, match=rf"{path}: wanted a number, got nan"):
        config.parse(Outer(), [f"--{path}", "nan"], prog="x", description="x")


def test_a_wrong_flag_ends_with_code_two(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        parse("--stepps", "3")
    assert caught.value.code == 2
    assert "--stepps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "0"], "steps: wanted 1 or more, got 0"),
        (["--inner.depth", "-1"], "inner: depth: wanted 0 or more, got -1"),
    ],
)
def test_a_value_that_does_not_fit_is_said_in_our_words(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(ConfigError) as caught:
        parse(*words)
    assert str(caught.value) == said
    assert caught.value.__suppress_context__
    assert capsys.readouterr().err == ""


def test_a_value_of_another_type_is_named_with_its_flag(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        parse("--inner.depth", "deep")
    assert caught.value.code == 2
    assert "--inner.depth" in capsys.readouterr().err


def test_help_lists_the_plugins_to_choose(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    assert "--tool NAME: hammer, saw" in capsys.readouterr().out


def test_a_recipe_that_does_not_exist_or_is_broken(tmp_path: Path):
    with pytest.raises(ConfigError, match="no recipe is named"):
        config.read_recipe("cpuu")
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.read_recipe(str(tmp_path / "bad.toml"))
    with pytest.raises(ConfigError, match="cannot be read"):
        config.read_recipe(str(tmp_path / "none.toml"))


def test_phases_of_a_recipe_go_where_training_goes(tmp_path: Path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[[phase]]\nsteps = 5\n[[phase]]\ninner.depth = 2\n[train]\nsteps = 9\n")

    @dataclass(frozen=True, kw_only=True)
    class Command:
        """A command."""

        outer: Outer = field(default_factory=Outer)
        """Settings."""
        recipe: tuple[str, ...] = ()
        """Recipes."""

    words = ["--recipe", str(recipe)]
    made = config.parse(Command(), words, prog="t", description="T.", sections={"train": "outer"})
    assert made.outer == Outer(steps=9, phases=({"steps": 5}, {"inner": {"depth": 2}}))
    changed = config.parse(
        Command(), [*words, "--outer.phases.0.steps", "7"], prog="t", description="T.",
        sections={"train": "outer"},
    )  # fmt: skip
    assert changed.outer.phases[0] == {"steps": 7}
    other = config.parse(Command(), words, prog="t", description="T.", sections={})
    assert other.outer == Outer()


def test_a_recipe_with_a_foreign_table_is_refused(tmp_path: Path):
    (tmp_path / "mine.toml").write_text("[phases]\nsteps = 5\n")
    with pytest.raises(ConfigError, match=r"wanted the tables extract, train, .*phase"):
        config.parse(Outer(), ["--recipe", str(tmp_path / "mine.toml")], prog="t", description="T.")

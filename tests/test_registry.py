"""A look-up imports one file, a listing none, and every built-in plugin keeps the form of a plugin."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import understudy
from understudy.errors import PluginError
from understudy.registry import Plugin, Registry

PACKAGE = Path(understudy.__file__).parent


def all_registries() -> list[Registry[Plugin]]:
    """Every registry that a package exports under its own upper-case name."""
    found: list[Registry[Plugin]] = []
    for folder in sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")):
        exported = getattr(importlib.import_module(f"understudy.{folder}"), folder.upper(), None)
        if isinstance(exported, Registry):
            found.append(exported)
    return found


BUILT_IN = [
    pytest.param(registry, name, id=f"{registry.kind}-{name}")
    for registry in all_registries()
    for name in registry.names()
    if registry.source(name)
]


# ------------------------------------------------------------------------------ the registry itself


FRUIT = """
from dataclasses import dataclass
from fruits import FRUITS
from understudy.registry import Plugin

@FRUITS.register("{name}")
@dataclass(frozen=True, kw_only=True)
class Fruit(Plugin):
    size: int = 3
"""


@pytest.fixture
def fruits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[Plugin]]:
    """A kind of its own, with two plugins in files and one that breaks when it is imported."""
    package = tmp_path / "fruits"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from understudy.registry import Plugin, Registry\nFRUITS = Registry('fruit', __name__)\n"
    )
    for name in ("apple", "pear"):
        (package / f"{name}.py").write_text(FRUIT.format(name=name))
    (package / "rotten.py").write_text("raise ImportError('rotten needs a library')\n")
    (package / "_stone.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("fruits").FRUITS
    for name in [name for name in sys.modules if name.partition(".")[0] == "fruits"]:
        del sys.modules[name]


def test_listing_imports_nothing(fruits: Registry[Plugin]) -> None:
    assert fruits.names() == ["apple", "pear", "rotten"]
    assert "pear" in fruits
    assert "plum" not in fruits
    assert [name for name in sys.modules if name.startswith("fruits.")] == []


def test_lookup_imports_that_file_only(fruits: Registry[Plugin]) -> None:
    assert fruits["pear"].name == "pear"
    assert [name for name in sys.modules if name.startswith("fruits.")] == ["fruits.pear"]


def test_source_is_the_file(fruits: Registry[Plugin], tmp_path: Path) -> None:
    assert fruits.source("apple") == tmp_path / "fruits" / "apple.py"
    assert fruits.source("plum") is None


def test_misspelt_name_is_told_the_nearest(fruits: Registry[Plugin]) -> None:
    with pytest.raises(
        PluginError, match=r"no fruit is named 'aple'; did you mean 'apple'\? \(there are: apple"
    ):
        fruits["aple"]


@pytest.mark.parametrize("name", ["", "..errors", "pear.py", "../errors", "_stone", "__init__"])
def test_name_that_is_no_plugin(name: str, fruits: Registry[Plugin]) -> None:
    with pytest.raises(PluginError, match="no fruit is named"):
        fruits[name]


def test_broken_plugin_says_why(fruits: Registry[Plugin]) -> None:
    with pytest.raises(ImportError, match="rotten needs a library"):
        fruits["rotten"]


def test_taken_name_is_refused(fruits: Registry[Plugin]) -> None:
    assert fruits["pear"]

    @dataclass(frozen=True, kw_only=True)
    class Other(Plugin):
        pass

    with pytest.raises(PluginError, match="two fruits are named 'pear'"):
        fruits.register("pear")(Other)


def test_installed_package_joins(
    fruits: Registry[Plugin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    about = site / "orchard-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: orchard\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[understudy.fruit]\nplum = orchard\n")
    (site / "orchard.py").write_text(FRUIT.format(name="plum"))
    monkeypatch.syspath_prepend(str(site))
    assert fruits.names() == ["apple", "pear", "plum", "rotten"]
    assert "orchard" not in sys.modules
    assert fruits["plum"].name == "plum"
    assert fruits.source("plum") is None
    del sys.modules["orchard"]


# ------------------------------------------------------------------------------ every built-in plugin


def test_there_is_a_registry_for_every_kind() -> None:
    kinds = {registry.kind for registry in all_registries()}
    assert {"blend", "color_transfer", "detector", "embedder", "landmarker", "loss", "model"} <= kinds


@pytest.mark.parametrize(("registry", "name"), BUILT_IN)
def test_plugin_is_a_frozen_keyword_dataclass_with_defaults(registry: Registry[Plugin], name: str) -> None:
    settings = registry[name]
    assert settings.name == name, "the file name is the name a person types"
    assert dataclasses.is_dataclass(settings)
    parameters = settings.__dataclass_params__  # pyright: ignore[reportAttributeAccessIssue]
    assert parameters.frozen
    for item in dataclasses.fields(settings):
        assert item.kw_only, f"{item.name} must be keyword-only"
    assert settings() == settings()
    assert settings.registry is registry


@pytest.mark.parametrize(("registry", "name"), BUILT_IN)
def test_plugin_explains_itself_and_each_setting(registry: Registry[Plugin], name: str) -> None:
    file = registry.source(name)
    assert file
    classes = [
        node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.ClassDef)
    ]
    own = next(node for node in classes if node.name == registry[name].__name__)
    assert ast.get_docstring(own), "the class's sentence is the help of the plugin"
    for field, after in zip(own.body, [*own.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field.annotation):
            explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            assert explained, f"{ast.unparse(field.target)}: its sentence is its help, write one below it"


LOOK_UP = """
import importlib, sys
from understudy.cli import stand_in
stand_in.install()  # looking names up needs no torch
def imported():
    return [name.split(".")[2] for name in sys.modules if name.startswith("{package}.")]
registry = getattr(importlib.import_module("{package}"), "{package}".split(".")[1].upper())
assert registry.names() and not imported(), "listing imports"
registry["{name}"]
print(*imported())
"""


@pytest.mark.parametrize("registry", all_registries(), ids=lambda registry: registry.kind)
def test_one_plugin_does_not_import_the_others(registry: Registry[Plugin]) -> None:
    names = [name for name in registry.names() if registry.source(name)]
    if not names:
        pytest.skip(f"no {registry.kind} is built in")
    program = LOOK_UP.format(package=registry.package, name=names[0])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = {name for name in done.stdout.split() if not name.startswith("_")}
    assert imported == {names[0]}

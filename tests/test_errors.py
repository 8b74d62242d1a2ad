"""The exception tree is the one drawn in errors.py."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from understudy import errors

SOURCES = Path(errors.__file__).parent


def drawn_tree() -> dict[str, str]:
    """Class name to the name of its base, read from the drawing in the docstring."""
    tree: dict[str, str] = {}
    way: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found[1]) // 4
            way[depth:] = [found[2]]
            tree[found[2]] = way[depth - 1] if depth else "Exception"
    return tree


def real_tree() -> dict[str, str]:
    classes = inspect.getmembers(errors, inspect.isclass)
    return {name: kind.__bases__[0].__name__ for name, kind in classes if kind.__module__ == errors.__name__}


def test_drawing_is_true() -> None:
    assert drawn_tree() == real_tree()
    assert len(real_tree()) > 5


def test_builtin_bases_are_drawn() -> None:
    for name, bases in re.findall(r"(\w+Error) \((\w+)\)", errors.__doc__ or ""):
        assert bases in {base.__name__ for base in getattr(errors, name).__bases__}
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.PluginError, LookupError)


def test_shape_error_says_what_was_wanted_and_what_came() -> None:
    error = errors.ShapeError("mask", "(B, 1, S, S)", (4, 3, 64, 64))
    assert str(error) == "mask: wanted shape (B, 1, S, S), got (4, 3, 64, 64)"


def _raised(file: Path) -> list[tuple[int, str, ast.Call]]:
    calls = [n.exc for n in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(n, ast.Raise)]
    named = [call for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)]
    return [(call.lineno, call.func.id, call) for call in named if isinstance(call.func, ast.Name)]


@pytest.mark.parametrize(
    "file", sorted(SOURCES.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCES))
)
def test_every_error_of_ours_has_a_message(file: Path) -> None:
    known = real_tree()
    empty = [
        f"{file.name}:{line} {name}" for line, name, call in _raised(file) if name in known and not call.args
    ]
    assert not empty, "say what was wanted, what came and what to do"


@pytest.mark.parametrize(
    "file", sorted(SOURCES.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCES))
)
def test_nobody_raises_a_nameless_error(file: Path) -> None:
    nameless = [
        f"{file.name}:{line} {name}"
        for line, name, _ in _raised(file)
        if name in ("Exception", "RuntimeError")
    ]
    assert not nameless, "raise one of understudy.errors, so that the command line can show it"

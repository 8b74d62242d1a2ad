"""Names and flags that people rely on: a checked-in list, so that none comes or goes unnoticed.

``tests/public_names.json`` holds the public names of every module and the flags of every command. After a
change that is meant, call this file and read the difference before you commit it:

    .venv/bin/python tests/test_public_names.py

A name that was in a release is removed only after a release that warned about it (CONTRIBUTING.md).
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import understudy
from understudy.cli.main import COMMANDS

PACKAGE = Path(understudy.__file__).parent
LIST = Path(__file__).with_name("public_names.json")
REMEDY = "if this is meant, list it: .venv/bin/python tests/test_public_names.py"

SHOW_HELP = """
import contextlib, io, json, sys
from understudy.cli.main import main
shown = {}
for command in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main([command, "--help"])
    shown[command] = out.getvalue()
print(json.dumps(shown))
"""


def defined(body: list[ast.stmt]) -> Iterator[str]:
    """Names that a module gives a value at its top, imports left out."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)
            )
        elif isinstance(node, ast.If | ast.Try):
            yield from defined(node.body)


def declared(body: list[ast.stmt]) -> list[str] | None:
    """The module's ``__all__``."""
    for node in body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
            return list(ast.literal_eval(node.value))
    return None


def public_names() -> dict[str, list[str]]:
    """Module to its public names; modules and names that begin with an underscore are private."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        body = ast.parse(path.read_text("utf-8")).body
        names = declared(body) or [name for name in defined(body) if not name.startswith("_")]
        if names and not any(part.startswith("_") for part in parts):
            found[".".join(parts)] = sorted(set(names))
    return found


def flags() -> dict[str, list[str]]:
    """Command to the flags that its help shows."""
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW_HELP, *COMMANDS],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    shown = json.loads(done.stdout)
    return {
        command: sorted(set(re.findall(r"(?<![\w-])--?[a-z][\w.-]*", text)))
        for command, text in shown.items()
    }


def differences(kept: dict[str, list[str]], came: dict[str, list[str]]) -> list[str]:
    """One line a name that came or went."""
    lines: list[str] = []
    for place in sorted(kept.keys() | came.keys()):
        old, new = set(kept.get(place, [])), set(came.get(place, []))
        lines += [f"gone: {place} {name}" for name in sorted(old - new)]
        lines += [f"new: {place} {name}" for name in sorted(new - old)]
    return lines


def test_public_names_are_the_listed_ones() -> None:
    changed = differences(json.loads(LIST.read_text("utf-8"))["names"], public_names())
    assert not changed, "\n".join([REMEDY, *changed])


def test_flags_are_the_listed_ones() -> None:
    shown = flags()
    assert {"--source", "--target"} <= set(shown["swap"]), "the help was not read"
    changed = differences(json.loads(LIST.read_text("utf-8"))["flags"], shown)
    assert not changed, "\n".join([REMEDY, *changed])


def test_declared_names_exist() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        body = ast.parse(path.read_text("utf-8")).body
        if names := declared(body):
            imported = [
                a.asname or a.name for node in body if isinstance(node, ast.ImportFrom) for a in node.names
            ]
            assert set(names) <= {*defined(body), *imported}, f"{path}: __all__ names what is not there"


def test_a_change_is_noticed() -> None:
    assert differences({"a": ["x", "y"]}, {"a": ["y", "z"], "b": ["w"]}) == [
        "gone: a x",
        "new: a z",
        "new: b w",
    ]
    assert differences({"a": ["x"]}, {"a": ["x"]}) == []


if __name__ == "__main__":
    text = json.dumps({"names": public_names(), "flags": flags()}, indent=1)
    LIST.write_text(text + "\n", "utf-8")

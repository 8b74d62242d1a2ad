"""Every Python block of the documents runs, every link leads somewhere, every named command exists."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from understudy.blends import BLENDS
from understudy.cli.main import COMMANDS
from understudy.registry import Registry

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WITH_PYTHON = [path for path in DOCUMENTS if "```python\n" in path.read_text("utf-8")]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> Iterator[tuple[int, str]]:
    """Line number and text of the fenced blocks in a language."""
    text = path.read_text("utf-8")
    for block in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text[: block.start(1)].count("\n") + 1, block[1]


@pytest.fixture
def own_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a document registers is forgotten after it."""
    original = Registry.register

    def register(self: Registry[Any], name: str) -> Any:
        monkeypatch.setattr(self, "_entries", dict(self._entries))
        return original(self, name)

    monkeypatch.setattr(Registry, "register", register)


@pytest.mark.parametrize("path", WITH_PYTHON, ids=named)
def test_python_blocks_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_registries: None
) -> None:
    """The blocks of one document run in order, as one module, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType(f"document_{path.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    for line, source in blocks(path, "python"):
        exec(compile("\n" * (line - 1) + source, str(path), "exec", dont_inherit=True), module.__dict__)


def test_what_documents_register_is_forgotten() -> None:
    assert all(BLENDS.source(name) for name in BLENDS.names())


def test_some_document_has_python() -> None:
    assert ROOT / "docs" / "architecture.md" in WITH_PYTHON


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|srcset|href)=\"([^\"#]+)", text)
    local = [
        target for pair in targets for target in pair if target and "://" not in target and "@" not in target
    ]
    missing = [target for target in local if not (path.parent / target).exists()]
    assert not missing


def shown_lines(path: Path) -> list[str]:
    """Lines of the blocks that show a shell, continued lines joined."""
    text = "".join(block for language in ("", "sh", "bash", "console") for _, block in blocks(path, language))
    return text.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_and_flags_shown_exist(path: Path) -> None:
    flags = json.loads((ROOT / "tests" / "public_names.json").read_text("utf-8"))["flags"]
    calls = [line for line in shown_lines(path) if re.match(r"\s*(\$ )?understudy [a-z]", line)]
    calls += re.findall(r"`(understudy [a-z][^`]*)`", path.read_text("utf-8"))
    for call in calls:
        command = call.replace("$", "").split()[1]
        assert command in COMMANDS, call
        shown = re.findall(r"(?<=\s)--?[a-z][\w.-]*", call.partition("#")[0])
        assert set(shown) <= {*flags[command], "--help"}, call


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_targets_of_make_exist(path: Path) -> None:
    targets = {
        target for line in shown_lines(path) for target in re.findall(r"^\s*(?:\$ )?make ([a-z]+)", line)
    }
    targets |= set(re.findall(r"`make ([a-z]+)`", path.read_text("utf-8")))
    assert targets <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def test_some_flags_are_shown() -> None:
    assert any("--source" in line for line in shown_lines(ROOT / "README.md"))

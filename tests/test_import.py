"""Importing warns about nothing, and help does not wait for torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import understudy
from understudy.cli.main import COMMANDS

PACKAGE = Path(understudy.__file__).parent
SCRIPT = Path(sys.executable).with_name("understudy")

IMPORT_ALL = """
import importlib, pathlib, sys, warnings
root = pathlib.Path(sys.argv[1])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root.parent).with_suffix("").parts
        if parts[-1] != "__main__":
            importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
for one in caught:
    ours = pathlib.Path(one.filename).is_relative_to(root)
    if ours or not issubclass(one.category, DeprecationWarning | PendingDeprecationWarning):
        print(f"{one.filename}:{one.lineno}: {one.category.__name__}: {one.message}")
"""


def imported_by(*arguments: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Runs the console script; gives what it printed and the names of the modules that it imported."""
    environment = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(
        [SCRIPT, *arguments], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    rows = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done, {row.rpartition("|")[2].strip() for row in rows}


def processor_seconds(*arguments: str) -> float:
    """Processor time of the console script, best of three; a busy machine's clock says nothing."""
    spent: list[float] = []
    for _ in range(3):
        process = subprocess.Popen([SCRIPT, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        spent.append(usage.ru_utime + usage.ru_stime)
    return min(spent)


def test_importing_every_module_warns_about_nothing_and_prints_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(PACKAGE)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")


def test_help_imports_nothing_heavy() -> None:
    done, imported = imported_by("--help")
    assert done.returncode == 0
    assert "understudy swap" in done.stdout
    assert "understudy.cli.main" in imported, "the list of imports was not read"
    heavy = {"torch", "numpy", "scipy", "cv2", "av", "tyro", "rich", "safetensors", "importlib.metadata"}
    assert imported & heavy <= {"importlib.metadata"}


def test_help_is_quick() -> None:
    assert processor_seconds("--help") < 0.3


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_is_quick(command: str) -> None:
    """A second is promised and measured by benchmarks/startup.py; twice that means something crept in."""
    assert processor_seconds(command, "--help") < 2.0


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_does_not_import_torch(command: str) -> None:
    done, imported = imported_by(command, "--help")
    assert done.returncode == 0, done.stderr[-2000:]
    assert command in done.stdout
    # the stand-in answers to the name torch; the real one brings its compiled core
    assert not {"torch._C", "torch.nn.modules.module", "scipy._lib"} & imported


def test_version() -> None:
    done, _ = imported_by("--version")
    assert done.stdout == f"understudy {understudy.__version__}\n"

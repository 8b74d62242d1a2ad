from __future__ import annotations

import errno
import importlib
import io
import signal
import types
from pathlib import Path

import pytest
from rich.console import Console

from understudy import durable
from understudy.cli import show
from understudy.cli.main import main
from understudy.cli.words import merge_command, require_folder
from understudy.errors import DataError, OutputError
from understudy.events import Progress, StageDone, StageStarted


@pytest.fixture
def said(monkeypatch) -> io.StringIO:
    """What is printed, on a terminal of its own."""
    out = io.StringIO()
    monkeypatch.setattr(show, "console", Console(file=out, highlight=False, soft_wrap=True))
    return out


def raising(error: BaseException):
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DataError("a face set [of nobody]"), ("error: a face set [of nobody]",)),
        (PermissionError(errno.EACCES, "Permission denied", "a.mp4"), ("a.mp4:", "not allow", "permissions")),
        (FileNotFoundError(errno.ENOENT, "No such file", "b.mp4"), ("b.mp4:", "no such file", "check")),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "c"), ("c:", "is a folder", "name the file")),
        (FileExistsError(errno.EEXIST, "File exists", b"d"), ("d:", "a file lies", "another place")),
        (OSError(errno.EIO, "Input/output error", "e"), ("e:", "Input/output error", "the disk")),
        (MemoryError("Unable to allocate 37 GiB"), ("not enough memory", "37 GiB", "smaller")),
        (RuntimeError("[x] you can't allocate memory: 1\nstack"), ("not enough memory", "smaller")),
    ],
)
def test_what_a_user_can_act_on_is_a_sentence(said, error, words):
    assert show.guarded(raising(error)) == 1
    for word in ("error:", *words):
        assert word in said.getvalue()
    assert "stack" not in said.getvalue()


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("shapes differ"), OSError("no file in it")])
def test_mistakes_of_the_program_keep_their_traceback(said, error):
    with pytest.raises(type(error)):
        show.guarded(raising(error))


@pytest.mark.parametrize(
    ("command", "words"),
    [("merge", "goes on from here"), ("train", "with --run FOLDER goes on"), ("compare", "begins anew")],
)
def test_ctrl_c_promises_only_what_is_so(said, monkeypatch, command, words):
    module = types.SimpleNamespace(run=lambda _: raising(KeyboardInterrupt())())
    monkeypatch.setattr(importlib, "import_module", lambda _: module)
    assert main([command]) == 130
    assert words in said.getvalue()
    assert len(said.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [("merge", "goes on from here"), ("train", "with --run FOLDER goes on"), ("evaluate", "begins anew")],
)
def test_a_full_disk_promises_only_what_is_so(said, monkeypatch, tmp_path, command, words):
    def fill(_: object) -> None:
        with durable.explained(tmp_path / "a.bin", 12_000_000):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(importlib, "import_module", lambda _: types.SimpleNamespace(run=fill))
    assert main([command]) == 1
    assert "the disk is full (12.0 MB are needed" in said.getvalue()
    assert "make room and try again. " in said.getvalue()
    assert words in said.getvalue()


def test_ctrl_c_while_modules_load_ends_the_process_at_once(monkeypatch):
    """Torch aborts when Python's own handler raises in the middle of its loading."""
    handlers = []

    def load(_name: str) -> types.SimpleNamespace:
        handlers.append(signal.getsignal(signal.SIGINT))
        return types.SimpleNamespace(run=lambda _: handlers.append(signal.getsignal(signal.SIGINT)) or 0)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr(importlib, "import_module", load)
        assert main(["doctor"]) == 0
        assert handlers == [signal.SIG_DFL, signal.default_int_handler]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # in the background of a shell
        assert main(["doctor"]) == 0
        assert handlers[2:] == [signal.SIG_IGN, signal.SIG_IGN]
    finally:
        signal.signal(signal.SIGINT, before)


def stream(unit: str, total: int | None):
    yield StageStarted(stage="fetch", detail="things", total=total, unit=unit)
    yield Progress(stage="fetch", done=1_500_000, total=total)
    yield StageDone(stage="fetch", summary={"fetched": ["a", "b"], "size": 2.0})


@pytest.mark.parametrize(
    ("unit", "total", "line"),
    [
        ("bytes", 3_000_000, "fetch: 1.5 of 3.0 MB\n"),
        ("steps", 3_000_000, "fetch: 1500000 of 3000000 steps\n"),
        ("steps", None, "fetch: 1500000 steps\n"),
    ],
)
def test_lines_say_of_what_and_in_which_unit(said, monkeypatch, unit, total, line):
    monkeypatch.setattr(show, "PLAIN_EVERY", 0.0)
    show.follow(stream(unit, total))
    assert line in said.getvalue()
    assert "fetched a, b, size 2" in said.getvalue()


def test_bars_say_no_total_where_none_is_known(monkeypatch):
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr(show, "console", terminal)
    show.follow(stream("steps", None))
    assert "0 steps" in out.getvalue()
    assert "None" not in out.getvalue()


def test_the_command_to_merge_with_names_the_recipe_of_the_training():
    words = merge_command(Path("runs/a b/swapper"), "VIDEO", Path("faces"), "out.mp4", ("cpu", "my.toml"))
    expected = "understudy merge --swapper 'runs/a b/swapper' --target VIDEO --faces faces"
    assert words == f"{expected} --recipe cpu my.toml -o out.mp4"
    words = merge_command(Path("runs/a b/swapper"), "VIDEO", Path("faces"), "out.mp4", (), "--persons", 0, 2)
    assert words == f"{expected} -o out.mp4 --persons 0 2"


def test_a_file_is_no_folder_to_write(tmp_path):
    assert require_folder(tmp_path / "new" / "one", "output") == tmp_path / "new" / "one"
    assert require_folder(tmp_path, "output") == tmp_path
    (tmp_path / "film.mp4").touch()
    for path in (tmp_path / "film.mp4", tmp_path / "film.mp4" / "inside"):
        with pytest.raises(OutputError, match=r"output: .*film\.mp4 is a file, wanted the name of a folder"):
            require_folder(path, "output")

"""A recorded run, read and drawn; and the real command in a pseudo terminal."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from understudy.cli import dashboard, pictures, watch
from understudy.cli.curves import blocks, braille
from understudy.errors import CheckpointError, ConfigError
from understudy.events import StageDone, StageStarted
from understudy.training.dashboard import RunReader, ask, thinned

NOW = 1_800_000_000.0
LOSSES = [4.0, 2.0, 1.0, 0.5]


def record(folder: Path, **status: object) -> Path:
    """A run of four reports, a measurement, a preview and a warning."""
    (folder / "previews").mkdir(parents=True)
    (folder / "recipe.toml").write_text("")
    events: list[dict] = [
        {"event": "StageStarted", "stage": "train", "detail": "1.5 M parameters, fp32 on 1 threads"}
    ]
    for number, loss in enumerate(LOSSES):
        values = {
            "loss": loss,
            "dssim_source": loss / 2,
            "rate": 1e-3,
            "steps_per_second": 2.5,
            "memory": 2e9,
        }
        events.append(
            {"event": "Progress", "stage": "train", "done": 1 + 10 * number, "total": 100, "values": values}
        )
    events += [
        {"event": "Measured", "step": 20, "figures": {"heldout/ssim_target": 0.75}},
        {"event": "Saved", "path": "checkpoints/00000020", "step": 20},
        {"event": "Saved", "path": "previews/00000030.png", "step": 30},
        {"event": "Warned", "message": "the loss [fell] apart", "frame": None},
        {"event": "StageDone", "stage": "train", "summary": {"state": "stopped", "steps": 31}},
    ]
    lines = [json.dumps({"time": NOW - 100, **event}) for event in events]
    (folder / "events.jsonl").write_text("\n".join(lines) + '\n{"event": "Progr')
    gradient = np.linspace(0, 255, 60 * 40 * 3).reshape(40, 60, 3).astype(np.uint8)
    Image.fromarray(gradient).save(folder / "previews" / "00000030.png")
    said = {
        "state": "training", "step": 31, "steps": 100, "elapsed": 30.0, "seconds_left": 90.0,
        "process": os.getpid(), "updated": NOW,
    }  # fmt: skip
    (folder / "status.json").write_text(json.dumps({**said, **status}))
    return folder


def dead_process() -> int:
    """Number of a process that has been."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def text_of(renderable: object, width: int = 100, height: int = 30) -> str:
    console = Console(width=width, height=height, record=True, file=io.StringIO(), force_terminal=True)
    console.print(renderable)
    return console.export_text()


def test_what_a_folder_says(tmp_path):
    seen = RunReader(record(tmp_path / "run")).read(NOW)
    assert (seen.state, seen.step, seen.steps, seen.fraction) == ("training", 31, 100, 0.25)
    assert seen.losses["loss"] == [(1, 4.0), (11, 2.0), (21, 1.0), (31, 0.5)]
    assert set(seen.losses) == {"loss", "dssim_source"}
    assert seen.figures == {"heldout/ssim_target": [(20, 0.75)]}
    assert seen.preview == tmp_path / "run" / "previews" / "00000030.png"
    assert [text for _, text in seen.messages] == [
        "saved at step 20", "preview at step 30", "warning: the loss [fell] apart", "stopped at step 31"
    ]  # fmt: skip


def test_only_what_is_new_is_read(tmp_path):
    folder = record(tmp_path / "run")
    reader = RunReader(folder)
    reader.read(NOW)
    with (folder / "events.jsonl").open("a") as file:  # the torn line is finished; then the run goes back
        file.write('ess", "done": 41, "total": 100, "values": {"loss": 9.0}}\n')
        file.write('not json\n{"event": "Progress", "done": 21, "total": 100, "values": {"loss": 0.8}}\n')
    assert reader.read(NOW).losses["loss"] == [(1, 4.0), (11, 2.0), (21, 0.8)]
    record(tmp_path / "other")
    (folder / "events.jsonl").write_text("")
    assert reader.read(NOW).losses["loss"][-1] == (21, 0.8)


@pytest.mark.parametrize(
    ("status", "age", "state", "words"),
    [
        ({}, 1.0, "training", "training"),
        ({"process": "dead"}, 10.0, "gone", "is gone, last sign of life 10s ago"),
        ({"process": "dead"}, 1.0, "training", "training"),
        ({}, 500.0, "silent", "no sign of life for 8m 20s"),
        ({"elapsed": 100_000.0}, 500.0, "training", "training"),
        ({"state": "done", "process": "dead"}, 5000.0, "done", "done"),
        ({"state": "stopped", "process": "dead"}, 5000.0, "stopped", "stopped and saved"),
    ],
)
def test_how_a_run_is(tmp_path, status, age, state, words):
    if status.get("process") == "dead":
        status = {**status, "process": dead_process()}
    seen = RunReader(record(tmp_path / "run", **status)).read(NOW + age)
    assert seen.state == state
    assert words in dashboard.headline(seen)


def test_a_run_that_has_not_begun(tmp_path):
    (tmp_path / "recipe.toml").write_text("")
    seen = RunReader(tmp_path).read(NOW)
    assert seen.state == "new"
    assert "no step" in "\n".join(dashboard.snapshot(seen, 80))
    assert "no report yet" in text_of(dashboard.draw(seen, 100, 30, None)[0])
    with pytest.raises(CheckpointError, match="recipe"):
        RunReader(tmp_path / "nothing")


def test_snapshot_in_plain_words(tmp_path):
    lines = dashboard.snapshot(RunReader(record(tmp_path / "run")).read(NOW), 80)
    assert lines[:3] == [
        "run: training",
        "  step 31 of 100, 2.50 steps/s, 30s trained, 1m 30s left, 1.86 GB at most, learning rate 0.001",
        "  1.5 M parameters, fp32 on 1 threads",
    ]
    assert "  loss                0.5  █▄▂▁" in lines
    assert "  ssim_target       0.75  ▄" in lines
    assert all(len(line) <= 110 for line in lines)


def test_only_held_out_faces_are_called_so(tmp_path):
    seen = RunReader(record(tmp_path / "run")).read(NOW)
    assert "held-out faces:" in dashboard.snapshot(seen, 80)
    seen.figures = {"psnr_source": [(20, 12.5)]}
    assert "held-out" not in "".join(dashboard.snapshot(seen, 80))
    assert "figures:" in dashboard.snapshot(seen, 80)


def test_a_training_without_a_terminal_is_followed_as_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    stages = []
    done = StageDone(stage="train", summary={"state": "done"})
    stream = iter([StageStarted(stage="train"), done])
    found = watch.follow_watching(stream, record(tmp_path / "run"), lambda *about: stages.append(about))
    assert found == {"train": {"state": "done"}}
    assert stages == [("train", True), ("train", False)]


@pytest.mark.parametrize(("width", "height"), [(140, 42), (100, 30), (80, 24), (60, 15)])
def test_the_screen_is_filled_and_nothing_is_wider(tmp_path, width, height):
    seen = RunReader(record(tmp_path / "run")).read(NOW)
    picture = pictures.load(seen.preview)
    drawn, place = dashboard.draw(seen, width, height, picture)
    text = text_of(drawn, width, height)
    assert place is None
    assert len(text.splitlines()) == height
    assert max(map(len, text.splitlines())) <= width
    assert "step 31 of 100" in text
    assert "q quit" in text
    assert ("preview at step 30" in text) == (width >= 70)
    assert "ssim_target" in text or height < 20


def test_a_picture_that_the_terminal_draws_gets_an_empty_place(tmp_path):
    seen = RunReader(record(tmp_path / "run")).read(NOW)
    drawn, place = dashboard.draw(seen, 120, 40, pictures.load(seen.preview), protocol="kitty")
    assert place is not None
    rows = text_of(drawn, 120, 40).splitlines()[place.row : place.row + place.rows]
    assert {row[place.column : place.column + place.columns].strip() for row in rows} == {""}
    assert {row[place.column - 2] for row in rows} == {"│"}


# ------------------------------------------------------------------------------------------------ curves


def test_a_falling_line_in_braille():
    chart = braille([(0, 3.0), (1, 2.0), (2, 1.0), (3, 0.0)], 2, 1)
    assert chart.lines == ["⠑⢄"]
    assert (chart.low, chart.high, chart.logarithmic) == (0.0, 3.0, False)
    halves = braille([(step, 2.0**-step) for step in range(4)], 2, 1)
    assert halves.logarithmic
    assert halves.lines == ["⠑⢄"], "equal factors are equal heights"
    assert braille([], 3, 2).lines == ["⠀⠀⠀"] * 2
    assert braille([(5, float("nan")), (9, 1.0)], 1, 1).lines != ["⠀"]


def test_blocks():
    assert blocks([(step, step) for step in range(8)], 8) == "▁▂▃▄▅▆▇█"
    assert blocks([(1, 2.0), (2, 2.0)], 8) == "▄▄"
    assert blocks([], 8) == ""


def test_thinning_keeps_the_middle_of_each_stretch():
    curve = [(step, 1000.0 if step == 55 else float(step)) for step in range(100)]
    thin = thinned(curve, 10)
    assert [value for _, value in thin] == [5, 15, 25, 35, 45, 56, 65, 75, 85, 95]
    assert thinned(curve, 100) == curve


# ---------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/socket"}, "blocks"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({}, "blocks"),
    ],
)
def test_what_a_terminal_speaks(environment, protocol):
    assert pictures.protocol_of(environment) == protocol


def sample_picture() -> Image.Image:
    colors = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    return Image.fromarray(np.repeat(np.repeat(colors, 12, 0), 10, 1))


def test_half_blocks_show_two_pixels_a_character():
    text = pictures.half_blocks(sample_picture().resize((2, 2), Image.Resampling.NEAREST), 2, 1)
    assert text.plain == "▀▀"
    colors = [(tuple(span.style.color.triplet), tuple(span.style.bgcolor.triplet)) for span in text.spans]
    assert colors == [((255, 0, 0), (0, 0, 255)), ((0, 255, 0), (255, 255, 255))]


def test_kitty_and_iterm2_carry_the_picture():
    big = Image.effect_noise((300, 200), 80).convert("RGB")
    sent = pictures.escape_codes("kitty", big, 30, 10, (10, 20))
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", sent)
    assert len(parts) > 1
    assert [head[-1] for head, _ in parts] == ["1"] * (len(parts) - 1) + ["0"]
    assert "c=30,r=10" in parts[0][0]
    data = base64.b64decode("".join(part for _, part in parts))
    assert Image.open(io.BytesIO(data)).size == (300, 200)
    sent = pictures.escape_codes("iterm2", big, 15, 5, (10, 20))
    head, _, data = sent.partition(":")
    assert Image.open(io.BytesIO(base64.b64decode(data.rstrip("\x07")))).size == (150, 100)
    assert "width=15;height=5" in head


def unsixel(sent: str) -> np.ndarray:
    """The picture of a sixel stream."""
    head, body = re.fullmatch(r'\x1bP0;1q"1;1;(\d+;\d+)(.*)\x1b\\', sent, re.DOTALL).groups()
    width, height = map(int, head.split(";"))
    picture, palette = np.zeros((-(-height // 6) * 6, width, 3), np.uint8), {}
    x = top = color = 0
    for token in re.findall(r"#\d+(?:;2;\d+;\d+;\d+)?|!\d+.|\$|-|[?-~]", body):
        if token[0] == "#":
            number, *levels = map(int, token[1:].replace(";2;", ";", 1).split(";"))
            color = number
            if levels:
                palette[number] = levels
        elif token == "$":
            x = 0
        elif token == "-":
            x, top = 0, top + 6
        else:
            count = int(token[1:-1]) if token[0] == "!" else 1
            bits = ord(token[-1]) - 63
            for row in range(6):
                if bits >> row & 1:
                    picture[top + row, x : x + count] = np.round(np.array(palette[color]) * 2.55)
            x += count
    return picture[:height]


def test_sixels_give_the_picture_again():
    picture = sample_picture()  # 20 x 24: bands of six rows, the last one whole
    sent = pictures.escape_codes("sixel", picture, 2, 1, (10, 24))
    assert np.array_equal(unsixel(sent), np.asarray(picture))


def test_a_torn_picture_is_none(tmp_path):
    good = io.BytesIO()
    sample_picture().save(good, "PNG")
    (tmp_path / "torn.png").write_bytes(good.getvalue()[:60])
    assert pictures.load(tmp_path / "torn.png") is None
    assert pictures.load(tmp_path / "missing.png") is None


def test_proportions_are_kept():
    assert pictures.cells_for(sample_picture(), 40, 40, (10, 20)) == (40, 24)
    assert pictures.cells_for(sample_picture(), 40, 6, (10, 20)) == (10, 6)


# ------------------------------------------------------------------------------------------- the command


def test_piped_it_is_a_snapshot(tmp_path, capsys, monkeypatch):
    record(tmp_path / "20260101-000000_df")
    newest = record(tmp_path / "20260102-000000_df", state="done")
    mask = record(tmp_path / "mask")  # named by its maker
    for run, begun in ((mask, 1000), (tmp_path / "20260101-000000_df", 2000), (newest, 3000)):
        os.utime(run / "recipe.toml", (begun, begun))
    assert watch.newest_run(tmp_path) == newest
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert watch.run([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("20260102-000000_df: done\n")
    assert "\x1b" not in shown
    with pytest.raises(ConfigError, match="wanted the folder of a run"):
        watch.run([])


def test_asking(tmp_path):
    ask(tmp_path, "save")
    ask(tmp_path, "save")
    assert [path.name for path in (tmp_path / "inbox").iterdir()] == ["save"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
def test_keys_in_a_real_terminal(tmp_path):
    import pty
    import termios

    folder = record(tmp_path / "run", updated=time.time())
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    environment = {**os.environ, "TERM": "xterm-kitty", "COLUMNS": "120", "LINES": "40"}
    environment.pop("TMUX", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy.cli.main", "watch", str(folder)],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
    )  # fmt: skip
    seen = b""

    def until(wanted: bytes) -> None:
        nonlocal seen
        end = time.monotonic() + 60
        while wanted not in seen:
            assert time.monotonic() < end, seen[-2000:]
            if select.select([ours], [], [], 0.2)[0]:
                seen += os.read(ours, 65536)

    until(b"\x1b_Ga=T,f=100")  # the picture came
    os.write(ours, b"sx")
    until(b"stop was asked for")
    os.write(ours, b"q")
    until(b"\x1b[?1049l")  # the other screen is back
    assert process.wait(30) == 0
    assert {path.name for path in (folder / "inbox").iterdir()} == {"save", "stop"}
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)

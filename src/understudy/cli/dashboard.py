"""A run drawn in the terminal: how far it is, its curves and figures, what it said, its newest preview."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from PIL import Image
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from understudy.cli import pictures
from understudy.cli.curves import blocks, braille
from understudy.cli.show import duration
from understudy.training.dashboard import Point, RunState

_COLORS = {"training": "green", "done": "cyan", "stopped": "yellow", "silent": "yellow", "gone": "red"}
_PREFIX = "heldout/"
"""Of figures on held-out faces; ``training.held_out`` says the same, and needs torch."""
_KEYS = "q quit   s save   p preview   x stop the run"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a picture stands that the terminal itself draws, in characters from the top left, from 0."""

    column: int
    row: int
    columns: int
    rows: int


def headline(run: RunState) -> str:
    """How the run is, in words."""
    process = f"process {run.process}"
    return {
        "new": "no step was done yet",
        "training": "training",
        "silent": f"no sign of life for {duration(run.silence)}, though {process} is there",
        "gone": f"not running any more: {process} is gone, last sign of life {duration(run.silence)} ago; "
        "the same command goes on from its last checkpoint",
        "stopped": "stopped and saved; the same command goes on",
        "done": "done",
    }[run.state]


def facts(run: RunState) -> list[str]:
    """Step, rate, time, memory, learning rate: what is known of them."""
    steps = f" of {run.steps}" if run.steps else ""
    known = [f"step {run.step}{steps}"]
    if speed := run.values.get("steps_per_second"):
        known.append(f"{speed:.2f} steps/s" if speed >= 0.1 else f"{1 / speed:.0f} s a step")
    known.append(f"{duration(run.elapsed)} trained")
    if run.seconds_left is not None and run.state in ("training", "silent"):
        known.append(f"{duration(run.seconds_left)} left")
    if memory := run.values.get("memory"):
        known.append(f"{memory / 2**30:.2f} GB at most")
    if rate := run.values.get("rate"):
        known.append(f"learning rate {rate:.2g}")
    return known


def snapshot(run: RunState, width: int) -> list[str]:
    """The run as plain lines, for logs and pipes."""
    lines = [f"{run.name}: {headline(run)}", "  " + ", ".join(facts(run))]
    if run.detail:
        lines.append(f"  {run.detail}")
    for title, curves in {"loss": run.losses, **_figures(run)}.items():
        if curves:
            lines.append(f"{title}:")
            lines += [f"  {row}" for row in _rows(curves, width - 2)]
    if run.preview:
        lines.append(f"preview: {run.preview}")
    lines += [
        f"{time.strftime('%H:%M:%S', time.localtime(when))}  {text}" for when, text in run.messages[-5:]
    ]
    return lines


def draw(
    run: RunState,
    width: int,
    height: int,
    picture: Image.Image | None,
    *,
    protocol: pictures.Protocol = "blocks",
    cell: tuple[int, int] = (10, 20),
    note: str = "",
) -> tuple[RenderableType, Place | None]:
    """The whole screen, and where the terminal must put the picture itself; None where characters are it.

    Args:
        run: what to show.
        width: of the terminal, characters.
        height: of the terminal, characters.
        picture: the newest preview; None for none.
        protocol: how pictures are shown.
        cell: size of a character, pixels.
        note: what was just done for the person.
    """
    screen = Layout()
    keys = Text(f"{_KEYS}   {note}", no_wrap=True, overflow="ellipsis")
    screen.split_column(Layout(_head(run, width), size=5), Layout(name="middle"), Layout(keys, size=1))
    body = height - 6
    shows = picture is not None and width >= 70 and body >= 10
    left = width
    place = None
    if shows and picture is not None:
        columns, rows = pictures.cells_for(picture, width // 2 - 4, body - 2, cell)
        left = width - columns - 4
        inside: RenderableType = Text("")
        if protocol == "blocks":
            inside = pictures.half_blocks(picture, columns, rows)
        else:
            place = Place(column=left + 2, row=6, columns=columns, rows=rows)
        title = run.preview.stem.lstrip("0") if run.preview else ""
        panel = Panel(inside, title=f"preview at step {title or 0}", title_align="left")
        screen["middle"].split_row(Layout(_body(run, left, body), size=left), Layout(panel))
    else:
        screen["middle"].update(_body(run, left, body))
    return screen, place


def _head(run: RunState, width: int) -> Panel:
    """Name, state, bar and facts."""
    done = run.fraction
    room = max(10, width - 16)
    bar = Text("no end is set" if done is None else "")
    if done is not None:
        filled = round(done * room)
        bar.append("━" * filled, _COLORS.get(run.state, "white")).append(
            "━" * (room - filled), "bright_black"
        )
        bar.append(f" {100 * done:5.1f} %")
    lines = [Text(headline(run), _COLORS.get(run.state, "white"), no_wrap=True, overflow="ellipsis"), bar]
    lines.append(Text("   ".join(facts(run)), no_wrap=True, overflow="ellipsis"))
    return Panel(
        Group(*lines), title=run.name, title_align="left", subtitle=run.detail, subtitle_align="right"
    )


def _body(run: RunState, width: int, height: int) -> RenderableType:
    """Curve of the loss, held-out figures, terms, and what was said; as much as there is room for."""
    terms = {name: curve for name, curve in run.losses.items() if name != "loss"}
    curves = {**_figures(run), "loss terms": terms}
    tables = [(title, _rows(those, width - 4)) for title, those in curves.items() if those]
    said = [f"{time.strftime('%H:%M', time.localtime(when))} {text}" for when, text in run.messages]
    needed = sum(len(rows) + 2 for _, rows in tables)
    chart = max(6, min(16, height - needed - (5 if said else 0)))
    parts: list[Layout] = [Layout(_chart(run.losses.get("loss", []), width - 4, chart - 2), size=chart)]
    room = height - chart
    for title, rows in tables:
        size = min(len(rows) + 2, room)
        if size > 2:
            text = Text("\n".join(rows[: size - 2]), no_wrap=True, overflow="ellipsis")
            parts.append(Layout(Panel(text, title=title, title_align="left"), size=size))
            room -= size
    if room > 2:
        text = Text("\n".join(said[-(room - 2) :]), no_wrap=True, overflow="ellipsis")
        parts.append(Layout(Panel(text, title="said", title_align="left")))
    body = Layout()
    body.split_column(*parts)
    return body


def _chart(curve: list[Point], width: int, height: int) -> Panel:
    label = 9
    drawn = braille(curve, max(4, width - label), max(2, height - 1))
    grid = Table.grid(padding=0)
    if curve and not math.isnan(drawn.low):
        marks = [f"{drawn.high:.4g}", *[""] * (len(drawn.lines) - 2), f"{drawn.low:.4g}"]
        for mark, line in zip(marks, drawn.lines, strict=True):
            grid.add_row(Text(mark.rjust(label - 1) + " ", "bright_black"), Text(line, "green"))
        ends = f"{curve[0][0]}".ljust(width - label - len(str(curve[-1][0]))) + f"{curve[-1][0]}"
        grid.add_row("", Text(ends, "bright_black"))
    title = "loss (logarithmic)" if drawn.logarithmic else "loss"
    return Panel(grid if curve else Text("no report yet"), title=title, title_align="left")


def _figures(run: RunState) -> dict[str, dict[str, list[Point]]]:
    """What was measured on faces that are not learned from, and what on others."""
    apart = {name: curve for name, curve in run.figures.items() if name.startswith(_PREFIX)}
    return {"held-out faces": apart, "figures": {n: c for n, c in run.figures.items() if n not in apart}}


def _rows(curves: dict[str, list[Point]], width: int) -> list[str]:
    """A line for each curve: name, newest value, course."""
    shown = {name.removeprefix(_PREFIX): curve for name, curve in curves.items()}
    names = max(map(len, shown), default=0)
    return [
        f"{name:<{names}} {curve[-1][1]:>10.4g}  {blocks(curve, max(8, min(60, width - names - 14)))}"
        for name, curve in shown.items()
    ]

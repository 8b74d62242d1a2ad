"""The page of a run that trains: its newest preview and its curves, drawn anew while somebody looks at it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from understudy import durable
from understudy.events import Event, Measured, Saved, StageDone
from understudy.metrics.chart import Chart, Curve
from understudy.metrics.report import Figure, Gallery, PictureRow, Report, page
from understudy.training.held_out import PREFIX
from understudy.training.rundir import RunFolder

REFRESH = 20
"""Seconds after which a browser reads the page again."""

_CHARTS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "Structure of held-out faces",
        "SSIM in the mask",
        {"ssim_source": "source again", "ssim_target": "target again"},
    ),
    ("Error of held-out faces", "PSNR, dB", {"psnr_source": "source again", "psnr_target": "target again"}),
    (
        "Identity of swapped held-out faces",
        "distance",
        {"identity_to_source": "to the source", "identity_to_target": "to the target"},
    ),
    ("Pose of swapped held-out faces", "off by, degrees", {"pose_error": "off the target's"}),
    (
        "Expression of swapped held-out faces",
        "deviations; correlation",
        {"expression_error": "off the target's", "mouth_correlation": "mouth follows"},
    ),
)
"""Title, axis, and the figures in it with their names for a person."""


def write_page(run: RunFolder) -> Path:
    """Write ``previews/index.html`` from what the run has recorded.

    Raises:
        OutputError: no space, no permission.
    """
    path = run.previews / "index.html"
    refresh = f'<meta http-equiv="refresh" content="{REFRESH}">\n<title>'
    text = page(report_of(run)).replace("<title>", refresh, 1)
    durable.write_text(path, text, flush=False)
    return path


def with_page(run: RunFolder, events: Generator[Event, None, None]) -> Generator[Event, None, None]:
    """The same events; the page is written anew when there is something new to see, and at the end."""
    written = -math.inf
    with contextlib.closing(events):
        for event in events:
            yield event
            seen = isinstance(event, Measured) or (
                isinstance(event, Saved) and event.path.parent == run.previews
            )
            ended = isinstance(event, StageDone) and event.stage == "train"
            if ended or (seen and time.monotonic() - written > REFRESH):
                write_page(run)
                written = time.monotonic()


def report_of(run: RunFolder) -> Report:
    """What the page shows."""
    history = run.history()
    steps = [e for e in history if e.get("event") == "Progress" and e.get("stage") == "train"]
    measured = [e for e in history if e.get("event") == "Measured"]
    done = int(steps[-1]["done"]) if steps else 0
    charts = [_losses(steps)] if steps else []
    charts += [chart for about in _CHARTS if (chart := _measured(measured, *about))]
    return Report(
        title=f"{run.path.name}, step {done}",
        subtitle="Training. This page is written anew as the run goes on.",
        figures=tuple(_newest(steps, measured)),
        galleries=tuple(_preview(run)),
        charts=tuple(charts),
    )


def _newest(steps: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]) -> list[Figure]:
    figures: list[Figure] = []
    if steps:
        values = steps[-1]["values"]
        figures.append(Figure(label="loss", value=values.get("loss", math.nan), digits=3))
        speed = values.get("steps_per_second", math.nan)
        figures.append(Figure(label="speed", value=speed, unit="steps/s"))
    if measured:
        values = measured[-1]["figures"]
        figures += [
            Figure(label=name.replace("_", " ").removeprefix(PREFIX), value=value, digits=3)
            for name, value in values.items()
        ]
    return figures


def _preview(run: RunFolder) -> list[Gallery]:
    """The newest preview that can be read; one may be being written."""
    for path in sorted(run.previews.glob("*.png"), reverse=True):
        if path.stem.isdigit() and (picture := cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)) is not None:
            row = PictureRow(label=f"step {int(path.stem)}", pictures=(picture,))
            return [Gallery(title="Preview", columns=("",), rows=(row,))]
    return []


def _losses(steps: Sequence[Mapping[str, Any]]) -> Chart:
    """The loss, and its terms of the newest step as far as there are colours."""
    left_out = {"loss", "rate", "steps_per_second", "memory"}
    terms = [name for name in steps[-1]["values"] if name not in left_out]
    names = ["loss", *terms[:5]] if len(terms) <= 5 else ["loss"]
    curves: list[Curve] = []
    for name in names:
        known = [e for e in steps if name in e["values"]]
        curves.append(Curve(name=name, x=_places(known), y=[float(e["values"][name]) for e in known]))
    return Chart(title="Loss", x_label="step", y_label="loss", curves=tuple(curves), logarithmic=True)


def _places(events: Sequence[Mapping[str, Any]]) -> list[float]:
    return [float(e["done"]) for e in events]


def _measured(
    measured: Sequence[Mapping[str, Any]], title: str, label: str, names: Mapping[str, str]
) -> Chart | None:
    curves: list[Curve] = []
    for name, said in names.items():
        points = [(e["step"], e["figures"][PREFIX + name]) for e in measured if PREFIX + name in e["figures"]]
        if points:
            x, y = zip(*points, strict=True)
            curves.append(Curve(name=said, x=[float(value) for value in x], y=[float(value) for value in y]))
    if not curves:
        return None
    return Chart(title=title, x_label="step", y_label=label, curves=tuple(curves))

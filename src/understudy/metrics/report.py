"""A report as one page that needs nothing else: figures, pictures side by side, curves, notes.

The page holds its pictures and its style and asks no network; it follows the reader's light or dark setting
and prints well. It runs no script but its own, and that only where something on it moves. The same figures
lie beside it as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from understudy.durable import write_text
from understudy.errors import OutputError
from understudy.metrics.chart import Chart
from understudy.metrics.page import figures_html, parts_html, text_html, whole_page
from understudy.metrics.parts import (
    Figure,
    Gallery,
    HeatMap,
    Histogram,
    Paragraphs,
    Part,
    PictureRow,
    Sheet,
    Slider,
    Table,
)

__all__ = [
    "Figure",
    "Gallery",
    "HeatMap",
    "Histogram",
    "Paragraphs",
    "Part",
    "PictureRow",
    "Report",
    "Sheet",
    "Slider",
    "Table",
    "page",
    "plain_data",
    "write_report",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """All that a page shows, from top to bottom."""

    title: str
    """Headline of the page."""
    subtitle: str = ""
    """One sentence: what was done, with what, when."""
    figures: tuple[Figure, ...] = ()
    """What counts most."""
    parts: tuple[Part, ...] = ()
    """Whatever else, in this order; it stands before the following."""
    galleries: tuple[Gallery, ...] = ()
    """Pictures."""
    charts: tuple[Chart, ...] = ()
    """Curves."""
    tables: tuple[Table, ...] = ()
    """Figures in full."""
    notes: tuple[str, ...] = ()
    """What a reader must know to judge: one paragraph each."""
    data: Mapping[str, Any] | None = None
    """What the JSON file holds; None: what the page shows, less its pictures."""


def write_report(path: Path, report: Report) -> Path:
    """Write the page and, beside it with the suffix ``.json``, its figures.

    Args:
        path: the page, ``report.html``; its folder is made if need be.
        report: what it shows.

    Returns:
        The JSON file.

    Raises:
        OutputError: the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {path.parent}: {error.strerror}; choose another place"
        ) from error
    data = path.with_suffix(".json")
    plain = plain_data(report) if report.data is None else _plain(report.data)
    write_text(data, json.dumps(plain, allow_nan=False, ensure_ascii=False) + "\n")
    write_text(path, page(report))
    return data


def plain_data(report: Report) -> dict[str, Any]:
    """The report without its pictures: numbers, texts, lists; a number that is none is null."""
    plain = _plain(report)
    del plain["data"]
    return plain


def _plain(value: object) -> Any:  # noqa: ANN401  # whatever JSON knows
    if isinstance(value, np.ndarray):
        shape = cast("tuple[int, ...]", value.shape)
        if len(shape) == 3 and value.dtype == np.uint8:  # a picture
            return {"width": shape[1], "height": shape[0]}
        return _plain(value.tolist())
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in cast("Mapping[object, object]", value).items()}
    if isinstance(value, frozenset | set):
        return [_plain(item) for item in sorted(cast("set[Any]", value))]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in cast("Sequence[object]", value)]
    if isinstance(value, np.integer | np.floating):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def page(report: Report) -> str:
    """The page as HTML text."""
    subtitle = f'<p class="subtitle">{text_html(report.subtitle)}</p>' if report.subtitle else ""
    body = [f"<header><h1>{text_html(report.title)}</h1>{subtitle}</header>"]
    if report.figures:
        body.append(figures_html(report.figures))
    notes = (Paragraphs(title="Notes", texts=report.notes),) if report.notes else ()
    every: tuple[Part, ...] = (*report.parts, *report.galleries, *report.charts, *report.tables, *notes)
    body += parts_html(every)
    moving = any(isinstance(part, Slider) for part in every)
    return whole_page(report.title, "\n".join(body), moving=moving)

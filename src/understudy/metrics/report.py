"""A report as one page that needs nothing else: figures, pictures side by side, curves, notes.

The page holds its pictures and its style, runs no script and asks no network; it follows the reader's
light or dark setting and prints well. The same figures lie beside it as JSON.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from jaxtyping import UInt8

from understudy.durable import write_text
from understudy.errors import OutputError
from understudy.metrics.chart import Chart, chart_svg

_QUALITY = 92
"""Of the WebP pictures in the page."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number that a reader should see first."""

    label: str
    """What it is."""
    value: float
    """The number; NaN is shown as a dash."""
    unit: str = ""
    """Behind the number."""
    digits: int = 2
    """Decimals shown."""
    note: str = ""
    """A few words below: what it is compared with, what is good."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures in rows and columns."""

    title: str
    """Headline."""
    columns: tuple[str, ...]
    """Headings; the first is that of the rows' names."""
    rows: tuple[tuple[str | float, ...], ...]
    """Cells; numbers are lined up on the right."""
    digits: int = 3
    """Decimals of numbers that are not whole."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureRow:
    """Pictures that belong together, one a column."""

    label: str
    """What stands under the row: the frame, its time, its figures."""
    pictures: tuple[UInt8[np.ndarray, "_ _ 3"] | None, ...]
    """RGB; None leaves the place empty."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """Pictures side by side under common headings."""

    title: str
    """Headline."""
    columns: tuple[str, ...]
    """Headings: source, target, result, exact truth."""
    rows: tuple[PictureRow, ...]
    """From top to bottom."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """All that a page shows, from top to bottom."""

    title: str
    """Headline of the page."""
    subtitle: str = ""
    """One sentence: what was done, with what, when."""
    figures: tuple[Figure, ...] = ()
    """What counts most."""
    galleries: tuple[Gallery, ...] = ()
    """Pictures."""
    charts: tuple[Chart, ...] = ()
    """Curves."""
    tables: tuple[Table, ...] = ()
    """Figures in full."""
    notes: tuple[str, ...] = ()
    """What a reader must know to judge: one paragraph each."""


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
    write_text(data, json.dumps(plain_data(report), allow_nan=False, ensure_ascii=False) + "\n")
    write_text(path, page(report))
    return data


def plain_data(report: Report) -> dict[str, Any]:
    """The report without its pictures: numbers, texts, lists; a number that is none is null."""
    return _plain(report)


def _plain(value: object) -> Any:  # noqa: ANN401  # whatever JSON knows
    if isinstance(value, np.ndarray):
        height, width = cast("tuple[int, ...]", value.shape)[:2]  # pyright: ignore[reportUnknownMemberType]
        return {"width": width, "height": height}
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in cast("Sequence[object]", value)]
    if isinstance(value, np.integer | np.floating):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def page(report: Report) -> str:
    """The page as HTML text."""
    subtitle = f'<p class="subtitle">{_text(report.subtitle)}</p>' if report.subtitle else ""
    parts = [f"<header><h1>{_text(report.title)}</h1>{subtitle}</header>"]
    if report.figures:
        parts.append('<dl class="figures">' + "".join(map(_figure, report.figures)) + "</dl>")
    parts += [_gallery(gallery) for gallery in report.galleries]
    parts += [_chart(chart) for chart in report.charts]
    parts += [_table(table) for table in report.tables]
    if report.notes:
        paragraphs = "".join(f"<p>{_text(note)}</p>" for note in report.notes)
        parts.append(f'<section class="notes"><h2>Notes</h2>{paragraphs}</section>')
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(report.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _number(value: float, digits: int) -> str:
    """A number for reading; a dash for none, a typographic minus."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "−")


def _figure(figure: Figure) -> str:
    unit = f'<span class="unit">{_text(figure.unit)}</span>' if figure.unit else ""
    note = f'<dd class="note">{_text(figure.note)}</dd>' if figure.note else ""
    return (
        f"<div><dt>{_text(figure.label)}</dt>"
        f'<dd class="value">{_number(float(figure.value), figure.digits)}{unit}</dd>{note}</div>'
    )


def _table(table: Table) -> str:
    def cell(value: str | float) -> str:
        if isinstance(value, str):
            return f"<td>{_text(value)}</td>"
        return (
            f'<td class="number">{_number(float(value), 0 if isinstance(value, int) else table.digits)}</td>'
        )

    numeric = [not isinstance(value, str) for value in table.rows[0]] if table.rows else []
    numeric += [False] * (len(table.columns) - len(numeric))
    heads = "".join(
        f'<th scope="col"{" class=number" if number else ""}>{_text(name)}</th>'
        for name, number in zip(table.columns, numeric, strict=True)
    )
    rows = "".join(
        f'<tr><th scope="row">{_text(str(row[0]))}</th>{"".join(map(cell, row[1:]))}</tr>'
        for row in table.rows
    )
    return (
        f'<section><h2>{_text(table.title)}</h2><div class="wide"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _gallery(gallery: Gallery) -> str:
    heads = "".join(f"<div>{_text(name)}</div>" for name in gallery.columns)
    rows: list[str] = []
    for row in gallery.rows:
        cells: list[str] = []
        for number in range(len(gallery.columns)):
            picture = row.pictures[number] if number < len(row.pictures) else None
            name = _text(f"{gallery.columns[number]}, {row.label}")
            cells.append("<div></div>" if picture is None else _image(picture, name))
        caption = f"<figcaption>{_text(row.label)}</figcaption>"
        rows.append(f'<figure><div class="row">{"".join(cells)}</div>{caption}</figure>')
    style = f"--columns:{len(gallery.columns)}"
    return (
        f'<section class="gallery" style="{style}"><h2>{_text(gallery.title)}</h2>'
        f'<div class="row heads">{heads}</div>{"".join(rows)}</section>'
    )


def _image(picture: np.ndarray, name: str) -> str:
    fine, data = cv2.imencode(
        ".webp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, _QUALITY]
    )
    assert fine, "OpenCV encodes any 8-bit picture as WebP"
    coded = base64.b64encode(data.tobytes()).decode()
    height, width = picture.shape[:2]
    return f'<img alt="{name}" width="{width}" height="{height}" src="data:image/webp;base64,{coded}">'


def _chart(chart: Chart) -> str:
    legend = "".join(
        f'<li><span class="swatch curve{number % 6}"></span>{_text(curve.name)}</li>'
        for number, curve in enumerate(chart.curves)
    )
    return (
        f'<section><h2>{_text(chart.title)}</h2><ul class="legend">{legend}</ul>{chart_svg(chart)}</section>'
    )


_STYLE = """
:root { color-scheme: light dark;
  --paper: #fbfaf7; --ink: #1d1c1a; --soft: #66625b; --rule: #dcd8cf; --card: #f2efe8;
  --c0: #1f5fa8; --c1: #b5482a; --c2: #2f7d4f; --c3: #7a4fa3; --c4: #9a7200; --c5: #4d6a73; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #161615; --ink: #eceae4; --soft: #a19c92; --rule: #373530; --card: #201f1d;
  --c0: #7fb2ee; --c1: #ee9270; --c2: #7cc79a; --c3: #c2a0e6; --c4: #dcb95a; --c5: #9dbcc6; } }
* { box-sizing: border-box; margin: 0; }
body { background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 1rem/1.55 "Charter", "Bitstream Charter", "Sitka Text", Cambria, "Source Serif 4", Georgia, serif; }
main { max-width: 74rem; margin: 0 auto; padding: clamp(1.5rem, 5vw, 4rem) clamp(1rem, 4vw, 3rem) 5rem; }
header { border-bottom: 1px solid var(--rule); padding-bottom: 1.25rem; }
h1 { font-size: clamp(1.7rem, 4vw, 2.5rem); line-height: 1.15; font-weight: 600; letter-spacing: -.01em;
  text-wrap: balance; }
h2 { font-size: 1.25rem; line-height: 1.3; font-weight: 600; margin: 3rem 0 .9rem; }
.subtitle { color: var(--soft); margin-top: .6rem; max-width: 44rem; text-wrap: pretty; }
dt, figcaption, .heads, .legend, th, td, .unit, .note, svg text {
  font-family: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1.5rem 2rem;
  margin-top: 1.75rem; }
.figures dt { font-size: .8rem; color: var(--soft); }
.figures .value { font-size: 2rem; line-height: 1.2; font-variant-numeric: lining-nums tabular-nums; }
.figures .unit { font-size: .95rem; color: var(--soft); margin-left: .3em; }
.figures .note { font-size: .8rem; line-height: 1.4; color: var(--soft); }
.row { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: .5rem; }
.heads { font-size: .8rem; color: var(--soft); padding-bottom: .4rem; }
figure { margin-bottom: 1.1rem; break-inside: avoid; }
figure img { display: block; width: 100%; height: auto; border-radius: 3px; background: var(--card); }
figcaption { font-size: .8rem; color: var(--soft); margin-top: .35rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; min-width: 60%; font-variant-numeric: tabular-nums; }
th, td { font-size: .9rem; text-align: left; font-weight: 400; padding: .4rem 1.6rem .4rem 0;
  border-bottom: 1px solid var(--rule); }
thead th { font-size: .8rem; color: var(--soft); vertical-align: bottom; }
.number { text-align: right; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; font-size: .8rem;
  color: var(--soft); margin-bottom: .4rem; }
.swatch { display: inline-block; width: 1.3em; height: 3px; border-radius: 2px; margin-right: .5em;
  vertical-align: .25em; background: var(--c); }
.chart { display: block; width: 100%; height: auto; }
.chart text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); stroke-width: 1; }
.line { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; }
.band { fill: var(--c); opacity: .16; }
.curve0 { --c: var(--c0); } .curve1 { --c: var(--c1); } .curve2 { --c: var(--c2); }
.curve3 { --c: var(--c3); } .curve4 { --c: var(--c4); } .curve5 { --c: var(--c5); }
.notes p { max-width: 44rem; margin-bottom: .8rem; color: var(--soft); text-wrap: pretty; }
.empty { color: var(--soft); }
@media (max-width: 40rem) { .row { gap: .25rem; } .chart text { font-size: 22px; } }
@media print { body { background: none; font-size: 10pt; } main { max-width: none; padding: 0; }
  h2 { break-after: avoid; } section { break-inside: auto; } }
"""

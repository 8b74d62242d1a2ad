"""Parts of a report as HTML text: escaped, without anything that is fetched from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from understudy.metrics.chart import Chart, chart_svg, histogram_svg
from understudy.metrics.page_style import SCRIPT, STYLE
from understudy.metrics.parts import (
    Figure,
    Gallery,
    HeatMap,
    Histogram,
    Paragraphs,
    Part,
    Sheet,
    Slider,
    Table,
)

_QUALITY = 92
"""Of the WebP pictures in the page."""


def whole_page(title: str, body: str, *, moving: bool) -> str:
    """A document round what it shows.

    Args:
        title: of the window.
        body: HTML.
        moving: something on the page moves, so that it brings the one script that it may run.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    script = ""
    if moving:
        digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
        script = f"<script>{SCRIPT}</script>\n"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text_html(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n{script}</body>\n</html>\n"
    )


def text_html(text: str) -> str:
    """Text as HTML shows it."""
    return html.escape(text, quote=True)


def number_text(value: float, digits: int) -> str:
    """A number for reading; a dash for none, a typographic minus."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:,.{digits}f}".replace(",", "\u202f")
    # a small negative number that is rounded to nothing has no sign
    return text.replace("-", "−") if text.strip("-0.") else text.lstrip("-")


def figures_html(figures: Sequence[Figure]) -> str:
    """What counts most, in large numbers."""
    return '<dl class="figures">' + "".join(map(_figure, figures)) + "</dl>"


def parts_html(parts: Sequence[Part]) -> list[str]:
    """Parts one after the other; charts and histograms that follow each other stand side by side."""
    out: list[str] = []
    for small, group in itertools.groupby(parts, lambda part: isinstance(part, Chart | Histogram)):
        drawn = [part_html(part) for part in group]
        out += [f'<div class="charts">{"".join(drawn)}</div>'] if small and len(drawn) > 2 else drawn
    return out


def part_html(part: Part) -> str:
    """One part with its headline."""
    match part:
        case Table():
            return _table(part)
        case Gallery():
            return _gallery(part)
        case Sheet():
            return _sheet(part)
        case Slider():
            return _slider(part)
        case Histogram():
            return _histogram(part)
        case HeatMap():
            return _heat_map(part)
        case Paragraphs():
            return _paragraphs(part)
        case _:
            legend = _legend([curve.name for curve in part.curves])
            return f"<section>{_head(part.title)}{legend}{chart_svg(part)}</section>"


def _head(title: str, note: str = "") -> str:
    about = f'<p class="about">{text_html(note)}</p>' if note else ""
    return (f"<h2>{text_html(title)}</h2>" if title else "") + about


def _figure(figure: Figure) -> str:
    unit = f'<span class="unit">{text_html(figure.unit)}</span>' if figure.unit else ""
    note = f'<dd class="note">{text_html(figure.note)}</dd>' if figure.note else ""
    return (
        f"<div><dt>{text_html(figure.label)}</dt>"
        f'<dd class="value">{number_text(float(figure.value), figure.digits)}{unit}</dd>{note}</div>'
    )


def _table(table: Table) -> str:
    def cell(place: int, value: str | float) -> str:
        if isinstance(value, str):
            style = ' class="number"' if place in table.numeric else ""
            return f"<td{style}>{text_html(value)}</td>"
        digits = 0 if isinstance(value, int) else table.digits
        return f'<td class="number">{number_text(float(value), digits)}</td>'

    first = next((row for row in table.rows if len(row) > 1), ())
    right = [not isinstance(value, str) for value in first]
    right += [False] * (len(table.columns) - len(right))
    heads = "".join(
        f'<th scope="col"{" class=number" if number or place in table.numeric else ""}>{text_html(name)}</th>'
        for place, (name, number) in enumerate(zip(table.columns, right, strict=True))
    )
    rows: list[str] = []
    for number, (name, *others) in enumerate(table.rows):
        if not others and len(table.columns) > 1:
            span = len(table.columns)
            rows.append(f'<tr class="group"><th colspan="{span}">{text_html(str(name))}</th></tr>')
            continue
        cells = "".join(cell(place, value) for place, value in enumerate(others, 1))
        kind = ' class="marked"' if number in table.marked else ""
        rows.append(f'<tr{kind}><th scope="row">{text_html(str(name))}</th>{cells}</tr>')
    return (
        f'<section>{_head(table.title, table.note)}<div class="wide"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _gallery(gallery: Gallery) -> str:
    heads = "".join(f"<div>{text_html(name)}</div>" for name in gallery.columns)
    rows: list[str] = []
    for row in gallery.rows:
        cells: list[str] = []
        for number in range(len(gallery.columns)):
            picture = row.pictures[number] if number < len(row.pictures) else None
            name = f"{gallery.columns[number]}, {row.label}"
            cells.append("<div></div>" if picture is None else image_html(picture, name))
        caption = f"<figcaption>{text_html(row.label)}</figcaption>"
        rows.append(f'<figure><div class="row">{"".join(cells)}</div>{caption}</figure>')
    style = f"--columns:{len(gallery.columns)}"
    return (
        f'<section class="gallery" style="{style}">{_head(gallery.title, gallery.note)}'
        f'<div class="row heads">{heads}</div>{"".join(rows)}</section>'
    )


def _sheet(sheet: Sheet) -> str:
    cells = "".join(
        f"<figure>{image_html(picture, label)}<figcaption>{text_html(label)}</figcaption></figure>"
        for label, picture in sheet.pictures
    )
    return (
        f"<section>{_head(sheet.title, sheet.note)}"
        f'<div class="sheet" style="--least:{sheet.width}px">{cells}</div></section>'
    )


def _slider(slider: Slider) -> str:
    if not slider.pairs:
        return f'<section>{_head(slider.title, slider.note)}<p class="empty">No pictures.</p></section>'
    left, right = (text_html(name) for name in slider.names)
    stages = "".join(
        f'<div class="stage"{" hidden" if number else ""}>'
        f"{image_html(second, f'{slider.names[1]}, {label}')}"
        f"{image_html(first, f'{slider.names[0]}, {label}', 'over')}"
        f'<input type="range" min="0" max="100" step="1" value="50" aria-label="How much of {left} is shown">'
        f'<span class="edge"></span><span class="tag first">{left}</span>'
        f'<span class="tag second">{right}</span></div>'
        for number, (label, first, second) in enumerate(slider.pairs)
    )
    buttons = "".join(
        f'<button type="button" aria-pressed="{"false" if number else "true"}">{text_html(label)}</button>'
        for number, (label, _, _) in enumerate(slider.pairs)
    )
    return (
        f'<section class="slider">{_head(slider.title, slider.note)}{stages}'
        f'<div class="choices" role="group" aria-label="Frame">{buttons}</div></section>'
    )


def _histogram(histogram: Histogram) -> str:
    legend = _legend([name for name, _ in histogram.series])
    drawn = histogram_svg(histogram.title, histogram.x_label, [values for _, values in histogram.series])
    return f"<section>{_head(histogram.title, histogram.note)}{legend}{drawn}</section>"


def _heat_map(heat: HeatMap) -> str:
    heads = "".join(f'<th scope="col">{text_html(name)}</th>' for name in heat.columns)
    rows: list[str] = []
    for row, name in enumerate(heat.rows):
        cells: list[str] = []
        for column in range(len(heat.columns)):
            value = float(heat.values[row, column])
            kind = "lack" if (row, column) in heat.marked else "blank" if math.isnan(value) else ""
            style = f' class="{kind}"' if kind else f' style="--v:{min(1.0, max(0.0, value)):.3f}"'
            cells.append(f"<td{style}>{text_html(heat.texts[row][column])}</td>")
        rows.append(f'<tr><th scope="row">{text_html(name)}</th>{"".join(cells)}</tr>')
    across = f"{heat.column_label} →" if heat.column_label else ""
    down = f"{heat.row_label} ↓" if heat.row_label else ""
    caption = text_html("   ".join(filter(None, (across, down))))
    return (
        f'<section>{_head(heat.title, heat.note)}<div class="wide"><table class="heat">'
        f"<caption>{caption}</caption><thead><tr><td class=blank></td>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _paragraphs(words: Paragraphs) -> str:
    if words.bullets:
        inner = "<ul>" + "".join(f"<li>{text_html(text)}</li>" for text in words.texts) + "</ul>"
    else:
        inner = "".join(f"<p>{text_html(text)}</p>" for text in words.texts)
    kind = "notes warning" if words.strong else "notes"
    return f'<section class="{kind}">{_head(words.title)}{inner}</section>'


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<li><span class="swatch curve{number % 6}"></span>{text_html(name)}</li>'
        for number, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


def image_html(picture: UInt8[np.ndarray, "_ _ 3"], name: str, style: str = "") -> str:
    """A picture inside the page.

    Args:
        picture: RGB.
        name: what it shows, for those who cannot see it.
        style: class of the element.
    """
    fine, data = cv2.imencode(
        ".webp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, _QUALITY]
    )
    assert fine, "OpenCV encodes any 8-bit picture as WebP"
    coded = base64.b64encode(data.tobytes()).decode()
    height, width = picture.shape[:2]
    kind = f' class="{style}"' if style else ""
    return (
        f'<img{kind} alt="{text_html(name)}" width="{width}" height="{height}" '
        f'src="data:image/webp;base64,{coded}">'
    )

"""Curves and histograms as SVG text: axes with round numbers; the page's style gives the colours."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

_WIDTH, _HEIGHT = 960.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 76.0, 12.0, 34.0, 46.0
_BINS = 240
"""Points to which a long curve is reduced: the mean of each bin, and a band from its smallest to its
largest."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a chart."""

    name: str
    """What the legend says."""
    x: Sequence[float]
    """Places, rising."""
    y: Sequence[float]
    """Values, as many; what is not finite is left out."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves over one pair of axes."""

    title: str
    """Headline."""
    x_label: str
    """What runs along the horizontal axis, with its unit."""
    y_label: str
    """What the vertical axis measures, with its unit."""
    curves: tuple[Curve, ...]
    """At most six have a colour of their own."""
    logarithmic: bool = False
    """Vertical axis in powers of ten; values that are not positive are left out."""


def chart_svg(chart: Chart) -> str:
    """The chart as an ``<svg>`` element; its lines bear the classes ``curve0`` to ``curve5``."""
    lines = [_reduced(curve, chart.logarithmic) for curve in chart.curves]
    filled = [line for line in lines if len(line)]
    if not filled:
        return '<p class="empty">No values.</p>'
    every = np.concatenate(filled)
    x_low, x_high = _span(float(every[:, 0].min()), float(every[:, 0].max()))
    x_ticks = round_ticks(x_low, x_high, 8)
    if np.ptp(every[:, 0]) == 0:  # the width round a single place is invented: no steps 50 and 150 there
        x_ticks = [float(every[0, 0])]
    low, high = _span(float(every[:, 2].min()), float(every[:, 3].max()))
    y_ticks = round_ticks(low, high, 5)
    if chart.logarithmic:  # values are exponents here
        y_ticks = _powers(low, high)
    low, high = min(low, y_ticks[0]), max(high, y_ticks[-1])

    def across(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return _TOP + (high - y) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    label = html.escape(f"{chart.title}: {chart.y_label} over {chart.x_label}")
    out = [f'<svg class="chart" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="{label}">']
    out += _frame(
        [(down(tick), _number(10.0**tick if chart.logarithmic else tick)) for tick in y_ticks],
        [(across(tick), _number(tick)) for tick in x_ticks],
        chart.x_label,
        chart.y_label,
    )
    for number, line in enumerate(lines):
        if len(line):
            upper = [f"{across(x):.1f},{down(y):.1f}" for x, _, _, y in line]
            lower = [f"{across(x):.1f},{down(y):.1f}" for x, _, y, _ in line[::-1]]
            mean = [f"{across(x):.1f},{down(y):.1f}" for x, y, _, _ in line]
            out.append(f'<polygon class="band curve{number % 6}" points="{" ".join(upper + lower)}"/>')
            out.append(f'<polyline class="line curve{number % 6}" points="{" ".join(mean)}"/>')
        if len(line) == 1:  # a line of one point is not drawn
            x, y = across(line[0, 0]), down(line[0, 1])
            out.append(f'<circle class="bar curve{number % 6}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    out.append("</svg>")
    return "\n".join(out)


def histogram_svg(
    title: str, x_label: str, series: Sequence[Float64[np.ndarray, " _"]], most: int = 40
) -> str:
    """How often which value comes, as an ``<svg>`` element; a dashed line stands at the mean of each series.

    Args:
        title: headline, for those who cannot see it.
        x_label: what is counted, with its unit.
        series: values of each; what is not finite is left out. Bars have the classes ``curve0`` to
            ``curve5``.
        most: bars a series at most.
    """
    known = [np.asarray(values, np.float64)[np.isfinite(values)] for values in series]
    if not any(len(values) for values in known):
        return '<p class="empty">No values.</p>'
    every = np.concatenate(known)
    low, high = _span(float(every.min()), float(every.max()))
    bins = int(np.clip(round(2.0 * len(every) ** (1 / 3)), 8, most))  # Rice's rule
    edges = np.linspace(low, high, bins + 1)
    shares = [np.histogram(values, edges)[0] / max(1, len(values)) * 100 for values in known]
    top = max(float(share.max()) for share in shares)
    y_ticks = round_ticks(0.0, top, 4)
    top = max(top, y_ticks[-1])

    def across(x: float) -> float:
        return _LEFT + (x - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return _TOP + (top - y) / top * (_HEIGHT - _TOP - _BOTTOM)

    label = html.escape(f"{title}: share of frames by {x_label}")
    out = [f'<svg class="chart" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="{label}">']
    out += _frame(
        [(down(y), _number(y)) for y in y_ticks],
        [(across(tick), _number(tick)) for tick in round_ticks(low, high, 8)],
        x_label,
        "% of frames",
    )
    for number, (values, share) in enumerate(zip(known, shares, strict=True)):
        for left, right, height in zip(edges[:-1], edges[1:], share, strict=True):
            if height > 0:
                x0, x1 = across(float(left)) + 0.5, across(float(right)) - 0.5
                y = down(float(height))
                out.append(
                    f'<rect class="bar curve{number % 6}" x="{x0:.1f}" y="{y:.1f}" width="{x1 - x0:.1f}" '
                    f'height="{_HEIGHT - _BOTTOM - y:.1f}"/>'
                )
        if len(values):
            x = across(float(values.mean()))
            out.append(
                f'<line class="mean curve{number % 6}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" '
                f'y2="{_HEIGHT - _BOTTOM}"/>'
            )
    return "\n".join([*out, "</svg>"])


def _frame(
    y_ticks: Sequence[tuple[float, str]], x_ticks: Sequence[tuple[float, str]], x_label: str, y_label: str
) -> list[str]:
    """Grid, numbers and names of the axes; ticks are places in the drawing with their text."""
    out: list[str] = []
    for y, text in y_ticks:
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    out += [_x_tick(x, text) for x, text in x_ticks]
    out.append(
        f'<text class="axis" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">'
        f"{html.escape(x_label)}</text>"
        f'<text class="axis" x="0" y="17">{html.escape(y_label)}</text>'
    )
    return out


def _x_tick(x: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{text}</text>'


def round_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) between two values, at most so many."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)] or [low]


def _powers(low: float, high: float) -> list[float]:
    """Exponents for ticks: powers of ten; 1, 2 and 5 times them where they are few; else round numbers."""
    whole = range(math.floor(low), math.ceil(high) + 1)
    factors = (1.0, 2.0, 5.0) if len(whole) <= 3 else (1.0,)
    ticks = [power + math.log10(factor) for power in whole for factor in factors]
    ticks = [tick for tick in ticks if low - 0.01 <= tick <= high + 0.01]
    return ticks if len(ticks) > 1 else [math.log10(value) for value in round_ticks(10**low, 10**high, 5)]


def _span(low: float, high: float) -> tuple[float, float]:
    """The two values, drawn apart where they are one."""
    if high - low > 1e-12 * max(abs(low), abs(high), 1e-300):
        return low, high
    return low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2


def _reduced(curve: Curve, logarithmic: bool) -> Float64[np.ndarray, "n 4"]:
    """Place, mean, smallest and largest value of every bin; values as exponents if logarithmic."""
    x, y = np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)
    known = np.isfinite(x) & np.isfinite(y) & ((y > 0) | (not logarithmic))
    x, y = x[known], y[known]
    if logarithmic:
        y = np.log10(y)
    bins = np.array_split(np.arange(len(x)), min(_BINS, max(1, len(x))))
    rows = [(x[b].mean(), y[b].mean(), y[b].min(), y[b].max()) for b in bins if len(b)]
    return np.array(rows, np.float64).reshape(-1, 4)


def _number(value: float) -> str:
    """A tick's text: few digits, a typographic minus, thousands apart."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace(",", "\u202f").replace("-", "−")

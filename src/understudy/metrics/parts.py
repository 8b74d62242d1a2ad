"""What a page can show: numbers, tables, pictures side by side, a before-and-after slider, maps.

Plain records without a look of their own; ``metrics.page`` writes them as HTML, ``metrics.report`` as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from understudy.metrics.chart import Chart


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
    """Headline; empty for a table that belongs to the part before it."""
    columns: tuple[str, ...]
    """Headings; the first is that of the rows' names."""
    rows: tuple[tuple[str | float, ...], ...]
    """Cells; numbers are lined up on the right. A row of one cell is a headline for those below it."""
    digits: int = 3
    """Decimals of numbers that are not whole."""
    note: str = ""
    """A sentence or two under the headline."""
    marked: tuple[int, ...] = ()
    """Places of the rows that stand out: the reader's own among others."""
    numeric: tuple[int, ...] = ()
    """Places of columns of text that are lined up on the right like numbers."""


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
    note: str = ""
    """A sentence or two under the headline."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """A contact sheet: many small pictures, as many in a row as there is room for."""

    title: str
    """Headline."""
    pictures: tuple[tuple[str, UInt8[np.ndarray, "_ _ 3"]], ...]
    """What stands under each, and the picture, RGB."""
    note: str = ""
    """A sentence or two under the headline."""
    width: int = 120
    """Smallest width of a picture on the page, CSS pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Slider:
    """Two pictures of one size over each other, with an edge between them that the reader moves."""

    title: str
    """Headline."""
    names: tuple[str, str]
    """Of the picture on the left and of that on the right."""
    pairs: tuple[tuple[str, UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]], ...]
    """What a button says, left and right picture, RGB; the first pair is shown first."""
    note: str = ""
    """A sentence or two under the headline."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Histogram:
    """How often which value comes."""

    title: str
    """Headline."""
    x_label: str
    """What is counted, with its unit."""
    series: tuple[tuple[str, Float64[np.ndarray, " _"]], ...]
    """Name and values of each; what is not finite is left out. At most six have a colour of their own."""
    note: str = ""
    """A sentence or two under the headline."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatMap:
    """Numbers in cells, the more the darker, with cells that ask for attention."""

    title: str
    """Headline."""
    rows: tuple[str, ...]
    """Headings from top to bottom."""
    columns: tuple[str, ...]
    """Headings from left to right."""
    values: Float64[np.ndarray, "r c"]
    """In [0, 1], how dark; NaN leaves a cell blank."""
    texts: tuple[tuple[str, ...], ...]
    """What stands in each cell."""
    marked: frozenset[tuple[int, int]] = frozenset()
    """Row and column of the cells that ask for attention."""
    row_label: str = ""
    """What runs from top to bottom."""
    column_label: str = ""
    """What runs from left to right."""
    note: str = ""
    """A sentence or two under the headline."""


@dataclass(frozen=True, kw_only=True)
class Paragraphs:
    """Words under a headline."""

    title: str
    """Headline; empty for none."""
    texts: tuple[str, ...]
    """A paragraph each."""
    bullets: bool = False
    """Shown as a list."""
    strong: bool = False
    """Shown as a warning that must not be passed over."""


Part = Table | Gallery | Sheet | Slider | Histogram | HeatMap | Paragraphs | Chart
"""Whatever stands under a headline."""

"""A picture in the terminal: by the graphics protocol that it speaks, else as half blocks in colour.

Which protocol a terminal speaks is taken from its environment, because asking it and waiting for an answer
would swallow what a person types. Within tmux and screen pictures would not stay where they belong: half
blocks.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text

Protocol = Literal["kitty", "iterm2", "sixel", "blocks"]

_CHUNK = 4096
"""Characters of data that kitty takes at once."""


def protocol_of(environment: Mapping[str, str]) -> Protocol:
    """What the terminal of this environment speaks."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "TMUX" in environment or term.startswith(("screen", "tmux")):
        return "blocks"
    if "KITTY_WINDOW_ID" in environment or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if "sixel" in term or term.partition("-")[0] in ("foot", "mlterm", "contour"):
        return "sixel"
    return "blocks"


def load(path: Path) -> Image.Image | None:
    """A picture file, RGB; None where it is gone or half written."""
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, SyntaxError):  # Pillow's words for a torn PNG
        return None


def cells_for(picture: Image.Image, columns: int, rows: int, cell: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows that the picture fills within a space, its proportions kept.

    Args:
        picture: to be shown.
        columns: of the space.
        rows: of the space.
        cell: width and height of a character, pixels; only their ratio counts.
    """
    wide, high = picture.width / cell[0], picture.height / cell[1]
    factor = min(columns / wide, rows / high)
    return max(1, min(columns, round(wide * factor))), max(1, min(rows, round(high * factor)))


def half_blocks(picture: Image.Image, columns: int, rows: int) -> Text:
    """The picture as characters whose upper and lower half are a pixel each."""
    small = np.asarray(picture.resize((columns, 2 * rows), Image.Resampling.LANCZOS), np.uint8)
    text = Text(no_wrap=True, end="")
    for row in range(rows):
        for top, bottom in zip(small[2 * row], small[2 * row + 1], strict=True):
            colors = (Color.from_rgb(*map(int, top)), Color.from_rgb(*map(int, bottom)))
            text.append("▀", Style(color=colors[0], bgcolor=colors[1]))
        if row + 1 < rows:
            text.append("\n")
    return text


def escape_codes(
    protocol: Protocol, picture: Image.Image, columns: int, rows: int, cell: tuple[int, int]
) -> str:
    """What to send so that the picture stands at the cursor, ``columns`` by ``rows`` characters large."""
    small = picture.copy()
    small.thumbnail((columns * cell[0], rows * cell[1]), Image.Resampling.LANCZOS)
    if protocol == "kitty":
        return _kitty(_png(small), columns, rows)
    if protocol == "iterm2":
        data = _png(small)
        size = f"size={len(data)};width={columns};height={rows};preserveAspectRatio=1"
        return f"\x1b]1337;File=inline=1;{size}:{base64.b64encode(data).decode()}\x07"
    return _sixel(picture.resize((columns * cell[0], rows * cell[1]), Image.Resampling.LANCZOS))


def _png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def _kitty(png: bytes, columns: int, rows: int) -> str:
    """Kitty's graphics protocol: picture number 1 is replaced, the cursor stays, no answer is wanted."""
    text = base64.b64encode(png).decode()
    parts = [text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK)]
    out = "\x1b_Ga=d,d=I,i=1,q=2\x1b\\"
    for number, part in enumerate(parts):
        head = f"a=T,f=100,i=1,p=1,q=2,C=1,c={columns},r={rows}," if number == 0 else ""
        out += f"\x1b_G{head}m={int(number + 1 < len(parts))};{part}\x1b\\"
    return out


def _sixel(picture: Image.Image) -> str:
    """DEC's sixels: a palette, then bands of six rows, one pass a colour, runs of equal columns counted."""
    indexed = picture.quantize(colors=128, method=Image.Quantize.MEDIANCUT)
    places = np.asarray(indexed, np.uint8)
    palette = np.asarray(indexed.getpalette(), np.int64).reshape(-1, 3) * 100 // 255
    height, width = places.shape
    out = [f'\x1bP0;1q"1;1;{width};{height}']
    out += [f"#{number};2;{r};{g};{b}" for number, (r, g, b) in enumerate(palette)]
    weight = 1 << np.arange(6)
    for top in range(0, height, 6):
        band = places[top : top + 6]
        for number in np.unique(band):
            bits = ((band == number) * weight[: len(band), None]).sum(0) + 63
            out.append(f"#{number}{_runs(bits)}$")
        out.append("-")
    return "".join(out) + "\x1b\\"


def _runs(codes: np.ndarray) -> str:
    """Equal neighbours as ``!count character``."""
    edges = np.flatnonzero(np.diff(codes)) + 1
    starts = np.concatenate([[0], edges, [len(codes)]])
    return "".join(
        (f"!{count}" if count > 3 else "") + chr(codes[start]) * (1 if count > 3 else count)
        for start, count in zip(starts[:-1], np.diff(starts), strict=True)
    )

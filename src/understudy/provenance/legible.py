"""Names and texts that strangers chose, for a terminal or a page."""

from __future__ import annotations


def legible(text: str) -> str:
    """A text of strangers for a terminal or a page: nothing that moves the cursor or ends a line."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)

"""How much room a text takes on a terminal, whose cells wide characters fill by two."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate


def cells(text: str) -> int:
    """How many cells *text* takes."""
    return len(text) if text.isascii() else sum(_widths(text))


def fitting(text: str, columns: int) -> str:
    """As much of *text* as *columns* hold, with `…` in the last where some is left out."""
    if text.isascii():
        return text if len(text) <= columns else f"{text[: columns - 1]}…"
    ends = list(accumulate(_widths(text)))
    return text if ends[-1] <= columns else f"{text[: bisect_left(ends, columns)]}…"


def _widths(text: str) -> Iterator[int]:
    from unicodedata import category, east_asian_width  # hardly ever

    for each in text:
        yield 0 if category(each) in ("Mn", "Me", "Cf") else 1 + (east_asian_width(each) in "WF")

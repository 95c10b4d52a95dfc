"""Placeholders in scripts, as Flyway and graphile-migrate have them: a value for each, or its place.

What was put in is never searched again, so a value may look like a placeholder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from pgready.core.model import Script, Unrunnable

Find = Callable[[str, int], "Placeholder | None"]
"""The next placeholder of a text at or behind an offset."""


class Placeholder(Struct, frozen=True):
    """A placeholder from *start* to *end*. *value* is None where nobody gave one."""

    start: int
    end: int
    name: str
    value: str | None


def fill_in(script: Script, find: Find, cure: Callable[[str], Unrunnable]) -> Script:
    """*script* with its placeholders replaced; unrunnable, by *cure*, at the first that has no value."""
    parts: list[str] = []
    values: list[str] = []
    done = 0
    for placeholder in _all(script.text, find):
        if placeholder.value is None:
            return replace(script, unrunnable=replace(cure(placeholder.name), offset=placeholder.start))
        parts += (script.text[done : placeholder.start], placeholder.value)
        values.append(placeholder.value)
        done = placeholder.end
    if not parts:
        return script
    return replace(
        script, text="".join((*parts, script.text[done:])), written=script.text, values=tuple(values)
    )


def _all(text: str, find: Find) -> Iterator[Placeholder]:
    start = 0
    while (placeholder := find(text, start)) is not None:
        yield placeholder
        start = placeholder.end

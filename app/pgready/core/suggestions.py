"""The nearest known name for one that is unknown."""

from __future__ import annotations

from collections.abc import Iterable


def suggest(name: str, known: Iterable[str]) -> str:
    """` (did you mean …?)`, or nothing where no known name is near."""
    import difflib

    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f" (did you mean {near[0]}?)" if near else ""

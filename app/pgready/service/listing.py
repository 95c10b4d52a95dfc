"""The list of migrations as the page shows it: newest first, narrowed, a hundred at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlencode

from msgspec import Struct

from pgready.core.planning import Flag, State
from pgready.core.status import MigrationStatus, Status
from pgready.service.representations import fits

ROWS = 100
"""Migrations on one page of the list: ten thousand would be slow to render and to read."""


class Wish(Struct, frozen=True):
    """What a request wants to see of the page. *up* leads from its path to the root (`./`, `../`)."""

    up: str = "./"
    states: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    number: int = 1
    version: str | None = None


class Listing(Struct, frozen=True):
    """One page of the migrations, newest first; the longest of all gives the bars their scale."""

    rows: tuple[MigrationStatus, ...]
    first: int
    matching: int
    longest_ms: int
    newer: str | None
    older: str | None
    filters: tuple[tuple[str, int, str, bool], ...]
    flags: tuple[tuple[str, int, str, bool], ...]


def listed(status: Status, wish: Wish) -> Listing:
    everything = status.migrations[::-1]
    matching: Sequence[MigrationStatus] = everything
    if wish.states or wish.flags:
        matching = [each for each in everything if fits(each, wish.states, wish.flags)]
    last_page = max(1, -(-len(matching) // ROWS))
    number = min(wish.number, last_page)
    start = (number - 1) * ROWS
    return Listing(
        rows=tuple(matching[start : start + ROWS]),
        first=start + 1,
        matching=len(matching),
        longest_ms=max((each.duration_ms for each in everything if each.duration_ms), default=0),
        newer=_query(wish, number - 1) if number > 1 else None,
        older=_query(wish, number + 1) if number < last_page else None,
        filters=tuple(_filters(status, wish)),
        flags=tuple(_flags(everything, wish)),
    )


def _filters(status: Status, wish: Wish) -> list[tuple[str, int, str, bool]]:
    """All, and every state that a migration is in: name, how many, link, whether it is shown now."""
    shown = [("all", status.counts.total, _query(Wish(), 1), not wish.states and not wish.flags)]
    for state in State:
        many = getattr(status.counts, state.value.replace(" ", "_"))
        if many or state is State.PENDING:
            only = Wish(states=frozenset({state.value}))
            shown.append((state.value, many, _query(only, 1), wish.states == only.states))
    return shown


def _flags(migrations: tuple[MigrationStatus, ...], wish: Wish) -> list[tuple[str, int, str, bool]]:
    """The same for every flag that a migration has."""
    counts = Counter(flag for each in migrations if each.flags for flag in each.flags)
    shown = []
    for flag in Flag:
        if counts[flag.value]:
            only = Wish(flags=frozenset({flag.value}))
            shown.append((flag.value, counts[flag.value], _query(only, 1), wish.flags == only.flags))
    return shown


def _query(wish: Wish, number: int) -> str:
    values = [("state", state) for state in sorted(wish.states)]
    values += [("flag", flag) for flag in sorted(wish.flags)]
    if number > 1:
        values.append(("page", str(number)))
    return f"?{urlencode(values)}" if values else ""

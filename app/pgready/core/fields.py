"""Tables of a TOML file read by tables of checks: every problem at once, "did you mean" for unknown keys.

A check takes a value as TOML gives it and returns what it means, or raises ValueError with what it must be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pgready.core.suggestions import suggest

Fields = Mapping[str, Callable[[object], object]]

NAME_BYTES = 63
"""NAMEDATALEN - 1: the server cuts a longer name, so that it would never be found again."""


def read_tables(
    key: str,
    make: Callable[..., Any],
    fields: Fields,
    needed: Iterable[str],
    tables: object,
    problems: list[str],
) -> list[Any]:
    """What *make* makes of each of *tables* (`[[key]]`); those with problems are left out."""
    if not isinstance(tables, list | tuple):
        problems.append(f"{key}: write [[{key}]], there may be several")
        return []
    read = []
    for number, table in enumerate(tables, 1):
        name = table.get("name") if isinstance(table, Mapping) else None
        where = f"{key} {name if isinstance(name, str) else number}"
        read.append(read_table(where, make, fields, needed, table, problems))
    return [value for value in read if value is not None]


def read_table(
    where: str,
    make: Callable[..., Any],
    fields: Fields,
    needed: Iterable[str],
    table: object,
    problems: list[str],
) -> Any | None:
    """What *make* makes of *table*, or None after adding to *problems*."""
    if not isinstance(table, Mapping):
        problems.append(f"{where}: must be a table")
        return None
    values: dict[str, object] = {}
    found: list[str] = []
    for key, value in table.items():
        if key not in fields:
            found.append(f"unknown key {key}{suggest(key, fields)}")
            continue
        try:
            values[key] = fields[key](value)
        except ValueError as problem:
            found.append(f"{key}: {problem}")
    found += [f"{key} is missing" for key in needed if key not in table]
    if not found:
        try:
            return make(**values)
        except ValueError as problem:
            found += str(problem).splitlines()
    problems += [f"{where}: {problem}" for problem in found]
    return None


def text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be a text")
    return value


def name(value: object) -> str:
    """A name that the server can keep."""
    checked = text(value)
    if len(checked.encode()) > NAME_BYTES:
        raise ValueError(f"{checked} is longer than the server's {NAME_BYTES} bytes")
    return checked


def names(value: object) -> tuple[str, ...]:
    """One name or several, each once."""
    return tuple(dict.fromkeys(name(each) for each in several(value)))


def several(value: object) -> tuple[object, ...]:
    """A list's items, or the one value itself; never nothing."""
    items = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not items:
        raise ValueError("must name at least one")
    return items


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def connection_limit(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < -1:
        raise ValueError("must be a number of connections, or -1 for no limit")
    return value

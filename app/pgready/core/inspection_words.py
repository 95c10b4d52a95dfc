"""Sizes, estimates and remarks of an inspection, as the command line and the page say them."""

from __future__ import annotations

from collections.abc import Iterable

from pgready.core.inspection import Check, Column, Key, Relation

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_NONE = "-"


def size(size_bytes: int | None) -> str:
    """`8192 B` is `8 kB`, as PostgreSQL counts: 1 kB is 1,024 bytes."""
    if size_bytes is None:
        return _NONE
    amount, unit = float(size_bytes), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return (
        f"{amount:.0f} {_UNITS[unit]}" if amount >= 10 else f"{amount:.1f} {_UNITS[unit]}".replace(".0", "")
    )


def rows(estimate: int | None) -> str:
    """An estimate of rows; none is made where nothing was ever counted."""
    return _NONE if estimate is None else f"{estimate:,}" if estimate == 0 else f"~{estimate:,}"


def count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def notes(relation: Relation) -> tuple[str, ...]:
    """What one should know about *relation* at first sight."""
    told = []
    if relation.locked:
        told.append("locked now")
    for names, what in ((relation.invalid_indexes, "invalid"), (relation.unused_indexes, "unused")):
        if names:
            told.append(f"{what}: {', '.join(names)}")
    held: tuple[Key | Check, ...] = (*relation.keys, *relation.checks)
    unproven = [each.name for each in held if not each.validated]
    if unproven:
        told.append(f"not validated: {', '.join(unproven)}")
    if relation.row_security:
        told.append(f"row security {relation.row_security}")
    if relation.kind == "partitioned table":
        told.append(count(relation.partition_count, "partition"))
    if relation.persistence != "permanent":
        told.append(relation.persistence)
    if relation.extension:
        told.append(f"of extension {relation.extension}")
    return tuple(told)


def marks(relation: Relation, column: Column) -> tuple[str, ...]:
    """What *column* is, beside its type: default, identity, generated, its part in keys."""
    told = []
    if column.identity:
        told.append(f"identity {column.identity}")
    if column.generated is not None:
        told.append(f"generated {column.storage}: {column.generated}")
    if column.default is not None:
        told.append(f"default {column.default}")
    if column.collation:
        told.append(f"collation {column.collation}")
    for key in relation.keys:
        if column.name in key.columns:
            told += _part(key, column.name)
    return tuple(told)


def _part(key: Key, column: str) -> Iterable[str]:
    if key.references is not None:
        there = key.references.columns[key.columns.index(column)]
        yield f"→ {key.references.schema}.{key.references.table}.{there}"
    elif key.kind == "primary key" or len(key.columns) == 1:
        yield key.kind

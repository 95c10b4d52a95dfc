"""The one place where values and names become SQL text.

Values travel as `$1` wherever the extended protocol is used. A script's message is sent by the simple
protocol, in one round trip with its fence and its history row, and that has no parameters: those few
values are written as literals by `fill`, from static, readable templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from functools import cache

from pgready.core.model import TableName

_PLACEHOLDER = re.compile(r"(?<!:):([a-z_]+)\b")
_OPERATORS = re.compile(r"--[^\n]*|'[^']*'|(?<=\s)([-=<>|?^@]+)(?=\s)")


class Name(str):
    """A name that `fill` writes as a quoted identifier."""

    __slots__ = ()


class Sql(str):
    """SQL text that this module made, or static keywords: `fill` writes it as it is."""

    __slots__ = ()


def identifier(name: str) -> str:
    """*name* as a quoted identifier."""
    if "\0" in name:
        raise ValueError("a name cannot hold a NUL")
    return '"' + name.replace('"', '""') + '"'


def table(name: TableName) -> str:
    """*name* quoted and schema-qualified."""
    return f"{identifier(name.schema)}.{identifier(name.name)}"


def literal(value: str | int | bool | datetime | None) -> str:
    """*value* as a literal that means the same whatever standard_conforming_strings is."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case datetime():
            value = value.isoformat()
    if "\0" in value:
        raise ValueError("a text value cannot hold a NUL")
    quoted = "'" + value.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted


def names(several: Iterable[str]) -> Sql:
    """*several* quoted, with commas between."""
    return Sql(", ".join(identifier(name) for name in several))


def literals(several: Iterable[str]) -> Sql:
    """*several* as literals, with commas between."""
    return Sql(", ".join(literal(text) for text in several))


def fill(template: str, **values: str | int | bool | datetime | TableName | None) -> str:
    """*template* with each `:name` replaced by its value: a TableName or a Name as an identifier,
    Sql as it is, anything else as a literal.

    `::type` casts are left alone. Raises KeyError for a name without a value.
    """
    pieces = list(_pieces(template))
    pieces[1::2] = [_written(values[name]) for name in pieces[1::2]]
    return "".join(pieces)


def exact(sql: str) -> str:
    """*sql* whose operators, those with blanks around them, are the server's own.

    Of two that fit, the one for exactly these types is taken, wherever it stands in the search_path; so
    whoever may create an operator somewhere there has code run by whoever looks. What names an operator
    without writing it (IN, LIKE, NULLIF, IS DISTINCT FROM, CASE x WHEN) has no place in such a query, and
    all operators bind alike: `a = b -> c` needs its parentheses.
    """
    return _OPERATORS.sub(lambda found: f"OPERATOR(pg_catalog.{found[1]})" if found[1] else found[0], sql)


@cache
def _pieces(template: str) -> list[str]:
    """The text of *template* and the names of its placeholders, in turns."""
    return _PLACEHOLDER.split(template)


def fragment(template: str, **values: str | int | bool | datetime | TableName | None) -> Sql:
    """What `fill` makes of *template*, to be put into another template. (The driver takes plain str only.)"""
    return Sql(fill(template, **values))


def create_schema(name: str) -> str:
    """The statement that makes the schema *name* where it is missing.

    CREATE SCHEMA IF NOT EXISTS asks for the right to make one even where there is nothing to make.
    """
    return fill(_CREATE_SCHEMA, text=name, name=Name(name))


_CREATE_SCHEMA = """
DO $make$BEGIN
    IF pg_catalog.to_regnamespace(pg_catalog.quote_ident(:text)) IS NULL THEN CREATE SCHEMA :name; END IF;
END$make$"""


def _written(value: str | int | bool | datetime | TableName | None) -> str:
    match value:
        case TableName():
            return table(value)
        case Name():
            return identifier(value)
        case Sql():
            return value
    return literal(value)

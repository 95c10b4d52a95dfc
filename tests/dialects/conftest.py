"""A database in which somebody lies in wait for names that are looked up through search_path."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from harness.database import Database

AMBUSH = "SET search_path = evil, pg_catalog;"

_TYPES = ("text", "bigint", "integer", "numeric", "timestamptz", "jsonb")
_OPERATORS = ("=", "<>", ">=", "<=", "+", "-", "*", "->>")

_OPERATOR = """
CREATE FUNCTION evil.caught(a {left}, b {right}) RETURNS boolean LANGUAGE plpgsql
AS $$ BEGIN RAISE 'caught: {left} {operator} {right}'; END $$;
CREATE OPERATOR evil.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = evil.caught);
"""

_NAMES = """
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught: now'; END $$;
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
CREATE DOMAIN evil.timestamptz AS pg_catalog.timestamptz CHECK (false);
"""

Ambushed = Callable[[str], Awaitable[None]]


@pytest.fixture
async def ambushed(database: Database) -> AsyncIterator[Ambushed]:
    """Call it with SQL to run it where types, operators and functions of others come first; they raise."""
    pairs = itertools.product(_OPERATORS, _TYPES, _TYPES)
    script = "".join(
        _OPERATOR.format(operator=operator, left=left, right=right).replace(
            "evil.caught", f"evil.caught_{number}"
        )
        for number, (operator, left, right) in enumerate(pairs)
    )
    await database.execute("CREATE SCHEMA evil;" + script + _NAMES)

    async def run(sql: str) -> None:
        await database.execute(f"{AMBUSH} {sql}")

    yield run

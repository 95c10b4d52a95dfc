"""What a run left behind, as one value: a disturbed run is compared with one that nothing disturbed."""

from __future__ import annotations

from typing import Any

import anyio
from msgspec import Struct

from .database import Database

Rows = tuple[tuple[Any, ...], ...]

_HISTORY = """
SELECT kind, version, name, checksum, token_checksum, segments, namespace
FROM pgready.history ORDER BY applied_at, version
"""
_JOURNAL = "SELECT kind, version, segment, state FROM pgready.journal"
_TABLES = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'pgready') ORDER BY 1
"""
_LOCKS = "SELECT pid, classid, objid, mode FROM pg_locks WHERE locktype = 'advisory'"
_BACKENDS = """
SELECT pid, state, left(query, 80) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'pgready %'
"""
_INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready)"

LEDGER = """
CREATE TABLE IF NOT EXISTS public.ledger (id bigint GENERATED ALWAYS AS IDENTITY, entry text NOT NULL);
"""
"""A table to which each script appends what it does, so that whatever was done twice stands there twice."""


def noted(entry: str) -> str:
    """The statement that appends *entry* to the ledger."""
    return f"INSERT INTO public.ledger (entry) VALUES ('{entry}');"


class Outcome(Struct, frozen=True):
    """All that may be compared: in the order in which it was applied, and without what a clock decides."""

    history: Rows
    journal: Rows
    ledger: tuple[str, ...]
    data: dict[str, Rows]
    schema: str


async def outcome(database: Database) -> Outcome:
    """What stands in *database* now."""
    async with database.connect() as connection:
        await connection.execute("SET extra_float_digits = 0")
        tables = [row[0] for row in await connection.fetch(_TABLES)]
        data = {
            table: tuple(
                tuple(row) for row in await connection.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")
            )
            for table in tables
            if table != "public.ledger"
        }
        ledger = await connection.fetch("SELECT entry FROM public.ledger ORDER BY id")
        return Outcome(
            history=tuple(tuple(row) for row in await connection.fetch(_HISTORY)),
            journal=tuple(tuple(row) for row in await connection.fetch(_JOURNAL)),
            ledger=tuple(row[0] for row in ledger),
            data=data,
            schema=database.dump(),
        )


class Leftovers(Struct, frozen=True):
    """What no run may leave behind: advisory locks, backends, indexes that are not valid."""

    locks: Rows
    backends: Rows
    invalid_indexes: Rows = ()


NOTHING = Leftovers((), ())


async def leftovers(database: Database, *, within_seconds: float = 0.0, indexes: bool = True) -> Leftovers:
    """What is left in *database*, once nothing is or *within_seconds* have passed.

    The server learns of a dead client up to a second later. Where *indexes* is False, invalid ones are
    not looked for.
    """
    deadline = anyio.current_time() + within_seconds
    while True:
        found = Leftovers(
            locks=tuple(await database.fetch(_LOCKS)),
            backends=tuple(await database.fetch(_BACKENDS)),
            invalid_indexes=tuple(await database.fetch(_INVALID)) if indexes else (),
        )
        if found == NOTHING or anyio.current_time() >= deadline:
            return found
        await anyio.sleep(0.02)

"""What a run left behind, as one value: a disturbed run is compared with one that nothing disturbed."""

from __future__ import annotations

from typing import Any

import anyio
import asyncpg
from msgspec import Struct

from .catalog import SCHEMA
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
_LEDGER = "SELECT entry FROM public.ledger ORDER BY id"
# A transaction that was rolled back leaves a gap in a sequence, which is no loss.
_NUMBERED = {"public.ledger": "t.entry", "drizzle.__drizzle_migrations": "(t.hash, t.created_at)::text"}
_DIGEST = "SELECT '{table}', count(*), md5(string_agg({row}, chr(10) ORDER BY {row})) FROM {table} t"
_LOCKS = "SELECT pid, classid, objid, mode FROM pg_locks WHERE locktype = 'advisory'"
_BACKENDS = """
SELECT pid, state, left(query, 80) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'pgready %'
  AND (state <> 'idle' OR NOT $1)
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
    """All that may be compared: in the order in which it was applied, and without what chance or a clock
    decides. *data* has for each table its number of rows and a digest of them; *dump* is pg_dump's word on
    the schema, where it was asked."""

    ledger: tuple[str, ...]
    history: Rows
    journal: Rows
    data: dict[str, tuple[int, str]]
    schema: tuple[str, ...]
    dump: str = ""


async def outcome(database: Database, *, dumped: bool = False) -> Outcome:
    """What stands in *database* now."""
    async with database.connect() as connection:
        await connection.execute("SET extra_float_digits = 0")
        tables = [row[0] for row in await connection.fetch(_TABLES)]
        digests = [_DIGEST.format(table=table, row=_NUMBERED.get(table, "t::text")) for table in tables]
        return Outcome(
            ledger=tuple(row[0] for row in await connection.fetch(_LEDGER)),
            history=_tuples(await connection.fetch(_HISTORY)),
            journal=_tuples(await connection.fetch(_JOURNAL)),
            data={row[0]: (row[1], row[2]) for row in await connection.fetch(" UNION ALL ".join(digests))},
            schema=tuple(row[0] for row in await connection.fetch(SCHEMA)),
            dump=database.dump() if dumped else "",
        )


class Leftovers(Struct, frozen=True):
    """What no run may leave behind: advisory locks, backends, indexes that are not valid."""

    locks: Rows
    backends: Rows
    invalid_indexes: Rows = ()


NOTHING = Leftovers((), ())


async def leftovers(
    database: Database, *, within_seconds: float = 0.0, indexes: bool = True, pooled: bool = False
) -> Leftovers:
    """What is left in *database*, once nothing is or *within_seconds* have passed.

    The server learns of a dead client up to a second later. Where *indexes* is False, invalid ones are
    not looked for; where *pooled*, idle backends are a pooler's.
    """
    deadline = anyio.current_time() + within_seconds
    async with database.connect() as connection:
        while True:
            found = Leftovers(
                locks=_tuples(await connection.fetch(_LOCKS)),
                backends=_tuples(await connection.fetch(_BACKENDS, pooled)),
                invalid_indexes=_tuples(await connection.fetch(_INVALID)) if indexes else (),
            )
            if found == NOTHING or anyio.current_time() >= deadline:
                return found
            await anyio.sleep(0.02)


def _tuples(records: list[asyncpg.Record]) -> Rows:
    return tuple(tuple(record) for record in records)

"""A mark differs whenever a history does, whoever changed it and however; and only then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from harness.database import Database
from pgready.core.dsn import parse
from pgready.core.model import TableName
from pgready.database.connect import open_session
from pgready.database.marks import Marker, at_work
from pgready.database.session import Session

HISTORY = TableName("pgready", "history")
OTHER = TableName("drizzle", "__drizzle_migrations")

_MADE = """
CREATE SCHEMA pgready; CREATE TABLE pgready.history (version text, checksum text);
INSERT INTO pgready.history SELECT n::text, 'c0ffee' FROM generate_series(1, 3) n;
"""


@asynccontextmanager
async def session_on(database: Database) -> AsyncIterator[Session]:
    session = await open_session(parse(database.url), application_name="pgready test")
    try:
        yield session
    finally:
        await session.close()


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO pgready.history VALUES ('4', 'c0ffee')",
        "UPDATE pgready.history SET checksum = 'other' WHERE version = '2'",
        "DELETE FROM pgready.history WHERE version = '3'",
        "TRUNCATE pgready.history",
        "DELETE FROM pgready.history WHERE version = '1'; INSERT INTO pgready.history VALUES ('1', 'c0ffee')",
        "DROP SCHEMA pgready CASCADE",
        f"DROP SCHEMA pgready CASCADE; {_MADE}",
        "CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations (hash text)",
        "ALTER TABLE pgready.history RENAME TO gone",
    ],
)
async def test_a_change_of_the_history_changes_its_mark(change: str, database: Database) -> None:
    await database.execute(_MADE)
    async with session_on(database) as session:
        marker = Marker(session, [HISTORY, OTHER])
        before = await marker.mark()

        await database.execute(change)
        after = await marker.mark()
        again = await marker.mark()

    assert before != after
    assert after == again


@pytest.mark.parametrize(
    "event",
    [
        "CREATE TABLE elsewhere (id integer)",
        "VACUUM FREEZE pgready.history",
        "ANALYZE pgready.history",
        "VACUUM FULL pgready.history",
        "SET search_path = pgready; SELECT * FROM history FOR UPDATE",
    ],
)
async def test_what_leaves_the_history_as_it_is_leaves_its_mark(event: str, database: Database) -> None:
    await database.execute(_MADE)
    async with session_on(database) as session:
        marker = Marker(session, [HISTORY, OTHER])
        before = await marker.mark()

        await database.execute(event)

        assert await marker.mark() == before


async def test_a_history_that_is_being_changed_is_marked_as_it_was(database: Database) -> None:
    await database.execute(_MADE)
    async with session_on(database) as session, database.connect() as other:
        marker = Marker(session, [HISTORY])
        before = await marker.mark()
        await other.execute("BEGIN; DELETE FROM pgready.history")

        assert await marker.mark() == before


async def test_a_locked_history_has_no_mark_for_now(database: Database) -> None:
    await database.execute(_MADE)
    async with session_on(database) as session, database.connect() as other:
        marker = Marker(session, [HISTORY])
        before = await marker.mark()
        await session.execute("SET lock_timeout = '50ms'")
        await other.execute("BEGIN; LOCK TABLE pgready.history")
        locked = await marker.mark()
        await other.execute("ROLLBACK")

        assert locked is None
        assert await marker.mark() == before


async def test_a_history_that_may_not_be_read_any_more_has_another_mark(database: Database) -> None:
    await database.execute(_MADE)
    role = await database.role("reader")
    await database.execute(
        f"GRANT USAGE ON SCHEMA pgready TO {role.name}; GRANT SELECT ON pgready.history TO {role.name}"
    )
    session = await open_session(parse(role.url), application_name="pgready test")
    marker = Marker(session, [HISTORY])
    before = await marker.mark()

    await database.execute(f"REVOKE SELECT ON pgready.history FROM {role.name}")
    after = await marker.mark()
    await session.close()

    assert before != after == "refused: 42501"


async def test_a_lost_connection_is_no_mark(database: Database) -> None:
    await database.execute(_MADE)
    async with session_on(database) as session:
        marker = Marker(session, [HISTORY])
        await marker.mark()
        await database.execute(f"SELECT pg_terminate_backend({session.backend_pid})")

        lost = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
        with pytest.raises(lost):
            await marker.mark()


@pytest.mark.parametrize(
    ("name", "sql", "found"),
    [
        ("pg_restore", "SELECT 1", True),
        ("psql", "SELECT 1", False),
        ("psql", "BEGIN", True),
        ("an application", "BEGIN", False),
    ],
)
async def test_a_restore_is_known_by_its_name(name: str, sql: str, found: bool, database: Database) -> None:
    async with session_on(database) as session, database.connect() as other:
        await other.execute(f"SET application_name = '{name}'")
        await other.execute(sql)

        at_it = await at_work(session)

    assert (at_it is not None) is found
    assert not found or (at_it or "").startswith(f"{name} (pid ")


async def test_ten_thousand_rows_are_marked_in_milliseconds(database: Database) -> None:
    await database.execute(_MADE)
    await database.execute("INSERT INTO pgready.history SELECT n::text, 'x' FROM generate_series(4, 10000) n")
    async with session_on(database) as session:
        marker = Marker(session, [HISTORY, OTHER])
        await marker.mark()
        before = await session.fetchval("SELECT pg_catalog.clock_timestamp()")
        await marker.mark()
        took = await session.fetchval("SELECT pg_catalog.clock_timestamp()") - before

    assert took.total_seconds() < 0.5, "it is 2 ms on an idle machine"

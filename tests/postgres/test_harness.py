"""The harness itself, on a real server: what other tests rely on."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import pytest

from harness.database import Database
from harness.pgbouncer import PgBouncer
from harness.server import Server


async def test_database_is_empty_and_accepts_its_url(database: Database) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        found = await connection.fetch("SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    finally:
        await connection.close()

    assert found == []


async def test_wrong_password_is_refused(database: Database) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(database.server.url(database.name, password="wrong"))


async def test_role_connects_with_its_password(database: Database) -> None:
    role = await database.role("app")
    connection = await asyncpg.connect(role.url)
    try:
        who = await connection.fetchval("SELECT current_user")
    finally:
        await connection.close()

    assert who == role.name


async def test_dump_of_equal_schemas_is_equal(server: Server) -> None:
    async with Database.fresh(server) as one, Database.fresh(server) as other:
        await one.execute("CREATE TABLE a (id int)")
        await other.execute("CREATE TABLE a (id int)")

        assert "CREATE TABLE public.a" in one.dump()
        assert one.dump() == other.dump()


def test_sync_tests_can_use_a_database(database: Database) -> None:
    assert database.server.psql("SELECT current_database()", database.name).strip() == database.name


async def test_server_recovers_what_was_committed_before_a_crash() -> None:
    own = Server(settings={"synchronous_commit": "on"})
    try:
        own.start()
        own.psql("CREATE TABLE kept AS SELECT 42 AS answer")
        own.crash()
        own.start()

        assert own.psql("TABLE kept").strip() == "42"
    finally:
        own.remove()


@pytest.mark.pgbouncer
@pytest.mark.parametrize("pool_mode", ["session", "transaction"])
async def test_pgbouncer_leads_to_the_database(
    pool_mode: str, database: Database, pgbouncer: Callable[..., PgBouncer]
) -> None:
    pooler = pgbouncer(pool_mode)
    role = await database.role("app")
    connection = await asyncpg.connect(
        pooler.url(database.name, role.name, role.password), statement_cache_size=0
    )
    try:
        found = await connection.fetchrow("SELECT current_database(), current_user")
    finally:
        await connection.close()

    assert found is not None
    assert tuple(found) == (database.name, role.name)

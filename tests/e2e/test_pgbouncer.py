"""Through a real PgBouncer: transaction mode is refused by name, session mode works, all only once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import asyncpg
import pytest

from harness.database import Database
from harness.pgbouncer import PgBouncer
from harness.processes import Pgready, Result

pytestmark = pytest.mark.pgbouncer

Folder = Callable[[Mapping[str, str | bytes]], Path]
Bouncer = Callable[..., PgBouncer]

TRANSACTIONAL = {
    "1_ledger.sql": "CREATE TABLE ledger (version int);",
    **{f"{n}_more.sql": f"CREATE TABLE t{n} (x int); INSERT INTO ledger VALUES ({n});" for n in range(2, 7)},
}
WITH_SINGLE = {
    **TRANSACTIONAL,
    "7_index.sql": "CREATE INDEX CONCURRENTLY ledger_version ON ledger (version);",
}

REPLICAS = 4


async def up(pgready: Pgready, folder: Path, url: str, replicas: int = 1, **env: str) -> list[Result]:
    running = [
        pgready.start("up", "--dir", folder, "--log-format", "console", env={"DATABASE_URL": url, **env})
        for _ in range(replicas)
    ]
    return [await each.wait(90) for each in running]


async def assert_applied_once(database: Database, versions: int) -> None:
    ledger = await database.fetch("SELECT version FROM ledger ORDER BY version")
    assert ledger == [(n,) for n in range(2, 7)]
    assert await database.value("SELECT count(*) FROM pgready.history") == versions


async def assert_no_lock_is_left(database: Database) -> None:
    left = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert await database.value(left) == 0


@asynccontextmanager
async def load(url: str, clients: int = 6) -> AsyncIterator[None]:
    """Clients that keep the pool busy, each with a transaction after the other."""

    async def client() -> None:
        connection = await asyncpg.connect(url, statement_cache_size=0)
        try:
            while True:
                await connection.execute("BEGIN; SELECT pg_sleep(0.002); COMMIT")
        finally:
            connection.terminate()

    async with anyio.create_task_group() as group:
        for _ in range(clients):
            group.start_soon(client)
        yield
        group.cancel_scope.cancel()


@pytest.mark.parametrize(("pool_size", "replicas"), [(1, 1), (20, REPLICAS)])
async def test_transaction_mode_is_refused_by_name_with_what_cures_it(
    pool_size: int,
    replicas: int,
    pgbouncer: Bouncer,
    pgready: Pgready,
    sql_folder: Folder,
    database: Database,
) -> None:
    pooler = pgbouncer("transaction", pool_size=pool_size)

    results = await up(pgready, sql_folder(WITH_SINGLE), pooler.url(database.name), replicas)

    assert [result.exit_code for result in results] == [2] * replicas, results[0].stderr
    assert "pooler in transaction mode" in results[0].stderr
    assert "PGREADY_DATABASE_URL" in results[0].stderr
    assert await database.value("SELECT to_regclass('ledger') IS NULL")
    assert await database.value("SELECT to_regnamespace('pgready') IS NULL")
    await assert_no_lock_is_left(database)


async def test_transaction_mode_under_load_applies_nothing_twice(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    pooler = pgbouncer("transaction", pool_size=4)

    async with load(pooler.url(database.name)):
        results = await up(pgready, sql_folder(TRANSACTIONAL), pooler.url(database.name), REPLICAS)

    codes = {result.exit_code for result in results}
    assert codes <= {0, 2, 5}, [result.stderr for result in results]
    if 0 in codes:
        await assert_applied_once(database, len(TRANSACTIONAL))
    else:
        assert await database.value("SELECT to_regclass('ledger') IS NULL")
    await assert_no_lock_is_left(database)


async def test_session_mode_that_is_vouched_for_works_with_replicas_and_singles(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    pooler = pgbouncer("session")

    results = await up(
        pgready, sql_folder(WITH_SINGLE), pooler.url(database.name), REPLICAS, PGREADY_POOLER="session"
    )

    assert [result.exit_code for result in results] == [0] * REPLICAS, results[0].stderr
    await assert_applied_once(database, len(WITH_SINGLE))
    await assert_no_lock_is_left(database)


async def test_session_mode_of_which_nobody_says_so_runs_transactional_scripts_once(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    pooler = pgbouncer("session")

    results = await up(pgready, sql_folder(TRANSACTIONAL), pooler.url(database.name), REPLICAS)

    assert [result.exit_code for result in results] == [0] * REPLICAS, [r.stderr for r in results]
    await assert_applied_once(database, len(TRANSACTIONAL))
    await assert_no_lock_is_left(database)


async def test_a_single_through_an_unproven_pooler_is_refused_before_anything_runs(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    pooler = pgbouncer("session")

    (result,) = await up(pgready, sql_folder(WITH_SINGLE), pooler.url(database.name))

    assert result.exit_code == 2
    assert "PGREADY_POOLER=session" in result.stderr
    assert await database.value("SELECT to_regclass('ledger') IS NULL")


async def test_statement_mode_is_an_error_and_runs_nothing(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    pooler = pgbouncer("statement")

    (result,) = await up(pgready, sql_folder(TRANSACTIONAL), pooler.url(database.name))

    assert result.exit_code != 0
    assert "Traceback" not in result.stderr
    assert await database.value("SELECT to_regclass('ledger') IS NULL")

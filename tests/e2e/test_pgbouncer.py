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
from harness.server import Server, free_port
from pgready.core.dsn import parse
from pgready.database import pooler
from pgready.database.connect import open_session
from pgready.database.session import Pooling, Session

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


async def assert_nothing_ran(database: Database) -> None:
    assert await database.value("SELECT to_regclass('ledger') IS NULL")
    assert await database.value("SELECT to_regnamespace('pgready') IS NULL")


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
    await assert_nothing_ran(database)
    await assert_no_lock_is_left(database)


async def test_transaction_mode_is_refused_though_somebody_vouches_for_it(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    pooler = pgbouncer("transaction")

    results = await up(
        pgready, sql_folder(WITH_SINGLE), pooler.url(database.name), REPLICAS, PGREADY_POOLER="session"
    )

    assert [result.exit_code for result in results] == [2] * REPLICAS, results[0].stderr
    assert "pooler in transaction mode" in results[0].stderr
    await assert_nothing_ran(database)
    await assert_no_lock_is_left(database)


async def test_nothing_is_recorded_by_hand_through_a_transaction_pooler_that_somebody_vouches_for(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    pooler = pgbouncer("transaction")
    env = {"DATABASE_URL": pooler.url(database.name), "PGREADY_POOLER": "session"}

    result = await pgready("baseline", "--dir", sql_folder(TRANSACTIONAL), env=env)

    assert result.exit_code == 2
    assert "pooler in transaction mode" in result.stderr
    await assert_nothing_ran(database)
    await assert_no_lock_is_left(database)


async def test_two_clients_that_began_on_two_backends_do_not_hide_the_mode(
    pgbouncer: Bouncer, database: Database
) -> None:
    dsn = parse(pgbouncer("transaction").url(database.name))

    async def opened() -> Session:
        return await open_session(dsn, application_name="pgready test", vouched_pooler=True)

    async def on_another_backend() -> Session:
        """A client whose backend is the one that the pooler hands out next, behind it that of `session`."""
        third = await opened()
        await third.execute("BEGIN")
        other = await opened()
        await other.execute("BEGIN")
        await third.execute("COMMIT")
        await other.execute("COMMIT")
        await third.close()
        return other

    session = await opened()
    try:
        await pooler.examine(session, on_another_backend)

        assert session.pooling is Pooling.TRANSACTION
    finally:
        await session.close()


async def test_transaction_mode_with_nothing_to_do_is_ready(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    folder = sql_folder(WITH_SINGLE)
    await up(pgready, folder, database.url)

    results = await up(pgready, folder, pgbouncer("transaction").url(database.name), REPLICAS)

    assert [result.exit_code for result in results] == [0] * REPLICAS, results[0].stderr
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


@pytest.mark.parametrize("vouched", [False, True])
async def test_replicas_wait_for_the_one_that_has_a_long_script(
    vouched: bool, pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    """Longer than a fence that is refused again and again takes to give up."""
    pooler = pgbouncer("session")
    folder = sql_folder({**TRANSACTIONAL, "3_more.sql": "INSERT INTO ledger VALUES (3); SELECT pg_sleep(4);"})
    env = {"PGREADY_POOLER": "session"} if vouched else {}

    results = await up(pgready, folder, pooler.url(database.name), REPLICAS, **env)

    assert [result.exit_code for result in results] == [0] * REPLICAS, [r.stderr for r in results]
    assert any("lock.waited" in result.stderr for result in results)
    await assert_applied_once(database, len(TRANSACTIONAL))
    await assert_no_lock_is_left(database)


@pytest.mark.parametrize("vouched", [False, True])
async def test_a_session_pool_of_one_backend_serves_replicas_in_turn(
    vouched: bool, pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    pooler = pgbouncer("session", pool_size=1)
    env = {"PGREADY_POOLER": "session"} if vouched else {}

    results = await up(pgready, sql_folder(TRANSACTIONAL), pooler.url(database.name), REPLICAS, **env)

    assert [result.exit_code for result in results] == [0] * REPLICAS, [r.stderr for r in results]
    await assert_applied_once(database, len(TRANSACTIONAL))
    await assert_no_lock_is_left(database)


async def test_a_replica_that_migrates_directly_and_one_through_a_pooler_exclude_each_other(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    folder = sql_folder({**TRANSACTIONAL, "3_more.sql": "INSERT INTO ledger VALUES (3); SELECT pg_sleep(1);"})
    urls = (database.url, pgbouncer("session").url(database.name)) * 2

    running = [pgready.start("up", "--dir", folder, env={"DATABASE_URL": url}) for url in urls]
    results = [await each.wait(90) for each in running]

    assert [result.exit_code for result in results] == [0] * len(urls), [r.stderr for r in results]
    await assert_applied_once(database, len(TRANSACTIONAL))
    await assert_no_lock_is_left(database)


async def test_a_pool_that_is_used_up_is_not_waited_for_longer_than_for_a_server(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    url = pgbouncer("session", pool_size=1).url(database.name)
    hog = await asyncpg.connect(url, statement_cache_size=0)
    try:
        await hog.execute("SELECT 1")
        (result,) = await up(pgready, sql_folder(TRANSACTIONAL), url, PGREADY_CONNECT_TIMEOUT="2s")
    finally:
        await hog.close()

    assert result.exit_code == 3, result.stderr
    assert result.seconds < 30
    await assert_nothing_ran(database)


async def test_a_database_that_is_missing_behind_a_pooler_is_created_by_an_administrator(
    server: Server, pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder
) -> None:
    name = f"behind_{free_port()}"
    url = pgbouncer("session", settings="server_login_retry = 1").url(name)
    try:
        (result,) = await up(
            pgready, sql_folder(TRANSACTIONAL), url, PGREADY_ADMIN_DATABASE_URL=server.url("postgres")
        )
        found = server.psql("SELECT count(*) FROM ledger", database=name)
    finally:
        server.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    assert result.exit_code == 0, result.stderr
    assert found == "5\n"


@pytest.mark.parametrize("user", ["postgres", "nobody_of_that_name"])
async def test_who_is_not_let_in_by_a_pooler_is_denied_at_once(
    user: str, pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    url = pgbouncer("session").url(database.name, user, "wrong")

    (result,) = await up(pgready, sql_folder(TRANSACTIONAL), url)

    assert result.exit_code == 4, result.stderr
    assert "sqlstate: 08P01" in result.stderr
    assert "check the user, the password and pg_hba.conf" in result.stderr


async def test_a_role_that_a_pooler_does_not_know_is_created_by_an_administrator(
    server: Server, pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    name = f"behind_{free_port()}"
    role = f'[[role]]\nname = "{name}"\npassword_env = "OWNER_PASSWORD"\n'
    grant = f'[[grant]]\nprivileges = ["create"]\non = "database"\nto = "{name}"\n'
    env = {
        "DATABASE_URL": pgbouncer("session").url(database.name, name, "secret"),
        "PGREADY_ADMIN_DATABASE_URL": server.url("postgres"),
        "OWNER_PASSWORD": "secret",
    }
    place = sql_folder({"pgready.toml": role + grant, "sql/1_nothing.sql": "SELECT 1;"})
    try:
        result = await pgready("up", env=env, cwd=place)
    finally:
        server.psql(f"DROP OWNED BY {name}", database.name)
        server.psql(f"DROP ROLE {name}")

    assert result.exit_code == 0, result.stderr


async def test_whom_the_hba_file_of_a_pooler_rejects_is_denied_at_once(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    hba = sql_folder({"hba": "host all all 0.0.0.0/0 reject\n"}) / "hba"
    pooler = pgbouncer("session", settings=f"auth_type = hba\nauth_hba_file = {hba}")

    (result,) = await up(pgready, sql_folder(TRANSACTIONAL), pooler.url(database.name))

    assert result.exit_code == 4, result.stderr


async def test_what_a_pooler_said_is_told_where_it_was_silent_at_the_end(
    server: Server, pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder
) -> None:
    """For a quarter of a minute after a failed login PgBouncer keeps everybody waiting."""
    name = f"behind_{free_port()}"
    admin = server.url("postgres")
    try:
        (result,) = await up(
            pgready, sql_folder(TRANSACTIONAL), pgbouncer("session").url(name),
            PGREADY_ADMIN_DATABASE_URL=admin, PGREADY_CONNECT_TIMEOUT="2s",
        )  # fmt: skip
    finally:
        server.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    assert result.exit_code == 3
    assert f'database "{name}" does not exist; then no answer in time (gave up' in result.stderr


async def test_settings_of_a_script_stay_off_the_backends_of_the_pool(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    pooler = pgbouncer("session", pool_size=1, settings="server_reset_query =")
    text = (
        "SET search_path = pg_catalog; SET lock_timeout = '1s'; CREATE TEMP TABLE left_behind (x int);"
        "PREPARE p AS SELECT 1; LISTEN anything;"
    )

    (result,) = await up(pgready, sql_folder({"1_a.sql": text}), pooler.url(database.name))
    client = await asyncpg.connect(pooler.url(database.name), statement_cache_size=0)
    try:
        found = await client.fetchrow(
            "SELECT current_setting('search_path'), current_setting('lock_timeout'),"
            " to_regclass('pg_temp.left_behind'), (SELECT count(*) FROM pg_listening_channels())"
        )
        prepared = await client.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name = 'p'")
    finally:
        await client.close()

    assert result.exit_code == 0, result.stderr
    assert tuple(found or ()) == ('"$user", public', "0", None, 0)
    assert prepared == 0


async def test_a_single_through_an_unproven_pooler_is_refused_before_anything_runs(
    pgbouncer: Bouncer, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    pooler = pgbouncer("session")

    (result,) = await up(pgready, sql_folder(WITH_SINGLE), pooler.url(database.name))

    assert result.exit_code == 2
    assert "PGREADY_POOLER=session" in result.stderr
    assert await database.value("SELECT to_regclass('ledger') IS NULL")


@pytest.mark.parametrize("vouched", [False, True])
async def test_statement_mode_is_refused_by_name(
    vouched: bool,
    pgbouncer: Bouncer,
    pgready: Pgready,
    sql_folder: Folder,
    database: Database,
) -> None:
    pooler = pgbouncer("statement")
    env = {"PGREADY_POOLER": "session"} if vouched else {}

    (result,) = await up(pgready, sql_folder(TRANSACTIONAL), pooler.url(database.name), 1, **env)

    assert result.exit_code == 2, result.stderr
    assert "pooler in statement mode" in result.stderr
    assert "PGREADY_DATABASE_URL" in result.stderr
    await assert_nothing_ran(database)

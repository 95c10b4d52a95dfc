"""Promise 2, what can be said of one death by name. Deaths at any moment are the simulator's (`chaos`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import anyio
import pytest

from harness import oracle
from harness.database import Database
from harness.oracle import noted
from harness.processes import Pgready, Running
from harness.server import Server

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

DEAD_CLIENT_SECONDS = 5.0


def environment(database: Database) -> dict[str, str]:
    return {"PGREADY_DATABASE_URL": database.url, "PGREADY_LOG_LEVEL": "debug"}


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELECT pg_sleep(30)", id="a statement"),
        pytest.param("DO $$ BEGIN PERFORM pg_sleep(30); END $$", id="a block"),
        pytest.param("LOCK TABLE held", id="a wait for a table"),
        pytest.param("CREATE INDEX CONCURRENTLY held_index ON held (id)", id="a concurrent index"),
    ],
)
async def test_the_lock_of_the_dead_is_free_within_five_seconds(
    statement: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    await database.execute("CREATE TABLE held (id integer)")
    # What is sent ahead of its turn must not stand before the end of the connection.
    behind = {f"migrations/000{n}_x.sql": f"SELECT '{'x' * 20_000}';" for n in range(2, 9)}
    folder = sql_folder({"migrations/0001_long.sql": statement} | behind)
    async with database.connect() as connection, connection.transaction():
        await connection.execute("INSERT INTO held VALUES (1)")
        running = pgready.start("up", "--dir", folder, env=environment(database))
        await running.until(lambda: "migration.started" in running.stderr, "the statement")
        await database_shows(database, running, statement.split()[0])

        running.kill()
        left = await oracle.leftovers(database, within_seconds=DEAD_CLIENT_SECONDS, indexes=False)

    assert left == oracle.NOTHING


async def test_a_procedure_that_was_cut_off_is_asked_about_and_not_run_again(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    await database.execute(oracle.LEDGER)
    await database.execute("""
        CREATE PROCEDURE archive() LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO ledger (entry) VALUES ('archived'); COMMIT; PERFORM pg_sleep(30); END $$
    """)
    folder = sql_folder({"migrations/0007_archive.sql": "-- pgready: no-transaction\nCALL archive();"})
    running = pgready.start("up", "--dir", folder, env=environment(database))
    await database_shows(database, running, "CALL")
    running.kill()

    second = await pgready("up", "--dir", folder, env=environment(database))
    third = await pgready("up", "--dir", folder, env=environment(database))

    assert (second.exit_code, third.exit_code) == (6, 6)
    assert "pgready repair 0007" in second.stderr
    assert "0007_archive.sql:2" in second.stderr
    assert await database.fetch("SELECT entry FROM ledger") == [("archived",)]
    assert await database.fetch("SELECT version FROM pgready.history") == []
    assert await oracle.leftovers(database) == oracle.NOTHING


async def database_shows(database: Database, running: Running, word: str) -> None:
    """Wait until a backend of pgready is at a statement that begins with *word*."""
    async with database.connect() as connection:
        while not await connection.fetchval(_AT_WORK, f"%{word}%"):
            assert running.exit_code is None, running.stderr
            await anyio.sleep(0.02)


_AT_WORK = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name LIKE 'pgready %' AND datname = current_database() AND state = 'active'
  AND wait_event IS NOT NULL AND wait_event_type <> 'Client' AND query LIKE $1
"""


# The server dies, or ends our backend: the same process goes on.


@pytest.fixture
async def own_server(anyio_backend: str) -> AsyncIterator[Server]:
    """A server that may be crashed, and then has what was committed; the session's own serves the others."""
    with Server.running({"synchronous_commit": "on"}) as running:
        yield running


_LONG = {
    "0001_first.sql": f"CREATE TABLE first (id integer);\n{noted('0001')}",
    "0002_long.sql": f"{noted('0002')}\nINSERT INTO first SELECT 2;\nSELECT pg_sleep(1);",
    "0003_index.sql": f"""
{noted("0003 before")}
CREATE INDEX CONCURRENTLY first_id ON first (slowly(id));
{noted("0003 after")}
""",
    "0004_last.sql": noted("0004"),
}
_SLOWLY = """
CREATE FUNCTION slowly(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep(1); RETURN $1; END $$;
"""
_NOTED_ONCE = [("0001",), ("0002",), ("0003 before",), ("0003 after",), ("0004",)]


@pytest.mark.parametrize("word", ["INSERT INTO first", "CREATE INDEX"])
async def test_a_run_goes_on_after_the_server_crashed_and_came_back(
    word: str, own_server: Server, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(_LONG)
    async with Database.fresh(own_server) as database:
        await database.execute(oracle.LEDGER + _SLOWLY)
        running = pgready.start("up", "--dir", folder, env=environment(database))
        await database_shows(database, running, word)
        own_server.crash()
        own_server.start()

        result = await running.wait()

        assert result.exit_code == 0, result.stderr
        assert "connection.lost" in result.stderr
        assert await database.fetch("SELECT entry FROM ledger ORDER BY id") == _NOTED_ONCE
        assert await oracle.leftovers(database) == oracle.NOTHING


@pytest.mark.parametrize("word", ["INSERT INTO first", "CREATE INDEX"])
async def test_a_run_goes_on_after_its_backend_was_terminated(
    word: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    await database.execute(oracle.LEDGER + _SLOWLY)
    running = pgready.start("up", "--dir", sql_folder(_LONG), env=environment(database))
    await database_shows(database, running, word)
    await database.execute(_TERMINATE)

    result = await running.wait()

    assert result.exit_code == 0, result.stderr
    assert "connection.lost" in result.stderr
    assert await database.fetch("SELECT entry FROM ledger ORDER BY id") == _NOTED_ONCE
    assert await oracle.leftovers(database) == oracle.NOTHING


_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'pgready %' AND datname = current_database()
"""

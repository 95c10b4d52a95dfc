"""What is seen of a statement that takes long: how far the server is with it, and whose lock it waits for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.database import Database
from harness.processes import Pgready

Folders = Callable[[Mapping[str, str | bytes]], Path]

# Slow enough to be looked at several times: the pause is in the server, a millisecond a row.
TABLE = """
CREATE TABLE titles (id integer);
INSERT INTO titles SELECT generate_series(1, 1000);
CREATE FUNCTION pause(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep(0.001); RETURN $1; END $$;
"""
SLOW_INDEX = {"0001_slow.sql": "CREATE INDEX CONCURRENTLY titles_slow ON titles (pause(id));"}


async def test_an_index_build_tells_how_far_it_is(
    database: Database, pgready: Pgready, sql_folder: Folders
) -> None:
    await database.execute(TABLE)
    folder = sql_folder(SLOW_INDEX)

    ended = await pgready("up", "--dir", folder, "--log-level", "debug", env={"DATABASE_URL": database.url})

    told = [line for line in ended.stderr.splitlines() if "operation.progressed" in line]
    assert any("CREATE INDEX CONCURRENTLY titles" in line and "building index" in line for line in told), told


async def test_a_wait_for_a_lock_is_as_long_as_the_server_waits_and_not_as_the_work_before_it(
    database: Database, pgready: Pgready, sql_folder: Folders
) -> None:
    await database.execute(f"{TABLE} INSERT INTO titles SELECT generate_series(1, 2000);")
    folder = sql_folder(SLOW_INDEX)  # some seconds, and then it waits for older snapshots
    flags = ("--dir", folder, "--log-format", "json")

    async with database.connect() as other:
        await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        running = pgready.start("up", *flags, env={"DATABASE_URL": database.url})
        await running.wait_for("migration.blocked")
        await other.execute("ROLLBACK")
        await running.wait()

    told = [json.loads(line) for line in running.stderr.splitlines() if "migration.blocked" in line]
    assert 0 <= told[0]["waited_seconds"] < 2


async def test_the_end_of_a_wait_for_a_lock_is_told_too(
    database: Database, pgready: Pgready, sql_folder: Folders
) -> None:
    await database.execute(TABLE)
    folder = sql_folder(SLOW_INDEX)

    async with database.connect() as other:
        await other.execute("BEGIN; LOCK TABLE titles IN ROW EXCLUSIVE MODE")
        running = pgready.start("up", "--dir", folder, env={"DATABASE_URL": database.url})
        await running.wait_for("migration.blocked")
        await other.execute("ROLLBACK")
        ended = await running.wait()

    names = re.findall(r"migration\.\w+", ended.stderr)
    assert names == ["migration.blocked", "migration.unblocked", "migration.applied"]

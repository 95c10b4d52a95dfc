"""The parts of one script have one session, as in psql, and none of its statements runs twice for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import pgready
from harness.database import Database
from pgready.core.errors import Diverged, MigrationFailed

Folder = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, whose pgready.toml the library would read."""
    monkeypatch.chdir(tmp_path)


async def columns(database: Database, table: str) -> list[object]:
    return [row[0] for row in await database.fetch(f"SELECT a FROM {table} ORDER BY a")]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TEMP TABLE keep AS TABLE t; TRUNCATE t;\nCREATE INDEX CONCURRENTLY ti ON t (a);\n"
        "INSERT INTO t TABLE keep;",
        "-- pgready: no-transaction\nCREATE TEMP TABLE keep AS TABLE t;\nTRUNCATE t;\n"
        "DO $$ BEGIN INSERT INTO t TABLE keep; COMMIT; END $$;",
        "PREPARE keep AS INSERT INTO t SELECT generate_series(1, 5); TRUNCATE t;\nVACUUM t;\nEXECUTE keep;",
        "DECLARE keep CURSOR WITH HOLD FOR SELECT 1; CREATE TEMP TABLE kept AS TABLE t; TRUNCATE t;\n"
        "VACUUM t;\nFETCH keep; INSERT INTO t TABLE kept;",
    ],
)
async def test_what_only_the_session_has_is_there_behind_what_runs_outside_a_transaction(
    text: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute("CREATE TABLE t AS SELECT generate_series(1, 5) AS a")

    await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": text}))

    assert await columns(database, "t") == [1, 2, 3, 4, 5]


CUT_OFF = (
    "CREATE TEMP TABLE keep AS TABLE t; TRUNCATE t;\nCREATE INDEX CONCURRENTLY ti ON t (a);\n"
    "INSERT INTO t TABLE keep;"
)


async def test_a_script_whose_temporary_table_went_with_its_session_is_not_gone_on_with(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute("CREATE TABLE t AS SELECT generate_series(1, 5) AS a; CREATE TABLE keep (a int);")
    failing = sql_folder({"1_a.sql": f"{CUT_OFF} SELECT 1 / 0;"})
    with pytest.raises(MigrationFailed):
        await pgready.migrate(database.url, dir=failing)

    with pytest.raises(Diverged) as refused:
        await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": CUT_OFF}))
    await database.execute("INSERT INTO t VALUES (6)")
    status = await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": CUT_OFF.partition("INSERT")[0]}))

    assert refused.value.what == (
        "1_a.sql: part 3 needs keep, which part 1 made for a session that has ended: it cannot go on"
    )
    assert status.ready
    assert await columns(database, "t") == [6]


async def test_that_a_temporary_table_is_needed_by_a_later_part_is_warned_of(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute("CREATE TABLE t AS SELECT 1 AS a")

    status = await pgready.status(database.url, dir=sql_folder({"1_a.sql": CUT_OFF}))

    (warning,) = status.warnings
    assert warning.startswith("1_a.sql: part 3 needs keep, which part 1 makes for its session alone")

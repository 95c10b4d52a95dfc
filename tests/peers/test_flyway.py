"""What Flyway has and others have not: repeatables, placeholders, baselines, failed rows, undo scripts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.database import Database
from harness.peers.flyway import Flyway
from harness.peers.peer import Ran

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

Folder = Callable[[dict[str, str]], Path]

TABLE = {"V1__people.sql": "CREATE TABLE people (id int, name text);"}
VIEW = "CREATE OR REPLACE VIEW ${kind} AS SELECT '${Kind}' AS kind, count(*) FROM people;"
WHOLE = {
    **TABLE,
    "sub/V1_1__more.sql": "ALTER TABLE people ADD age int;\r\nALTER TABLE people ADD born date;\r\n",
    "R__by_kind.sql": VIEW,
    "R__all_of_them.sql": "CREATE OR REPLACE VIEW all_of_them AS SELECT * FROM people;",
    "V2__raw.sql": "INSERT INTO people VALUES (1, '${raw}');",
    "V2__raw.sql.conf": "placeholderReplacement=false",
}
VALUES = {"FLYWAY_PLACEHOLDERS_KIND": "tally"}
SETTING = "flyway.placeholders.kind=tally"


@pytest.fixture(scope="module")
def flyway() -> Flyway:
    return Flyway()


@pytest.fixture
def up(pgready: Callable[..., Awaitable[Any]], database: Database) -> Callable[..., Awaitable[Any]]:
    async def run(command: str, folder: Path, *arguments: str) -> Any:
        env = {"DATABASE_URL": database.url, **VALUES}
        return await pgready(command, *arguments, "--dir", str(folder), env=env)

    return run


def accepted(ran: Ran) -> str:
    assert ran.ok, ran.output
    return ran.output


def worked(done: Any) -> None:
    assert done.exit_code == 0, done.stderr


async def state(database: Database) -> tuple[list[tuple[Any, ...]], str]:
    return await database.fetch(Flyway.rows), database.dump()


async def test_repeatables_sidecars_and_placeholders_leave_what_flyway_leaves(
    flyway: Flyway, up: Any, sql_folder: Folder, database: Database, other: Database
) -> None:
    folder = sql_folder(WHOLE)
    accepted(flyway.command("migrate", folder, other.url, SETTING))

    worked(await up("up", folder))
    accepted(flyway.command("validate", folder, database.url, SETTING))
    accepted(flyway.command("migrate", folder, database.url, SETTING))

    assert await state(database) == await state(other)


async def test_a_repeatable_that_changed_gets_another_row_from_either(
    flyway: Flyway, up: Any, sql_folder: Folder, database: Database, other: Database
) -> None:
    folder, changed = sql_folder(WHOLE), sql_folder({**WHOLE, "R__by_kind.sql": f"{VIEW} -- changed"})
    accepted(flyway.command("migrate", folder, database.url, SETTING))
    for each in (folder, changed):
        accepted(flyway.command("migrate", each, other.url, SETTING))

    worked(await up("up", folder))
    worked(await up("up", changed))
    accepted(flyway.command("migrate", changed, database.url, SETTING))

    assert await state(database) == await state(other)


async def test_a_baseline_of_flyways_stands_for_what_is_below(
    flyway: Flyway, up: Any, sql_folder: Folder, database: Database
) -> None:
    folder = sql_folder(WHOLE)
    await database.execute("CREATE TABLE people (id int, name text, age int, born date)")
    accepted(flyway.command("baseline", folder, database.url, "flyway.baselineVersion=1.1"))

    worked(await up("up", folder))
    accepted(flyway.command("migrate", folder, database.url, SETTING))

    assert await database.value("SELECT count(*) FROM flyway_schema_history") == 4


async def test_a_baseline_migration_takes_the_place_of_what_is_below(
    flyway: Flyway, up: Any, sql_folder: Folder, database: Database, other: Database
) -> None:
    base = "CREATE TABLE people (id int, name text, age int, born date);"
    folder = sql_folder({**WHOLE, "B1_1__base.sql": base, "B1__older.sql": "SELECT 1/0;"})
    accepted(flyway.command("migrate", folder, other.url, SETTING))

    worked(await up("up", folder))
    worked(await up("up", folder))
    accepted(flyway.command("validate", folder, database.url, SETTING))

    assert await state(database) == await state(other)


async def test_a_baseline_migration_is_not_run_where_there_is_a_history(
    flyway: Flyway, up: Any, sql_folder: Folder, database: Database, other: Database
) -> None:
    folder = sql_folder({**TABLE, "B1_1__base.sql": "SELECT 1/0;", "V2__two.sql": "SELECT 2;"})
    for each in (database, other):
        accepted(flyway.command("migrate", sql_folder(TABLE), each.url))
    accepted(flyway.command("migrate", folder, other.url))

    worked(await up("up", folder))

    assert await state(database) == await state(other)


async def test_what_failed_outside_a_transaction_is_refused_until_it_is_resolved(
    flyway: Flyway, up: Any, sql_folder: Folder, database: Database
) -> None:
    files = {**TABLE, "V2__half.sql.conf": "executeInTransaction=false"}
    broken = sql_folder({**files, "V2__half.sql": "CREATE TABLE half (id int);\nSELECT 1/0;"})
    mended = sql_folder({**files, "V2__half.sql": "CREATE TABLE half (id int);"})
    # With its transactional lock Flyway rolls its own failed row back.
    session_lock = "flyway.postgresql.transactional.lock=false"
    assert not flyway.command("migrate", broken, database.url, session_lock).ok

    refused = await up("up", mended)
    worked(await up("repair", mended, "2", "--done"))
    worked(await up("up", mended))
    accepted(flyway.command("validate", mended, database.url))

    assert refused.exit_code == 6
    assert "pgready repair 2" in refused.stderr
    assert await database.value("SELECT bool_and(success) FROM flyway_schema_history")


async def test_what_flyways_repair_deleted_is_not_missing(
    flyway: Flyway, up: Any, sql_folder: Folder, database: Database
) -> None:
    folder, gone = sql_folder({**TABLE, "V2__two.sql": "SELECT 2;"}), sql_folder(TABLE)
    accepted(flyway.command("migrate", folder, database.url))
    accepted(flyway.command("repair", gone, database.url))

    done = await up("up", gone)

    worked(done)
    assert "missing" not in done.stdout + done.stderr


async def test_flyway_tells_what_was_applied_out_of_order(
    flyway: Flyway, up: Any, sql_folder: Folder, database: Database
) -> None:
    first = sql_folder({**TABLE, "V3__three.sql": "SELECT 3;"})
    merged = sql_folder({**TABLE, "V3__three.sql": "SELECT 3;", "V2__two.sql": "SELECT 2;"})
    accepted(flyway.command("migrate", first, database.url))

    worked(await up("up", merged))
    told = accepted(flyway.command("info", merged, database.url))
    accepted(flyway.command("validate", merged, database.url))

    assert "OUT_OF_ORDER|2|two" in told


async def test_what_is_undone_flyway_applies_again(
    flyway: Flyway, sql_folder: Folder, up: Any, database: Database
) -> None:
    folder = sql_folder(
        {**TABLE, "V2__pets.sql": "CREATE TABLE pets ();", "U2__pets.sql": "DROP TABLE pets;"}
    )
    worked(await up("up", folder))

    await database.execute("DROP TABLE pets; DELETE FROM flyway_schema_history WHERE version = '2'")
    accepted(flyway.command("validate", folder, database.url, "flyway.ignoreMigrationPatterns=*:pending"))
    accepted(flyway.command("migrate", folder, database.url))

    assert await database.value("SELECT to_regclass('pets') IS NOT NULL")


async def test_what_adopt_writes_runs_repeatables_in_flyways_order(
    flyway: Flyway, up: Any, sql_folder: Folder, tmp_path: Path, database: Database, other: Database
) -> None:
    names = {"R__pets_b": "SELECT 1 AS one", "R__pets2": "SELECT * FROM pets_b"}
    views = {f"{name}.sql": f"CREATE OR REPLACE VIEW {name[3:]} AS {query};" for name, query in names.items()}
    folder, adopted = sql_folder({**TABLE, **views}), tmp_path / "adopted"
    accepted(flyway.command("migrate", folder, database.url))

    worked(await up("adopt", folder, "--to", str(adopted)))
    done = await up("up", adopted, "--dialect", "native", "--database-url", other.url)

    worked(done)
    assert await other.value("SELECT to_regclass('pets2') IS NOT NULL")

"""A script that may run again, of which a part was done: edited behind that, it begins anew, by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

import pgready
from harness.database import Database
from pgready.core.errors import Diverged, MigrationFailed

Folder = Callable[[Mapping[str, str | bytes]], Path]

TABLES = "CREATE TABLE films (id int); CREATE TABLE ledger (entry text);"
VIEW = "CREATE OR REPLACE VIEW v AS SELECT {} AS n;\nINSERT INTO ledger VALUES ('{}');\n"
INDEX = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON {} (id);\n"
FIRST, HALF, EDITED = (VIEW.format(n, n) for n in (0, 1, 2))
RIGHT, WRONG = INDEX.format("films"), INDEX.format("filmz")
LEFT = "SELECT (SELECT n FROM v), (SELECT count(*) FROM pgready.journal)"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, whose pgready.toml the library would read."""
    monkeypatch.chdir(tmp_path)


async def fails(database: Database, folder: Path) -> None:
    with pytest.raises(MigrationFailed):
        await pgready.migrate(database.url, dir=folder)


@pytest.mark.parametrize(
    "edited", [EDITED + RIGHT, EDITED, f"{EDITED}VACUUM films;\n{RIGHT}", f"VACUUM films;\n{EDITED}"]
)
@pytest.mark.parametrize("name", ["repeatable/v.sql", "bootstrap/v.sql"])
async def test_what_was_edited_behind_its_done_parts_runs_from_its_start(
    name: str, edited: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute(TABLES)
    await fails(database, sql_folder({name: HALF + WRONG}))

    status = await pgready.migrate(database.url, dir=sql_folder({name: edited}))

    assert status.ready
    assert await database.fetch(LEFT) == [(2, 0)]
    assert await database.fetch("SELECT entry FROM ledger") == [("1",), ("2",)]
    assert await database.value("SELECT count(*) FROM pgready.history") == 1


@pytest.mark.parametrize("half", [HALF + WRONG, FIRST + WRONG], ids=["its first part, too", "its end"])
async def test_what_is_given_back_the_text_that_was_applied_last_runs_again(
    half: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute(TABLES)
    before = sql_folder({"repeatable/v.sql": FIRST + RIGHT})
    await pgready.migrate(database.url, dir=before)
    await fails(database, sql_folder({"repeatable/v.sql": half}))

    status = await pgready.migrate(database.url, dir=before)

    assert status.ready
    assert await database.fetch(LEFT) == [(0, 0)]
    assert (await pgready.migrate(database.url, dir=before)).ready


async def test_what_failed_after_it_had_begun_anew_is_not_taken_for_what_was_applied_last(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(TABLES)
    before = sql_folder({"repeatable/v.sql": FIRST})
    await pgready.migrate(database.url, dir=before)
    await fails(database, sql_folder({"repeatable/v.sql": HALF + WRONG}))
    await fails(database, sql_folder({"repeatable/v.sql": "SELECT 1 / 0;\n" + WRONG}))

    await pgready.migrate(database.url, dir=before)

    assert await database.fetch(LEFT) == [(0, 0)]


async def test_what_is_edited_only_where_it_failed_goes_on_there(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(TABLES)
    await fails(database, sql_folder({"repeatable/v.sql": HALF + WRONG}))

    await pgready.migrate(database.url, dir=sql_folder({"repeatable/v.sql": HALF + RIGHT}))

    assert await database.fetch(LEFT) == [(1, 0)]
    assert await database.fetch("SELECT entry FROM ledger") == [("1",)]


async def test_of_what_was_started_and_edited_a_person_says_that_it_did_not_happen(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(TABLES)
    await fails(database, sql_folder({"repeatable/v.sql": HALF + WRONG}))
    await database.execute("""
        INSERT INTO pgready.journal (history, kind, version, segment, state, checksum, recorded_by)
        SELECT history, kind, version, 1, 'started', '', 'the dead' FROM pgready.journal
    """)

    with pytest.raises(Diverged) as diverged:
        await pgready.migrate(database.url, dir=sql_folder({"repeatable/v.sql": EDITED + RIGHT}))

    assert diverged.value.hint is not None
    assert diverged.value.hint.endswith("or have it run as it is now: pgready repair v --not-done")


# Another was faster: it begins anew while we, who have looked, run what stands before.

ANOTHER = """
UPDATE pgready.journal SET recorded_at = clock_timestamp(), checksum = '{}' WHERE segment = 0;
"""
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"


async def test_what_another_has_begun_anew_since_we_looked_is_left_to_where_it_stands(
    database: Database, sql_folder: Folder
) -> None:
    from pgready.core.compile import compile_script
    from pgready.core.model import Script

    await database.execute(TABLES)
    await fails(database, sql_folder({"repeatable/v.sql": HALF + WRONG}))
    folder = sql_folder({"1_nap.sql": "SELECT pg_sleep(1);", "repeatable/v.sql": EDITED + RIGHT})
    first = compile_script(Script("v.sql", EDITED + RIGHT)).segments[0]

    async with anyio.create_task_group() as group:
        group.start_soon(pgready_migrate, database, folder)
        with anyio.fail_after(30):
            while not await database.value(ASLEEP):
                await anyio.lowlevel.checkpoint()
        await database.execute(EDITED)
        await database.execute(ANOTHER.format(first.checksum))

    assert await database.fetch(LEFT) == [(2, 0)]
    assert await database.fetch("SELECT entry FROM ledger") == [("1",), ("2",)]


async def pgready_migrate(database: Database, folder: Path) -> None:
    await pgready.migrate(database.url, dir=folder)

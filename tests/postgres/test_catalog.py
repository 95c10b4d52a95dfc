"""What became of a statement outside a transaction when its run died before, in or behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

import pgready
from harness.database import Database
from pgready.core.compile import compile_script
from pgready.core.dsn import parse
from pgready.core.errors import MigrationFailed, Uncertain
from pgready.core.model import Script
from pgready.core.segments import Segment, SegmentKind
from pgready.core.steps import ProbeAnswer
from pgready.database import catalog
from pgready.database.connect import open_session
from pgready.database.session import Session

Folder = Callable[[Mapping[str, str | bytes]], Path]

HAPPENED, NOT_HAPPENED, UNKNOWN = ProbeAnswer.HAPPENED, ProbeAnswer.NOT_HAPPENED, ProbeAnswer.UNKNOWN

TABLES = """
CREATE TABLE films (id int, "Odd Name" int);
INSERT INTO films VALUES (1, 1), (1, 2);
CREATE TABLE views (day date) PARTITION BY RANGE (day);
CREATE TABLE views_old PARTITION OF views FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
"""
INDEXES = """
SELECT relname::text, indisvalid FROM pg_index JOIN pg_class ON indexrelid = oid
WHERE indrelid = 'films'::regclass
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, whose pgready.toml the library would read."""
    monkeypatch.chdir(tmp_path)


def single(statement: str) -> Segment:
    """The one segment of a script that is *statement* alone."""
    (segment,) = compile_script(Script("1_a.sql", statement)).segments
    assert segment.kind is SegmentKind.SINGLE
    return segment


@asynccontextmanager
async def session(database: Database) -> AsyncIterator[Session]:
    opened = await open_session(parse(database.url), application_name="pgready test")
    try:
        yield opened
    finally:
        await opened.close()


async def probe(database: Database, statement: str) -> ProbeAnswer:
    async with session(database) as here:
        return await catalog.probe(here, single(statement))


@pytest.mark.parametrize(
    ("statement", "before", "after"),
    [
        ("CREATE INDEX CONCURRENTLY i ON films (id)", NOT_HAPPENED, HAPPENED),
        ('CREATE INDEX CONCURRENTLY "I 1" ON public."films" ("Odd Name")', NOT_HAPPENED, HAPPENED),
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY films (id)", NOT_HAPPENED, HAPPENED),
        ("DROP INDEX CONCURRENTLY given", NOT_HAPPENED, HAPPENED),
        ("DROP INDEX CONCURRENTLY IF EXISTS public.given", NOT_HAPPENED, HAPPENED),
        ("ALTER TABLE views DETACH PARTITION views_old CONCURRENTLY", NOT_HAPPENED, HAPPENED),
        ("VACUUM films", NOT_HAPPENED, NOT_HAPPENED),
        ("REINDEX INDEX CONCURRENTLY given", NOT_HAPPENED, NOT_HAPPENED),
        ("ALTER SYSTEM RESET work_mem", NOT_HAPPENED, NOT_HAPPENED),
        ("DROP TABLESPACE IF EXISTS nowhere", NOT_HAPPENED, NOT_HAPPENED),
    ],
)
async def test_the_catalogue_tells_before_and_behind(
    statement: str, before: ProbeAnswer, after: ProbeAnswer, database: Database
) -> None:
    await database.execute(TABLES)
    await database.execute("CREATE INDEX given ON films (id)")

    found_before = await probe(database, statement)
    await database.execute(statement)
    found_after = await probe(database, statement)

    assert (found_before, found_after) == (before, after)


async def test_a_database_is_there_or_not(database: Database) -> None:
    name = f"{database.name}_Made"
    create, drop = f'CREATE DATABASE "{name}"', f'DROP DATABASE IF EXISTS "{name}"'

    before = [await probe(database, statement) for statement in (create, drop)]
    await database.execute(create)
    after = [await probe(database, statement) for statement in (create, drop)]
    await database.execute(drop)

    assert before == [NOT_HAPPENED, HAPPENED]
    assert after == [HAPPENED, NOT_HAPPENED]


async def test_what_no_probe_can_tell_is_not_guessed(database: Database) -> None:
    assert await probe(database, "CREATE TABLESPACE t LOCATION '/nowhere'") is UNKNOWN


async def spoil(database: Database, index: str = "i", columns: str = "id", table: str = "films") -> None:
    """Leave an index as an interrupted concurrent build does."""
    async with database.connect() as connection:
        with pytest.raises(Exception, match="could not create unique index"):
            await connection.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON {table} ({columns})")


async def test_what_an_interrupted_build_left_is_dropped_and_did_not_happen(database: Database) -> None:
    await database.execute(TABLES)
    await spoil(database)

    answer = await probe(database, "CREATE INDEX CONCURRENTLY i ON films (id)")

    assert answer is NOT_HAPPENED
    assert await database.fetch(INDEXES) == []


async def test_what_an_interrupted_drop_left_is_still_to_be_dropped(database: Database) -> None:
    await database.execute(TABLES)
    await spoil(database)

    assert await probe(database, "DROP INDEX CONCURRENTLY i") is NOT_HAPPENED
    assert await database.fetch(INDEXES) == [("i", False)]


@pytest.mark.parametrize(
    ("there", "answer"),
    [("first, second", NOT_HAPPENED), ("second", UNKNOWN), ("first", NOT_HAPPENED), ("", HAPPENED)],
)
async def test_an_index_of_that_name_in_a_later_schema_is_not_taken_for_the_dropped_one(
    there: str, answer: ProbeAnswer, database: Database
) -> None:
    for schema in ("first", "second"):
        await database.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.films (id int)")
    for schema in filter(None, there.split(", ")):
        await database.execute(f"CREATE INDEX given ON {schema}.films (id)")
    await database.execute(f"ALTER DATABASE {database.name} SET search_path = first, second")

    assert await probe(database, "DROP INDEX CONCURRENTLY given") is answer


async def test_an_interrupted_detach_is_finished(database: Database) -> None:
    await database.execute(TABLES)
    statement = "ALTER TABLE views DETACH PARTITION views_old CONCURRENTLY"
    async with database.connect() as reader, database.connect() as worker:
        await reader.execute("BEGIN; SELECT * FROM views")
        await worker.execute("SET lock_timeout = '200ms'")
        with pytest.raises(Exception, match="lock timeout"):
            await worker.execute(statement)

    pending = await database.value("SELECT inhdetachpending FROM pg_inherits")
    answer = await probe(database, statement)

    assert pending is True
    assert answer is HAPPENED
    assert await database.value("SELECT count(*) FROM pg_inherits") == 0


async def test_the_invalid_index_of_a_build_that_goes_on_is_waited_for(database: Database) -> None:
    """Another session is at it: dropping its index now would have both wait for each other."""
    await database.execute(TABLES)
    answers: list[ProbeAnswer] = []

    async def ask() -> None:
        answers.append(await probe(database, "CREATE INDEX CONCURRENTLY i ON films (id)"))

    async with database.connect() as writer, database.connect() as builder:
        await writer.execute("BEGIN; INSERT INTO films VALUES (2)")
        async with anyio.create_task_group() as group:
            group.start_soon(builder.execute, "CREATE INDEX CONCURRENTLY i ON films (id)")
            with anyio.fail_after(30):
                while not await database.fetch(INDEXES):
                    await anyio.sleep(0.01)
            group.start_soon(ask)
            with anyio.fail_after(30):
                while not await database.value(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE application_name = 'pgready test' AND state = 'idle'"
                ):
                    await anyio.sleep(0.01)
            await writer.execute("COMMIT")

    assert answers == [HAPPENED]
    assert await database.fetch(INDEXES) == [("i", True)]


# The same through a run: the journal is what a run that was killed right there leaves.

BUILD = "CREATE INDEX CONCURRENTLY i ON films (id);"


async def killed_in(database: Database, folder: Path, files: Mapping[str, str], statement: str) -> None:
    """Apply the first of *files*, and mark the single of the second as started by a run that died."""
    await pgready.migrate(database.url, dir=folder)
    await database.execute(
        "INSERT INTO pgready.journal (history, kind, version, segment, state, checksum, recorded_by)"
        f" VALUES ('pgready.history:default', 'versioned', '2', 0, 'started',"
        f" '{single(statement).checksum}', 'the dead')"
    )


@pytest.mark.parametrize("died", ["before", "in", "behind"])
async def test_a_run_goes_on_where_another_died_in_a_concurrent_build(
    died: str, database: Database, sql_folder: Folder
) -> None:
    first = {"1_a.sql": TABLES}
    await killed_in(database, sql_folder(first), first, BUILD)
    if died == "in":
        await spoil(database)
    if died == "behind":
        await database.execute(BUILD)

    status = await pgready.migrate(database.url, dir=sql_folder({**first, "2_b.sql": BUILD}))

    assert status.ready
    assert await database.fetch(INDEXES) == [("i", True)]
    assert await database.fetch("SELECT version FROM pgready.history ORDER BY 1") == [("1",), ("2",)]
    assert await database.value("SELECT count(*) FROM pgready.journal") == 0


@pytest.mark.parametrize("more", ["", "SELECT 1;"])
@pytest.mark.parametrize("died", ["before", "behind"])
async def test_what_is_recorded_never_counts_the_time_since_a_run_died(
    died: str, more: str, database: Database, sql_folder: Folder
) -> None:
    first = {"1_a.sql": TABLES}
    await killed_in(database, sql_folder(first), first, BUILD)
    await database.execute("UPDATE pgready.journal SET recorded_at = now() - interval '1 hour'")
    if died == "behind":
        await database.execute(BUILD)  # and nobody knows how long the dead run took for it

    status = await pgready.migrate(database.url, dir=sql_folder({**first, "2_b.sql": f"{BUILD} {more}"}))

    recorded = await database.value("SELECT duration_ms FROM pgready.history WHERE version = '2'")
    shown = status.migrations[1].duration_ms
    if died == "behind":
        assert (recorded, shown) == (None, None)
    else:
        assert max(recorded, shown or 0) < 60_000


@pytest.mark.parametrize(
    ("more", "done"),
    [({}, "nothing was run"), ({"bootstrap/a.sql": "SELECT 1;"}, "1 was applied in this run")],
)
async def test_a_run_asks_where_nothing_can_tell(
    more: Mapping[str, str], done: str, database: Database, sql_folder: Folder
) -> None:
    first = {"1_a.sql": TABLES}
    statement = "CREATE TABLESPACE t LOCATION '/nowhere';"
    await killed_in(database, sql_folder(first), first, statement)

    with pytest.raises(Uncertain) as uncertain:
        await pgready.migrate(database.url, dir=sql_folder({**first, "2_b.sql": statement, **more}))

    assert uncertain.value.exit_code == 6
    assert uncertain.value.done == done
    assert "pgready repair 2 --done | --not-done" in (uncertain.value.hint or "")
    assert str(uncertain.value.place) == "2_b.sql:1:1"


@pytest.mark.parametrize("statement", [BUILD, BUILD.replace("CONCURRENTLY", "CONCURRENTLY IF NOT EXISTS")])
async def test_an_invalid_index_of_that_name_is_no_index(
    statement: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute(TABLES)
    await spoil(database)

    await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": statement}))

    assert await database.fetch(INDEXES) == [("i", True)]


async def test_somebody_else_s_valid_index_of_that_name_is_an_error_and_stays(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(TABLES + 'CREATE INDEX i ON films ("Odd Name")')

    for _ in range(2):  # the second run must not take it for its own
        with pytest.raises(MigrationFailed) as failed:
            await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": BUILD}))
        assert failed.value.sqlstate == "42P07"

    definition = await database.value("SELECT pg_get_indexdef('i'::regclass)")
    assert '("Odd Name")' in definition
    assert await database.value("SELECT count(*) FROM pgready.history") == 0


async def test_an_index_of_another_table_is_never_dropped(database: Database, sql_folder: Folder) -> None:
    await database.execute(TABLES + "CREATE SCHEMA aside; CREATE TABLE aside.films (id int)")
    await spoil(database)
    statement = "CREATE INDEX CONCURRENTLY i ON aside.films (id);"

    await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": statement}))

    assert await database.fetch(INDEXES) == [("i", False)]
    assert await database.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'aside.i'::regclass")


async def test_a_unique_violation_leaves_no_index_and_no_mark(database: Database, sql_folder: Folder) -> None:
    await database.execute(TABLES)
    folder = sql_folder({"1_a.sql": "SELECT 1;\nCREATE UNIQUE INDEX CONCURRENTLY i ON films (id);"})

    with pytest.raises(MigrationFailed) as failed:
        await pgready.migrate(database.url, dir=folder)
    left = await database.fetch("SELECT segment, state FROM pgready.journal")
    await database.execute("DELETE FROM films")
    await pgready.migrate(database.url, dir=folder)

    assert failed.value.sqlstate == "23505"
    assert str(failed.value.place) == "1_a.sql:2:1"
    assert left == [(0, "done")]
    assert await database.fetch(INDEXES) == [("i", True)]


TWICE = "CREATE UNIQUE INDEX CONCURRENTLY i ON films (id);"
KEEPS = """
CREATE FUNCTION keeps() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'kept'; END $$;
CREATE TRIGGER keeps BEFORE DELETE ON pgready.journal EXECUTE FUNCTION keeps();
"""


@pytest.mark.parametrize(
    ("before", "default", "left"),
    [
        ("SELECT 1;", "on", [(0, "done")]),
        (KEEPS, "off", [(0, "done"), (1, "started")]),
    ],
)
async def test_what_the_server_refused_is_told_whatever_becomes_of_its_mark(
    before: str, default: str, left: list[tuple[int, str]], database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        f"{TABLES}ALTER DATABASE {database.name} SET default_transaction_read_only = {default}"
    )
    folder = sql_folder({"1_a.sql": f"{before}\n{TWICE}"})

    with pytest.raises(MigrationFailed) as failed:
        await pgready.migrate(database.url, dir=folder)

    assert failed.value.sqlstate == "23505"
    assert str(failed.value.place).startswith("1_a.sql:")
    assert await database.fetch("SELECT segment, state FROM pgready.journal") == left


PROCEDURE = """
CREATE TABLE ledger (entry text);
CREATE PROCEDURE book(commits bool) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger VALUES ('called');
    IF commits THEN COMMIT; END IF;
    RAISE 'enough';
END $$;
"""
BLOCK = "DO $$ BEGIN INSERT INTO ledger VALUES ('called'); {} RAISE 'enough'; END $$;"


@pytest.mark.parametrize("statement", ["CALL book(true);", BLOCK.format("COMMIT;")])
async def test_what_failed_after_it_had_committed_is_asked_about_and_not_run_again(
    statement: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute(PROCEDURE)
    folder = sql_folder({"1_a.sql": f"-- pgready: no-transaction\n{statement}"})

    with pytest.raises(MigrationFailed) as failed:
        await pgready.migrate(database.url, dir=folder)
    with pytest.raises(Uncertain):
        await pgready.migrate(database.url, dir=folder)

    assert "of 1 the statement that failed may have happened in part" in (failed.value.done or "")
    assert "pgready repair 1 --done | --not-done" in (failed.value.hint or "")
    assert await database.fetch("SELECT entry FROM ledger") == [("called",)]


@pytest.mark.parametrize(
    "statement",
    [
        "CALL book(false);",
        "CALL nobody();",
        "CALL book(true",
        BLOCK.format(""),
        "CREATE TABLESPACE t LOCATION '/nowhere';",
    ],
)
async def test_what_failed_before_it_committed_anything_is_run_again_once_it_is_mended(
    statement: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute(PROCEDURE)

    for _ in range(2):
        with pytest.raises(MigrationFailed) as failed:
            folder = sql_folder({"1_a.sql": f"-- pgready: no-transaction\n{statement}"})
            await pgready.migrate(database.url, dir=folder)
        assert failed.value.done == "nothing of 1 was applied; nothing else was run"

    assert await database.fetch("SELECT entry FROM ledger") == []
    assert await database.value("SELECT count(*) FROM pgready.journal") == 0


DETACH = "ALTER TABLE views DETACH PARTITION views_old CONCURRENTLY;"


async def test_a_detach_that_was_refused_half_way_is_told_and_finished_by_the_next_run(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(TABLES)
    folder = sql_folder({"1_a.sql": f"-- pgready: statement-timeout=500ms\nSELECT 1;\n{DETACH}"})

    async with database.connect() as reader, reader.transaction():
        await reader.execute("SELECT FROM views")
        with pytest.raises(MigrationFailed) as failed:
            await pgready.migrate(database.url, dir=folder)
    pending = await database.value("SELECT inhdetachpending FROM pg_inherits")
    status = await pgready.migrate(database.url, dir=folder)

    assert (failed.value.sqlstate, pending) == ("57014", True)
    assert "stays applied, and the statement that failed may have happened in part" in (
        failed.value.done or ""
    )
    assert status.ready
    assert await database.value("SELECT count(*) FROM pg_inherits") == 0
    assert await database.value("SELECT count(*) FROM pgready.journal") == 0


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        (DETACH.replace("_old", "_older"), "42P01"),
        (DETACH.replace("views_old", "films"), "42P01"),
        ("DROP INDEX CONCURRENTLY nobody;", "42704"),
    ],
)
async def test_what_is_not_there_to_be_taken_away_is_an_error_each_time(
    statement: str, sqlstate: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute(TABLES)

    for _ in range(2):  # the second run must not take it for done
        with pytest.raises(MigrationFailed) as failed:
            await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": statement}))
        assert failed.value.sqlstate == sqlstate
        assert failed.value.done == "nothing of 1 was applied; nothing else was run"

    assert await database.value("SELECT count(*) FROM pgready.journal") == 0


async def test_a_drop_that_was_refused_half_way_is_finished_by_the_next_run(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(TABLES + "CREATE INDEX i ON films (id)")
    folder = sql_folder({"1_a.sql": "-- pgready: statement-timeout=500ms\nDROP INDEX CONCURRENTLY i;"})

    async with database.connect() as reader, reader.transaction():
        await reader.execute("SELECT FROM films")
        with pytest.raises(MigrationFailed) as failed:
            await pgready.migrate(database.url, dir=folder)
    left = await database.fetch(INDEXES)
    status = await pgready.migrate(database.url, dir=folder)

    assert left == [("i", False)]
    assert "of 1 the statement that failed may have happened in part" in (failed.value.done or "")
    assert status.ready
    assert await database.fetch(INDEXES) == []


ALL_INVALID = """
SELECT relname::text FROM pg_index JOIN pg_class ON indexrelid = oid WHERE NOT indisvalid ORDER BY 1
"""
REINDEX = "REINDEX TABLE CONCURRENTLY films;"


async def test_what_a_reindex_that_failed_had_begun_is_dropped_and_nothing_is_left(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        "CREATE FUNCTION f(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n';"
        f"{TABLES} CREATE INDEX given ON films (f(id));"
        "CREATE OR REPLACE FUNCTION f(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n / 0'"
    )

    with pytest.raises(MigrationFailed) as failed:
        await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": REINDEX}))

    assert failed.value.sqlstate == "22012"
    assert failed.value.done == "nothing of 1 was applied; nothing else was run"
    assert await database.fetch(ALL_INVALID) == []


@pytest.mark.parametrize(
    ("held", "left"),
    [("INSERT INTO films VALUES (2)", "given_ccnew"), ("SELECT FROM films", "given_ccold")],
)
async def test_a_reindex_that_was_refused_half_way_is_told_and_cleaned_up_by_the_next_run(
    held: str, left: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute(f"{TABLES} ALTER TABLE films ADD title text; CREATE INDEX given ON films (id)")
    folder = sql_folder({"1_a.sql": f"-- pgready: statement-timeout=500ms\n{REINDEX}"})

    async with database.connect() as other, other.transaction():
        await other.execute(held)
        with pytest.raises(MigrationFailed) as failed:
            await pgready.migrate(database.url, dir=folder)
    leftovers = [name for (name,) in await database.fetch(ALL_INVALID)]
    status = await pgready.migrate(database.url, dir=folder)

    assert "of 1 the statement that failed may have happened in part" in (failed.value.done or "")
    assert leftovers == [left]  # the TOAST table's is not in anybody's way
    assert status.ready
    assert await database.fetch(ALL_INVALID) == []


async def test_what_only_a_superuser_may_drop_is_told_and_does_not_stop_the_next_run(
    database: Database, sql_folder: Folder
) -> None:
    owner = await database.role("owner")
    await database.execute(
        f"{TABLES} ALTER TABLE films ADD title text; ALTER TABLE films OWNER TO {owner.name};"
        f"GRANT CREATE ON DATABASE {database.name} TO {owner.name}"
    )
    folder = sql_folder({"1_a.sql": f"-- pgready: statement-timeout=500ms\n{REINDEX}"})

    async with database.connect() as other, other.transaction():
        await other.execute("SELECT FROM films")
        with pytest.raises(MigrationFailed) as failed:
            await pgready.migrate(owner.url, dir=folder)
    status = await pgready.migrate(owner.url, dir=folder)

    assert "of 1 the statement that failed may have happened in part" in (failed.value.done or "")
    assert status.ready
    assert [name[:8] for (name,) in await database.fetch(ALL_INVALID)] == ["pg_toast"]


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("REINDEX TABLE CONCURRENTLY films", ["b_ccnew", "c_ccnew1", "d"]),
        ("REINDEX INDEX CONCURRENTLY given", ["b_ccnew", "c_ccnew1", "d"]),
        ("REINDEX INDEX CONCURRENTLY a_ccnew", ["a_ccnew", "b_ccnew", "c_ccnew1", "d"]),
        ("REINDEX TABLE CONCURRENTLY views", ["a_ccnew", "b_ccnew", "d"]),
        ("REINDEX SCHEMA CONCURRENTLY aside", ["a_ccnew", "c_ccnew1", "d"]),
        ("REINDEX DATABASE CONCURRENTLY here", ["d"]),
        ("REINDEX TABLE CONCURRENTLY nobody", ["a_ccnew", "b_ccnew", "c_ccnew1", "d"]),
    ],
)
async def test_only_what_a_reindex_left_on_the_tables_of_this_one_is_dropped(
    statement: str, left: list[str], database: Database
) -> None:
    """An index of another name is somebody's, and may be wanted."""
    await database.execute(
        TABLES + "CREATE SCHEMA aside; CREATE TABLE aside.films (id int);"
        "INSERT INTO aside.films VALUES (1), (1); CREATE INDEX given ON films (id);"
        "INSERT INTO views VALUES ('2020-02-02'), ('2020-02-02')"
    )
    for table, index in {"films": "a_ccnew", "aside.films": "b_ccnew", "views_old": "c_ccnew1"}.items():
        await spoil(database, index, "day" if table == "views_old" else "id", table)
    await spoil(database, "d")

    async with session(database) as here:
        await catalog.drop_leftovers(here, single(statement))

    assert await database.fetch(ALL_INVALID) == [(name,) for name in left]


async def test_what_another_reindex_is_at_is_left_alone(database: Database) -> None:
    await database.execute(TABLES + "CREATE INDEX given ON films (id)")

    async with database.connect() as writer, database.connect() as builder:
        await writer.execute("BEGIN; INSERT INTO films VALUES (2)")
        async with anyio.create_task_group() as group:
            group.start_soon(builder.execute, "REINDEX INDEX CONCURRENTLY given")
            with anyio.fail_after(30):
                while not await database.fetch(ALL_INVALID):
                    await anyio.sleep(0.01)
            async with session(database) as here:
                with anyio.fail_after(30):
                    await catalog.drop_leftovers(here, single("REINDEX INDEX CONCURRENTLY given"))
            found = await database.fetch(ALL_INVALID)
            await writer.execute("COMMIT")

    assert found == [("given_ccnew",)]
    assert await database.fetch(INDEXES) == [("given", True)]

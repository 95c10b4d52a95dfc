"""The parts of one script have one session, as in psql, and none of its statements runs twice for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import pgready
from harness.database import Database
from pgready.core.errors import Diverged, MigrationFailed, ScriptError, Uncertain

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
AT_ITS_END = pytest.mark.parametrize("end", ["", " DROP TABLE keep;", " DISCARD TEMP;"])


@AT_ITS_END
async def test_a_script_whose_temporary_table_went_with_its_session_is_not_gone_on_with(
    end: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute("CREATE TABLE t AS SELECT generate_series(1, 5) AS a; CREATE TABLE keep (a int);")
    failing = sql_folder({"1_a.sql": f"{CUT_OFF} SELECT 1 / 0;{end}"})
    with pytest.raises(MigrationFailed):
        await pgready.migrate(database.url, dir=failing)

    with pytest.raises(Diverged) as refused:
        await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": f"{CUT_OFF}{end}"}))
    await database.execute("INSERT INTO t VALUES (6)")
    status = await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": CUT_OFF.partition("INSERT")[0]}))

    assert refused.value.what == (
        "1_a.sql: part 3 needs keep, which part 1 made for a session that has ended: it cannot go on"
    )
    assert status.ready
    assert await columns(database, "t") == [6]
    assert await columns(database, "keep") == []


@pytest.mark.parametrize(
    ("file", "fails", "cure"),
    [
        (
            "1_a.sql",
            "SELECT 1 / 0",
            "finish it by hand, cut what is left off the file, as part 4 needs keep, which part 1 made for "
            "this session alone; then: pgready up",
        ),
        (
            "1_a.sql",
            "CALL half()",
            "look, then say so: pgready repair 1 --done | --not-done; then finish it by hand, cut what is "
            "left off the file, as part 4 needs keep, which part 1 made for this session alone; then: "
            "pgready up",
        ),
        ("repeatable/a.sql", "SELECT 1 / 0", "mend it, then: pgready up"),
    ],
)
async def test_what_fails_where_nothing_goes_on_behind_it_is_told_with_that(
    file: str, fails: str, cure: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        "CREATE TABLE t AS SELECT 1 AS a;"
        "CREATE PROCEDURE half() LANGUAGE plpgsql AS $$ BEGIN COMMIT; PERFORM 1 / 0; END $$;"
    )
    text = (
        "-- pgready: no-transaction\nCREATE TEMP TABLE keep AS TABLE t;\nTRUNCATE t;\n"
        f"{fails};\nINSERT INTO t TABLE keep;"
    )

    with pytest.raises(MigrationFailed) as failed:
        await pgready.migrate(database.url, dir=sql_folder({file: text}))

    assert failed.value.hint == cure


async def test_a_run_that_lost_its_session_and_is_refused_tells_which_parts_it_did(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute("CREATE TABLE t AS SELECT 1 AS a; CREATE SEQUENCE tries;")
    lost = "SELECT CASE nextval('tries') WHEN 1 THEN pg_terminate_backend(pg_backend_pid(), 5000) END;"
    files = {"1_a.sql": "SELECT 1;", "2_b.sql": CUT_OFF.replace("INSERT", f"{lost} INSERT")}

    with pytest.raises(Diverged) as refused:
        await pgready.migrate(database.url, dir=sql_folder(files))

    assert refused.value.done == (
        "parts 1 to 2 of 3 of 2 (up to line 2) stay applied; 1 before it was applied in this run"
    )


async def test_a_run_that_cannot_tell_what_became_of_a_part_tells_which_it_did_before(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        "CREATE PROCEDURE lost() LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid(), 5000); END $$"
    )
    text = "-- pgready: no-transaction\nSELECT 1;\nCALL lost();"

    with pytest.raises(Uncertain) as uncertain:
        await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": text}))

    assert uncertain.value.done == (
        "part 1 of 2 of 1 (up to line 2) stays applied, and the statement that failed may have happened in "
        "part; nothing else was run"
    )


@AT_ITS_END
async def test_that_a_temporary_table_is_needed_by_a_later_part_is_warned_of(
    end: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute("CREATE TABLE t AS SELECT 1 AS a")

    status = await pgready.status(database.url, dir=sql_folder({"1_a.sql": f"{CUT_OFF}{end}"}))

    (warning,) = status.warnings
    assert warning.startswith("1_a.sql: part 3 needs keep, which part 1 makes for its session alone")


BEHIND = "CREATE TABLE one (a int);\nVACUUM one;\nCREATE TABLE two (a int);"


@pytest.mark.parametrize(
    "sets",
    [
        "SELECT set_config('seed.org', make_org('acme')::text, false);",
        "SELECT set_config('seed.at', nextval('numbers')::text, false);",
        "DO $$ BEGIN PERFORM set_config('search_path', 's', false); END $$;",
        "SELECT set_config('lock_timeout', '1s', true), set_config('search_path', 's', false);",
    ],
)
async def test_a_setting_that_only_its_own_code_could_tell_again_is_refused_before_anything_runs(
    sets: str, database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        "CREATE SCHEMA s; CREATE SEQUENCE numbers; CREATE TABLE org (a int);"
        "CREATE FUNCTION make_org(n text) RETURNS int LANGUAGE sql AS"
        " $$ INSERT INTO public.org VALUES (1) RETURNING a $$"
    )

    with pytest.raises(ScriptError) as refused:
        await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": f"{sets}\n{BEHIND}"}))
    status = await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": f"{BEHIND}\n{sets}"}))

    assert str(refused.value.place) == "1_a.sql:1:1"
    assert status.ready
    assert await columns(database, "org") == [1] * ("acme" in sets)
    assert await database.value("SELECT last_value FROM numbers") == 1


async def test_settings_that_are_said_plainly_hold_to_the_end_of_the_script(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute("CREATE SCHEMA s")
    sets = "SELECT set_config('lock_timeout', '1s', false), pg_catalog.set_config('search_path', 's', false);"

    await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": f"{sets}\n{BEHIND}"}))

    assert await database.value("SELECT to_regclass('s.two') IS NOT NULL")


@pytest.mark.parametrize(
    ("takes_on", "gives_up"),
    [
        ("SET ROLE", "SELECT set_config('role', 'none', false)"),
        ("SET SESSION AUTHORIZATION", "RESET SESSION AUTHORIZATION"),
    ],
)
async def test_a_role_that_was_given_up_and_dropped_is_not_taken_on_again(
    takes_on: str, gives_up: str, database: Database, sql_folder: Folder
) -> None:
    role = f"gone_{database.name}"
    text = (
        f"CREATE ROLE {role}; {takes_on} {role}; {gives_up}; DROP ROLE {role};\n"
        "CREATE TABLE t (a int);\nCREATE INDEX CONCURRENTLY ti ON t (a);"
    )

    status = await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": text}))

    assert status.ready


async def test_a_setting_that_was_rolled_back_to_a_savepoint_is_not_set_again(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute("CREATE SCHEMA s; CREATE TABLE public.t (a int); CREATE TABLE s.t (a int);")
    text = (
        "SAVEPOINT a; SET search_path = s; ROLLBACK TO a; CREATE TABLE before (a int);\n"
        "CREATE INDEX CONCURRENTLY ti ON t (a);\nCREATE TABLE behind (a int);"
    )

    await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": text}))

    made = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname IN ('before', 'ti', 'behind')"
    assert await database.fetch(made) == [("public",)] * 3


@pytest.mark.parametrize("behind", ["VACUUM t;", "CREATE INDEX CONCURRENTLY ti ON t (a);", "SELECT 1;"])
async def test_a_setting_that_cannot_be_made_again_is_told_with_its_place_and_cure(
    behind: str, database: Database, sql_folder: Folder
) -> None:
    text = (
        "CREATE TEXT SEARCH CONFIGURATION c (COPY = simple); CREATE TABLE t (a int);\n"
        "SET default_text_search_config = 'public.c';\nDROP TEXT SEARCH CONFIGURATION c;\n"
        "SET my.a = '1'; SET my.b = '2'; SET my.c = '3'; SET my.d = '4'; SET my.e = '5';\n"
        f"COMMIT;\n{behind}"
    )

    with pytest.raises(MigrationFailed) as failed:
        await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": text}))
    await database.execute("CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)")
    status = await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": text}))

    error = failed.value
    assert (str(error.place), error.sqlstate) == ("1_a.sql:2:1", "22023")
    assert error.done == "part 1 of 2 of 1 (up to line 4) stays applied; nothing else was run"
    assert "it is set again for each later part of the script" in (error.hint or "")
    assert status.ready

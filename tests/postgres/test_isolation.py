"""Scripts do not see each other's session, and none of them touches the history's row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import pgready
from harness.database import Database
from pgready.core.errors import AccessDenied, Diverged, MigrationFailed

Folder = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, whose pgready.toml the library would read."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "left_behind",
    [
        "CREATE TEMP TABLE target (wrong int);",
        "SET search_path = pg_catalog;",
        "SELECT pg_catalog.set_config('search_path', '', false);",
        "SET LOCAL search_path = '';",
        "SET ROLE pg_monitor;",
        "SET SESSION AUTHORIZATION reader;",
        "SET lock_timeout = 1;",
        "SET statement_timeout = 1;",
        "SET standard_conforming_strings = off;",
        "LISTEN anything;",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1;",
        "PREPARE p AS SELECT 1;",
        "SET session_replication_role = replica;",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;",
        "SET client_min_messages = error;",
        "SET check_function_bodies = off;",
    ],
)
async def test_what_one_script_leaves_behind_does_not_reach_the_next(
    left_behind: str, database: Database, sql_folder: Folder
) -> None:
    reader = await database.role("reader")
    text = left_behind.replace("reader", reader.name)
    folder = sql_folder(
        {
            "1_leaves.sql": f"CREATE TABLE public.target (id int);\n{text}",
            "2_next.sql": "ALTER TABLE target ADD COLUMN added int; SELECT pg_sleep(0.01);",
        }
    )

    await pgready.migrate(database.url, dir=folder)

    columns = await database.fetch(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'public.target'::regclass AND attnum > 0"
    )
    assert columns == [("id",), ("added",)]
    assert await database.value("SELECT count(*) FROM pgready.history") == 2


async def test_a_role_that_is_set_by_default_owns_what_every_script_makes(
    database: Database, sql_folder: Folder
) -> None:
    owner = await database.role("owner", "NOLOGIN")
    login = await database.role("login")
    await database.execute(
        f"GRANT {owner.name} TO {login.name}; ALTER ROLE {login.name} SET role = '{owner.name}';"
        f"GRANT CREATE ON DATABASE {database.name} TO {owner.name};"
        f"GRANT CREATE ON SCHEMA public TO {owner.name}"
    )
    folder = sql_folder({"1_a.sql": "CREATE TABLE a (x int);", "2_b.sql": "CREATE TABLE b (x int);"})

    await pgready.migrate(login.url, dir=folder)

    owners = await database.fetch("SELECT tableowner::text FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [(owner.name,), (owner.name,)]


async def test_a_script_of_several_parts_keeps_its_own_settings(
    database: Database, sql_folder: Folder
) -> None:
    text = (
        "CREATE SCHEMA aside; SET search_path = aside; CREATE TABLE t (x int);\n"
        "CREATE INDEX CONCURRENTLY t_x ON t (x);\n"
        "CREATE TABLE after_it (x int);\n"
    )

    await pgready.migrate(database.url, dir=sql_folder({"1_parts.sql": text}))

    assert await database.value("SELECT to_regclass('aside.after_it') IS NOT NULL")
    assert await database.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'aside.t_x'::regclass")


async def test_a_type_of_an_earlier_schema_with_a_name_of_the_servers_own_stays_out_of_our_queries(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        "CREATE SCHEMA early; CREATE DOMAIN early.text AS pg_catalog.text CHECK (length(VALUE) < 0);"
        "CREATE DOMAIN early.oid AS pg_catalog.oid CHECK (false);"
        "CREATE DOMAIN early.regclass AS pg_catalog.regclass CHECK (false);"
    )
    url = f"{database.url}?options=-csearch_path%3Dearly,pg_catalog,public"
    folder = sql_folder(
        {
            "1_a.sql": "CREATE TABLE public.a (id int);",
            "2_b.sql": "CREATE INDEX CONCURRENTLY a_id ON public.a (id);\nCREATE TABLE public.b (id int);",
        }
    )

    await pgready.migrate(url, dir=folder)
    await pgready.migrate(url, dir=folder)

    assert await database.value("SELECT count(*) FROM pgready.history") == 2


async def test_what_a_session_can_name_once_can_be_named_by_every_script(
    database: Database, sql_folder: Folder
) -> None:
    text = "PREPARE p AS SELECT 1; DECLARE c CURSOR WITH HOLD FOR SELECT 1; CREATE TEMP TABLE t (x int);"
    parts = "CREATE TABLE a (x int);\nCREATE INDEX CONCURRENTLY a_x ON a (x);\n"

    status = await pgready.migrate(
        database.url, dir=sql_folder({"1_a.sql": text, "2_b.sql": parts + text, "3_c.sql": text})
    )

    assert status.ready
    assert status.applied_this_run == 3


RESUMED = (
    "CREATE SCHEMA aside;\nSET search_path = aside;\nSET ROLE pg_monitor;\nRESET ROLE;\n"
    "CREATE TABLE t (x int);\nCREATE INDEX CONCURRENTLY t_x ON t (x);\nCREATE TABLE after_it (x int);\n"
)


async def test_a_script_that_is_resumed_by_another_session_keeps_its_own_settings(
    database: Database, sql_folder: Folder
) -> None:
    with pytest.raises(MigrationFailed) as failed:
        await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": RESUMED + "SELECT 1 / 0;"}))
    assert await database.value("SELECT to_regclass('aside.after_it') IS NULL")

    await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": RESUMED + "TABLE after_it;"}))

    assert failed.value.done == "parts 1 to 2 of 3 of 1 (up to line 6) stay applied; nothing else was run"
    assert await database.value("SELECT to_regclass('aside.after_it') IS NOT NULL")
    assert await database.value("SELECT to_regclass('public.after_it') IS NULL")


async def test_a_missing_privilege_is_access_denied(database: Database, sql_folder: Folder) -> None:
    app = await database.role("app")
    await database.execute("CREATE TABLE theirs (x int)")
    await database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {app.name}")

    with pytest.raises(AccessDenied) as denied:
        await pgready.migrate(app.url, dir=sql_folder({"1_a.sql": "DROP TABLE theirs;"}))

    assert denied.value.sqlstate == "42501"


async def test_a_schema_that_was_made_for_us_takes_no_right_to_make_one(
    database: Database, sql_folder: Folder
) -> None:
    app = await database.role("app")
    await database.execute(
        f"REVOKE CREATE ON DATABASE {database.name} FROM {app.name};"
        f"CREATE SCHEMA pgready AUTHORIZATION {app.name}; GRANT CREATE ON SCHEMA public TO {app.name}"
    )

    status = await pgready.migrate(app.url, dir=sql_folder({"1_a.sql": "CREATE TABLE ours (x int);"}))

    assert status.applied_this_run == 1


PARTS = (
    "INSERT INTO ledger VALUES (2);\nCREATE INDEX CONCURRENTLY ledger_v ON ledger (version);\nSELECT 1 / 0;"
)


async def test_a_partly_applied_file_under_another_name_is_refused(
    database: Database, sql_folder: Folder
) -> None:
    first = {"1_a.sql": "CREATE TABLE ledger (version int);"}
    with pytest.raises(MigrationFailed):
        await pgready.migrate(database.url, dir=sql_folder({**first, "2_b.sql": PARTS}))

    with pytest.raises(Diverged) as refused:
        await pgready.migrate(
            database.url, dir=sql_folder({**first, "02_b.sql": PARTS.replace("SELECT 1 / 0;", "")})
        )

    assert "2: is partly applied" in refused.value.what
    assert await database.fetch("SELECT version FROM ledger") == [(2,)]


async def test_an_older_image_only_warns_of_a_version_that_is_partly_applied(
    database: Database, sql_folder: Folder
) -> None:
    first = {"1_a.sql": "CREATE TABLE ledger (version int);"}
    with pytest.raises(MigrationFailed):
        await pgready.migrate(database.url, dir=sql_folder({**first, "2_b.sql": PARTS}))

    status = await pgready.migrate(database.url, dir=sql_folder(first))

    assert status.ready
    assert any("2: is partly applied" in warning for warning in status.warnings)

"""Scripts do not see each other's session, and none of them touches the history's row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import pytest

import pgready
from harness.database import Database
from pgready.core.errors import AccessDenied, Diverged, HistoryRefused, LockNotObtained, MigrationFailed
from pgready.core.events import Blocked, Event, ServerNotice, StatementsRan

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


@pytest.mark.parametrize(
    "planted",
    [
        "CREATE TRIGGER t BEFORE INSERT ON pgready.history FOR EACH ROW EXECUTE FUNCTION public.trap()",
        "CREATE RULE r AS ON INSERT TO pgready.history DO ALSO SELECT 1",
        "ALTER TABLE pgready.history ALTER COLUMN duration_ms SET DEFAULT public.evil()",
        "ALTER TABLE pgready.history OWNER TO mallory",
        "ALTER TABLE pgready.journal OWNER TO mallory",
    ],
)
async def test_a_planted_history_is_refused_and_nothing_runs(
    planted: str, database: Database, sql_folder: Folder
) -> None:
    mallory = await database.role("mallory")
    await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": "CREATE TABLE a (x int);"}))
    await database.execute(
        "CREATE FUNCTION public.evil() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';"
        "CREATE FUNCTION public.trap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    )
    await database.execute(planted.replace("mallory", mallory.name))
    both = sql_folder({"1_a.sql": "CREATE TABLE a (x int);", "2_b.sql": "CREATE TABLE b (x int);"})

    with pytest.raises(HistoryRefused) as refused:
        await pgready.migrate(database.url, dir=both)

    assert "could run code as postgres" in refused.value.what
    assert await database.value("SELECT to_regclass('b') IS NULL")


async def test_a_history_that_another_role_planted_beforehand_is_refused(
    database: Database, sql_folder: Folder
) -> None:
    mallory = await database.role("mallory")
    await database.execute(
        f"CREATE SCHEMA pgready AUTHORIZATION {mallory.name};"
        f"SET ROLE {mallory.name}; CREATE TABLE pgready.history (version text); RESET ROLE"
    )

    with pytest.raises(HistoryRefused):
        await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": "CREATE TABLE a (x int);"}))

    assert await database.value("SELECT to_regclass('a') IS NULL")


async def test_notices_and_progress_are_events(database: Database, sql_folder: Folder) -> None:
    events: list[Event] = []
    text = (
        "DO $$ BEGIN RAISE NOTICE 'hello'; END $$;\nSELECT pg_sleep(0.4);\n"
        + "SELECT 1;\nSELECT pg_sleep(0.4);\n" * 2
    )

    await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": text}), on_event=events.append)

    assert [event.message for event in events if isinstance(event, ServerNotice)] == ["hello"]
    progress = [event.statements for event in events if isinstance(event, StatementsRan)]
    assert progress[0] in range(1, 5)
    assert progress == sorted(progress)


async def test_who_blocks_is_named_and_the_script_is_tried_again(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute("CREATE TABLE busy (x int)")
    events: list[Event] = []

    async with database.connect() as holder:
        await holder.execute("SET application_name = 'billing'; BEGIN; LOCK TABLE busy")
        pid = await holder.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(LockNotObtained) as given_up:
            await pgready.migrate(
                database.url,
                dir=sql_folder({"1_a.sql": "ALTER TABLE busy ADD COLUMN y int;"}),
                on_event=events.append,
                relation_lock_timeout="3s",
            )

    blocked = [event for event in events if isinstance(event, Blocked)]
    assert blocked[0].holders[0].pid == pid
    assert blocked[0].holders[0].application_name == "billing"
    assert f"pid {pid}" in given_up.value.what
    assert await database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_a_script_that_was_blocked_is_applied_once_the_lock_is_free(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute("CREATE TABLE busy (x int)")
    folder = sql_folder({"1_a.sql": "ALTER TABLE busy ADD COLUMN y int;"})
    blocked = anyio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, Blocked):
            blocked.set()

    async with database.connect() as holder, anyio.create_task_group() as group:
        await holder.execute("BEGIN; LOCK TABLE busy")
        group.start_soon(lambda: pgready.migrate(database.url, dir=folder, on_event=on_event))
        await blocked.wait()
        await holder.execute("ROLLBACK")

    assert await database.value("SELECT count(*) FROM pgready.history") == 1


async def test_a_missing_privilege_is_access_denied(database: Database, sql_folder: Folder) -> None:
    app = await database.role("app")
    await database.execute("CREATE TABLE theirs (x int)")
    await database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {app.name}")

    with pytest.raises(AccessDenied) as denied:
        await pgready.migrate(app.url, dir=sql_folder({"1_a.sql": "DROP TABLE theirs;"}))

    assert denied.value.sqlstate == "42501"


async def test_a_lock_that_a_function_frees_lets_nothing_be_applied_twice(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(
        "CREATE FUNCTION sly() RETURNS void LANGUAGE plpgsql"
        " AS $$ BEGIN EXECUTE 'SELECT pg_advisory_' || 'unlock_all()'; END $$;"
        "CREATE TABLE ledger (version int)"
    )
    folder = sql_folder(
        {
            "1_a.sql": "INSERT INTO ledger VALUES (1); SELECT sly();",
            "2_b.sql": "INSERT INTO ledger VALUES (2); SELECT pg_sleep(0.2);",
            "3_c.sql": "INSERT INTO ledger VALUES (3);",
        }
    )

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(lambda: pgready.migrate(database.url, dir=folder))

    assert await database.fetch("SELECT version FROM ledger ORDER BY version") == [(1,), (2,), (3,)]


async def test_a_refused_statement_frees_the_lock(database: Database, sql_folder: Folder) -> None:
    with pytest.raises(MigrationFailed):
        await pgready.migrate(database.url, dir=sql_folder({"1_a.sql": "SELECT 1 / 0;"}))

    assert await database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


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

"""A folder that fits several dialects: the history in the database decides, and where it cannot, a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import pgready
from harness.database import Database
from pgready.core.errors import FolderError, HistoryRefused
from pgready.dialects.golang_migrate import GolangMigrate
from pgready.dialects.refinery import Refinery
from pgready.dialects.sqlx import Sqlx

Folder = Callable[[Mapping[str, str | bytes]], Path]

PLAIN = {"1_a.sql": "CREATE TABLE a (i int);"}
VERSIONED = {"V1__a.sql": "CREATE TABLE a (i int);"}
TWO_WAY = {"1_a.up.sql": "CREATE TABLE a (i int);", "1_a.down.sql": "DROP TABLE a;"}
MADE = "SELECT to_regclass('a') IS NOT NULL"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the checkout, whose pgready.toml the library would read."""
    monkeypatch.chdir(tmp_path)


async def test_plain_files_in_front_of_a_peers_history_are_not_taken_for_native(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(Sqlx().create_history())

    with pytest.raises(FolderError) as refused:
        await pgready.migrate(database.url, dir=sql_folder(PLAIN))

    assert "sqlx: the database has its history, public._sqlx_migrations" in refused.value.problems
    assert refused.value.hint == "to go on with that history: --dialect sqlx"
    assert not await database.value(MADE)


async def test_plain_files_are_native_where_the_native_history_is_there_already(
    database: Database, sql_folder: Folder
) -> None:
    await pgready.migrate(database.url, dir=sql_folder(PLAIN))
    await database.execute(Sqlx().create_history())

    status = await pgready.migrate(database.url, dir=sql_folder({**PLAIN, "2_b.sql": "SELECT 1;"}))

    assert (status.dialect, status.counts.applied) == ("native", 2)


async def test_a_native_table_that_serves_a_peers_views_does_not_make_its_files_native(
    database: Database, sql_folder: Folder
) -> None:
    folder = sql_folder({**PLAIN, "repeatable/v.sql": "CREATE OR REPLACE VIEW v AS SELECT 1 AS one;"})
    await pgready.migrate(database.url, dir=folder, dialect="sqlx")

    with pytest.raises(FolderError) as refused:
        await pgready.migrate(database.url, dir=folder)

    assert refused.value.hint == "--dialect native or --dialect sqlx"
    assert await database.value("SELECT count(*) FROM pgready.history WHERE kind = 'versioned'") == 0


async def test_plain_files_are_the_named_dialects(database: Database, sql_folder: Folder) -> None:
    status = await pgready.migrate(database.url, dir=sql_folder(PLAIN), dialect="sqlx")

    assert status.dialect == "sqlx"
    assert await database.value("SELECT version FROM _sqlx_migrations") == 1


async def test_what_fits_two_peers_is_for_a_person_to_say_on_an_empty_database(
    database: Database, sql_folder: Folder
) -> None:
    with pytest.raises(FolderError) as refused:
        await pgready.migrate(database.url, dir=sql_folder(TWO_WAY))

    assert refused.value.hint == "say which it is: --dialect golang-migrate or --dialect sqlx"
    assert not await database.value(MADE)


async def test_what_fits_two_peers_is_whose_history_is_there(database: Database, sql_folder: Folder) -> None:
    await database.execute(GolangMigrate().create_history())

    status = await pgready.migrate(database.url, dir=sql_folder(TWO_WAY))

    assert status.dialect == "golang-migrate"
    assert await database.fetch("SELECT version, dirty FROM schema_migrations") == [(1, False)]


async def test_two_histories_are_two_proofs(database: Database, sql_folder: Folder) -> None:
    await database.execute(GolangMigrate().create_history() + ";" + Sqlx().create_history())

    with pytest.raises(FolderError) as refused:
        await pgready.migrate(database.url, dir=sql_folder(TWO_WAY))

    assert len(refused.value.problems) == 3


async def test_a_table_of_another_tool_with_the_same_name_is_refused(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(GolangMigrate().create_history())
    files = {"1_a.sql": "-- migrate:up\nCREATE TABLE a (i int);\n-- migrate:down\n"}

    with pytest.raises(HistoryRefused, match=r"is not dbmate's: its columns are dirty, version"):
        await pgready.migrate(database.url, dir=sql_folder(files))

    assert not await database.value(MADE)


async def test_a_peers_history_is_where_the_session_creates_tables(
    database: Database, sql_folder: Folder
) -> None:
    role = await database.role()
    await database.execute(f"CREATE SCHEMA {role.name} AUTHORIZATION {role.name}")

    await pgready.migrate(role.url, dir=sql_folder(TWO_WAY), dialect="golang-migrate")

    assert await database.value(f"SELECT version FROM {role.name}.schema_migrations") == 1


async def test_a_history_that_goose_would_find_in_another_schema_is_not_begun_anew(
    database: Database, sql_folder: Folder
) -> None:
    folder = sql_folder({"1_a.sql": "-- +goose Up\nCREATE TABLE a (i int);\n"})
    await pgready.migrate(database.url, dir=folder)
    role = await database.role()
    await database.execute(f"CREATE SCHEMA {role.name} AUTHORIZATION {role.name}")

    with pytest.raises(HistoryRefused) as refused:
        await pgready.migrate(role.url, dir=folder)

    assert "--history-table public.goose_db_version" in (refused.value.hint or "")
    assert await database.value("SELECT to_regclass($1) IS NULL", f"{role.name}.a")


async def test_a_flyway_folder_in_front_of_refinerys_history_is_refused(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(Refinery().create_history())

    with pytest.raises(FolderError) as refused:
        await pgready.migrate(database.url, dir=sql_folder(VERSIONED))

    assert "refinery: the database has its history, public.refinery_schema_history" in refused.value.problems
    assert refused.value.hint == "to go on with that history: --dialect refinery"
    assert not await database.value(MADE)


async def test_a_flyway_folder_is_read_where_flyways_history_is_there_or_somebody_said_so(
    database: Database, sql_folder: Folder
) -> None:
    await database.execute(Refinery().create_history())

    named = await pgready.migrate(database.url, dir=sql_folder(VERSIONED), dialect="flyway")
    found = await pgready.migrate(database.url, dir=sql_folder(VERSIONED))

    assert (named.counts.applied, found.counts.applied) == (1, 1)


async def test_versioned_files_are_flyways_on_an_empty_database(
    database: Database, sql_folder: Folder
) -> None:
    status = await pgready.migrate(database.url, dir=sql_folder(VERSIONED))

    assert status.dialect == "flyway"

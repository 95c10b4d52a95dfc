"""`pgready new`: files where they belong, never over another, without a database."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.database import Database
from harness.processes import Pgready

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

NOWHERE = {"DATABASE_URL": "postgresql://nobody@192.0.2.1/nowhere"}


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


async def test_the_first_migration_makes_the_folder_and_needs_no_database(
    pgready: Pgready, tmp_path: Path
) -> None:
    result = await pgready("new", "add", "users", cwd=tmp_path, env=NOWHERE)

    assert (result.exit_code, result.stdout, result.stderr) == (0, "sql/0001_add_users.sql\n", "")
    assert content(tmp_path / "sql") == {"0001_add_users.sql": b""}


async def test_without_any_database_configured_it_works_as_well(pgready: Pgready, tmp_path: Path) -> None:
    assert (await pgready("new", "users", "--dir", tmp_path / "deep" / "sql")).exit_code == 0


async def test_a_program_is_told_the_files_and_what_they_are(pgready: Pgready, sql_folder: SqlFolder) -> None:
    folder = sql_folder({"0041_a.sql": ""})
    told = await pgready("new", "AddUsers", "--down", "--output", "json", "--dir", folder)

    assert len(told.stdout.splitlines()) == 1
    assert json.loads(told.stdout) == {
        "schema": 1,
        "dialect": "native",
        "version": "0042",
        "name": "add_users",
        "files": [f"{folder}/0042_add_users.sql", f"{folder}/0042_add_users.down.sql"],
    }


async def test_of_a_repeatable_script_there_is_no_version(pgready: Pgready, sql_folder: SqlFolder) -> None:
    folder = sql_folder({"migrations/1_a.sql": ""})
    told = await pgready("new", "active users", "--repeatable", "--output", "json", "--dir", folder)

    assert json.loads(told.stdout)["version"] is None
    assert names(folder) == ["migrations/1_a.sql", "repeatable/active_users.sql"]


async def test_the_migrations_folder_is_used_though_it_is_empty(pgready: Pgready, tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    await pgready("new", "users", "--dir", tmp_path)

    assert names(tmp_path / "migrations") == ["0001_users.sql"]


async def test_what_is_written_is_pending_and_then_applied(
    pgready: Pgready, database: Database, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"1_a.sql": "CREATE TABLE a ();"})
    environment = {"DATABASE_URL": database.url, "PGREADY_DIR": str(folder)}
    await pgready("up", env=environment)
    await pgready("new", "b", env=environment)
    before = await pgready("status", "--exit-code", env=environment)
    await pgready("up", env=environment)
    after = await pgready("status", "--exit-code", env=environment)

    assert (before.exit_code, after.exit_code) == (7, 0)


async def test_many_at_once_get_a_version_each(pgready: Pgready, tmp_path: Path) -> None:
    started = [pgready.start("new", f"change{number}", "--dir", tmp_path / "sql") for number in range(6)]
    results = [await each.wait() for each in started]
    versions = [name.partition("_")[0] for name in names(tmp_path / "sql")]

    assert [result.exit_code for result in results] == [0] * 6
    assert versions == ["0001", "0002", "0003", "0004", "0005", "0006"]


async def test_the_version_is_chosen_when_nobody_else_is_at_work_in_the_folder(
    pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"1_a.sql": ""})
    with locked(folder):
        late = pgready.start("new", "late", "--dir", folder)
        await late.until(lambda: waits_for_a_lock(late.pid), "it to wait")
        (folder / "2_early.sql").write_text("")
    result = await late.wait()

    assert result.exit_code == 0
    assert names(folder) == ["1_a.sql", "2_early.sql", "3_late.sql"]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """As another `pgready new` locks it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def waits_for_a_lock(pid: int) -> bool:
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f" {pid} " in line for line in lines)


async def test_no_file_is_written_over(pgready: Pgready, sql_folder: SqlFolder) -> None:
    folder = sql_folder({"repeatable/v.sql": "CREATE OR REPLACE VIEW v AS SELECT 1;"})
    before = content(folder)
    result = await pgready("new", "v", "--repeatable", "--dir", folder)

    assert result.exit_code == 2
    assert "repeatable/v.sql: is there already" in result.stderr
    assert content(folder) == before


async def test_a_link_that_leads_nowhere_is_not_written_through(
    pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    folder = sql_folder({"1_a.sql": ""})
    (folder / "repeatable").mkdir()
    (folder / "repeatable" / "v.sql").symlink_to(tmp_path / "elsewhere.sql")
    result = await pgready("new", "v", "--repeatable", "--dir", folder)

    assert result.exit_code == 2
    assert not (tmp_path / "elsewhere.sql").exists()


@pytest.mark.parametrize(
    ("files", "arguments", "said"),
    [
        ({"1_a.sql": "", "01_b.sql": ""}, ("users",), "has the version of"),
        ({"1_a.sql": "", "notes.sql": ""}, ("users",), "notes.sql: not a migration's name"),
        ({"1_a.sql": b"\xff"}, ("users",), "UTF-8"),
        ({"meta/_journal.json": "{"}, ("users",), "drizzle-kit generate --custom --name users"),
        ({"migration_lock.toml": ""}, ("users",), "prisma migrate dev --create-only --name users"),
        ({"alembic.ini": ""}, ("users",), "Alembic"),
        ({"9_a.sql": "-- migrate:up", "10_b.sql": ""}, ("users",), "10_users.sql: has the version of 10_b"),
        ({"9_a.sql": "-- migrate:up"}, ("users",), "10_users.sql: would run before 9_a.sql"),
        ({"1_a.sql": ""}, ("...",), "neither a letter nor a digit"),
        ({"1_a.sql": ""}, ("x" * 300,), "cannot be written: File name too long"),
        ({"1_a.sql": ""}, ("users", "--down", "--repeatable"), "nothing reverts a repeatable script"),
        ({"1_a.sql": ""}, ("users", "--dialect", "gose"), "did you mean goose?"),
    ],
    ids=lambda value: "",
)
async def test_what_cannot_be_done_is_said_and_leaves_nothing(
    files: Mapping[str, str | bytes],
    arguments: tuple[str, ...],
    said: str,
    pgready: Pgready,
    sql_folder: SqlFolder,
) -> None:
    folder = sql_folder(files)
    before = content(folder)
    result = await pgready("new", *arguments, "--dir", folder)

    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert content(folder) == before


async def test_a_folder_that_was_missing_is_missing_again_behind_an_error(
    pgready: Pgready, tmp_path: Path
) -> None:
    result = await pgready("new", "x" * 300, "--dir", tmp_path / "sql")

    assert result.exit_code == 2
    assert not (tmp_path / "sql").exists()


async def test_a_file_where_the_folder_should_be_is_a_usage_error(pgready: Pgready, tmp_path: Path) -> None:
    (tmp_path / "sql").write_text("")
    result = await pgready("new", "users", "--dir", tmp_path / "sql")

    assert (result.exit_code, "not a folder" in result.stderr) == (2, True)

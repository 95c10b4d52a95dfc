"""golang-migrate keeps one row: what it says of each file, and how it is set back."""

from __future__ import annotations

import pytest

from harness.database import Database
from pgready.core.model import Applied, Folder, SourceFile
from pgready.dialects.golang_migrate import GolangMigrate

FILES = ("0001_a", "0002_b", "0010_c")


def made() -> tuple[GolangMigrate, Folder]:
    dialect = GolangMigrate()
    return dialect, dialect.read([SourceFile(f"{name}.up.sql", b"SELECT 1;") for name in FILES])


def match(version: int, *, dirty: bool = False) -> list[tuple[str, bool]]:
    dialect, folder = made()
    applied = dialect.match([{"version": version, "dirty": dirty}], folder)
    return [(each.version, each.success) for each in applied]


def test_every_file_up_to_the_version_is_applied() -> None:
    assert match(2) == [("0001", True), ("0002", True)]


def test_a_version_without_a_file_is_kept() -> None:
    assert match(5) == [("0001", True), ("0002", True), ("5", True)]


def test_a_dirty_version_failed() -> None:
    assert match(2, dirty=True) == [("0001", True), ("0002", False)]


def test_a_dirty_nothing_failed_on_the_way_down_from_the_first() -> None:
    assert match(-1, dirty=True) == [("0001", False)]


@pytest.mark.parametrize(
    ("version", "statement"),
    [
        ("0010", "version = 2, dirty = false WHERE version OPERATOR(pg_catalog.=) 10"),
        ("0001", "DELETE FROM"),
        ("99", "version = 10, dirty = false WHERE version OPERATOR(pg_catalog.=) 99"),
        ("-1", "DELETE FROM"),
    ],
)
def test_forgetting_goes_back_to_the_file_before(version: str, statement: str) -> None:
    dialect, _ = made()

    assert statement in dialect.forget(Applied(version))


def test_both_spellings_of_its_key_are_taken() -> None:
    dialect, _ = made()

    assert dialect.lock_keys("app") == (1726534663, 1787120056)


@pytest.mark.parametrize(("answer", "rows"), [("done", [(1, False)]), ("not done", [])])
async def test_a_failed_way_down_from_the_first_is_resolved(
    database: Database, answer: str, rows: list[tuple[int, bool]]
) -> None:
    dialect, folder = made()
    await database.execute(dialect.create_history() + "; INSERT INTO schema_migrations VALUES (-1, true)")
    (failed,) = dialect.match([{"version": -1, "dirty": True}], folder)

    first = folder.migrations[0]
    await database.execute(dialect.accept(first, None) if answer == "done" else dialect.forget(failed))

    assert await database.fetch("SELECT version, dirty FROM schema_migrations") == rows

"""Drizzle 0.x, with the real drizzle-kit as judge: its folder, its database, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.database import Database
from harness.drizzle_kit import GENERATIONS, DrizzleKit

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]

ROWS = "SELECT hash, created_at FROM drizzle.__drizzle_migrations ORDER BY id"

Project = Callable[[], Path]
Run = Callable[..., Any]


async def rows(database: Database) -> list[tuple[str, int]]:
    return [tuple(row) for row in await database.fetch(ROWS)]


async def up(pgready: Run, folder: Path, database: Database) -> Any:
    return await pgready("up", "--dir", str(folder), env={"DATABASE_URL": database.url}, timeout=120)


async def test_what_pgready_writes_equals_what_drizzle_kit_writes(
    drizzle_kit: DrizzleKit, project: Project, database: Database, other: Database, pgready: Run
) -> None:
    folder = project()
    drizzle_kit.migrate(folder, other.url)

    done = await up(pgready, folder, database)

    assert done.exit_code == 0, done.stderr
    assert len(await rows(database)) == GENERATIONS
    assert await rows(database) == await rows(other)
    assert database.dump() == other.dump()


async def test_drizzle_kit_finds_nothing_to_do_afterwards(
    drizzle_kit: DrizzleKit, project: Project, database: Database, pgready: Run
) -> None:
    folder = project()
    await up(pgready, folder, database)
    before = await rows(database), database.dump()

    drizzle_kit.migrate(folder, database.url)

    assert (await rows(database), database.dump()) == before


async def test_pgready_goes_on_where_drizzle_kit_stopped_and_back(
    drizzle_kit: DrizzleKit, project: Project, database: Database, other: Database, pgready: Run
) -> None:
    whole, part = project(), project()
    drizzle_kit.migrate(whole, other.url)
    entries = keep_entries(part, 20)
    drizzle_kit.migrate(part, database.url)
    keep_entries(part, 30, entries)

    done = await up(pgready, part, database)
    between = len(await rows(database))
    drizzle_kit.migrate(whole, database.url)

    assert done.exit_code == 0, done.stderr
    assert between == 30
    assert await rows(database) == await rows(other)
    assert database.dump() == other.dump()


async def test_two_entries_of_the_same_text_are_two_migrations(
    drizzle_kit: DrizzleKit, project: Project, database: Database, pgready: Run
) -> None:
    folder = project()
    keep_entries(folder, 3)
    for number in (3, 4):
        add_entry(folder, number, f"000{number}_again", "INSERT INTO t1 (label) VALUES ('again');")

    done = await up(pgready, folder, database)
    drizzle_kit.migrate(folder, database.url)

    assert done.exit_code == 0, done.stderr
    assert await database.value("SELECT count(*) FROM t1") == 2
    assert len(await rows(database)) == 5


async def test_an_entry_merged_out_of_order_is_applied_with_a_warning(
    drizzle_kit: DrizzleKit, project: Project, database: Database, pgready: Run
) -> None:
    folder = project()
    keep_entries(folder, 6)
    drizzle_kit.migrate(folder, database.url)
    merged = merge_entry(folder, 3, "0003_merged", "CREATE TABLE merged (id integer);")
    drizzle_kit.migrate(folder, database.url)
    skipped = await database.value("SELECT to_regclass('merged') IS NULL")

    done = await up(pgready, folder, database)

    assert skipped
    assert done.exit_code == 0, done.stderr
    assert await database.value("SELECT to_regclass('merged') IS NOT NULL")
    assert "out of order" in done.stdout + done.stderr
    assert merged in [when for _, when in await rows(database)]


async def test_a_changed_file_is_refused_and_named(
    drizzle_kit: DrizzleKit, project: Project, database: Database, pgready: Run
) -> None:
    folder = project()
    drizzle_kit.migrate(folder, database.url)
    file = next(folder.glob("0002_*.sql"))
    file.write_text(file.read_text() + "CREATE TABLE sneaked_in (id integer);\n")

    done = await up(pgready, folder, database)

    assert done.exit_code == 6
    assert file.name in done.stderr


def keep_entries(folder: Path, count: int, entries: list[Any] | None = None) -> list[Any]:
    """Cut the journal to its first *count* entries (of *entries*); returns all that it had."""
    path = folder / "meta" / "_journal.json"
    journal = json.loads(path.read_text())
    all_entries = entries or journal["entries"]
    path.write_text(json.dumps({**journal, "entries": all_entries[:count]}))
    return list(all_entries)


def add_entry(folder: Path, number: int, tag: str, text: str) -> None:
    path = folder / "meta" / "_journal.json"
    journal = json.loads(path.read_text())
    when = journal["entries"][-1]["when"] + 1000
    entry = {"idx": number, "version": "7", "when": when, "tag": tag, "breakpoints": True}
    path.write_text(json.dumps({**journal, "entries": [*journal["entries"], entry]}))
    (folder / f"{tag}.sql").write_text(text)


def merge_entry(folder: Path, at: int, tag: str, text: str) -> int:
    """Put an entry before the one at *at*, as a merge of an older branch does; returns its `when`."""
    path = folder / "meta" / "_journal.json"
    journal = json.loads(path.read_text())
    when: int = journal["entries"][at]["when"] - 1
    entry = {"idx": at, "version": "7", "when": when, "tag": tag, "breakpoints": True}
    journal["entries"].insert(at, entry)
    path.write_text(json.dumps(journal))
    (folder / f"{tag}.sql").write_text(text)
    return when

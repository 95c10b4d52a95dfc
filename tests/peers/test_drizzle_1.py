"""Drizzle 1.0, with the real drizzle-kit as judge, and the way from 0.x and back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.database import Database
from harness.drizzle_kit import GENERATIONS, DrizzleKit

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]

Project = Callable[[], Path]
Run = Callable[..., Any]

ROWS = "SELECT hash, created_at, name FROM drizzle.__drizzle_migrations ORDER BY id"
NAMES = "SELECT count(*), count(DISTINCT name) FROM drizzle.__drizzle_migrations"


async def up(pgready: Run, folder: Path, database: Database) -> Any:
    done = await pgready("up", "--dir", str(folder), env={"DATABASE_URL": database.url}, timeout=120)
    assert done.exit_code == 0, done.stderr
    return done


async def test_what_pgready_writes_equals_what_drizzle_kit_writes(
    drizzle_kit_1: DrizzleKit, project_1: Project, database: Database, other: Database, pgready: Run
) -> None:
    folder = project_1()
    drizzle_kit_1.migrate(folder, other.url)

    await up(pgready, folder, database)

    assert len(await database.fetch(ROWS)) == GENERATIONS
    assert await database.fetch(ROWS) == await other.fetch(ROWS)
    assert database.dump() == other.dump()


async def test_drizzle_kit_finds_nothing_to_do_afterwards(
    drizzle_kit_1: DrizzleKit, project_1: Project, database: Database, pgready: Run
) -> None:
    folder = project_1()
    await up(pgready, folder, database)
    before = await database.fetch(ROWS), database.dump()

    drizzle_kit_1.migrate(folder, database.url)

    assert (await database.fetch(ROWS), database.dump()) == before


async def test_pgready_goes_on_where_drizzle_kit_stopped(
    drizzle_kit_1: DrizzleKit, project_1: Project, database: Database, other: Database, pgready: Run
) -> None:
    whole, part = project_1(), project_1()
    for folder in sorted(part.glob("*_step*"))[20:]:
        shutil.rmtree(folder)
    drizzle_kit_1.migrate(part, database.url)
    drizzle_kit_1.migrate(whole, other.url)

    await up(pgready, whole, database)

    assert await database.fetch(ROWS) == await other.fetch(ROWS)
    assert database.dump() == other.dump()


async def test_a_folder_brought_to_1_0_finds_what_0_x_applied(
    drizzle_kit: DrizzleKit, drizzle_kit_1: DrizzleKit, project: Project, database: Database, pgready: Run
) -> None:
    folder = project()
    space_out(folder)
    drizzle_kit.migrate(folder, database.url)
    drizzle_kit_1.upgrade(folder)
    add_folder(folder, "29990101000000_later", "CREATE TABLE later (id integer);")

    await up(pgready, folder, database)
    drizzle_kit_1.migrate(folder, database.url)

    assert await database.fetch(NAMES) == [(GENERATIONS + 1, GENERATIONS + 1)]


async def test_an_older_release_that_writes_into_a_table_of_1_0_leaves_nothing_to_do(
    drizzle_kit: DrizzleKit, drizzle_kit_1: DrizzleKit, project: Project, database: Database, pgready: Run
) -> None:
    old, new = project(), project()
    space_out(old, new)
    part = keep_entries(old, 20)
    drizzle_kit.migrate(old, database.url)
    first = project()
    space_out(first)
    keep_entries(first, 20)
    drizzle_kit_1.upgrade(first)
    drizzle_kit_1.migrate(first, database.url)
    keep_entries(old, 30, part)

    await up(pgready, old, database)
    drizzle_kit_1.upgrade(new)
    drizzle_kit_1.migrate(new, database.url)

    assert await database.fetch(NAMES) == [(GENERATIONS, GENERATIONS)]


def space_out(*folders: Path) -> None:
    """Put the journal's entries 1.5 s apart: drizzle-kit 1.0 orders by seconds, and we generate faster."""
    for folder in folders:
        path = folder / "meta" / "_journal.json"
        journal = json.loads(path.read_text())
        for number, entry in enumerate(journal["entries"]):
            entry["when"] = 1_700_000_000_123 + number * 1500
        path.write_text(json.dumps(journal))


def keep_entries(folder: Path, count: int, entries: list[Any] | None = None) -> list[Any]:
    """Cut the journal to its first *count* entries (of *entries*); returns all that it had."""
    path = folder / "meta" / "_journal.json"
    journal = json.loads(path.read_text())
    all_entries: list[Any] = entries or journal["entries"]
    path.write_text(json.dumps({**journal, "entries": all_entries[:count]}))
    return all_entries


def add_folder(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir()
    (folder / name / "migration.sql").write_text(text)

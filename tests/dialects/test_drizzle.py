"""Which row of Drizzle's history belongs to which entry, and the statements that write one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.database import Database
from pgready.core.model import Applied, Folder, History, Migration, Outcome, SourceFile
from pgready.core.planning import Flag, Policies, State, plan
from pgready.dialects.drizzle import Drizzle

WHEN = 1_700_000_000_123
DIGITS = "20231114221320"  # WHEN's second
OUTCOME = Outcome(segments=1, token_checksum=None, applied_by="test", pgready_version="0")
COLUMNS_0 = frozenset({"id", "hash", "created_at"})
COLUMNS_1 = COLUMNS_0 | {"name", "applied_at"}


def journal(*entries: tuple[str, int, str]) -> tuple[Drizzle, Folder]:
    """A folder of 0.x with an entry for each (tag, `when` after WHEN, text)."""
    listed = [{"idx": i, "when": WHEN + at, "tag": tag} for i, (tag, at, _) in enumerate(entries)]
    files = {f"{tag}.sql": text for tag, _, text in entries}
    return read({"meta/_journal.json": json.dumps({"entries": listed}), **files})


def folders(**texts: str) -> tuple[Drizzle, Folder]:
    """A folder of 1.0 with `<DIGITS><name>/migration.sql` for each; names begin with `_`."""
    return read({f"{DIGITS}{name}/migration.sql": text for name, text in texts.items()})


def read(files: Mapping[str, str]) -> tuple[Drizzle, Folder]:
    dialect = Drizzle()
    return dialect, dialect.read([SourceFile(path, text.encode()) for path, text in files.items()])


def row(migration: Migration, **changes: Any) -> dict[str, Any]:
    return {"id": 1, "hash": migration.checksum, "created_at": migration.stamp, **changes}


def versions(applied: tuple[Applied, ...]) -> list[str]:
    return [each.version for each in applied]


def test_a_row_is_its_entrys_by_when_though_the_text_changed() -> None:
    drizzle, folder = journal(("0000_a", 0, "1"), ("0001_b", 5, "2"))
    (applied,) = drizzle.match([row(folder.migrations[1], hash="another")], folder)

    assert (applied.version, applied.checksum) == ("0001", "another")


def test_entries_of_the_same_text_are_told_apart() -> None:
    drizzle, folder = journal(("0000_a", 0, "same"), ("0001_b", 5, "same"))

    assert versions(drizzle.match([row(folder.migrations[1])], folder)) == ["0001"]


def test_a_row_whose_when_nobody_has_is_found_by_its_hash() -> None:
    drizzle, folder = journal(("0000_a", 0, "1"), ("0001_b", 5, "2"))

    assert versions(drizzle.match([row(folder.migrations[1], created_at=17)], folder)) == ["0001"]


def test_a_hash_that_two_entries_have_identifies_neither() -> None:
    drizzle, folder = journal(("0000_a", 0, "same"), ("0001_b", 5, "same"))

    assert versions(drizzle.match([row(folder.migrations[0], created_at=17)], folder)) == ["17"]


def test_as_many_rows_as_entries_of_one_hash_are_all_of_them() -> None:
    drizzle, folder = journal(("0000_a", 0, "same"), ("0001_b", 5, "same"))
    rows = [row(folder.migrations[0], created_at=stamp) for stamp in (17, 18)]

    assert versions(drizzle.match(rows, folder)) == ["0000", "0001"]


def test_an_entry_that_was_recorded_twice_is_applied_once() -> None:
    drizzle, folder = journal(("0000_a", 0, "1"))

    assert versions(drizzle.match([row(folder.migrations[0])] * 2, folder)) == ["0000", "0000"]


def test_a_row_of_nobody_keeps_its_own_number() -> None:
    drizzle, folder = journal(("0000_a", 0, "1"))
    (applied,) = drizzle.match([{"id": 1, "hash": "x", "created_at": WHEN + 9}], folder)

    assert (applied.version, applied.stamp) == (str(WHEN + 9), WHEN + 9)


def test_a_row_without_a_time_is_found_by_hash_or_named_by_it() -> None:
    drizzle, folder = journal(("0000_a", 0, "1"))
    rows = [row(folder.migrations[0], created_at=None), {"id": 2, "hash": "x", "created_at": None}]

    assert versions(drizzle.match(rows, folder)) == ["0000", "x"]


def test_rows_of_0_x_belong_to_folders_of_1_0_by_their_second() -> None:
    drizzle, folder = folders(_a="same", _b="other")
    rows = [row(migration, created_at=WHEN) for migration in reversed(folder.migrations)]

    assert versions(drizzle.match(rows, folder)) == [f"{DIGITS}_b", f"{DIGITS}_a"]


def test_a_changed_file_of_1_0_is_still_its_row_of_0_x() -> None:
    drizzle, folder = folders(_a="new text")

    assert versions(drizzle.match([row(folder.migrations[0], created_at=WHEN, hash="old")], folder)) == [
        DIGITS
    ]


def test_rows_of_1_0_belong_to_entries_of_0_x_by_name() -> None:
    drizzle, folder = journal(("0000_a", 0, "same"), ("0001_b", 5000, "same"))
    named = row(folder.migrations[0], created_at=WHEN // 1000 * 1000, name=f"{DIGITS}_a", applied_at=None)

    assert versions(drizzle.match([named], folder)) == ["0000"]


def test_an_entry_merged_behind_a_newer_one_is_pending_and_out_of_order() -> None:
    drizzle, folder = journal(("0000_a", 0, "1"), ("0001_ours", 200, "2"), ("0001_theirs", 100, "3"))
    history = History(True, drizzle.match([row(each) for each in folder.migrations[:2]], folder))
    made = plan(folder, history, Policies())

    assert [(entry.version, entry.state, entry.flags) for entry in made.entries][-1] == (
        "0001_theirs",
        State.PENDING,
        (Flag.OUT_OF_ORDER,),
    )


@pytest.mark.parametrize("columns", [frozenset[str](), COLUMNS_0, COLUMNS_1], ids=["new", "0.x", "1.0"])
@pytest.mark.parametrize(
    "made", [journal(("0000_a", 0, "1")), folders(_a="1")], ids=["folder 0.x", "folder 1.0"]
)
async def test_what_is_recorded_is_found_by_the_fence_and_matched(
    database: Database, made: tuple[Drizzle, Folder], columns: frozenset[str]
) -> None:
    drizzle, folder = made
    (migration,) = folder.migrations
    creator = {COLUMNS_0: journal()[0], COLUMNS_1: folders(_a="1")[0]}.get(columns, drizzle)
    await database.execute(creator.create_history())
    before = await database.fetch(drizzle.recorded(migration))
    await database.execute(drizzle.record(migration, OUTCOME, columns))
    async with database.connect() as connection:
        rows = [dict(each) for each in await connection.fetch(drizzle.select_history(columns or COLUMNS_0))]

    assert before == []
    assert len(await database.fetch(drizzle.recorded(migration))) == 1
    assert versions(drizzle.match(rows, folder)) == [migration.version]


async def test_an_entry_of_0_x_gets_the_name_that_drizzle_kit_up_would_give_it(database: Database) -> None:
    drizzle, folder = journal(("0003_odd_owl", 0, "1"))
    await database.execute(folders(_a="1")[0].create_history())
    await database.execute(drizzle.record(folder.migrations[0], OUTCOME, COLUMNS_1))

    assert await database.fetch("SELECT created_at, name FROM drizzle.__drizzle_migrations") == [
        (WHEN, f"{DIGITS}_odd_owl")
    ]


async def test_accepting_a_changed_file_touches_its_own_row_alone(database: Database) -> None:
    drizzle, folder = folders(_a="1", _b="2")
    await database.execute(drizzle.create_history())
    for migration in folder.migrations:
        await database.execute(drizzle.record(migration, OUTCOME, COLUMNS_1))
    _, changed = folders(_a="1 changed", _b="2")
    await database.execute(drizzle.accept(changed.migrations[0], None))

    assert await database.fetch("SELECT hash FROM drizzle.__drizzle_migrations ORDER BY name") == [
        (migration.checksum,) for migration in changed.migrations
    ]


async def test_a_folder_of_1_0_finds_its_row_of_0_x_with_its_milliseconds(database: Database) -> None:
    old, entries = journal(("0000_a", 0, "1"))
    await database.execute(old.create_history() + ";" + old.record(entries.migrations[0], OUTCOME, COLUMNS_0))
    drizzle, folder = folders(_a="1")

    assert len(await database.fetch(drizzle.recorded(folder.migrations[0]))) == 1


@pytest.mark.parametrize("made", [journal(("0000_a", 0, "1")), folders(_a="1")], ids=["0.x", "1.0"])
async def test_no_name_in_our_sql_is_looked_up_through_search_path(
    ambushed: Callable[[str], Awaitable[None]], made: tuple[Drizzle, Folder]
) -> None:
    drizzle, folder = made
    (migration,) = folder.migrations
    for sql in (
        drizzle.create_history(),
        drizzle.record(migration, OUTCOME, frozenset()),
        drizzle.recorded(migration),
        drizzle.select_history(frozenset()),
        drizzle.accept(migration, None),
        drizzle.forget(Applied("0000", checksum=migration.checksum, stamp=migration.stamp)),
    ):
        await ambushed(sql)


@pytest.mark.parametrize("stamp", [WHEN, None])
async def test_a_row_is_forgotten_with_its_time_or_without_one(database: Database, stamp: int | None) -> None:
    drizzle, _ = journal()
    await database.execute(drizzle.create_history())
    await database.execute(
        "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) "
        f"VALUES ('x', {WHEN}), ('x', NULL), ('y', {WHEN}), ('y', NULL)"
    )
    await database.execute(drizzle.forget(Applied("0000", checksum="x", stamp=stamp)))

    assert await database.fetch("SELECT created_at FROM drizzle.__drizzle_migrations WHERE hash = 'x'") == [
        (WHEN if stamp is None else None,)
    ]


async def test_of_two_entries_with_one_second_and_one_text_the_named_is_forgotten(database: Database) -> None:
    drizzle, folder = folders(_a="1", _b="1")
    await database.execute(drizzle.create_history())
    for migration in folder.migrations:
        await database.execute(drizzle.record(migration, OUTCOME, COLUMNS_1))
    async with database.connect() as connection:
        rows = [dict(each) for each in await connection.fetch(drizzle.select_history(COLUMNS_1))]
    await database.execute(drizzle.forget(drizzle.match(rows, folder)[0]))

    assert await database.fetch("SELECT name FROM drizzle.__drizzle_migrations") == [(f"{DIGITS}_b",)]


async def test_the_table_of_1_0_says_when_what_is_recorded_late_was_applied(database: Database) -> None:
    drizzle, folder = folders(_a="1", _b="2")
    moments = [datetime(2024, 2, day, 12, tzinfo=UTC) for day in (1, 2)]
    await database.execute(drizzle.create_history())
    for migration, moment in zip(folder.migrations, moments, strict=True):
        await database.execute(drizzle.record(migration, OUTCOME, COLUMNS_1))
        update = drizzle.backdate(migration, moment, 7, COLUMNS_1)
        assert update is not None
        await database.execute(update)

    rows = await database.fetch("SELECT applied_at FROM drizzle.__drizzle_migrations ORDER BY id")

    assert [at for (at,) in rows] == moments
    assert drizzle.backdate(folder.migrations[0], moments[0], 7, COLUMNS_0) is None

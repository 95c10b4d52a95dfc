"""The native history on a real server: what is recorded, found again, published and accepted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from harness.database import Database
from harness.processes import Pgready
from pgready.core.model import Applied, Folder, Kind, Migration, Outcome, Script
from pgready.dialects.goose import Goose
from pgready.dialects.native import Native, beside, keeper

Ambushed = Callable[[str], Awaitable[None]]

OUTCOME = Outcome(segments=1, token_checksum="t", applied_by="pod-1", pgready_version="0.1")
NOTHING = Folder("native")

PRIVILEGES = """
SELECT privilege FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS privilege
WHERE has_table_privilege($1::text, $2::text, privilege)
"""


def migration(version: str = "1", kind: Kind = Kind.VERSIONED, checksum: str = "c") -> Migration:
    return Migration(version, "it's a \\ name", Script(f"{version}_a.sql", "select 1"), checksum, kind)


async def history(database: Database, native: Native, folder: Folder = NOTHING) -> tuple[Applied, ...]:
    async with database.connect() as connection:
        rows = await connection.fetch(native.select_history(frozenset()))
    return native.match([dict(row) for row in rows], folder)


async def record(database: Database, native: Native, *migrations: Migration) -> None:
    await database.execute(native.create_history())
    for each in migrations:
        await database.execute(native.record(each, OUTCOME, frozenset()))


@pytest.mark.parametrize("kind", Kind)
async def test_what_is_recorded_is_read_back(database: Database, kind: Kind) -> None:
    native = Native()
    await record(database, native, migration(kind=kind))
    (row,) = await history(database, native)

    assert replace(row, applied_at=None, duration_ms=None) == Applied(
        "1", "it's a \\ name", kind, "c", "t", applied_by="pod-1"
    )


async def test_the_tables_may_be_created_again(database: Database) -> None:
    await record(database, Native(), migration())
    await database.execute(Native().create_history())

    assert len(await history(database, Native())) == 1


async def test_1_in_the_history_is_the_folders_01(database: Database) -> None:
    folder = Folder("native", (migration("01"), migration("002")))
    await record(database, Native(), migration("1"), migration("2"))

    assert [row.version for row in await history(database, Native(), folder)] == ["01", "002"]


async def test_a_repeatable_named_01_is_not_one_named_1(database: Database) -> None:
    folder = Folder("native", (migration("01"),))
    await record(database, Native(), migration("1", Kind.REPEATABLE))

    assert [row.version for row in await history(database, Native(), folder)] == ["1"]


async def test_namespaces_do_not_see_each_other(database: Database) -> None:
    await record(database, Native("one"), migration())

    assert await history(database, Native("other")) == ()


def test_the_journal_tells_namespaces_apart() -> None:
    assert Native("one").identity != Native("other").identity


async def test_a_peers_row_is_taken_over_with_when_by_whom_and_how_long(database: Database) -> None:
    await database.execute(Native().create_history())
    peer = Applied("1", applied_at=datetime(2026, 5, 4, tzinfo=UTC), applied_by="ann", duration_ms=7)

    await database.execute(Native().take_over(migration(), peer, OUTCOME))

    (row,) = await history(database, Native())
    assert (row.applied_at, row.applied_by, row.duration_ms) == (peer.applied_at, "ann", 7)


async def test_a_peers_row_of_a_repeatable_replaces_what_is_recorded_here(database: Database) -> None:
    view = migration(kind=Kind.REPEATABLE)
    await record(database, Native(), view)

    await database.execute(
        Native().take_over(replace(view, checksum="d"), Applied("1", kind=view.kind), OUTCOME)
    )

    assert [(row.checksum, row.applied_by) for row in await history(database, Native())] == [("d", "pod-1")]


async def test_what_may_run_again_is_kept_beside_a_peers_history_and_moves_with_it(
    database: Database,
) -> None:
    native, goose = Native(), Goose()
    view, seed = migration("v.sql", Kind.REPEATABLE, "new"), migration("s.sql", Kind.BOOTSTRAP)
    peers = beside(goose)
    await record(database, native, migration(), view, seed)
    await record(database, peers, migration("v.sql", Kind.REPEATABLE, "old"))

    for statement in peers.move_rerunnable(native):
        await database.execute(statement)

    assert [(row.kind, row.version) for row in await history(database, native)] == [(Kind.VERSIONED, "1")]
    moved = {row.version: row.checksum for row in await history(database, peers)}
    assert moved == {"v.sql": "new", "s.sql": "c"}
    assert (keeper(goose, migration()), keeper(native, view)) == (goose, native)
    assert keeper(goose, view).identity == peers.identity


async def test_a_repeatable_replaces_its_row(database: Database) -> None:
    native = Native()
    kind = Kind.REPEATABLE
    await record(database, native, migration(kind=kind), migration(kind=kind, checksum="d"))

    assert [row.checksum for row in await history(database, native)] == ["d"]


@pytest.mark.parametrize(("kind", "found"), [(Kind.VERSIONED, 1), (Kind.REPEATABLE, 0)])
async def test_the_fence_finds_a_version_always_and_a_repeatable_by_its_content(
    database: Database, kind: Kind, found: int
) -> None:
    await record(database, Native(), migration(kind=kind))

    assert len(await database.fetch(Native().recorded(migration(kind=kind)))) == 1
    assert len(await database.fetch(Native().recorded(migration(kind=kind, checksum="d")))) == found


async def test_accepting_a_changed_file_finds_its_row_under_another_spelling(database: Database) -> None:
    await record(database, Native(), migration("1"), migration("10"))
    await database.execute(Native().accept(migration("01", checksum="d"), "u"))

    assert [(row.version, row.checksum, row.token_checksum) for row in await history(database, Native())] == [
        ("1", "d", "u"),
        ("10", "c", "t"),
    ]


@pytest.mark.parametrize(("relation", "may"), [("history", ""), ("status", "SELECT"), ("journal", "SELECT")])
async def test_any_role_may_read_what_is_applied_and_unfinished_and_change_nothing(
    database: Database, relation: str, may: str
) -> None:
    await record(database, Native())
    role = await database.role()
    granted = await database.fetch(PRIVILEGES, role.name, f"pgready.{relation}")

    assert ", ".join(privilege for (privilege,) in granted) == may


async def test_under_the_apps_own_role_status_tells_what_is_partly_applied(
    database: Database, sql_folder: Callable[..., Path], pgready: Pgready
) -> None:
    folder = sql_folder({"1_a.sql": "CREATE TABLE t (i int); VACUUM t; SELECT 1/0"})
    await pgready("up", "--dir", str(folder), env={"DATABASE_URL": database.url})
    role = await database.role()
    owners, apps = [
        await pgready("status", "--dir", str(folder), env={"DATABASE_URL": url})
        for url in (database.url, role.url)
    ]

    assert "partly applied" in apps.stdout
    assert apps.stdout == owners.stdout


async def test_no_name_in_our_sql_is_looked_up_through_search_path(ambushed: Ambushed) -> None:
    native = Native()
    await ambushed(native.create_history())
    for kind in Kind:
        each = migration(kind=kind)
        for sql in (
            native.record(each, OUTCOME, frozenset()),
            native.recorded(each),
            native.select_history(frozenset()),
            native.select_status(),
            native.accept(each, "u"),
            native.forget(Applied("1", kind=kind)),
        ):
            await ambushed(sql)


async def test_a_table_planted_in_the_way_does_not_catch_a_row(database: Database) -> None:
    native = Native()
    await record(database, native)
    planted = "CREATE TEMP TABLE history (LIKE pgready.history); SET search_path = pg_temp, public;"
    await database.execute(planted + native.record(migration(), OUTCOME, frozenset()))

    assert len(await history(database, native)) == 1

"""What holds for the history of every dialect, on a real server; a new dialect needs only golden folders."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from harness.database import Database
from pgready.core.model import Applied, Folder, Outcome
from pgready.dialects import detect
from pgready.dialects.base import Dialect
from pgready.files import read_folder

HERE = Path(__file__).parent
OUTCOME = Outcome(segments=1, token_checksum=None, applied_by="test", pgready_version="0", earlier_ms=7)

Ambushed = Callable[[str], Awaitable[None]]
Read = tuple[Dialect, Folder]


def largest(name: str) -> Path:
    """The golden folder of the dialect *name* that has most migrations."""
    expected = {
        path.parent / "input": len(json.loads(path.read_text()).get("migrations", ()))
        for path in (HERE / name).glob("*/expected.json")
    }
    return max(expected, key=lambda path: expected[path])


@pytest.fixture(params=detect.DIALECTS)
def read(request: pytest.FixtureRequest) -> Read:
    folder = read_folder(str(largest(request.param)))
    return detect.read(folder, dialect=request.param, namespace="default")


def test_a_history_keeps_what_runs_once_under_a_name_of_its_own(read: Read) -> None:
    dialect, folder = read

    assert all(dialect.keeps(each) for each in folder.migrations)
    assert dialect.identity.startswith(str(dialect.table))


async def columns(database: Database, dialect: Dialect) -> frozenset[str]:
    rows = await database.fetch(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0",
        str(dialect.table),
    )
    return frozenset(name for (name,) in rows)


async def history(database: Database, read: Read) -> tuple[Applied, ...]:
    dialect, folder = read
    known = await columns(database, dialect)
    async with database.connect() as connection:
        rows = await connection.fetch(dialect.select_history(known))
    return dialect.match([dict(row) for row in rows], folder)


async def record_all(database: Database, read: Read) -> None:
    dialect, folder = read
    await database.execute(dialect.create_history())
    for migration in folder.migrations:
        await database.execute(dialect.record(migration, OUTCOME, await columns(database, dialect)))


async def sqlstate_of(database: Database, statement: str) -> str | None:
    try:
        await database.execute(statement)
    except asyncpg.PostgresError as refused:
        return refused.sqlstate
    return None


async def test_what_is_recorded_is_read_back_as_applied(database: Database, read: Read) -> None:
    await record_all(database, read)
    applied = await history(database, read)

    assert [each.version for each in applied] == [each.version for each in read[1].migrations]
    assert all(each.success for each in applied)


@pytest.mark.parametrize("took_ms", [1234, None])
async def test_what_is_recorded_late_may_say_when_it_was_applied(
    took_ms: int | None, database: Database, read: Read
) -> None:
    dialect, folder = read
    await database.execute(f"ALTER DATABASE {database.name} SET timezone = 'America/St_Johns'")
    await database.execute(dialect.create_history())
    known = await columns(database, dialect)
    moment = datetime(2024, 7, 1, 12, 30, 15, 250_000, UTC)
    moments = {each.version: moment + timedelta(hours=n) for n, each in enumerate(folder.migrations)}
    for migration in folder.migrations:
        await database.execute(dialect.record(migration, OUTCOME, known))
        at_once = (await history(database, read))[-1]
        update = dialect.backdate(migration, moments[migration.version], took_ms, known)
        assert (update is not None) == (at_once.applied_at is not None and dialect.name != "native")
        if update is not None:
            await database.execute(update)

    for applied in await history(database, read) if update is not None else ():
        assert applied.applied_at == moments[applied.version]
        if at_once.duration_ms is not None:
            assert (applied.duration_ms or None) == took_ms


async def test_an_empty_history_says_that_nothing_is_applied(database: Database, read: Read) -> None:
    await database.execute(read[0].create_history())
    await database.execute(read[0].create_history())

    assert await history(database, read) == ()


async def test_the_table_that_it_creates_is_its_own(database: Database, read: Read) -> None:
    await database.execute(read[0].create_history())

    assert read[0].owns(await columns(database, read[0]))


async def test_the_fence_finds_what_is_recorded_and_nothing_else(database: Database, read: Read) -> None:
    dialect, folder = read
    await database.execute(dialect.create_history())
    newest = folder.migrations[-1]
    before = await database.fetch(dialect.recorded(newest))
    await record_all(database, read)

    assert (len(before), len(await database.fetch(dialect.recorded(newest)))) == (0, 1)


async def test_whose_key_is_said_to_refuse_a_second_record_refuses_it(database: Database, read: Read) -> None:
    dialect, folder = read
    newest = folder.migrations[-1]
    await record_all(database, read)
    again = dialect.record(newest, OUTCOME, await columns(database, dialect))

    refused = await sqlstate_of(database, again)

    assert dialect.refuses_twice(newest) is (dialect.name == "native")
    assert refused == "23505" or not dialect.refuses_twice(newest)


async def test_the_newest_is_forgotten_and_can_be_recorded_again(database: Database, read: Read) -> None:
    dialect, folder = read
    await record_all(database, read)
    *others, newest = await history(database, read)
    await database.execute(dialect.forget(newest))
    left = await history(database, read)
    await database.execute(dialect.record(folder.migrations[-1], OUTCOME, await columns(database, dialect)))

    assert [each.version for each in left] == [each.version for each in others]
    assert len(await history(database, read)) == len(folder.migrations)


async def test_accepting_leaves_the_files_checksum(database: Database, read: Read) -> None:
    dialect, folder = read
    await record_all(database, read)
    await database.execute(dialect.accept(folder.migrations[-1], None))
    newest = (await history(database, read))[-1]

    assert newest.success
    assert newest.checksum in (None, folder.migrations[-1].checksum)


async def test_no_name_in_its_sql_is_looked_up_through_search_path(
    database: Database, ambushed: Ambushed, read: Read
) -> None:
    dialect, folder = read
    *earlier, migration = folder.migrations
    await ambushed(dialect.create_history())
    known = await columns(database, dialect)
    for each in earlier:
        await database.execute(dialect.record(each, OUTCOME, known))
    await ambushed(dialect.record(migration, OUTCOME, known))
    (*_, applied) = await history(database, read)
    for sql in (
        dialect.select_history(known),
        dialect.recorded(migration),
        dialect.accept(migration, None),
        dialect.backdate(migration, datetime.now(UTC), 7, known),
        dialect.forget(applied),
    ):
        if sql is not None:
            await ambushed(sql)


def test_its_lock_keys_are_what_the_server_takes(read: Read) -> None:
    keys = read[0].lock_keys("app")

    assert all(-(2**63) <= key < 2**63 for key in keys)
    assert len(set(keys)) == len(keys)


async def test_a_dialect_whose_table_is_in_the_current_schema_follows_it(
    database: Database, read: Read
) -> None:
    dialect, _ = read
    before = dialect.table
    dialect.settle("elsewhere")
    await database.execute("CREATE SCHEMA elsewhere")
    await database.execute(dialect.create_history())

    assert dialect.table in (before, type(before)("elsewhere", before.name))
    assert await columns(database, dialect)


@pytest.mark.parametrize("name", detect.DIALECTS)
def test_a_history_of_one_schema_is_not_looked_for_in_others(name: str) -> None:
    dialect = detect.make(name)

    assert getattr(dialect, "sought", "") in ("", dialect.table.name)

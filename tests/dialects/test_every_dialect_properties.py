"""Whatever versions and names a tool allows, its history on a real server tells what is applied."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from dialects.allowed import LAYOUTS, Files
from harness.database import Database
from pgready.core.model import Applied, Folder, History, Kind, Migration, Outcome
from pgready.core.planning import Flag, Policies, plan
from pgready.core.quoting import fill
from pgready.dialects import detect
from pgready.dialects.base import Dialect

OUTCOME = Outcome(segments=1, token_checksum=None, applied_by="test", pgready_version="0")

WITHOUT_GAPS = ("golang-migrate", "tern", "graphile-migrate")
"""The dialects whose history is a number or a chain: what is applied are the first files of the folder."""

Keys = set[tuple[Kind, str]]


def keys(migrations: Sequence[Migration]) -> Keys:
    return {(each.kind, each.version) for each in migrations}


class Case(Struct, frozen=True):
    """A folder, what of it is recorded, in that order, and what of this is forgotten again."""

    name: str
    files: Files
    recorded: list[Migration]
    forgotten: Migration


def read(name: str, files: Files) -> tuple[Dialect, Folder]:
    return detect.read(files, dialect=name, namespace="default")


def kept(dialect: Dialect, folder: Folder) -> list[Migration]:
    return [each for each in (*folder.migrations, *folder.repeatables) if dialect.keeps(each)]


@st.composite
def cases(draw: st.DrawFn, name: str) -> Case:
    files = draw(LAYOUTS[name])
    everything = kept(*read(name, files))
    count = draw(st.integers(1, len(everything)))
    if name in WITHOUT_GAPS:
        recorded = everything[:count]
        return Case(name, files, recorded, recorded[-1])
    recorded = draw(st.permutations(everything))[:count]
    return Case(name, files, recorded, draw(st.sampled_from(recorded)))


class Target:
    """A database, each time as a new process sees it."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], case: Case) -> None:
        self._connection = connection
        self._case = case

    async def start_anew(self) -> None:
        dialect, _ = read(self._case.name, self._case.files)
        await self._connection.execute(fill("DROP TABLE IF EXISTS :table CASCADE", table=dialect.table))
        await self._connection.execute(dialect.create_history())

    async def record(self, *migrations: Migration) -> None:
        dialect, _, _ = await self._look()
        for migration in migrations:
            await self._connection.execute(dialect.record(migration, OUTCOME, await self._columns(dialect)))

    async def forget(self, migration: Migration) -> None:
        dialect, _, applied = await self._look()
        (its_row,) = (each for each in applied if (each.kind, each.version) in keys([migration]))
        await self._connection.execute(dialect.forget(its_row))

    async def pending(self) -> Keys:
        """What a plan would run, after it found nothing wrong with the rest."""
        _, folder, applied = await self._look()
        made = plan(folder, History(True, applied), Policies())

        assert {finding.flag for finding in made.findings} <= {Flag.OUT_OF_ORDER}
        return {(entry.kind, entry.version) for entry in made.pending}

    async def applied(self) -> list[str]:
        """The versions of the rows, in their order."""
        return [each.version for each in (await self._look())[2]]

    async def _look(self) -> tuple[Dialect, Folder, tuple[Applied, ...]]:
        dialect, folder = read(self._case.name, self._case.files)
        rows = await self._connection.fetch(dialect.select_history(await self._columns(dialect)))
        return dialect, folder, dialect.match([dict(row) for row in rows], folder)

    async def _columns(self, dialect: Dialect) -> frozenset[str]:
        names = await self._connection.fetch(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0",
            fill(":table", table=dialect.table),
        )
        return frozenset(name for (name,) in names)


class Seen(Struct, frozen=True):
    """What was pending in the course of a case."""

    at_first: Keys
    recorded: Keys
    without_one: Keys
    recorded_again: Keys


EXAMPLES = settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


async def play(database: Database, case: Case) -> Seen:
    async with database.connect() as connection:
        target = Target(connection, case)
        await target.start_anew()
        at_first = await target.pending()
        await target.record(*case.recorded)
        recorded = await target.pending()
        await target.forget(case.forgotten)
        without_one = await target.pending()
        await target.record(case.forgotten)
        return Seen(at_first, recorded, without_one, await target.pending())


@pytest.mark.parametrize("name", detect.DIALECTS)
@EXAMPLES
@given(data=st.data())
def test_what_is_recorded_in_any_order_is_found_again_and_only_the_rest_is_pending(
    database: Database, name: str, data: st.DataObject
) -> None:
    case = data.draw(cases(name))
    everything = keys(kept(*read(name, case.files)))
    rest = everything - keys(case.recorded)

    seen = anyio.run(play, database, case)

    assert seen == Seen(everything, rest, rest | keys([case.forgotten]), rest)


async def in_order(database: Database, case: Case) -> list[str]:
    async with database.connect() as connection:
        target = Target(connection, case)
        await target.start_anew()
        async with connection.transaction():  # at one moment, as the tool itself does
            await target.record(*case.recorded)
        await target.forget(case.forgotten)
        await target.record(case.forgotten)
        return await target.applied()


@EXAMPLES
@given(cases("node-pg-migrate"))
def test_node_pg_migrate_finds_the_names_in_the_order_of_the_files_however_they_were_recorded(
    database: Database, case: Case
) -> None:
    everything = [each.version for each in kept(*read(case.name, case.files))]
    recorded = {each.version for each in case.recorded}

    assert anyio.run(in_order, database, case) == [each for each in everything if each in recorded]

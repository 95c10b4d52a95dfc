"""What pgready keeps beside a peer's history: scripts that most tools do not know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.database import Database
from harness.processes import Pgready, Result

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

CATS = "CREATE TABLE cats (id int);\n"
SIDE = {
    "repeatable/kittens.sql": "CREATE OR REPLACE VIEW kittens AS SELECT * FROM cats;\n",
    "bootstrap/names.sql": "CREATE TABLE names (name text);\n",
}
GOOSE = {"00001_cats.sql": f"-- +goose Up\n{CATS}", **SIDE}
DBMATE = {
    "1_dogs.sql": "-- migrate:up\nCREATE TABLE dogs (id int);\n-- migrate:down\nDROP TABLE dogs;\n",
    "repeatable/kittens.sql": "CREATE OR REPLACE VIEW puppies AS SELECT * FROM dogs;\n",
}


class Target:
    """A database, and what is run on it."""

    def __init__(self, pgready: Pgready, database: Database) -> None:
        self._pgready = pgready
        self.database = database

    async def __call__(
        self, command: str, folder: Path, *arguments: str | Path, schema: str = "", exit_code: int = 0
    ) -> Result:
        url = self.database.url + (f"?options=-csearch_path%3D{schema}" if schema else "")
        env = {"PGREADY_DATABASE_URL": url, "PGREADY_LOG_FORMAT": "console"}
        result = await self._pgready(command, *arguments, "--dir", folder, env=env)
        assert result.exit_code == exit_code, result.stderr
        return result

    async def relations(self, schema: str) -> set[str]:
        query = "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = $1::text::regnamespace "
        query += "AND c.relkind IN ('r', 'v')"
        return {name for (name,) in await self.database.fetch(query, schema)}


@pytest.fixture
def target(pgready: Pgready, database: Database) -> Target:
    return Target(pgready, database)


async def test_one_folder_makes_its_views_in_every_schema_that_it_is_run_for(
    target: Target, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(GOOSE)
    for schema in ("one", "two"):
        await target.database.execute(f"CREATE SCHEMA {schema}")
        await target("up", folder, schema=schema)

    assert await target.relations("two") == {"goose_db_version", "cats", "kittens", "names"}
    assert await target.relations("one") == await target.relations("two")


async def test_folders_of_two_tools_do_not_run_each_others_views_again(
    target: Target, sql_folder: SqlFolder
) -> None:
    folders = sql_folder(GOOSE), sql_folder(DBMATE)
    for folder in folders:
        await target("up", folder)

    again = [await target("up", folder) for folder in folders]

    assert not [result.stderr for result in again if "migration.applied" in result.stderr]


async def test_a_down_in_one_schema_has_the_views_of_no_other_made_again(
    target: Target, sql_folder: SqlFolder
) -> None:
    down = "-- +goose Down\nDROP VIEW kittens;\nDROP TABLE cats;\n"
    folder = sql_folder({**GOOSE, "00001_cats.sql": GOOSE["00001_cats.sql"] + down})
    for schema in ("one", "two"):
        await target.database.execute(f"CREATE SCHEMA {schema}")
        await target("up", folder, schema=schema)

    await target("down", folder, "--yes", schema="one")
    again = await target("up", folder, schema="two")

    assert "migration.applied" not in again.stderr


async def test_what_is_beside_a_history_goes_with_it_when_that_is_handed_over(
    target: Target, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    folder, native = sql_folder(GOOSE), tmp_path / "sql"
    await target("up", folder)
    await target("adopt", folder, "--to", native)
    adopted = [await target("up", each) for each in (native, folder)]

    await target("eject", folder)
    ejected = await target("up", folder)

    assert not [result for result in (*adopted, ejected) if "migration.applied" in result.stderr]
    kept = "SELECT string_agg(DISTINCT namespace, ' and ') FROM pgready.history"
    assert await target.database.value(kept) == "public.goose_db_version"


async def test_what_changed_beside_an_adopted_history_is_left_to_the_native_folder(
    target: Target, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    folder, native = sql_folder(GOOSE), tmp_path / "sql"
    await target("up", folder)
    await target("adopt", folder, "--to", native)
    (folder / "repeatable" / "kittens.sql").write_text("CREATE OR REPLACE VIEW kittens AS SELECT 1;\n")

    refused = await target("up", folder, exit_code=6)

    assert "was taken over by pgready.history:default" in refused.stderr
    assert "migration.applied" not in (await target("up", native)).stderr

"""node-pg-migrate's sections, programs and pairs, and the place of a row among others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.database import Database
from pgready.core.compile import compile_script
from pgready.core.errors import ScriptError
from pgready.core.model import Folder, Outcome, SourceFile
from pgready.dialects.node_pg_migrate import NodePgMigrate

OUTCOME = Outcome(segments=1, token_checksum=None, applied_by="test", pgready_version="0")


def folder_of(files: dict[str, str]) -> tuple[NodePgMigrate, Folder]:
    dialect = NodePgMigrate()
    return dialect, dialect.read([SourceFile(name, text.encode()) for name, text in files.items()])


@pytest.mark.parametrize(
    ("text", "up", "down"),
    [
        ("SELECT 1;", "SELECT 1;", None),
        ("-- Up Migration\na\n-- Down Migration\nb\n", "\na\n", "\nb\n"),
        ("-- down migration\nb\n--- UP  migration x\na", "\na", "\nb\n"),
        ("head\n-- Up Migration\na", "\na", None),
    ],
)
def test_a_file_is_cut_where_node_pg_migrate_cuts_it(text: str, up: str, down: str | None) -> None:
    migration = folder_of({"1_a.sql": text})[1].migrations[0]

    assert migration.script.text == up
    assert (migration.revert and migration.revert.text) == down


def test_a_down_marker_without_an_up_marker_is_refused_at_its_place_when_it_would_run() -> None:
    script = folder_of({"1_a.sql": "SELECT 1;\n\n-- Down Migration\nSELECT 2;"})[1].migrations[0].script

    with pytest.raises(ScriptError) as refused:
        compile_script(script)

    assert str(refused.value.place) == "1_a.sql:3:1"


def test_a_program_is_refused_by_its_name_when_it_would_run() -> None:
    script = folder_of({"1_a.js": ""})[1].migrations[0].script

    with pytest.raises(ScriptError) as refused:
        compile_script(script)

    assert "is a program" in refused.value.what
    assert refused.value.place is not None
    assert refused.value.place.file == "1_a.js"


def test_pairs_are_one_migration_whatever_their_row_is_called() -> None:
    dialect, folder = folder_of({"1_a.up.sql": "SELECT 1;", "1_a.down.sql": "SELECT 2;"})

    rows = [{"name": "1_a.up", "run_on": None}], [{"name": "1_a", "run_on": None}]

    assert [each.version for each in folder.migrations] == ["1"]
    assert [dialect.match(each, folder)[0].version for each in rows] == ["1", "1"]
    assert folder.migrations[0].revert is not None


def test_a_way_back_without_a_way_there_is_a_migration_of_its_own_beside_pairs() -> None:
    names = ("1_a.up.sql", "1_a.down.sql", "2_b.down.sql", "3_c.sql")

    _, folder = folder_of(dict.fromkeys(names, "SELECT 1;"))

    assert [each.script.path for each in folder.migrations] == ["1_a.up.sql", "2_b.down.sql", "3_c.sql"]


def test_seventeen_digits_that_are_no_moment_are_ordered_by_their_digits() -> None:
    names = ("20231399000000000_b.sql", "20231398000000000_a.sql")

    _, folder = folder_of(dict.fromkeys(names, "SELECT 1;"))

    assert [each.name for each in folder.migrations] == ["a", "b"]


def test_seventeen_digits_are_a_moment_among_milliseconds() -> None:
    names = ("1700000000000_b.sql", "20231101000000000_a.sql", "20240101000000000_c.sql")

    _, folder = folder_of(dict.fromkeys(names, "SELECT 1;"))

    assert [each.name for each in folder.migrations] == ["a", "b", "c"]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("merged", ["1", "2", "3"])
async def test_a_row_takes_the_place_of_its_file(database: Database, merged: str, together: bool) -> None:
    dialect, folder = folder_of(dict.fromkeys(("1_a.sql", "2_b.sql", "3_c.sql", "4_d.sql"), "SELECT 1;"))
    others = [each for each in folder.migrations if each.version != merged]
    late = next(each for each in folder.migrations if each.version == merged)
    records = [dialect.record(each, OUTCOME, frozenset()) for each in others]
    await database.execute(dialect.create_history())
    for script in ["BEGIN;" + ";".join(records) + ";COMMIT"] if together else records:
        await database.execute(script)
    async with database.connect() as connection:
        dialect.match(
            [dict(row) for row in await connection.fetch(dialect.select_history(frozenset()))], folder
        )

    await database.execute(dialect.record(late, OUTCOME, frozenset()))

    rows = await database.fetch("SELECT name FROM pgmigrations ORDER BY run_on, id")
    assert [name for (name,) in rows] == ["1_a", "2_b", "3_c", "4_d"]


async def test_files_merged_one_after_the_other_keep_the_order_of_what_stands_behind(
    database: Database,
) -> None:
    names = ["1_a", "2_b", "3_c", "4_d", "5_e"]
    dialect, folder = folder_of({f"{name}.sql": "SELECT 1;" for name in names})
    a, b, c, d, e = folder.migrations
    together = ";".join(dialect.record(each, OUTCOME, frozenset()) for each in (a, d, e))
    await database.execute(f"{dialect.create_history()}; BEGIN; {together}; COMMIT")

    for late in (c, b):
        await database.execute(dialect.record(late, OUTCOME, frozenset()))

    rows = await database.fetch("SELECT name FROM pgmigrations ORDER BY run_on, id")
    assert [name for (name,) in rows] == names


async def test_the_newest_row_is_the_last_one_though_the_clock_went_back(database: Database) -> None:
    dialect, folder = folder_of({"1_a.sql": "SELECT 1;", "2_b.sql": "SELECT 1;"})
    first, second = (dialect.record(each, OUTCOME, frozenset()) for each in folder.migrations)
    await database.execute(f"{dialect.create_history()}; {first}")
    await database.execute("UPDATE pgmigrations SET run_on = run_on + interval '1 hour'")

    await database.execute(second)

    rows = await database.fetch("SELECT name FROM pgmigrations ORDER BY run_on, id")
    assert [name for (name,) in rows] == ["1_a", "2_b"]


@pytest.mark.parametrize("first", ["1_a", "2_b"], ids=["in order", "put before another"])
async def test_what_is_recorded_late_keeps_its_place_whatever_its_moment(
    first: str, database: Database
) -> None:
    dialect, folder = folder_of({"1_a.sql": "SELECT 1;", "2_b.sql": "SELECT 2;"})
    later_first = [datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)]
    both = list(zip(folder.migrations, later_first, strict=True))
    await database.execute(dialect.create_history())
    for migration, moment in both if first == "1_a" else reversed(both):
        await database.execute(dialect.record(migration, OUTCOME, frozenset()))
        update = dialect.backdate(migration, moment, None, frozenset())
        assert update is not None
        await database.execute(update)

    rows = await database.fetch(f"SELECT name, run_on FROM {dialect.table} ORDER BY run_on, id")

    assert [name for name, _ in rows] == ["1_a", "2_b"]
    assert rows[0][1] <= rows[1][1] < datetime(2024, 1, 3)

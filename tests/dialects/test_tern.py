"""tern keeps one number: what it says of each file, where its table is, and what is never run or reverted."""

from __future__ import annotations

import pytest

from harness.database import Database
from pgready.core.compile import compile_script
from pgready.core.errors import ScriptError
from pgready.core.model import Applied, Folder, Migration, Outcome, SourceFile
from pgready.core.takeover import native_text
from pgready.dialects import detect
from pgready.dialects.tern import Tern

SEPARATOR = "---- create above / drop below ----"
OUTCOME = Outcome(segments=1, token_checksum=None, applied_by="test", pgready_version="0")


def made(count: int = 3) -> tuple[Tern, Folder]:
    dialect = Tern()
    return dialect, dialect.read([SourceFile(f"{n:03}_x.sql", b"SELECT 1;") for n in range(1, count + 1)])


def one(text: str) -> Migration:
    return Tern().read([SourceFile("1_a.sql", text.encode())]).migrations[0]


@pytest.mark.parametrize(
    ("rows", "versions"),
    [
        ([], []),
        ([0], []),
        ([2], ["001", "002"]),
        ([3], ["001", "002", "003"]),
        ([7], ["001", "002", "003", "7"]),
        ([0, 2], ["001", "002"]),
    ],
)
def test_every_file_up_to_the_number_is_applied(rows: list[int], versions: list[str]) -> None:
    dialect, folder = made()
    applied = dialect.match([{"version": version} for version in rows], folder)

    assert [each.version for each in applied] == versions


@pytest.mark.parametrize(("version", "left"), [("003", 2), ("001", 0), ("7", 3), ("4", 3)])
async def test_forgetting_goes_back_to_the_file_before(database: Database, version: str, left: int) -> None:
    dialect, _ = made()
    await database.execute(f"{dialect.create_history()}; UPDATE schema_version SET version = {version}")

    await database.execute(dialect.forget(Applied(version)))

    assert await database.fetch("SELECT version FROM schema_version") == [(left,)]


@pytest.mark.parametrize("rows", ["", "INSERT INTO schema_version VALUES (1)"])
async def test_a_table_of_before_its_primary_key_is_written_to(database: Database, rows: str) -> None:
    dialect, folder = made()
    await database.execute(f"CREATE TABLE schema_version (version int4 NOT NULL); {rows}")

    await database.execute(dialect.record(folder.migrations[1], OUTCOME, frozenset({"version"})))

    assert await database.fetch("SELECT version FROM schema_version") == [(2,)]


async def test_accepting_an_older_file_does_not_set_the_number_back(database: Database) -> None:
    dialect, folder = made()
    await database.execute(f"{dialect.create_history()}; UPDATE schema_version SET version = 3")

    await database.execute(dialect.accept(folder.migrations[0], None))

    assert await database.fetch("SELECT version FROM schema_version") == [(3,)]


@pytest.mark.parametrize(
    "columns", [{"version", "dirty"}, {"version", "installed_rank", "success"}, {"version", "applied_at"}]
)
def test_a_table_with_more_columns_is_somebody_elses(columns: set[str]) -> None:
    assert not Tern().owns(frozenset(columns))


@pytest.mark.parametrize(
    ("settings", "table"),
    [
        ("[database]\nversion_table = ops.Done", "ops.done"),
        ('[database]\r\nversion_table = "Ops".done\r\n', "Ops.done"),
        ("[database]\nversion_table=done", "app.done"),
        ("[database]\n#version_table = done\n; version_table = done", "public.schema_version"),
        ("[data]\nversion_table = done", "public.schema_version"),
        ("[database]\nversion_table =", "public.schema_version"),
        ("", "public.schema_version"),
    ],
)
def test_its_settings_name_the_table(settings: str, table: str) -> None:
    dialect = Tern()
    dialect.read([SourceFile("tern.conf", settings.encode()), SourceFile("1_a.sql", b"SELECT 1;")])
    dialect.settle("app")

    assert str(dialect.table) == table


def test_our_own_setting_goes_before_its_own_even_where_that_is_a_template() -> None:
    dialect = Tern("ours")
    dialect.read([SourceFile("tern.conf", b'[database]\nversion_table = {{env "T"}}')])

    assert dialect.table.name == "ours"


@pytest.mark.parametrize(
    ("text", "transactional"),
    [
        (f"---- tern: disable-tx ----\nVACUUM;\n{SEPARATOR}\nSELECT 1;", (False, True)),
        (f"VACUUM;\n{SEPARATOR}\nSELECT 1;\n---- tern: disable-tx ----", (True, False)),
        (f"  ---- tern: disable-tx ----\nVACUUM;\n{SEPARATOR}\nSELECT 1;", (False, True)),
        (f"SELECT 1; ---- tern: disable-tx ----\n{SEPARATOR}\nSELECT 1;", (True, True)),
        (f"SELECT 1;\n---- tern: disable-tx\n{SEPARATOR}\nSELECT 1;", (True, True)),
    ],
)
def test_each_half_has_its_own_marker(text: str, transactional: tuple[bool, bool]) -> None:
    migration = one(text)

    assert migration.revert is not None
    assert (migration.script.transactional, migration.revert.transactional) == transactional


def test_what_is_written_natively_is_not_taken_for_terns() -> None:
    migration = one(f"---- tern: disable-tx ----\nVACUUM;\n{SEPARATOR}\n---- tern: disable-tx ----\nVACUUM;")
    assert migration.revert is not None
    texts = {"1_a.sql": native_text(migration.script), "1_a.down.sql": native_text(migration.revert)}
    files = [SourceFile(path, text.encode()) for path, text in texts.items()]
    dialect, folder = detect.read(files, dialect=None, namespace="default")

    assert (dialect.name, len(folder.migrations)) == ("native", 1)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("SELECT 1;\nSELECT '{{.name}}';", "1_a.sql:2:9"),
        ("---- tern: disable-tx ----\nSELECT '{{.name}}';", "1_a.sql:2:9"),
        ("SELECT 1;\n-- create above / drop below\nDROP TABLE t;", "1_a.sql:2:1"),
        ("SELECT 1;\n  ----Create  above/drop below----\nDROP TABLE t;", "1_a.sql:2:3"),
        (f"-- nothing\n{SEPARATOR}\nDROP TABLE t;", "1_a.sql:1:1"),
    ],
)
def test_what_tern_would_read_otherwise_than_it_was_meant_is_not_run(text: str, where: str) -> None:
    with pytest.raises(ScriptError) as refused:
        compile_script(one(text).script)

    assert str(refused.value.place) == where


@pytest.mark.parametrize(
    "below", ["DROP TABLE {{.name}};", f"DROP TABLE t;\n{SEPARATOR}\nCREATE TABLE u (i int);"]
)
def test_what_cannot_be_reverted_is_applied_all_the_same(below: str) -> None:
    migration = one(f"CREATE TABLE t (i int);\n{SEPARATOR}\n{below}")

    assert migration.script.unrunnable is None
    assert migration.revert is not None and migration.revert.unrunnable is not None


def test_a_problem_of_what_reverts_has_its_line_in_the_file() -> None:
    revert = one(f"CREATE TABLE t (i int);\n{SEPARATOR}\nDROP TABLE t;\nDROP TABLE {{{{.u}}}};").revert
    assert revert is not None
    with pytest.raises(ScriptError) as refused:
        compile_script(revert)

    assert str(refused.value.place) == "1_a.sql:4:12"


@pytest.mark.parametrize("below", ["", "\n-- only words\n  -- and more\n"])
def test_what_has_no_sql_below_has_no_way_back(below: str) -> None:
    assert one(f"SELECT 1;\n{SEPARATOR}{below}").revert is None


@pytest.mark.parametrize(("table", "sought"), [("", ""), ("log", "log"), ("other.log", "")])
def test_a_table_without_a_schema_is_looked_up_along_the_search_path(table: str, sought: str) -> None:
    assert Tern(table).sought == sought

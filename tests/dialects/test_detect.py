"""Whose folder it is: by proof, by name, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pgready.core.errors import ExitCode, FolderError, SettingsError
from pgready.core.model import Folder, SourceFile
from pgready.dialects import detect
from pgready.dialects.base import Surroundings

GOOSE = "-- a licence\n-- +goose Up\nCREATE TABLE t (i int);\n-- +goose Down\nDROP TABLE t;\n"
DBMATE = "-- migrate:up\nCREATE TABLE t (i int);\n\n-- migrate:down\nDROP TABLE t;\n"
NODE_PG_MIGRATE = "-- Up Migration\nSELECT 1;\n-- Down Migration\nSELECT 2;\n"
TERN = "create table t (i int);\n---- create above / drop below ----\ndrop table t;\n"
SQL_MIGRATE = "-- +migrate Up\nCREATE TABLE t (i int);\n-- +migrate Down\nDROP TABLE t;\n"
MICRATE = "-- +micrate Up\nCREATE TABLE t (i int);\n-- +micrate Down\nDROP TABLE t;\n"
RAMBLER = "-- rambler up\nCREATE TABLE t (i int);\n-- rambler down\nDROP TABLE t;\n"
MYBATIS = "-- // first\nCREATE TABLE t (i int);\n-- //@UNDO\nDROP TABLE t;\n"
PLAY = "# --- !Ups\nCREATE TABLE t (i int);\n# --- !Downs\nDROP TABLE t;\n"
LONG = "INSERT INTO t VALUES (1); -- down there\n" * 4000
JOURNAL = '{"entries": []}'


def read(files: Mapping[str, str], dialect: str | None = None) -> Folder:
    sources = [SourceFile(path, text.encode()) for path, text in sorted(files.items())]
    return detect.read(sources, dialect=dialect, namespace="default")[1]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"1_a.sql": SQL_MIGRATE}, "sql-migrate"),
        ({"1_a.sql": MICRATE}, "micrate"),
        ({"1_a.sql": RAMBLER}, "rambler"),
        ({"1_a.sql": MYBATIS}, "MyBatis"),
        ({"1_a.sql": PLAY}, "Play"),
        ({"1_a.sql": "-- @UP\nSELECT 1;\n-- @DOWN\nSELECT 2;"}, "hold their own reverse"),
        ({"atlas.sum": "h1:", "20260101000000_a.sql": "select 1"}, "Atlas"),
        ({"alembic.ini": "", "versions/1a2b_x.py": ""}, "Alembic"),
        ({"sqitch.plan": "", "deploy/a.sql": "select 1"}, "Sqitch"),
        ({"00000000000000_setup/up.sql": "select 1"}, "Diesel"),
        ({"0001.a.sql": "select 1", "0001.a.rollback.sql": "select 1"}, "yoyo"),
        ({"1_a.sql": "--liquibase formatted sql\n--changeset me:1\nselect 1;"}, "Liquibase"),
        ({"20260101000000_a.js": ""}, "Knex"),
        ({"20260101000000_a.rb": ""}, "Rails"),
    ],
)
def test_a_folder_of_a_tool_that_is_not_read_yet_is_refused_by_its_name(
    files: Mapping[str, str], name: str
) -> None:
    with pytest.raises(FolderError) as refused:
        read(files)

    assert name in refused.value.what
    assert refused.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    "marked",
    [
        "\ufeff{}",
        "  {}",
        "SELECT 1;\r\n{}\r\nDROP TABLE t;",
        "SELECT 1;\r{}\rDROP TABLE t;",
        LONG + "{}",
        LONG + "\r\n{}\r\nDROP TABLE t;",
        "x" * 70_000 + "\n{}\n",
    ],
    ids=["byte order mark", "indented", "CRLF", "CR", "far", "far with CRLF", "behind a long line"],
)
@pytest.mark.parametrize("marker", ["-- +micrate Down", "--//@UNDO", "-- !Downs"])
def test_a_marker_is_found_wherever_its_line_stands(marked: str, marker: str) -> None:
    with pytest.raises(FolderError, match=r"looks like (micrate|MyBatis|Play)"):
        read({"1_a.sql": marked.format(marker)})


@pytest.mark.parametrize(
    "line", ["-", "-- ", "--down ", "-- up\n", "-- a b c down\n", "\t-- x", "\n", " "], ids=repr
)
@pytest.mark.timeout(120)
def test_a_file_of_nothing_but_the_beginnings_of_markers_is_read_in_time(line: str) -> None:
    tail = "\n-- migration +goose migrate: @undo !downs rambler create above / drop below"

    assert read({"1_a.sql": line * 300_000 + tail}).dialect == "native"


@pytest.mark.parametrize(
    "text", [GOOSE, DBMATE, NODE_PG_MIGRATE, TERN, SQL_MIGRATE, MICRATE, RAMBLER, MYBATIS, PLAY]
)
def test_a_file_that_also_holds_its_reverse_is_never_read_as_native(text: str) -> None:
    with pytest.raises(FolderError, match=r"1_a\.sql: has .+ reverting statements would run as well"):
        read({"1_a.sql": text}, "native")


@pytest.mark.parametrize(
    "text",
    [
        "-- was -- +goose Up once\nselect 1;",
        "select '+goose Up';",
        "-- the second migration: up and down\nselect 1;",
        "comment on table t is 'migrate:up';",
        "-- set up\nselect 1;\n-- tear down\nselect 2;",
        "-- scale up, then down\nselect 1; -- down",
        "-- down\nselect 1;",
        LONG,
    ],
)
def test_a_marker_in_the_middle_of_a_line_is_none(text: str) -> None:
    assert read({"1_a.sql": text}).dialect == "native"


@pytest.mark.parametrize(
    "text", ["-- up\nselect 1;\n-- down\nselect 2;", "-- Down migration: none\nselect 1;"]
)
def test_what_only_looks_like_a_reverse_is_read_as_native_where_that_is_asked_for(text: str) -> None:
    assert read({"1_a.sql": text}, "native").dialect == "native"


@pytest.mark.parametrize(
    ("files", "dialect"),
    [
        ({"1_a.up.sql": "select 1", "1_a.down.sql": "select 2"}, "golang-migrate"),
        (
            {"1_a.up.sql": "-- UP MIGRATION (again)\nselect 1", "1_a.down.sql": "-- Down Migration"},
            "golang-migrate",
        ),
        ({"1_a.sql": DBMATE}, "dbmate"),
        ({"1_a.sql": GOOSE}, "goose"),
        ({"1_a.sql": GOOSE, "2_b.go": ""}, "goose"),
        ({"1_a.sql": f"{DBMATE}-- Down migration leaves the column", "2_b.sql": DBMATE}, "dbmate"),
        ({"V1__a.sql": "-- Up Migration\nselect 1"}, "flyway"),
        ({"1_a.sql": GOOSE.lower()}, "goose"),
        ({"1_a.sql": "-- x\n" * 4000 + GOOSE}, "goose"),
        ({"1_a.sql": NODE_PG_MIGRATE}, "node-pg-migrate"),
        ({"1_a.sql": NODE_PG_MIGRATE, "2_b.js": ""}, "node-pg-migrate"),
        ({"1_a.sql": "-- Up  Migration: t\nSELECT 1;\n--  Down\tMigration: t\nSELECT 2;"}, "node-pg-migrate"),
        ({"1_a.sql": TERN}, "tern"),
        ({"1_a.sql": "---- tern: disable-tx ----\nvacuum;"}, "tern"),
        ({"refinery.toml": "", "migrations/V1__a.sql": "select 1"}, "refinery"),
        ({"U1__a.sql": "select 1", "V2__b.rs": ""}, "refinery"),
        ({"V1__a.sql": "select 1", "flyway.toml": ""}, "flyway"),
        ({"tern.conf": "", "migrations/1_a.sql": "select 1"}, "tern"),
        ({"migration_lock.toml": "", "20260101000000_a/migration.sql": "select 1"}, "prisma"),
        ({"schema.prisma": "", "migrations/20260101000000_a/migration.sql": "select 1"}, "prisma"),
        ({"V1__a.sql": "select 1"}, "flyway"),
        ({"deep/V1_2__a.sql": "select 1", "R__view.sql": "select 1"}, "flyway"),
    ],
)
def test_a_folder_that_proves_its_tool_is_read_as_its_own(files: Mapping[str, str], dialect: str) -> None:
    assert read(files).dialect == dialect


@pytest.mark.parametrize(
    ("files", "candidates"),
    [
        ({"1_a.sql": "select 1"}, ("native", "sqlx", "node-pg-migrate", "tern")),
        ({"1_a.up.sql": "select 1"}, ("golang-migrate", "sqlx")),
        ({"V1__a.sql": "select 1"}, ("flyway", "refinery")),
        ({"V1__a.sql": "select 1", "R__a.sql": "select 1"}, ()),
        ({"1_a.sql": GOOSE}, ()),
        ({}, ()),
    ],
)
def test_a_folder_that_fits_several_dialects_says_so(
    files: Mapping[str, str], candidates: tuple[str, ...]
) -> None:
    assert read(files).candidates == candidates


def test_a_dialect_that_is_named_has_no_rivals() -> None:
    assert read({"1_a.sql": "select 1"}, "sqlx").candidates == ()


def test_what_is_wrong_with_one_of_several_dialects_names_the_others() -> None:
    with pytest.raises(FolderError, match="undoes a version that has no file") as refused:
        read({"V1__a.sql": "select 1", "U2__b.sql": "select 2"})

    assert refused.value.hint == "it was read as flyway's; where it is not: --dialect refinery"


def test_one_of_node_pg_migrates_markers_alone_proves_nothing() -> None:
    folder = read({"1_a.sql": "SELECT 1;\n-- Down Migration (t)\nSELECT 2;"})

    assert folder.candidates == ("node-pg-migrate", "native")


def test_both_of_its_markers_beside_another_tools_prove_as_much() -> None:
    with pytest.raises(FolderError, match="more than one tool's"):
        read({"1_a.sql": GOOSE, "2_b.sql": NODE_PG_MIGRATE})


def test_two_proofs_are_an_error_that_lists_them() -> None:
    with pytest.raises(FolderError) as refused:
        read({"meta/_journal.json": JOURNAL, "migration_lock.toml": "", "1_a.sql": GOOSE})

    assert refused.value.problems == (
        "the folder looks like more than one tool's",
        "drizzle: meta/_journal.json",
        "Prisma: migration_lock.toml",
        "goose: 1_a.sql has `-- +goose Up`",
    )


def test_the_dialect_that_is_named_is_used_whatever_the_files_say() -> None:
    files = {"meta/_journal.json": JOURNAL, "1_a.sql": "select 1"}

    assert [read(files).dialect, read(files, "native").dialect] == ["drizzle", "native"]


def test_a_named_drizzle_folder_without_its_journal_says_what_is_missing() -> None:
    with pytest.raises(FolderError, match=r"neither meta/_journal\.json"):
        read({"0000_a.sql": "select 1"}, "drizzle")


def test_a_folder_is_recognised_as_what_it_would_be_read_as() -> None:
    files = [SourceFile("1_a.sql", b"-- +goose Up\nSELECT 1;")]
    plain = [SourceFile("1_a.sql", b"SELECT 1;")]

    assert [detect.recognise(files, None), detect.recognise(plain, "sqlx")] == ["goose", "sqlx"]


def test_an_unknown_dialect_suggests_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"did you mean drizzle\?"):
        read({}, "drizle")


def test_numbered_folders_without_snapshots_may_be_prismas_and_are_not_guessed() -> None:
    files = {"20260101000000_a/migration.sql": "select 1"}
    with pytest.raises(FolderError, match=r"or Drizzle 1\.0's without a snapshot"):
        read(files)

    assert [each.name for each in read(files, "drizzle").migrations] == ["a"]


@pytest.mark.parametrize(
    ("dialect", "around", "table"),
    [
        ("golang-migrate", Surroundings(), "app.schema_migrations"),
        ("golang-migrate", Surroundings(table="done"), "app.done"),
        ("sqlx", Surroundings(table="ops.done"), "ops.done"),
        ("goose", Surroundings(environ={"GOOSE_TABLE": "ops.done"}), "ops.done"),
        ("goose", Surroundings(table="done", environ={"GOOSE_TABLE": "other"}), "app.done"),
        ("tern", Surroundings(), "public.schema_version"),
        ("tern", Surroundings(table="done"), "app.done"),
        ("dbmate", Surroundings(environ={"DBMATE_MIGRATIONS_TABLE": "done"}), "app.done"),
    ],
)
def test_a_history_table_may_have_another_name(dialect: str, around: Surroundings, table: str) -> None:
    made = detect.make(dialect, around)
    made.settle("app")

    assert str(made.table) == table


@pytest.mark.parametrize("dialect", ["native", "drizzle"])
def test_a_history_that_is_always_called_the_same_has_no_other_name(dialect: str) -> None:
    files = [SourceFile("meta/_journal.json", JOURNAL.encode())]
    around = Surroundings(table="done", table_from="--history-table")
    with pytest.raises(SettingsError, match=rf"^--history-table: {dialect}'s history is always"):
        detect.read(files, dialect=dialect, namespace="default", around=around)


@pytest.mark.parametrize(
    ("settings", "text", "script", "table"),
    [
        ("flyway.conf", "flyway.table=done", "V1__a.sql", "done"),
        ("flyway.toml", '[flyway]\ntable = "done"', "V1__a.sql", "done"),
        ("tern.conf", "[database]\nversion_table = ops.done", "1_a.sql", "done"),
    ],
)
def test_a_tools_settings_are_read_beside_migrations_too(
    settings: str, text: str, script: str, table: str
) -> None:
    files = [SourceFile(settings, text.encode()), SourceFile(f"migrations/{script}", b"select 1")]
    dialect, folder = detect.read(files, dialect=None, namespace="default")

    assert dialect.table.name == table
    assert folder.ignored == (settings,)

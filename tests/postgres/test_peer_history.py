"""A peer's history through the command line: what `plan` says of it, failed rows, another name."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import pgready as library
from harness.database import Database
from pgready.core.errors import AccessDenied
from pgready.dialects.goose import Goose
from pgready.dialects.sqlx import Sqlx

Folder = Callable[[Mapping[str, str | bytes]], Path]
Command = Callable[..., Awaitable[Any]]

GOOSE = {"1_a.sql": "-- +goose Up\nCREATE TABLE a (i int);\n-- +goose Down\nDROP TABLE a;\n"}
SQLX = {"1_a.sql": "CREATE TABLE a (i int);", "2_b.sql": "CREATE TABLE b (i int);"}
FAILED = "INSERT INTO _sqlx_migrations VALUES (1, 'a', now(), false, '\\x00', -1)"
FLYWAY = {"V1__a.sql": "CREATE TABLE a (i int);", "V2__b.sql": "INSERT INTO a VALUES (1);"}
FAILED_UNDO = """
INSERT INTO flyway_schema_history VALUES
    (3, '2', 'b', 'UNDO_SQL', 'U2__b.sql', NULL, 'app', now(), 1, false)
"""


async def test_a_plan_says_how_a_run_differs_from_the_tools_own(
    database: Database, sql_folder: Folder, pgready: Command
) -> None:
    folder, env = str(sql_folder(GOOSE)), {"DATABASE_URL": database.url}

    pending = await pgready("plan", "--dir", folder, env=env)
    await pgready("up", "--dir", folder, env=env)
    nothing = await pgready("plan", "--dir", folder, env=env)

    assert [f"note: {difference}" in pending.stdout for difference in Goose.differences] == [True] * 3
    assert nothing.stdout == "nothing to do\n"


async def test_prisma_reads_when_what_ran_alone_or_in_parts_began(
    database: Database, sql_folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # not in the checkout, whose pgready.toml would be read
    nap = "CREATE FUNCTION nap(n int) RETURNS int IMMUTABLE BEGIN ATOMIC SELECT n FROM pg_sleep(0.1); END;"
    scripts = {
        "1_a": f"CREATE TABLE a (n int); INSERT INTO a VALUES (1); {nap}",
        "2_b": "CREATE INDEX CONCURRENTLY slow ON a (nap(n));",
        "3_c": "BEGIN; SELECT pg_sleep(0.1); COMMIT; BEGIN; SELECT 1; COMMIT;",
        "4_d": "SELECT pg_sleep(0.1);",
    }
    folder = sql_folder({f"2026010100000{name}/migration.sql": text for name, text in scripts.items()})

    await library.migrate(database.url, dir=folder, dialect="prisma")

    took = "SELECT extract(epoch FROM finished_at - started_at) FROM _prisma_migrations ORDER BY 1"
    first, *others = [float(seconds) for (seconds,) in await database.fetch(took)]
    assert first >= 0
    assert [0.1 <= each < 30 for each in others] == [True, True, True]


async def test_a_dialect_that_no_tool_has_judged_is_warned_of(
    database: Database, sql_folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Goose, "proven", False)

    status = await library.migrate(database.url, dir=sql_folder(GOOSE))

    assert status.warnings == (
        "the dialect goose is unproven: the tool itself has not been run against it yet; "
        "look at the plan before the first run",
    )


MIGRATE = {"1_a.up.sql": "CREATE TABLE a (i int);", "1_a.down.sql": "DROP TABLE a;"}
SECOND = {"1_b.up.sql": "CREATE TABLE b (i int);", "1_b.down.sql": "DROP TABLE b;"}


async def test_a_namespace_that_keeps_no_peers_versions_apart_is_warned_of(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await library.migrate(database.url, dir=_written(tmp_path / "one", MIGRATE), dialect="golang-migrate")
    second = _written(tmp_path / "two", SECOND)
    migrate = partial(library.migrate, database.url, dir=second, dialect="golang-migrate", namespace="second")

    vain = await migrate()
    apart = await migrate(history_table="second")

    assert [warning for warning in vain.warnings if "namespace" in warning] == [
        "the namespace second keeps nothing apart: "
        "golang-migrate's history public.schema_migrations has the versions of every folder; "
        "a second folder needs a table of its own: --history-table; else leave --namespace out"
    ]
    assert (vain.applied_this_run, apart.applied_this_run) == (0, 1)
    assert [warning for warning in apart.warnings if "namespace" in warning] == []


def _written(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(("answer", "made"), [("--done", 1), ("--not-done", 2)])
async def test_a_failed_row_stops_everything_until_it_is_resolved(
    database: Database, sql_folder: Folder, pgready: Command, answer: str, made: int
) -> None:
    await database.execute(Sqlx().create_history() + ";" + FAILED)
    flags = ("--dir", str(sql_folder(SQLX)), "--dialect", "sqlx")
    env = {"DATABASE_URL": database.url}

    refused = await pgready("up", *flags, env=env)
    repaired = await pgready("repair", "1", answer, *flags, env=env)
    done = await pgready("up", *flags, env=env)

    assert refused.exit_code == 6
    assert f"pgready repair 1 {shlex.join(flags)} --done | --not-done" in refused.stderr
    assert (repaired.exit_code, done.exit_code) == (0, 0)
    assert await database.value("SELECT count(*) FROM pg_tables WHERE tablename IN ('a', 'b')") == made
    assert await database.fetch("SELECT version, success FROM _sqlx_migrations") == [(1, True), (2, True)]


@pytest.mark.parametrize(
    ("answer", "said", "left", "made"),
    [
        (
            "--done",
            "the undo of 2 is taken for done: 2 is pending, and the next up applies it again",
            [("SQL", "V2__b.sql"), ("UNDO_SQL", "U2__b.sql"), ("SQL", "V2__b.sql")],
            2,
        ),
        (
            "--not-done",
            "the undo of 2 is taken for not done, and its row for gone: 2 stays applied",
            [("SQL", "V2__b.sql")],
            1,
        ),
    ],
)
async def test_an_undo_that_failed_is_resolved_as_what_it_is(
    database: Database,
    sql_folder: Folder,
    pgready: Command,
    answer: str,
    said: str,
    left: list[tuple[str, str]],
    made: int,
) -> None:
    flags, env = ("--dir", str(sql_folder(FLYWAY))), {"DATABASE_URL": database.url}
    await pgready("up", *flags, env=env)
    await database.execute(FAILED_UNDO)

    refused = await pgready("up", *flags, env=env)
    repaired = await pgready("repair", "2", answer, *flags, env=env)
    done = await pgready("up", *flags, env=env)

    assert (refused.exit_code, repaired.exit_code, done.exit_code) == (6, 0, 0)
    assert "V2__b.sql: the history says that undoing it failed" in refused.stderr
    assert said in repaired.stdout
    rows = "FROM flyway_schema_history WHERE version = '2' AND success ORDER BY installed_rank"
    assert await database.fetch(f"SELECT type, script {rows}") == left
    assert await database.value("SELECT count(*) FROM a") == made


DENIED = "what became of 2 could not be recorded in public.goose_db_version: permission denied for table"


@pytest.mark.parametrize(
    ("script", "done"),
    [
        ("-- +goose Up\nCREATE TABLE b (i int);\n", "nothing of 2 was applied; nothing else was run"),
        (
            "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY b ON a (i);\n",
            "part 1 of 1 of 2 (up to line 3) stays applied; nothing else was run",
        ),
    ],
    ids=["in its transaction", "behind what ran alone"],
)
async def test_a_record_that_is_denied_is_not_the_scripts_fault_and_names_the_grant(
    script: str,
    done: str,
    database: Database,
    sql_folder: Folder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    await library.migrate(database.url, dir=sql_folder(GOOSE))
    role = await database.role("deployer")
    await database.execute(
        f"GRANT CREATE ON DATABASE {database.name} TO {role.name};"
        f"GRANT CREATE ON SCHEMA public TO {role.name};"
        f"ALTER TABLE a OWNER TO {role.name}; GRANT SELECT ON goose_db_version TO {role.name}"
    )

    with pytest.raises(AccessDenied) as problem:
        await library.migrate(role.url, dir=sql_folder({**GOOSE, "2_b.sql": script}))

    assert problem.value.what == f"{DENIED} goose_db_version"
    assert (problem.value.place, problem.value.done) == (None, done)
    assert problem.value.hint == (
        f'GRANT INSERT, UPDATE, DELETE ON "public"."goose_db_version" TO "{role.name}"; '
        "or use the owner's URL; then: pgready up"
    )
    assert await database.value("SELECT to_regclass('b') IS NOT NULL") == ("stays applied" in done)


async def test_a_failed_row_of_prisma_is_rolled_back_and_the_finished_one_beside_it_stays(
    database: Database, sql_folder: Folder, pgready: Command
) -> None:
    folder = sql_folder({"20260101000000_a/migration.sql": "CREATE TABLE a (i int);"})
    flags, env = ("--dir", str(folder), "--dialect", "prisma"), {"DATABASE_URL": database.url}
    first = await pgready("up", *flags, env=env)
    await database.execute(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name)"
        " SELECT 'again', checksum, migration_name FROM _prisma_migrations"
    )

    refused = await pgready("up", *flags, env=env)
    repaired = await pgready("repair", "20260101000000", "--not-done", *flags, env=env)
    done = await pgready("up", *flags, env=env)

    rows = "SELECT finished_at IS NULL, rolled_back_at IS NULL FROM _prisma_migrations ORDER BY started_at"
    codes = [result.exit_code for result in (first, refused, repaired, done)]
    assert codes == [0, 6, 0, 0]
    assert await database.fetch(rows) == [(False, True), (True, False)]


async def test_a_history_under_another_name_is_gone_on_with(
    database: Database, sql_folder: Folder, pgready: Command
) -> None:
    await database.execute("CREATE SCHEMA ops")
    folder, env = str(sql_folder(GOOSE)), {"DATABASE_URL": database.url, "GOOSE_TABLE": "ops.done"}

    first = await pgready("up", "--dir", folder, env=env)
    env = {"DATABASE_URL": database.url, "PGREADY_HISTORY_TABLE": "ops.done"}
    again = await pgready("status", "--dir", folder, "--exit-code", env=env)

    assert (first.exit_code, again.exit_code) == (0, 0)
    assert await database.fetch("SELECT version_id FROM ops.done ORDER BY id") == [(0,), (1,)]
    assert await database.value("SELECT to_regclass('goose_db_version') IS NULL")


async def test_a_script_that_the_tool_passes_over_is_warned_of_and_not_run(
    database: Database, sql_folder: Folder, pgready: Command
) -> None:
    folder = str(sql_folder({**SQLX, "seed.sql": "CREATE TABLE seeded (i int);"}))
    env = {"DATABASE_URL": database.url}

    done = await pgready("up", "--dir", folder, "--dialect", "sqlx", env=env)

    assert done.exit_code == 0
    assert "seed.sql: not one of sqlx's migrations, and never run" in done.stderr
    assert await database.value("SELECT to_regclass('seeded') IS NULL")


def committed(*bodies: str) -> dict[str, str]:
    """A folder of graphile-migrate's in which each file follows the one before."""
    files, previous = {}, ""
    for number, body in enumerate(bodies, 1):
        text = f"{previous}\n{body}\n".lstrip()
        digest = f"sha1:{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()}"
        headers = f"--! Previous: {previous or '-'}\n--! Hash: {digest}\n\n"
        files[f"committed/{number:06}.sql"] = f"{headers}{body}\n"
        previous = digest
    return files


async def test_a_chain_that_was_committed_anew_is_accepted_link_by_link(
    database: Database, sql_folder: Folder, pgready: Command
) -> None:
    env = {"DATABASE_URL": database.url}
    await pgready("up", "--dir", sql_folder(committed("SELECT 1;", "SELECT 2;")), env=env)
    folder = sql_folder(committed("SELECT 1; -- one", "SELECT 2;"))

    codes = [
        (await pgready(*words, "--dir", folder, env=env)).exit_code
        for words in (["up"], ["repair", "000002"], ["repair", "000001"], ["up"])
    ]

    assert codes == [6, 0, 0, 0]
    broken = """
    SELECT count(*) FROM graphile_migrate.migrations AS m
    WHERE filename = '000002.sql' AND previous_hash IS DISTINCT FROM
          (SELECT hash FROM graphile_migrate.migrations WHERE filename = '000001.sql')
    """
    assert await database.value(broken) == 0

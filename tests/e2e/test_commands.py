"""The command line as its users meet it: help, tables, JSON and errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.database import Database
from harness.processes import Pgready

SqlFolder = Callable[[Mapping[str, str | bytes]], Path]

TWO = {
    "migrations/0001_titles.sql": "CREATE TABLE titles (id integer);",
    "migrations/0002_index.sql": "CREATE INDEX CONCURRENTLY titles_id ON titles (id);\nVACUUM titles;",
    "repeatable/shelf.sql": "CREATE OR REPLACE VIEW shelf AS SELECT id FROM titles;",
}
BROKEN = "CREATE TABLE a (id integer);\nSELECT 1,\n  nothing_like_it;\n"


def environment(database: Database) -> dict[str, str]:
    return {"PGREADY_DATABASE_URL": database.url}


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# Help


async def test_pgready_alone_shows_the_commands(pgready: Pgready) -> None:
    alone, asked = await pgready(), await pgready("--help")

    commands = re.findall(r"^  (\w+)  ", asked.stdout.partition("Commands:")[2], re.MULTILINE)
    assert asked.exit_code == 0
    assert commands[:5] == ["up", "serve", "status", "plan", "wait"]
    assert "Exit codes:" in asked.stdout
    assert alone.stdout + alone.stderr == asked.stdout


@pytest.mark.parametrize(
    "command", ["up", "serve", "status", "plan", "wait", "schema", "healthcheck", "new", "repair", "config"]
)
async def test_every_command_has_a_help(command: str, pgready: Pgready) -> None:
    short, long = await pgready(command, "-h"), await pgready(command, "--help")

    assert (short.exit_code, long.exit_code) == (0, 0)
    assert short.stdout == long.stdout
    assert f"Usage: pgready {command}" in long.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("statsu",), "did you mean status?"),
        (("migrate",), "no such command 'migrate'"),
        (("up", "--conect-timeout", "5"), "Did you mean one of: '--connect-timeout'"),
        (("status", "--output", "yaml"), "'table', 'json'"),
        (("up", "now"), "unexpected extra argument"),
        (("wait", "--timeout", "soon"), "--timeout: is not a duration"),
    ],
)
async def test_a_mistyped_word_is_answered_with_the_right_one(
    arguments: tuple[str, ...], words: str, pgready: Pgready
) -> None:
    result = await pgready(*arguments)

    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


# Output


async def test_status_and_up_show_the_same_table(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(TWO)
    before = await pgready("status", "--dir", folder, env=environment(database))
    up = await pgready("up", "--dir", folder, env=environment(database))
    after = await pgready("status", "--dir", folder, env=environment(database))

    assert re.search(r"^0001 +titles +pending$", before.stdout, re.MULTILINE)
    assert re.search(
        r"^0001 +titles +applied +[0-9-]{10} [0-9:]{8} +[0-9]+ ms +\S+$", after.stdout, re.MULTILINE
    )
    assert "3 applied" in up.stdout.splitlines()[0]
    assert [row.split()[:3] for row in up.stdout.splitlines()[1:]] == [
        row.split()[:3] for row in after.stdout.splitlines()[1:]
    ]


async def test_json_output_is_one_document_with_its_schema(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(TWO)
    arguments = ("--dir", folder, "--output", "json")

    plan = await pgready("plan", *arguments, env=environment(database))
    up = await pgready("up", *arguments, env=environment(database))
    status = await pgready("status", *arguments, env=environment(database))
    config = await pgready("config", *arguments, env=environment(database))
    files = await pgready("config", "--files", *arguments, env=environment(database))

    assert [len(each.stdout.splitlines()) for each in (plan, up, status, config, files)] == [1] * 5
    documents = [json.loads(each.stdout) for each in (plan, up, status, config, files)]
    assert [document["schema"] for document in documents] == [1] * 5
    assert [each["version"] for each in documents[0]["pending"]] == ["0001", "0002", "shelf"]
    assert [len(each["segments"]) for each in documents[0]["pending"]] == [1, 2, 1]
    for document in documents[1:3]:
        assert [each["state"] for each in document["migrations"]] == ["applied"] * 3
        assert document["counts"]["applied"] == 3
    assert documents[3]["settings"]["dir"] == {"value": str(folder), "origin": "--dir"}
    assert documents[4]["files"]["repeatable/shelf.sql"] == "repeatable"


async def test_json_output_of_a_failed_run_tells_the_failure(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_a.sql": BROKEN})

    result = await pgready("up", "--dir", folder, "--output", "json", env=environment(database))

    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["phase"] == "failed"
    assert document["failure"]["sqlstate"] == "42703"
    assert document["failure"]["place"]["line"] == 3


async def test_a_plan_shows_each_statement_and_where_it_runs(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    result = await pgready("plan", "--dir", sql_folder(TWO), env=environment(database))

    assert result.exit_code == 0
    assert result.stdout.splitlines()[:3] == [
        "0001 titles (migrations/0001_titles.sql)",
        "  in a transaction:",
        "    CREATE TABLE titles (id integer)",
    ]
    assert "  outside a transaction:\n    CREATE INDEX CONCURRENTLY" in result.stdout


async def test_a_plan_says_what_is_empty_and_will_be_recorded_all_the_same(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"1_a.sql": "", "2_b.sql": "-- on purpose\n", "3_c.sql": "SELECT 1;"})
    result = await pgready("plan", "--dir", folder, env=environment(database))

    assert result.exit_code == 0
    first, second, *lines = result.stdout.splitlines()
    assert first.startswith(
        "warning: 1_a.sql: no statement in it applies 1: nothing runs, and it is recorded;"
    )
    assert second.startswith("warning: 2_b.sql: no statement in it applies 2: nothing runs, and it is ")
    assert lines == [
        "1 a (1_a.sql)",
        "  empty: nothing runs",
        "2 b (2_b.sql)",
        "  empty: nothing runs",
        "3 c (3_c.sql)",
        "  in a transaction:",
        "    SELECT 1",
    ]


async def test_a_plan_lists_what_bootstrap_would_make_and_what_the_server_does_not_have(
    database: Database, pgready: Pgready, sql_folder: SqlFolder, tmp_path: Path
) -> None:
    place = tmp_path / "home"
    place.mkdir()
    (place / "pgready.toml").write_text(
        'extensions = ["hstore", "nosuch", "norsuch?"]\n'
        '[[schema]]\nname = "media"\n'
        '[[grant]]\nprivileges = ["usage"]\non = { schema = "media" }\nto = "public"\n'
    )
    arguments = ("plan", "--dir", sql_folder({"1_a.sql": "SELECT 1;"}))
    shown = await pgready(*arguments, env=environment(database), cwd=place)
    told = await pgready(*arguments, "--output", "json", env=environment(database), cwd=place)

    assert (shown.exit_code, told.exit_code) == (6, 6)
    first, *others = shown.stdout.splitlines()
    assert first.startswith("error: extension nosuch: the server (PostgreSQL")
    assert others[:5] == [
        "bootstrap:",
        "  schema media: would be created",
        "  extension hstore: would be created",
        "  grant USAGE on schema media to public: would be granted",
        "1 a (1_a.sql)",
    ]
    document = json.loads(told.stdout)
    assert document["findings"][0]["hint"].endswith("or make it optional with a ? after its name")
    assert document["bootstrap"]["target"] is True
    assert {"what": "extension", "name": "hstore", "action": "created"} in document["bootstrap"]["missing"]


async def test_a_plan_without_anything_pending_names_what_is_declared_and_missing(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    environ = {**environment(database), "PGREADY_EXTENSIONS": "hstore"}
    result = await pgready("plan", "--dir", sql_folder({}), env=environ)

    assert (result.exit_code, result.stdout) == (0, "bootstrap:\n  extension hstore: would be created\n")


async def test_a_status_refuses_what_the_plan_refuses_and_names_what_is_missing(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    arguments = ("status", "--exit-code", "--dir", sql_folder({}), "--extensions")
    refused = await pgready(*arguments, "nosuch,hstore", env=environment(database))
    missing = await pgready(*arguments, "hstore", env=environment(database))
    nowhere = await pgready(*arguments, "hstore", env={"DATABASE_URL": database.server.url("never_made")})

    assert (refused.exit_code, missing.exit_code, nowhere.exit_code) == (6, 7, 7)
    first, error = refused.stdout.splitlines()
    assert first == "refused: 0 applied"
    assert error.startswith("error: extension nosuch: the server (PostgreSQL")
    assert missing.stdout == "something declared is missing (extension hstore): 0 applied\n"
    assert nowhere.stdout.startswith("the database is missing: 0 applied\n")


async def test_status_with_exit_code_says_pending_diverged_or_done(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(TWO)

    async def code() -> int:
        result = await pgready("status", "--exit-code", "--dir", folder, env=environment(database))
        return result.exit_code

    pending = await code()
    await pgready("up", "--dir", folder, env=environment(database))
    done = await code()
    (folder / "migrations/0001_titles.sql").write_text("CREATE TABLE titles (id bigint);")
    diverged = await code()

    assert (pending, done, diverged) == (7, 0, 6)


@pytest.mark.parametrize("command", ["status", "plan"])
@pytest.mark.parametrize("output", ["table", "json"])
async def test_what_is_refused_comes_with_the_command_that_accepts_it(
    command: str, output: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(TWO)
    await pgready("up", "--dir", folder, env=environment(database))
    (folder / "migrations/0001_titles.sql").write_text("CREATE TABLE titles (id bigint);")

    told = await pgready(command, "--dir", folder, "--output", output, env=environment(database))

    assert f"or accept it: pgready repair 0001 --dir {folder}" in told.stdout


async def test_what_a_run_logs_of_its_plan_has_commands_that_can_be_typed_as_well(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(TWO)
    await pgready("up", "--dir", folder, env=environment(database))
    (folder / "migrations/0001_titles.sql").write_text("CREATE TABLE titles (id bigint);")

    up = await pgready("up", "--dir", folder, env=environment(database))

    (found,) = [line for line in map(json.loads, up.stderr.splitlines()) if line["event"] == "plan.finding"]
    assert f"or accept it: pgready repair 0001 --dir {folder}" in found["hint"]


async def test_of_many_files_that_are_gone_a_run_names_ten_and_the_status_all(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({f"{n:04}_x.sql": "SELECT 1;" for n in range(1, 39)})
    await pgready("up", "--dir", folder, env=environment(database))
    for n in range(1, 38):
        (folder / f"{n:04}_x.sql").unlink()

    up = await pgready("up", "--dir", folder, env=environment(database))
    status = await pgready("status", "--dir", folder, env=environment(database))

    lines = [json.loads(line) for line in up.stderr.splitlines()]
    (failed,) = [line for line in lines if line["event"] == "run.failed"]
    assert len(failed["message"].splitlines()) == 11
    assert failed["message"].endswith("\nand 27 more") and failed["hint"].endswith("; and 27 more")
    assert len([line for line in lines if line["event"] == "plan.finding"]) == 11
    assert status.stdout.count("error: 00") == 37


_COUNTED = """
SELECT coalesce(array_agg((relid::regclass, n_tup_ins, n_tup_upd, n_tup_del)::text ORDER BY relid), '{}')
FROM pg_stat_user_tables
"""
_LEFT = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'pgready %'
"""
_OBJECTS = "SELECT count(*), max(oid::bigint) FROM pg_class"


@pytest.mark.parametrize("applied", [False, True], ids=["an empty database", "a database that is behind"])
async def test_looking_changes_nothing(
    applied: bool, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    if applied:
        first = sql_folder({"0001_titles.sql": TWO["migrations/0001_titles.sql"]})
        await pgready("up", "--dir", first, env=environment(database))
    folder = sql_folder(TWO)

    async def state() -> tuple[Any, ...]:
        async with database.connect() as connection:
            while await connection.fetchval(_LEFT):  # a session hands in what it counted when it ends
                await anyio.sleep(0.02)
            counted = await connection.fetchval(_COUNTED)
            objects = tuple(await connection.fetchrow(_OBJECTS) or ())
        return database.dump("--column-inserts"), counted, objects

    before = await state()
    for arguments in (("status",), ("plan",), ("wait", "--timeout", "1s"), ("config", "--files")):
        await pgready(*arguments, "--dir", folder, env=environment(database))

    assert await state() == before


async def test_looking_needs_no_more_than_to_read(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder(TWO)
    app = await database.role("app")
    behind = await pgready("status", "--dir", folder, env={"DATABASE_URL": app.url})
    await pgready("up", "--dir", folder, env=environment(database))

    status = await pgready("status", "--exit-code", "--dir", folder, env={"DATABASE_URL": app.url})
    plan = await pgready("plan", "--dir", folder, env={"DATABASE_URL": app.url})

    assert behind.exit_code == 0, behind.stderr
    assert (status.exit_code, plan.exit_code) == (0, 0), status.stderr + plan.stderr
    assert "3 applied" in status.stdout
    assert plan.stdout == "nothing to do\n"


# Errors


async def test_a_failure_says_what_where_what_was_done_and_what_to_do(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_a.sql": "SELECT 1;", "0002_b.sql": BROKEN})

    result = await pgready("up", "--dir", folder, "--log-format", "console", env=environment(database))

    told = result.stderr[result.stderr.index("error: 0002") :].splitlines()
    assert result.exit_code == 1
    assert told == [
        'error: 0002_b.sql:3:3: column "nothing_like_it" does not exist',
        "    3 |   nothing_like_it;",
        "      |   ^",
        "sqlstate: 42703",
        "done: nothing of 0002 was applied; 1 before it was applied in this run",
        f"hint: mend it, then: pgready up --dir {folder}",
    ]


async def test_a_failure_is_one_event_with_the_same_facts_where_logs_are_json(
    database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({"0001_a.sql": "SELECT 1;", "0002_b.sql": BROKEN})

    result = await pgready("up", "--dir", folder, env=environment(database))

    (failed,) = [line for line in lines(result.stderr) if line["event"] == "run.failed"]
    assert failed["level"] == "error"
    assert failed["message"] == 'column "nothing_like_it" does not exist'
    assert failed["place"] == "0002_b.sql:3:3"
    assert failed["sqlstate"] == "42703"
    assert failed["done"] == "nothing of 0002 was applied; 1 before it was applied in this run"
    assert failed["hint"] == f"mend it, then: pgready up --dir {folder}"


@pytest.mark.parametrize("command", ["up", "serve", "status", "plan", "wait", "schema", "repair", "config"])
async def test_settings_that_cannot_be_used_are_one_event_too(command: str, pgready: Pgready) -> None:
    arguments = (command, "0001") if command == "repair" else (command,)

    result = await pgready(*arguments, "--lock-timeout", "soon", "--port", "http")

    (failed,) = lines(result.stderr)
    assert result.exit_code == failed["exit_code"] == 2
    assert failed["event"] == "run.failed"
    assert len(failed["message"].splitlines()) == 2


LONG = "a" * 5000
ODD_ARGUMENTS = [
    ("--dir", LONG),
    ("--dir", "/dev/null"),
    ("--dir", "/proc/self/mem"),
    ("--dir", "\udcff\udcfe"),
    ("--dialect", LONG),
    ("--namespace", "a\nb"),
    ("--namespace", LONG),
    ("--env", "\x1b[31mred"),
    ("--connect-timeout", "9" * 40),
    ("--connect-timeout", "-1"),
    ("--statement-timeout", "99999999d"),
    ("--port", "65536"),
    ("--extensions", "a;b,,=,?"),
    ("--extensions", LONG),
    ("--pooler", "yes"),
    ("--database-url", "://"),
    ("--database-url", "postgres://[::1/x"),
    ("--database-url", "postgres://h:1,h:2:3/x"),
    ("--database-url", "\udcff"),
    ("--database-url", LONG),
    ("--embedded=/dev/null/x",),
    ("--log-format", "xml"),
    ("-" * 40,),
    ("\udcff",),
]


@pytest.mark.parametrize("command", ["up", "status", "plan", "config"])
async def test_no_argument_gets_a_traceback(
    command: str, database: Database, pgready: Pgready, sql_folder: SqlFolder
) -> None:
    folder = sql_folder({})
    failed: list[str] = []
    limiter = anyio.CapacityLimiter(3)

    async def one(arguments: tuple[str, ...]) -> None:
        given = ("--connect-timeout", "0", "--dir", str(folder), *arguments)
        url = (
            {}
            if any(each.startswith(("--embedded", "--database-url")) for each in arguments)
            else environment(database)
        )
        async with limiter:
            result = await pgready(command, *given, env=url, timeout=30)
        words = result.stdout + result.stderr
        if "Traceback" in words or "a defect of pgready" in words or result.exit_code not in range(7):
            failed.append(f"{[each[:40] for each in arguments]}: {result.exit_code} {words[-400:]}")

    async with anyio.create_task_group() as group:
        for arguments in ODD_ARGUMENTS:
            group.start_soon(one, arguments)

    assert failed == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"dir = [", "pgready.toml: not valid TOML"),
        (b"\xff\xfe\x00", "pgready.toml is not UTF-8 text"),
        (b"dirr = 'sql'", "pgready.toml: unknown key dirr (did you mean dir?)"),
        (b"dir = 'a\\u0000b'", "no such folder"),
        (b"[[role]]\nname = 3\n[extensions]\nx = 1", "pgready.toml: role 1: name"),
        (None, "pgready.toml cannot be read (Is a directory)"),
    ],
)
async def test_a_broken_settings_file_is_told(
    content: bytes | None, words: str, tmp_path: Path, database: Database, pgready: Pgready
) -> None:
    place = tmp_path / "checkout"
    place.mkdir()
    if content is None:
        (place / "pgready.toml").mkdir()
    else:
        (place / "pgready.toml").write_bytes(content)

    result = await pgready("up", "--log-format", "console", env=environment(database), cwd=place)

    assert result.exit_code == 2, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr

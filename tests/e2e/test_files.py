"""Every sort of file that people have, through the command: a clear answer, no hang, nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.database import Database
from harness.processes import Pgready, Result

Folder = Callable[[Mapping[str, str | bytes]], Path]

DUMP = """\
--
-- PostgreSQL database dump
--
\\restrict AbCdEf123
SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;

CREATE TABLE public.films (
    id integer NOT NULL,
    title text
);

COPY public.films (id, title) FROM stdin;
1\tit's; a "title"
2\t\\N
\\.

ALTER TABLE ONLY public.films ADD CONSTRAINT films_pkey PRIMARY KEY (id);
\\unrestrict AbCdEf123
"""


WIDE = "\u00e9\U0001f600"


async def up(pgready: Pgready, folder: Path, database: Database, *more: str) -> Result:
    return await pgready("up", "--dir", folder, *more, env={"DATABASE_URL": database.url})


def peak_so_far_mib(pid: int) -> float:
    """The kernel's high-water mark of a process's memory; 0 once it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def test_a_dump_with_copy_data_is_a_first_migration(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    folder = sql_folder({"1_dump.sql": DUMP, "2_next.sql": "CREATE TABLE unqualified (id integer);"})

    done = await up(pgready, folder, database)

    assert done.exit_code == 0, done.stderr
    assert await database.fetch("SELECT id, title FROM public.films ORDER BY id") == [
        (1, 'it\'s; a "title"'),
        (2, None),
    ]
    assert await database.value("SELECT to_regclass('public.unqualified') IS NOT NULL")


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        pytest.param(
            "BEGIN;\nCREATE TABLE a (x int);\nINSERT INTO a VALUES (1);\nCOMMIT;\n", 1, id="wrapped"
        ),
        pytest.param(
            "BEGIN;\nCREATE TABLE a (x int);\nCOMMIT;\nBEGIN;\nINSERT INTO a VALUES (1);\nCOMMIT;\n",
            2,
            id="two transactions",
        ),
        pytest.param("CREATE TABLE a (x int);\r\nINSERT INTO a VALUES (1);\r\n", 1, id="CRLF"),
        pytest.param(b"\xef\xbb\xbfCREATE TABLE a AS SELECT 1 AS x;\r\n", 1, id="byte order mark"),
        pytest.param("CREATE TABLE a AS SELECT 1 AS x -- no semicolon", 1, id="ends in a comment"),
    ],
)
async def test_it_is_applied_and_recorded_once(
    text: str | bytes, statements: int, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    done = await up(pgready, sql_folder({"1_a.sql": text}), database)
    again = await up(pgready, sql_folder({"1_a.sql": text}), database)

    assert (done.exit_code, again.exit_code) == (0, 0), done.stderr
    assert await database.fetch("SELECT x FROM a") == [(1,)]
    assert await database.fetch("SELECT segments FROM pgready.history") == [(statements,)]
    assert await database.value("SELECT count(*) FROM pgready.journal") == 0


@pytest.mark.parametrize("text", ["", "\n\n", "-- nothing yet\n"])
async def test_an_empty_file_is_recorded(
    text: str, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    done = await up(pgready, sql_folder({"1_empty.sql": text}), database)

    assert done.exit_code == 0, done.stderr
    assert await database.fetch("SELECT version FROM pgready.history") == [("1",)]


@pytest.mark.parametrize(
    ("text", "exit_code", "place", "what", "cure"),
    [
        pytest.param(
            "CREATE TABLE b (x int);\n  /* open",
            1, "2_bad.sql:2:3", "unterminated /* comment", "end it", id="open comment",
        ),
        pytest.param(
            "CREATE TABLE b (x int);\nSELECT 'open",
            1, "2_bad.sql:2:8", "unterminated quoted string", "end it", id="open string",
        ),
        pytest.param(
            "SELECT $$ open", 1, "2_bad.sql:1:8", "unterminated dollar-quoted string", "end it",
            id="open dollar",
        ),
        pytest.param(
            "BEGIN;\nCREATE TABLE b (x int);\n",
            1, "2_bad.sql:1:1", "a transaction is opened and not committed", "add COMMIT", id="begin",
        ),
        pytest.param(
            "BEGIN;\nCREATE TABLE b (x int);\nPREPARE TRANSACTION 'x';",
            1, "2_bad.sql:3:1", "PREPARE TRANSACTION", "use BEGIN … COMMIT", id="prepare transaction",
        ),
        pytest.param(
            "BEGIN;\nCREATE TABLE b (x int);\nROLLBACK AND CHAIN;",
            1, "2_bad.sql:3:1", "ROLLBACK AND CHAIN", "write COMMIT; BEGIN;", id="rollback and chain",
        ),
        pytest.param(
            "BEGIN;\nCREATE TABLE b (x int);\nROLLBACK;",
            1, "2_bad.sql:3:1", "ROLLBACK would undo", "ROLLBACK TO", id="rollback",
        ),
        pytest.param(
            "BEGIN;\nVACUUM;\nCOMMIT;",
            1, "2_bad.sql:2:1", "cannot run in a transaction", "move it out", id="single in a block",
        ),
        pytest.param(
            "CREATE TABLE b (x int);\n\\connect other\n",
            1, "2_bad.sql:2:1", "`\\connect` is a command of psql", "one database", id="connect",
        ),
        pytest.param(
            "\\i other.sql\n", 1, "2_bad.sql:1:1", "`\\i` is a command of psql", "put the text", id="include"
        ),
        pytest.param(
            "SELECT 1;\nDISCARD ALL;\n", 1, "2_bad.sql:2:1", "give up the lock", "remove it", id="discard"
        ),
        pytest.param(
            "SELECT pg_advisory_unlock_all();\n",
            1, "2_bad.sql:1:8", "pg_advisory_unlock", "pg_advisory_xact_lock", id="unlock",
        ),
        pytest.param(
            "DO $$\nBEGIN\n  PERFORM pg_advisory_unlock(1);\nEND $$;",
            1, "2_bad.sql:3:11", "pg_advisory_unlock", "pg_advisory_xact_lock", id="unlock in a block",
        ),
        pytest.param(
            "CREATE TABLE b (x text);\nSELECT set_config('CLIENT_ENCODING', 'LATIN1', false);\n",
            1, "2_bad.sql:2:1", "client_encoding 'latin1' is not possible", "as UTF-8", id="encoding",
        ),
        pytest.param(
            "DO $$ BEGIN PERFORM set_config('client_encoding', 'LATIN1', false); END $$;\n",
            1, "2_bad.sql:1:1", "client_encoding 'latin1' is not possible", "as UTF-8",
            id="encoding in a block",
        ),
        pytest.param(
            "COPY b FROM stdin;\n1\n", 1, "2_bad.sql:1:1", "has no end", "`\\.`", id="copy without an end"
        ),
        pytest.param(
            b"SELECT 1;\nSELECT 'caf\xe9';\n", 2, "2_bad.sql:2", "byte 0xe9", "WINDOWS-1252", id="latin 1"
        ),
        pytest.param("SELECT 1;".encode("utf-16"), 2, "2_bad.sql:1", "UTF-16", "iconv", id="UTF-16"),
        pytest.param(b"SELECT 1;\n\0", 2, "2_bad.sql:2", "NUL", "remove it", id="NUL"),
    ],
)  # fmt: skip
async def test_it_is_refused_before_anything_runs(
    text: str | bytes,
    exit_code: int,
    place: str,
    what: str,
    cure: str,
    pgready: Pgready,
    sql_folder: Folder,
    database: Database,
) -> None:
    folder = sql_folder({"1_good.sql": "CREATE TABLE a (x int);", "2_bad.sql": text})

    done = await up(pgready, folder, database, "--log-format", "console")

    assert done.exit_code == exit_code, done.stderr
    assert f"error: {place}: " in done.stderr
    assert what in done.stderr
    assert cure in done.stderr
    assert "nothing was run" in done.stderr
    assert await database.value("SELECT to_regclass('a') IS NULL AND to_regclass('b') IS NULL")


@pytest.mark.parametrize(
    ("text", "place", "line", "caret"),
    [
        pytest.param(b"\xef\xbb\xbfSELECT nope;\r\n", "1:8", "SELECT nope;", 7, id="byte order mark"),
        pytest.param("SELECT 1;\r\n\r\nSELECT nope;\r\n", "3:8", "SELECT nope;", 7, id="CRLF"),
        pytest.param("SELECT 1;\rSELECT nope;", "1:18", None, None, id="CR alone"),
        pytest.param(f"SELECT '{WIDE}', nope;", "1:14", f"SELECT '{WIDE}', nope;", 14, id="wide"),
        pytest.param("SELECT 1;\nSELECT 1 FROM", "2:14", "SELECT 1 FROM", 13, id="cut off"),
        pytest.param("SELECT 1;\nSELECT 1 FROM;\n\n", "2:14", "SELECT 1 FROM;", 13, id="incomplete"),
        pytest.param(
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  SELEC 1;\nEND $$;",
            "3:3", "  SELEC 1;", 2, id="in a body",
        ),
        pytest.param("DO $$\nBEGIN\n  PERFORM nope();\nEND $$;", "1:1", "DO $$", 0, id="in a block"),
        pytest.param(
            "SELECT 1;\n" * 30_000 + "SELECT 1 / 0; SELECT 2;", "30001:1", "SELECT 1 / 0; SELECT 2;", 0,
            id="in a later message",
        ),
    ],
)  # fmt: skip
async def test_the_place_is_shown_with_a_caret(
    text: str | bytes,
    place: str,
    line: str | None,
    caret: int | None,
    pgready: Pgready,
    sql_folder: Folder,
    database: Database,
) -> None:
    done = await up(pgready, sql_folder({"1_a.sql": text}), database, "--log-format", "console")

    assert done.exit_code == 1, done.stderr
    assert f"error: 1_a.sql:{place}: " in done.stderr
    if line is not None and caret is not None:
        assert f" | {line}\n      | {' ' * caret}^\n" in done.stderr


async def test_the_second_of_two_transactions_fails_and_the_first_stays(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    text = "BEGIN;\nCREATE TABLE a (x int);\nCOMMIT;\nBEGIN;\nCREATE TABLE b (x int);\n{}\nCOMMIT;\n"

    failed = await up(
        pgready, sql_folder({"1_a.sql": text.format("SELECT 1 / 0;")}), database, "--log-format", "console"
    )
    mended = await up(pgready, sql_folder({"1_a.sql": text.format("SELECT 1 / 1;")}), database)

    assert failed.exit_code == 1
    assert "1_a.sql:6:1: division by zero" in failed.stderr
    assert "part 1 of 2 of 1 (up to line 2) stays applied" in failed.stderr
    assert "pgready up" in failed.stderr
    assert mended.exit_code == 0, mended.stderr
    assert await database.value("SELECT to_regclass('a') IS NOT NULL AND to_regclass('b') IS NOT NULL")


async def test_every_file_that_is_refused_is_told_of_at_once(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    folder = sql_folder(
        {"1_a.sql": "SELECT 'open", "2_b.sql": "SELECT 1;\nROLLBACK;", "3_c.sql": "SELECT 1;"}
    )

    done = await up(pgready, folder, database, "--log-format", "console")

    assert done.exit_code == 1
    assert "error: 1_a.sql:1:8: " in done.stderr
    assert "1 more refused: 2_b.sql:2:1: ROLLBACK would undo" in done.stderr


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("INSERT INTO a VALUES (1), (1);", "23505"),
        ("SELECT 1 / 0;", "22012"),
        ("ALTER TABLE a ADD COLUMN x int;", "42701"),
        ("CREATE TABLE a (x int);", "42P07"),
        ("SELECT nonsense FROM a;", "42703"),
        ("DO $$ BEGIN RAISE EXCEPTION 'no'; END $$;", "P0001"),
    ],
)
async def test_the_failing_statement_is_named_with_and_without_a_position(
    statement: str, sqlstate: str, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    text = f"CREATE TABLE a (x int PRIMARY KEY);\nSELECT 1;\n\n  {statement}\nSELECT 2;\n"
    folder = sql_folder({"1_first.sql": "CREATE TABLE kept (x int);", "2_fails.sql": text})

    done = await up(pgready, folder, database, "--log-format", "console")

    assert done.exit_code == 1
    assert "2_fails.sql:4:" in done.stderr
    assert f"sqlstate: {sqlstate}" in done.stderr
    assert "nothing of 2 was applied; 1 before it" in done.stderr
    assert "pgready up" in done.stderr
    assert await database.value("SELECT to_regclass('kept') IS NOT NULL AND to_regclass('a') IS NULL")


@pytest.mark.parametrize(
    ("options", "row"),
    [("", "three"), ("", "3\t4"), (" WITH (FORMAT csv)", '"three"'), (" WITH (FORMAT csv, HEADER)", "x")],
)
async def test_a_bad_row_of_copy_data_is_named_by_its_line(
    options: str, row: str, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    text = f"CREATE TABLE a (x int);\nCOPY a FROM stdin{options};\n1\n2\n{row}\n4\n\\.\nSELECT 1;\n"

    done = await up(pgready, sql_folder({"1_copy.sql": text}), database, "--log-format", "console")

    assert done.exit_code == 1
    assert "1_copy.sql:5:1: " in done.stderr
    assert f"    5 | {row.replace(chr(9), ' ')}\n" in done.stderr
    assert await database.value("SELECT to_regclass('a') IS NULL")


async def test_a_deferred_constraint_fails_at_the_end_of_its_script(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    text = (
        "CREATE TABLE a (x int PRIMARY KEY, y int REFERENCES a DEFERRABLE INITIALLY DEFERRED);\n"
        "INSERT INTO a VALUES (1, 2);\n"
    )

    done = await up(pgready, sql_folder({"1_deferred.sql": text}), database, "--log-format", "console")

    assert done.exit_code == 1
    assert "when the script's end was reached" in done.stderr
    assert "23503" in done.stderr
    assert await database.value("SELECT to_regclass('a') IS NULL")


# Measured with 100 MB: 2.2, 1.8 and 7.8 times the file on top of the 44 MiB of a run with nothing to do.
@pytest.mark.parametrize(("kind", "times"), [("insert", 3), ("copy", 3), ("one statement", 10)])
async def test_a_large_file_takes_memory_in_proportion(
    kind: str, times: int, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    size = 20_000_000
    row = "1234567890" * 8
    if kind == "insert":
        body = f"INSERT INTO a VALUES ('{row}');\n" * (size // 107)
    elif kind == "copy":
        body = "COPY a FROM stdin;\n" + f"{row}\n" * (size // 81) + "\\.\n"
    else:
        body = "INSERT INTO a VALUES\n" + ",\n".join([f"('{row}')"] * (size // 86)) + ";\n"
    folder = sql_folder({"1_large.sql": f"CREATE TABLE a (x text);\n{body}"})

    running = pgready.start("up", "--dir", folder, env={"DATABASE_URL": database.url})
    peak_mib = 0.0
    while running.exit_code is None:
        peak_mib = max(peak_mib, peak_so_far_mib(running.pid))
        await anyio.sleep(0.02)

    assert running.exit_code == 0, running.stderr
    assert peak_mib > 0
    assert peak_mib < 60 + times * size / 1_000_000
    count: Any = await database.value("SELECT count(*) FROM a")
    assert count == body.count(row)

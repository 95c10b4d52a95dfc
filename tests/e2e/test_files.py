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
    ("text", "place", "words"),
    [
        pytest.param("CREATE TABLE b (x int);\n/* open", "2_bad.sql:2", "comment", id="open comment"),
        pytest.param("CREATE TABLE b (x int);\nSELECT 'open", "2_bad.sql:2", "quoted", id="open string"),
        pytest.param(
            "BEGIN;\nCREATE TABLE b (x int);\nPREPARE TRANSACTION 'x';",
            "2_bad.sql:3",
            "PREPARE",
            id="prepare",
        ),
        pytest.param(
            "BEGIN;\nCREATE TABLE b (x int);\nROLLBACK AND CHAIN;", "2_bad.sql:3", "ROLLBACK", id="chain"
        ),
        pytest.param("CREATE TABLE b (x int);\n\\connect other\n", "2_bad.sql:2", "connect", id="connect"),
        pytest.param(b"CREATE TABLE b (x int); -- caf\xe9\n", "2_bad.sql", "UTF-8", id="latin 1"),
        pytest.param("SELECT 1;\nDISCARD ALL;\n", "2_bad.sql:2", "DISCARD ALL", id="discard all"),
        pytest.param(
            "SELECT pg_advisory_unlock_all();\n", "2_bad.sql:1", "pg_advisory_unlock", id="advisory unlock"
        ),
        pytest.param("COPY b FROM stdin;\n1\n", "2_bad.sql:1", "COPY", id="copy without an end"),
    ],
)
async def test_it_is_refused_before_anything_runs(
    text: str | bytes, place: str, words: str, pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    folder = sql_folder({"1_good.sql": "CREATE TABLE a (x int);", "2_bad.sql": text})

    done = await up(pgready, folder, database, "--log-format", "console")

    assert done.exit_code in (1, 2), done.stderr
    assert place in done.stderr
    assert words.lower() in done.stderr.lower()
    assert await database.value("SELECT to_regclass('a') IS NULL AND to_regclass('b') IS NULL")


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


async def test_a_bad_row_of_copy_data_is_named_by_its_line(
    pgready: Pgready, sql_folder: Folder, database: Database
) -> None:
    text = "CREATE TABLE a (x int);\nCOPY a FROM stdin;\n1\n2\nthree\n\\.\n"

    done = await up(pgready, sql_folder({"1_copy.sql": text}), database, "--log-format", "console")

    assert done.exit_code == 1
    assert "1_copy.sql:5:" in done.stderr


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


@pytest.mark.parametrize("kind", ["insert", "copy"])
async def test_a_large_file_takes_memory_in_proportion(
    kind: str, pgready: Pgready, sql_folder: Folder, database: Database, tmp_path: Path
) -> None:
    size = 10_000_000
    row = "1234567890" * 8
    if kind == "insert":
        body = f"INSERT INTO a VALUES ('{row}');\n" * (size // 107)
    else:
        body = "COPY a FROM stdin;\n" + f"{row}\n" * (size // 81) + "\\.\n"
    folder = sql_folder({"1_large.sql": f"CREATE TABLE a (x text);\n{body}"})

    running = pgready.start("up", "--dir", folder, env={"DATABASE_URL": database.url})
    peak_mib = 0.0
    while running.exit_code is None:
        peak_mib = max(peak_mib, peak_so_far_mib(running.pid))
        await anyio.sleep(0.02)

    assert running.exit_code == 0, running.stderr
    assert peak_mib > 0
    assert peak_mib < 70 + 6 * size / 1_000_000
    count: Any = await database.value("SELECT count(*) FROM a")
    assert count == body.count(row)

"""Sending a segment: one transaction with what surrounds it, however it is cut into messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from harness.database import Database
from pgready.core.compile import compile_script
from pgready.core.dsn import parse
from pgready.core.model import Script
from pgready.core.segments import SegmentKind, Statement
from pgready.database import execute
from pgready.database.connect import open_session
from pgready.database.execute import Progress
from pgready.database.refusals import OpeningRefused, StatementRefused
from pgready.database.session import Session

OPENING = ("BEGIN", "SELECT 1")
CLOSING = ("SET CONSTRAINTS ALL IMMEDIATE", "INSERT INTO record VALUES (1)", "COMMIT")
NO_RIGHT = "SELECT pg_catalog.int4in(pg_catalog.textout('not ours'))"


@pytest.fixture
async def session(database: Database) -> AsyncIterator[Session]:
    await database.execute("CREATE TABLE record (x int)")
    opened = await open_session(parse(database.url), application_name="test")
    try:
        yield opened
    finally:
        await opened.close()


async def run(
    session: Session,
    text: str,
    *,
    opening: Sequence[str] = OPENING,
    closing: Sequence[str] = CLOSING,
    stepwise: bool = False,
) -> Progress:
    """Run *text*, which is one transaction segment."""
    (segment,) = compile_script(Script("1_a.sql", text)).segments
    assert segment.kind is SegmentKind.TRANSACTION
    progress = Progress()
    await execute.run_transaction(
        session, text, segment, opening=opening, closing=closing, progress=progress, stepwise=stepwise
    )
    return progress


async def refused(
    session: Session, text: str, *, closing: Sequence[str] = CLOSING, stepwise: bool = False
) -> StatementRefused:
    with pytest.raises(StatementRefused) as problem:
        await run(session, text, closing=closing, stepwise=stepwise)
    return problem.value


async def refused_alone(session: Session, text: str) -> StatementRefused:
    with pytest.raises(StatementRefused) as problem:
        await execute.run_single(session, text, Statement(0, len(text)))
    return problem.value


@asynccontextmanager
async def encoded(database: Database, encoding: str) -> AsyncIterator[Session]:
    """A session in another database, which has that *encoding*."""
    name = f"{database.name}_{encoding.lower()}"
    await database.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'")
    opened = await open_session(parse(database.server.url(name)), application_name="test")
    try:
        yield opened
    finally:
        await opened.close()
        await database.execute(f"DROP DATABASE {name}")


def rows(number: int) -> str:
    return "".join(f"INSERT INTO a VALUES ({n}, '{'x' * 50}');\n" for n in range(number))


MADE = "CREATE TABLE a (n int, x text);\n"
COPIED = "COPY a FROM stdin;\n1\tone\n2\ttwo\n\\.\n"


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param(MADE, 0, id="one"),
        pytest.param(MADE + rows(200), 200, id="one message"),
        pytest.param(MADE + rows(9000), 9000, id="several messages"),
        pytest.param(MADE + COPIED, 2, id="copy at the end"),
        pytest.param(MADE + rows(3) + COPIED + rows(3) + COPIED, 10, id="copies between"),
        pytest.param(MADE + "COPY a FROM stdin;\n\\.\n", 0, id="copy of nothing"),
        pytest.param(MADE + f"INSERT INTO a VALUES (1, '{'x' * 600_000}');", 1, id="longer than a message"),
        pytest.param(MADE + "COPY a TO stdout;\nINSERT INTO a VALUES (1, '')", 1, id="copy out"),
        pytest.param("-- only this\nCREATE TABLE a (n int) -- and this", 0, id="comments"),
    ],
)
async def test_the_script_and_its_record_are_one_commit(
    text: str, count: int, stepwise: bool, session: Session, database: Database
) -> None:
    if stepwise and count > 1000:
        text, count = MADE + rows(300), 300  # a round trip each

    progress = await run(session, text, stepwise=stepwise)

    assert await database.value("SELECT count(*) FROM a") == count
    assert await database.fetch("SELECT x FROM record") == [(1,)]
    assert progress.completed == progress.total
    assert not session.in_transaction


@pytest.mark.parametrize("filler", [0, 1, 3, 4, 150, 9000], ids="{} before".format)
@pytest.mark.parametrize(
    ("statement", "sqlstate", "within"),
    [
        ("SELECT 1 / 0", "22012", None),
        ("INSERT INTO a VALUES (1, 1), (1, 2), (1, 'x'::int)", "22P02", 41),
        ("CREATE TABLE a ()", "42P07", None),
        ("SELECT nope", "42703", 7),
        ("SELECT FROM WHERE", "42601", 12),
        ("DO $$ BEGIN PERFORM 1 / 0; END $$", "22012", None),
    ],
)
async def test_the_failing_statement_is_known_wherever_it_stands(
    statement: str, sqlstate: str, within: int | None, filler: int, session: Session, database: Database
) -> None:
    before = MADE + rows(filler)

    problem = await refused(session, f"{before}{statement};\nSELECT 2;\n")

    assert problem.problem.sqlstate == sqlstate
    assert problem.statement is not None
    assert problem.statement.start == len(before)
    assert problem.offset == (None if within is None else len(before) + within)
    assert await database.value("SELECT to_regclass('a') IS NULL")
    assert await database.value("SELECT count(*) FROM record") == 0
    assert not session.in_transaction


@pytest.mark.parametrize("alone", [False, True])
async def test_a_place_is_counted_in_characters_where_the_server_counts_bytes(
    alone: bool, database: Database
) -> None:
    async with encoded(database, "SQL_ASCII") as here:
        text = "SELECT 'é日本', nope" if alone else "SELECT 'çà';\nSELECT 'é日本', nope"
        problem = await (refused_alone if alone else refused)(here, text)

    assert problem.problem.sqlstate == "42703"
    assert problem.offset == text.index("nope")


@pytest.mark.parametrize("alone", [False, True])
async def test_a_character_that_the_databases_encoding_lacks_is_placed_where_it_stands(
    alone: bool, database: Database
) -> None:
    async with encoded(database, "LATIN1") as here:
        text = "SELECT 'é', '日本'" if alone else f"{MADE}SELECT 'é';\nSELECT 'ü', '日本';\nSELECT 1;\n"
        problem = await (refused_alone if alone else refused)(here, text)

    assert problem.problem.sqlstate == "22P05"
    assert problem.offset == text.index("日")
    assert not problem.ours


@pytest.mark.parametrize("literal", [r"E'\xE9'", r"E'\351'"])
async def test_bytes_that_are_a_character_in_latin1_are_none_in_utf_8(
    literal: str, session: Session, database: Database
) -> None:
    text = f"{MADE}SELECT 1;\nINSERT INTO a VALUES (1, {literal});"
    problem = await refused(session, text)
    alone = await refused_alone(session, f"SELECT {literal}")
    async with encoded(database, "LATIN1") as here:
        await run(here, text, closing=["COMMIT"])
        made = await here.fetchval("SELECT x FROM a")

    assert (problem.problem.sqlstate, problem.offset, problem.ours) == ("22021", text.index("\\"), False)
    assert (alone.problem.sqlstate, alone.offset) == ("22021", len("SELECT E'"))
    assert made == "é"


@pytest.mark.parametrize(
    ("closing", "ours"),
    [(["INSERT INTO record VALUES (length('日本'))", "COMMIT"], True), (["SELECT 1 / 0", "COMMIT"], False)],
)
async def test_a_character_of_the_record_alone_is_not_the_scripts(
    closing: list[str], ours: bool, database: Database
) -> None:
    async with encoded(database, "LATIN1") as here:
        text = MADE if ours else f"{MADE}SELECT '日本' || 1 / 0;"
        problem = await refused(here, text, closing=closing)

    assert (problem.problem.sqlstate, problem.ours) == ("22P05", ours)


async def test_a_statement_whose_bytes_are_no_character_is_the_one_that_is_told(session: Session) -> None:
    problem = await refused(session, "SELECT 1; SELECT convert_from('\\xe9', 'UTF8');")

    assert problem.problem.sqlstate == "22021"
    assert problem.statement is not None and problem.statement.start == 10


@pytest.mark.parametrize("text", [COPIED, COPIED.replace("2\t", "two\t"), COPIED.replace("2\t", "")])
async def test_a_copy_that_fails_leaves_the_session_usable(
    text: str, session: Session, database: Database
) -> None:
    """No table, a bad value, a missing column."""
    before = "SELECT 1;\n" if text == COPIED else MADE

    problem = await refused(session, before + text + "SELECT 2;")

    assert problem.statement is not None
    assert problem.statement.start == len(before)
    assert await session.fetchval("SELECT 1") == 1
    assert await database.value("SELECT count(*) FROM record") == 0


DEFERRED = (
    "CREATE TABLE a (n int PRIMARY KEY, up int REFERENCES a DEFERRABLE INITIALLY DEFERRED);"
    "INSERT INTO a VALUES (1, 2);"
)


@pytest.mark.parametrize("closing", [CLOSING, CLOSING[1:]], ids=["asked for", "by the commit"])
async def test_what_is_deferred_fails_behind_the_last_statement(
    closing: Sequence[str], session: Session, database: Database
) -> None:
    problem = await refused(session, DEFERRED, closing=closing)

    assert problem.problem.sqlstate == "23503"
    assert (problem.statement, problem.ours) == (None, False)
    assert await database.value("SELECT count(*) FROM record") == 0


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("text", [MADE, MADE + COPIED, MADE + rows(200)], ids=["short", "copy", "marked"])
async def test_what_is_refused_behind_the_script_is_ours(
    text: str, stepwise: bool, session: Session, database: Database
) -> None:
    settings = "SET statement_timeout = 0\n;SET lock_timeout = 0"
    closing = (CLOSING[0], settings, "INSERT INTO record VALUES (1, 1)", "COMMIT")

    problem = await refused(session, text, closing=closing, stepwise=stepwise)

    assert (problem.problem.sqlstate, problem.statement, problem.ours) == ("42601", None, True)
    assert await database.value("SELECT to_regclass('a') IS NULL")


@pytest.mark.parametrize("text", [MADE, MADE + COPIED, MADE + rows(9000)], ids=["short", "copy", "long"])
async def test_nothing_runs_where_the_opening_refuses(
    text: str, session: Session, database: Database
) -> None:
    with pytest.raises(OpeningRefused):
        await run(session, text, opening=(*OPENING, NO_RIGHT))

    assert await database.value("SELECT to_regclass('a') IS NULL")
    assert not session.in_transaction


async def test_a_script_s_own_error_is_not_taken_for_the_opening_s(session: Session) -> None:
    problem = await refused(session, "SELECT 'not ours'::int;")

    assert problem.problem.sqlstate == "22P02"
    assert problem.offset == 7


@pytest.mark.parametrize("stepwise", [False, True])
async def test_a_script_that_changes_how_it_is_read_is_read_so(
    stepwise: bool, session: Session, database: Database
) -> None:
    """One message is parsed as a whole before any of it runs: sent at once, the last line means another."""
    text = "SET standard_conforming_strings = off;\nCREATE TABLE a AS SELECT 'x\\ty'::text AS n;\n"

    compiled = compile_script(Script("1_a.sql", text))
    await run(session, text, stepwise=stepwise)

    assert compiled.stepwise
    assert await database.value("SELECT n FROM a") == ("x\ty" if stepwise else "x\\ty")


async def test_markers_for_progress_are_not_statements_of_the_script(session: Session) -> None:
    problem = await refused(session, "SELECT 1;\n" * 50 + "SELECT 1 / 0;\n" + "SELECT 1;\n" * 50)

    assert problem.statement is not None
    assert problem.statement.start == len("SELECT 1;\n") * 50


async def test_progress_is_asked_for_without_ddl(session: Session, database: Database) -> None:
    await database.execute(
        "CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'no %', tg_tag; END $$;"
        "CREATE EVENT TRIGGER forbid ON ddl_command_start EXECUTE FUNCTION forbid()"
    )

    progress = await run(session, "SELECT 1;\n" * 50)

    assert progress.completed == 50

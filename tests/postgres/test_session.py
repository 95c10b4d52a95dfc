"""What a session reads in one round trip is what the server has, to the last backslash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
from msgspec import Struct

from harness.database import Database
from pgready.core.dsn import parse
from pgready.core.quoting import fill
from pgready.database.connect import open_session
from pgready.database.session import START_SETTINGS, Pooling, Session, identify


class Line(Struct, frozen=True):
    text: str | None


class Kinds(Struct, frozen=True):
    number: int
    at: datetime
    names: tuple[str, ...]
    nothing: int | None


@pytest.fixture
async def session(database: Database) -> AsyncIterator[Session]:
    opened = await open_session(parse(database.url), application_name="pgready test")
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "\\",
        "\\\\n",
        r"C:\new\table\.",
        "two\nlines\r\nand a\ttab",
        "\"quoted\" 'and' $1",
        "\x01\x08\x1f\x7f",
        "\u2028 and \x85",
        "Größe 数 \N{PILE OF POO}",
    ],
)
async def test_any_text_is_read_as_it_is(text: str, session: Session) -> None:
    rows = await session.read(fill("SELECT :text::text AS text", text=text), Line)

    assert rows == [Line(text)]


async def test_rows_are_read_with_their_types_in_their_order(session: Session) -> None:
    query = (
        "SELECT n AS number, timestamptz '2026-01-02 03:04:05.000006+02' AS at, ARRAY['a', 'b\\'] AS names,"
        " NULL::int AS nothing FROM unnest(ARRAY[9223372036854775807, -1]) AS n ORDER BY n"
    )

    at = datetime(2026, 1, 2, 1, 4, 5, 6, tzinfo=UTC)
    assert await session.read(query, Kinds) == [
        Kinds(-1, at, ("a", "b\\"), None),
        Kinds(9223372036854775807, at, ("a", "b\\"), None),
    ]


async def test_reading_no_row_is_no_row(session: Session) -> None:
    assert await session.read("SELECT 'x' AS text WHERE false", Line) == []


async def test_more_rows_than_one_packet_holds_are_read(session: Session) -> None:
    query = "SELECT repeat('\\', 1000) AS text FROM generate_series(1, 2000)"

    assert await session.read(query, Line) == [Line("\\" * 1000)] * 2000


async def test_a_refused_read_leaves_the_session_as_it_was(session: Session) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await session.read("SELECT (1 / 0)::text AS text", Line)

    assert await session.read("SELECT 'still there' AS text", Line) == [Line("still there")]


async def test_a_script_that_resets_all_comes_back_to_the_settings_of_the_start(session: Session) -> None:
    await session.execute("; ".join(f"SET {name} = '60s'" for name in START_SETTINGS if "count" not in name))
    await session.execute("RESET ALL")

    rows = await session.fetch("SELECT name, setting FROM pg_settings WHERE source = 'client'")
    settings = {row["name"]: row["setting"] for row in rows}
    wanted = {name: value.removesuffix("ms") for name, value in START_SETTINGS.items()}
    assert {name: settings.get(name) for name in wanted} == wanted


async def test_what_the_server_comes_back_to_is_not_set_again(session: Session) -> None:
    own = "; ".join(session.own_settings(0))

    assert own
    assert not [name for name in START_SETTINGS if name in own]


async def test_looks_do_not_wait_for_ever_and_a_script_comes_back_to_the_servers_own_patience(
    session: Session,
) -> None:
    assert await session.fetchval("SHOW lock_timeout") == "1s"

    await session.execute("RESET lock_timeout")

    assert await session.fetchval("SHOW lock_timeout") == "0"


async def test_who_refuses_a_setting_at_the_start_is_reached_without(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(START_SETTINGS, "no_such_setting", "1")  # as tcp_user_timeout is before 12

    opened = await open_session(parse(database.url), application_name="pgready test")
    try:
        assert "tcp_keepalives_idle" in "; ".join(opened.own_settings(0))
    finally:
        await opened.close()


async def test_what_a_pooler_dropped_is_set_with_the_rest(database: Database) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        dropped = Session(connection, parse(database.url), await identify(connection), Pooling.DIRECT)
        await dropped.set_own(0)
        rows = await dropped.fetch("SELECT name, setting FROM pg_settings WHERE source = 'session'")
    finally:
        await connection.close()

    settings = {row["name"]: row["setting"] for row in rows}
    wanted = {name: value.removesuffix("ms") for name, value in START_SETTINGS.items()}
    assert {name: settings.get(name) for name in wanted} == wanted

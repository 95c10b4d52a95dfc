"""Which statement failed, and how far a script is, read from the stream as the server sends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.database import Database
from pgready.core.dsn import Dsn, parse
from pgready.database.connect import open_session
from pgready.database.session import Session
from pgready.database.wire import StatementCounter


class Inner(asyncio.Protocol):
    """The driver's protocol, as far as the counter knows it: it keeps what it is given."""

    def __init__(self) -> None:
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data


def frame(kind: str, payload: bytes = b"") -> bytes:
    return kind.encode() + (len(payload) + 4).to_bytes(4, "big") + payload


def counted(pieces: Sequence[bytes]) -> tuple[int, bytes]:
    inner = Inner()
    counter = StatementCounter(inner)
    for piece in pieces:
        counter.data_received(piece)
    return counter.completed, inner.received


# Rows, notices and errors that look like the answer to a statement, as far as their bytes go.
STREAM = b"".join(
    (
        frame("T", b"C\0\0\0\x05"),
        frame("D", b"CCCCC" * 100),
        frame("C", b"SELECT 1\0"),
        frame("N", b"SNOTICE\0C00000\0MC\0\0"),
        frame("C", b"CREATE TABLE\0"),
        frame("I"),
        frame("E", b"SERROR\0C22012\0\0"),
        frame("Z", b"I"),
    )
)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 64, len(STREAM)])
def test_answers_are_counted_however_the_stream_is_cut(size: int) -> None:
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]

    assert counted(pieces) == (2, STREAM)


@given(
    st.lists(st.tuples(st.sampled_from("CDTNEZ"), st.binary(max_size=40)), max_size=30),
    st.lists(st.integers(min_value=0, max_value=1500), max_size=20),
)
def test_any_stream_cut_anywhere_is_counted_and_passed_on(
    frames: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(frame(kind, payload) for kind, payload in frames)
    ends = [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    starts = [0, *ends[:-1]]

    completed, received = counted([stream[start:end] for start, end in zip(starts, ends, strict=True)])

    assert completed == sum(kind == "C" for kind, _ in frames)
    assert received == stream


def over_tcp(database: Database) -> Dsn:
    return parse(database.url)


def over_the_socket(database: Database) -> Dsn:
    server = database.server
    return parse(f"postgresql://postgres@/{database.name}?host={server.socket_directory}&port={server.port}")


Way = Callable[[Database], Dsn]
both_ways = pytest.mark.parametrize("way", [over_tcp, over_the_socket])


@asynccontextmanager
async def session(dsn: Dsn) -> AsyncIterator[Session]:
    opened = await open_session(dsn, application_name="test")
    try:
        yield opened
    finally:
        await opened.close()


@both_ways
async def test_a_message_of_many_statements_is_counted_to_its_end(way: Way, database: Database) -> None:
    async with session(way(database)) as here:
        here.statements.reset()
        await here.execute("\n;".join(["SELECT 1"] * 2500))

        assert here.statements.completed == 2500


@both_ways
@pytest.mark.parametrize("before", [0, 1, 1000])
@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("SELECT 1 / 0", "22012"),
        ("INSERT INTO keyed VALUES (1), (1)", "23505"),
        ("CREATE TABLE keyed (id int)", "42P07"),
        ("ALTER TABLE keyed ADD COLUMN id int", "42701"),
        ("DO $$ BEGIN PERFORM 1 / 0; END $$", "22012"),
    ],
)
async def test_an_error_without_position_is_known_by_what_came_before_it(
    statement: str, sqlstate: str, before: int, way: Way, database: Database
) -> None:
    await database.execute("CREATE TABLE keyed (id int PRIMARY KEY)")

    async with session(way(database)) as here:
        here.statements.reset()
        with pytest.raises(asyncpg.PostgresError) as refused:
            await here.execute("\n;".join(["SELECT 1"] * before + [statement, "SELECT 1"]))

        assert refused.value.sqlstate == sqlstate
        assert getattr(refused.value, "position", None) is None
        assert here.statements.completed == before


async def test_results_that_fill_many_reads_are_no_statements(database: Database) -> None:
    async with session(parse(database.url)) as here:
        here.statements.reset()
        await here.execute(
            "SELECT repeat('C', 100000) FROM generate_series(1, 50);"
            "SELECT chr(67) || n FROM generate_series(1, 50000) n; SELECT 3"
        )

        assert here.statements.completed == 3


async def test_the_driver_goes_on_as_before(database: Database) -> None:
    async with session(parse(database.url)) as here:
        rows = await here.fetch("SELECT n FROM generate_series($1::int, $2::int) n", 1, 3)

        assert [row["n"] for row in rows] == [1, 2, 3]
        assert await here.connection.fetchval("SELECT 1") == 1
        assert not here.closed


async def test_a_lost_connection_is_told_to_the_driver(database: Database) -> None:
    async with session(parse(database.url)) as here:
        await database.value("SELECT pg_terminate_backend($1, 5000)", here.backend_pid)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await here.execute("SELECT 1")

        assert here.closed

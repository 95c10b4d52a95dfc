"""Which statement failed, and how far a script is, read from the stream as the server sends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.database import Database
from pgready.core.dsn import Dsn, parse
from pgready.database.connect import open_session
from pgready.database.session import Session
from pgready.database.wire import Wire


class Inner(asyncio.Protocol):
    """The driver's protocol, as far as the wire knows it: it keeps what it is given."""

    def __init__(self) -> None:
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.received += b"lost"


class Outside(asyncio.Transport):
    """The way to the server: it keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data


def frame(kind: str, payload: bytes = b"") -> bytes:
    return kind.encode() + (len(payload) + 4).to_bytes(4, "big") + payload


# Rows, notices and errors that look like the answer to a statement, as far as their bytes go.
NOTICE = frame("N", b"SNOTICE\0C00000\0MC\0\0")
DONE = frame("C", b"SELECT 1\0") + frame("Z", b"I")
STREAM = b"".join(
    (
        frame("T", b"C\0\0\0\x05"),
        frame("D", b"CCCCC" * 100),
        frame("C", b"SELECT 1\0"),
        NOTICE,
        frame("C", b"CREATE TABLE\0"),
        frame("I"),
        frame("E", b"SERROR\0C22012\0Mdivision by zero\0\0"),
        frame("Z", b"I"),
    )
)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 64, len(STREAM)])
async def test_an_answer_is_read_however_the_stream_is_cut(size: int) -> None:
    inner = Inner()
    wire = Wire(inner, Outside())
    reply = wire.send("SELECT")

    for at in range(0, len(STREAM), size):
        wire.data_received(STREAM[at : at + size])

    with pytest.raises(asyncpg.DivisionByZeroError, match="division by zero"):
        await reply.end()
    assert reply.completed == 2
    assert inner.received == NOTICE


@given(
    st.lists(st.tuples(st.sampled_from("CDTNES"), st.binary(max_size=40)), max_size=30),
    st.lists(st.integers(min_value=0, max_value=1500), max_size=20),
    st.integers(min_value=0, max_value=2),
)
def test_any_stream_cut_anywhere_is_told_apart(
    frames: list[tuple[str, bytes]], cuts: list[int], messages: int
) -> None:
    """What answers *messages* of ours is kept, and all else is the driver's."""
    ends_of_ours = [("Z", b"T")] * messages
    ours = [*frames, *ends_of_ours] if messages else []
    stream = b"".join(frame(*each) for each in [*ours, *frames])
    ends = [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    starts = [0, *ends[:-1]]

    async def told_apart() -> tuple[bytes, int]:
        inner = Inner()
        wire = Wire(inner, Outside())
        replies = [wire.send("SELECT") for _ in range(messages)]
        for start, end in zip(starts, ends, strict=True):
            wire.data_received(stream[start:end])
            await asyncio.sleep(0)
        for _ in replies:
            await asyncio.sleep(0)
        return inner.received, sum(reply.completed for reply in replies)

    received, completed = asyncio.run(told_apart())
    theirs = [*(each for each in ours if each[0] in "NSA"), *frames]
    assert received == b"".join(frame(*each) for each in theirs)
    assert completed == sum(kind == "C" for kind, _ in ours)


async def test_messages_are_answered_in_their_order() -> None:
    outside = Outside()
    wire = Wire(Inner(), outside)
    first, second = wire.send("SELECT 1"), wire.send("SELECT 'ä'")

    assert outside.written == frame("Q", b"SELECT 1\0") + frame("Q", "SELECT 'ä'\0".encode())
    wire.data_received(frame("C", b"SELECT 1\0") + frame("Z", b"I"))
    await first.end()
    assert (first.completed, second.completed) == (1, 0)
    wire.data_received(STREAM)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await second.end()


@pytest.mark.parametrize(
    "cut", [0, 5, len(NOTICE) + 20, len(NOTICE) + len(DONE), len(NOTICE) * 3 + len(DONE)]
)
async def test_whoever_waited_goes_on_before_what_comes_behind_his_answer_is_told(cut: int) -> None:
    inner = Inner()
    wire = Wire(inner, Outside())
    first, second = wire.send("SELECT 1"), wire.send("SELECT 2")
    stream = NOTICE + DONE + NOTICE * 2 + DONE
    told: list[bytes] = []

    async def wait() -> None:
        for reply in (first, second):
            await reply.end()
            told.append(inner.received)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    wire.data_received(stream[:cut])
    wire.data_received(stream[cut:])
    await waiting

    assert told == [NOTICE, NOTICE * 3]


async def test_what_came_before_a_loss_is_told_first() -> None:
    wire = Wire(Inner(), Outside())
    replies = [wire.send("SELECT 1") for _ in range(3)]

    wire.data_received((frame("C", b"SELECT 1\0") + frame("Z", b"I")) * 2)
    wire.connection_lost(None)

    await replies[0].end()
    await replies[1].end()
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await replies[2].end()


async def test_a_lost_connection_is_told_to_all_who_wait() -> None:
    inner = Inner()
    wire = Wire(inner, Outside())
    first, second = wire.send("SELECT 1"), wire.send("SELECT 2")

    wire.data_received(frame("E", b"SFATAL\0C57P01\0Mshut down\0\0"))
    wire.connection_lost(None)

    with pytest.raises(asyncpg.AdminShutdownError):
        await first.end()
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await second.end()
    assert inner.received == b"lost"


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
        reply = here.send("\n;".join(["SELECT 1"] * 2500))
        await here.answered(reply)

        assert reply.completed == 2500


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
        reply = here.send("\n;".join(["SELECT 1"] * before + [statement, "SELECT 1"]))
        with pytest.raises(asyncpg.PostgresError) as refused:
            await here.answered(reply)

        assert refused.value.sqlstate == sqlstate
        assert getattr(refused.value, "position", None) is None
        assert reply.completed == before


async def test_results_that_fill_many_reads_are_no_statements(database: Database) -> None:
    async with session(parse(database.url)) as here:
        reply = here.send(
            "SELECT repeat('C', 100000) FROM generate_series(1, 50);"
            "SELECT chr(67) || n FROM generate_series(1, 50000) n; SELECT 3"
        )
        await here.answered(reply)

        assert reply.completed == 3


async def test_a_row_of_many_megabytes_is_taken_once(database: Database) -> None:
    """A copy of it for every packet would be gigabytes."""
    async with session(parse(database.url)) as here:
        with anyio.fail_after(30):
            await here.answered(here.send("SELECT repeat('C', 100000000)"))
            rows = await here.fetch("SELECT repeat('D', 50000000)")

        assert len(rows[0][0]) == 50_000_000


async def test_a_message_that_asks_for_data_is_refused_and_does_not_hang(database: Database) -> None:
    await database.execute("CREATE TABLE a (x int)")
    async with session(parse(database.url)) as here:
        with anyio.fail_after(30), pytest.raises(asyncpg.QueryCanceledError):
            await here.answered(here.send("COPY a FROM STDIN"))

        assert await here.fetchval("SELECT count(*) FROM a") == 0


async def test_whoever_is_cancelled_has_the_server_stop(database: Database) -> None:
    async with session(parse(database.url)) as here:
        reply = here.send("SELECT pg_sleep(600)")
        with anyio.fail_after(30):
            with anyio.move_on_after(0.2):
                await here.answered(reply)
            assert await here.fetchval("SELECT 1") == 1


async def test_what_the_server_said_last_of_the_transaction_counts(database: Database) -> None:
    async with session(parse(database.url)) as here:
        assert not here.in_transaction
        await here.answered(here.send("BEGIN"))
        assert here.in_transaction
        await here.execute("COMMIT")
        assert not here.in_transaction


async def test_the_driver_goes_on_as_before(database: Database) -> None:
    async with session(parse(database.url)) as here:
        await here.answered(here.send("SET search_path = pg_catalog; SELECT 1"))
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

"""The network loses what it is told to lose, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from chaos.network import Direction, Link
from harness.server import HOST

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Far:
    """A server that keeps what it got, and sends it back."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = anyio.Event()
        self.opened = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            while data := await reader.read(1024):
                self.got += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # how a reset looks from here
        finally:
            self.ended.set()
            writer.close()


@asynccontextmanager
async def linked(notice: Callable[[str], None] = lambda _: None) -> AsyncIterator[tuple[Far, Link]]:
    far = Far()
    server = await asyncio.start_server(far.serve, HOST, 0)
    address = server.sockets[0].getsockname()
    async with anyio.create_task_group() as group:
        link = Link(lambda: (address[0], address[1]), notice, group)
        await link.open()
        with anyio.fail_after(10):
            yield far, link
        link.close()
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def connected(link: Link) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection(HOST, link.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def echo(stream: Stream, data: bytes) -> bytes:
    stream[1].write(data)
    return await stream[0].readexactly(len(data))


async def test_everything_is_passed_on_where_nothing_is_wrong() -> None:
    async with linked() as (far, link), connected(link) as stream:
        assert await echo(stream, b"x" * 100_000) == b"x" * 100_000

        stream[1].write_eof()
        await far.ended.wait()


@pytest.mark.parametrize("fault", ["cut", "reset"])
async def test_both_sides_see_the_end_of_a_connection(fault: str) -> None:
    async with linked() as (far, link), connected(link) as stream:
        await echo(stream, b"first")
        getattr(link, fault)()

        if fault == "reset":
            with pytest.raises(ConnectionResetError):
                await stream[0].read()
        else:
            assert await stream[0].read() == b""
        await far.ended.wait()


async def test_an_orphaned_connection_ends_for_the_server_later() -> None:
    async with linked() as (far, link), connected(link) as stream:
        await echo(stream, b"first")
        link.orphan(0.2)

        with pytest.raises(ConnectionResetError):
            await stream[0].read()
        assert not far.ended.is_set()
        await far.ended.wait()


@pytest.mark.parametrize(("direction", "arrived"), [(Direction.UP, b"first"), (Direction.DOWN, b"firstlost")])
async def test_a_mute_direction_loses_what_is_sent(direction: Direction, arrived: bytes) -> None:
    async with linked() as (far, link), connected(link) as stream:
        await echo(stream, b"first")
        link.mute(direction, 0.1)
        stream[1].write(b"lost")

        with pytest.raises(ConnectionResetError):
            await stream[0].read()
        assert far.got == arrived


@pytest.mark.parametrize(("direction", "arrived"), [(Direction.UP, b"fir"), (Direction.DOWN, b"first")])
async def test_a_limited_direction_passes_a_part_on(direction: Direction, arrived: bytes) -> None:
    async with linked() as (far, link), connected(link) as stream:
        await echo(stream, b"")
        while not far.opened:
            await anyio.sleep(0.001)
        link.limit(direction, 3)
        stream[1].write(b"first")

        await far.ended.wait()
        assert far.got == arrived


async def test_a_refusing_link_lets_nobody_in_until_it_is_over() -> None:
    async with linked() as (_, link):
        link.refuse(0.05)
        with pytest.raises(ConnectionError):
            async with connected(link) as stream:
                await echo(stream, b"x")
                raise ConnectionError
        while link.refusing:
            await anyio.sleep(0.005)

        async with connected(link) as stream:
            assert await echo(stream, b"again") == b"again"


async def test_what_is_delayed_arrives_in_order() -> None:
    async with linked() as (_, link), connected(link) as stream:
        await echo(stream, b"first")
        link.delay(0.05, 0.02)
        stream[1].write(b"late ")
        while link.delay_seconds:
            await anyio.sleep(0.001)
        stream[1].write(b"later")

        assert await stream[0].readexactly(10) == b"late later"


async def test_a_commit_is_told_before_it_passes_and_before_its_answer_does() -> None:
    told: list[tuple[str, bytes]] = []
    async with linked(lambda event: told.append((event, far.got))) as (far, link), connected(link) as stream:
        await echo(stream, b"COMMIT\0")

    assert told == [("wire.commit", b""), ("wire.committed", b"COMMIT\0")]


async def test_a_commit_that_is_cut_off_never_arrives() -> None:
    async with linked(lambda event: link.cut()) as (far, link), connected(link) as stream:
        stream[1].write(b"COMMIT\0")
        await far.ended.wait()

        assert far.got == b""

"""Large answers, and clients that do not read them."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream
from starlette.applications import Starlette

from pgready.core import events
from pgready.core.planning import Finding, Plan, Severity, State
from pgready.service import server
from pgready.service.bodies import PIECE_BYTES, Bodies
from pgready.service.feed import Feed
from pgready.service.protocol import Connection
from pgready.service.web import application
from service.samples import READY, entry

MIGRATIONS = 5000


@pytest.fixture
def large(feed: Feed) -> Starlette:
    """An application whose `/migrations` is larger than what the kernel takes of it, and its `/ready` too."""
    states = (State.APPLIED, State.PENDING)
    entries = tuple(entry(f"{number:014}", states[number % 2]) for number in range(MIGRATIONS))
    findings = tuple(Finding(Severity.WARNING, "1", None, f"{number:0100000}", "") for number in range(10))
    feed.publish(events.Planned(plan=Plan(entries, findings), under_lock=False))
    feed.publish(READY)
    return application(feed)


@asynccontextmanager
async def listening(app: Starlette, tmp_path: Path) -> AsyncIterator[str]:
    """A real server on a Unix socket, of which the kernel buffers little."""
    path = str(tmp_path / "pgready.sock")
    async with anyio.create_task_group() as group:
        await group.start(server.serve, app, server.listen(path, 0), app.state.probes)
        yield path
        group.cancel_scope.cancel()


async def asked(path: str, target: str) -> SocketStream:
    """A connection on which *target* was asked for, and the answer has begun."""
    stream = await anyio.connect_unix(path)
    await stream.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return stream


async def status(path: str, target: str) -> tuple[SocketStream, bytes]:
    """The same, and the first bytes of the answer."""
    stream = await asked(path, target)
    return stream, (await stream.receive(12))[9:]


@pytest.mark.parametrize("target", ["/migrations", "/migrations?state=applied", "/ready"])
async def test_an_answer_that_is_not_read_fills_one_buffer_and_no_more(
    target: str, large: Starlette, tmp_path: Path
) -> None:
    async with listening(large, tmp_path) as path:
        streams = [(await status(path, target))[0] for _ in range(10)]
        held = [
            each.transport.get_write_buffer_size()
            for each in gc.get_objects()
            if isinstance(each, Connection) and not each.transport.is_closing()
        ]
        for stream in streams:
            await stream.aclose()

    assert len(held) == 10
    assert 0 < max(held) <= PIECE_BYTES


async def test_a_large_answer_arrives_whole_with_its_length(large: Starlette, tmp_path: Path) -> None:
    async with listening(large, tmp_path) as path, await asked(path, "/migrations") as stream:
        received = b""
        while b"\r\n\r\n" not in received or not received.endswith(b"}\n"):
            received += await stream.receive()

    head, _, body = received.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}\r\n".encode() in head
    assert len(body) > 8 * PIECE_BYTES
    assert len(json.loads(body)["migrations"]) == MIGRATIONS


async def test_of_large_answers_that_differ_only_so_many_are_under_way(
    large: Starlette, tmp_path: Path
) -> None:
    large.state.bodies = Bodies(most_bytes=1)
    async with listening(large, tmp_path) as path:
        first = await status(path, "/migrations")
        same = await status(path, "/migrations")
        other = await status(path, "/migrations?state=applied")
        probe = await status(path, "/ready?wait=0")
        for stream, _ in (first, same, probe):
            await stream.aclose()
        with anyio.fail_after(10):
            while not large.state.bodies.room_for(b"x"):
                await anyio.sleep(0.01)
        later = await status(path, "/migrations?state=applied")
        for stream, _ in (other, later):
            await stream.aclose()

    assert [code for _, code in (first, same, other, probe, later)] == [
        b"200",
        b"200",
        b"503",
        b"200",
        b"200",
    ]

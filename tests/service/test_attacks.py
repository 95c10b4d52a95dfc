"""Clients that mean harm: in the midst of each, an orchestrator's probe is answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from anyio.abc import SocketStream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgready.service import protocol, server
from pgready.service.feed import Feed
from pgready.service.web import application
from service.samples import READY, Serving, entered

_HEAD = b"GET /ready HTTP/1.1\r\nHost: x\r\n"


@asynccontextmanager
async def attacked(feed: Feed, serving: Serving) -> AsyncIterator[int]:
    """A server that must still answer `/live` when the block ends."""
    async with serving(application(feed)) as port:
        yield port
        assert (await _say(port, b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).startswith(
            b"HTTP/1.1 200 "
        )


async def _say(port: int, data: bytes) -> bytes:
    """Everything that the server sends, until it hangs up, after *data*."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        with contextlib.suppress(anyio.BrokenResourceError):
            await stream.send(data)
        return await _rest(stream)


async def _rest(stream: SocketStream) -> bytes:
    received = b""
    with anyio.fail_after(20), contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
        while True:
            received += await stream.receive()
    return received


_MARK = "m4rk3r"


@pytest.mark.parametrize(
    "path",
    [
        f"/{_MARK}", f"/{_MARK}/{_MARK}", f"/migrations/{_MARK}", f"/ready/{_MARK}", f"/live?{_MARK}={_MARK}",
        *(
            f"{path}?{name}={_MARK}"
            for path in ("/", "/ready", "/startup", "/migrations", "/metrics", "/events", "/retry")
            for name in ("state", "flag", "format", "exclude", "wait", "verbose")
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("accept", ["text/html", "application/json", "text/plain", _MARK])
async def test_nothing_of_a_request_comes_back(feed: Feed, path: str, accept: str) -> None:
    headers = {"Accept": accept, "Host": _MARK, "User-Agent": _MARK, "Referer": _MARK, "Origin": _MARK}
    headers |= {"Last-Event-ID": _MARK, "Authorization": f"Bearer {_MARK}", "X-Forwarded-Host": _MARK}
    feed.publish(entered("draining"))  # so that a stream ends
    transport = httpx.ASGITransport(application(feed))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{_MARK}") as client:
        for method in ("GET", "POST", _MARK):
            response = await client.request(method, path, headers=headers)

            assert _MARK not in response.text + str(response.headers)


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(_HEAD + b"X: " + b"y" * 1_000_000 + b"\r\n\r\n", id="one header of 1 MB"),
        pytest.param(_HEAD + b"X: y\r\n" * 170_000 + b"\r\n", id="170,000 headers"),
        pytest.param(b"GET /" + b"y" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="a path of 1 MB"),
        pytest.param(b"y" * 1_000_000, id="a method of 1 MB"),
    ],
)
async def test_a_head_without_end_is_431(feed: Feed, serving: Serving, request_bytes: bytes) -> None:
    async with attacked(feed, serving) as port:
        answer = await _say(port, request_bytes)

    # The rest of it may reset the connection before the answer is read.
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"yyyy" not in answer


async def test_a_head_just_beyond_the_limit_is_told_so(feed: Feed, serving: Serving) -> None:
    async with attacked(feed, serving) as port:
        answer = await _say(port, _HEAD + b"X: " + b"y" * protocol.HEAD_LIMIT_BYTES)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer
    assert b"x-content-type-options: nosniff" in answer.lower()


@pytest.mark.parametrize("framing", [b"Content-Length: 100000000000", b"Transfer-Encoding: chunked"])
async def test_a_body_without_end_is_hung_up_on(feed: Feed, serving: Serving, framing: bytes) -> None:
    sent = 0
    async with (
        attacked(feed, serving) as port,
        await anyio.connect_tcp("127.0.0.1", port) as stream,
    ):
        await stream.send(b"POST /live HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        with pytest.raises(anyio.BrokenResourceError), anyio.fail_after(20):
            while True:
                await stream.send(b"8000\r\n" + b"x" * 32_768 + b"\r\n")
                sent += 32_768

    assert sent < 32_000_000  # what the kernel's buffers take


async def test_a_slow_loris_on_every_connection_does_not_keep_a_probe_out(
    feed: Feed, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTION_LIMIT", 50)
    async with attacked(feed, serving) as port:
        lorises = [await anyio.connect_tcp("127.0.0.1", port) for _ in range(200)]
        for loris in lorises:
            with contextlib.suppress(anyio.BrokenResourceError):
                await loris.send(_HEAD)
        answers = [await _say(port, _HEAD + b"Connection: close\r\n\r\n") for _ in range(20)]
        for loris in lorises:
            await anyio.aclose_forcefully(loris)

    assert all(answer.startswith(b"HTTP/1.1 503 ") and b'"schema":1' in answer for answer in answers)


async def test_waiting_for_a_request_costs_a_place_before_working_on_one_does(
    feed: Feed, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTION_LIMIT", 5)
    answers: list[bytes] = []
    app = application(feed)

    async def poll(port: int) -> None:
        answers.append(
            await _say(port, b"GET /ready?wait=30s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        )

    async with serving(app) as port, anyio.create_task_group() as group:
        group.start_soon(poll, port)
        with anyio.fail_after(10):
            while not app.state.waiters.borrowed_tokens:
                await anyio.lowlevel.checkpoint()
        for _ in range(20):
            await anyio.aclose_forcefully(await anyio.connect_tcp("127.0.0.1", port))
        idle = [await anyio.connect_tcp("127.0.0.1", port) for _ in range(20)]
        feed.publish(READY)
    for stream in idle:
        await anyio.aclose_forcefully(stream)

    assert answers[0].startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def many_files() -> Iterator[int]:
    """As many files as this process may open, while the test runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_thousands_of_connections_leave_the_probe_its_place(
    feed: Feed, serving: Serving, many_files: int
) -> None:
    flood = min(10_000, many_files - server.CONNECTION_LIMIT - 500)
    sockets: list[socket.socket] = []
    async with attacked(feed, serving) as port:
        loop = asyncio.get_running_loop()
        for _ in range(flood):
            client = socket.socket()
            client.setblocking(False)
            sockets.append(client)
            with contextlib.suppress(OSError):
                await loop.sock_connect(client, ("127.0.0.1", port))
        began = anyio.current_time()
        answer = await _say(port, _HEAD + b"Connection: close\r\n\r\n")
        took_seconds = anyio.current_time() - began
        for client in sockets:
            client.close()

    assert len(sockets) >= 1000
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert took_seconds < 1


async def test_an_answer_that_is_not_read_is_given_up(
    feed: Feed, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "STALL_SECONDS", 0.1)
    async with attacked(feed, serving) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        with pytest.raises(anyio.BrokenResourceError), anyio.fail_after(20):
            while True:  # pipelined requests, none of whose answers is read
                await stream.send((_HEAD + b"\r\n") * 1000)


_CHUNKED = b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "request_line", [b"POST /live", b"GET /ready?wait=20ms", b"GET /events", b"GET /live"]
)
@pytest.mark.parametrize("apart", [True, False])
async def test_a_body_that_turns_into_nonsense_breaks_nothing(
    feed: Feed, serving: Serving, caplog: pytest.LogCaptureFixture, request_line: bytes, apart: bool
) -> None:
    broken = _broken_protocols()
    async with attacked(feed, serving) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(request_line + _CHUNKED + (b"" if apart else b"zz\r\n"))
        if apart:
            if b"GET /ready" not in request_line:
                await stream.receive()
            await stream.send(b"zz\r\n")
        await _rest(stream)

    assert broken == []
    assert [record for record in caplog.records if record.levelno > logging.WARNING] == []


def _broken_protocols() -> list[object]:
    """What the event loop complains of from now on."""
    broken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: broken.append(context))
    return broken


async def test_a_listener_that_has_said_more_than_its_turn_is_seen_to_go(
    feed: Feed, serving: Serving
) -> None:
    app = application(feed)
    async with serving(app) as port:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            await stream.receive()
            await stream.send(b"GET /live HTTP/1.1\r\n")
        with anyio.fail_after(5):
            while app.state.broadcast.listeners:
                await anyio.lowlevel.checkpoint()


_LINES = [
    line.encode("latin-1") + b"\r\n"
    for line in """\
GET /live HTTP/1.1
GET /events HTTP/1.1
HEAD / HTTP/1.0
POST /retry HTTP/1.1
GET /ready?wait=1ms HTTP/1.1
OPTIONS * HTTP/1.1
CONNECT x:1 HTTP/1.1
PRI * HTTP/2.0
GET http://x/live HTTP/1.1
GET /%ff%00 HTTP/1.1
Host: x
Content-Length: 5
Content-Length: -1
Transfer-Encoding: chunked
Expect: 100-continue
Connection: upgrade
Upgrade: websocket
Connection: close
Last-Event-ID: ÿ
Accept: ;;q=,

5
hello
zz
0
""".splitlines()
]
_SENDS = st.lists(
    st.one_of(
        st.sampled_from(_LINES),
        st.sampled_from(_LINES).map(lambda line: line + b"Host: x\r\n\r\n"),
        st.binary(max_size=40),
    ),
    max_size=8,
)


async def test_malformed_bytes_break_nothing_and_do_not_fill_the_log(
    feed: Feed, serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 0.2)
    caplog.set_level(logging.WARNING)
    broken = _broken_protocols()
    async with attacked(feed, serving) as port, anyio.create_task_group() as group:
        for sends in _drawn(_SENDS, 300):
            group.start_soon(_attack, port, sends)

    assert broken == []
    assert len(caplog.messages) <= 1  # that there was a request which was none


def _drawn(strategy: st.SearchStrategy[list[bytes]], number: int) -> list[list[bytes]]:
    """*number* examples, which one event loop can then try at once."""
    drawn: list[list[bytes]] = []

    @settings(max_examples=number, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def draw(example: list[bytes]) -> None:
        drawn.append(example)

    draw()
    return drawn


async def _attack(port: int, sends: list[bytes]) -> None:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        with contextlib.suppress(anyio.BrokenResourceError):
            for data in sends:
                await stream.send(data)
        with anyio.move_on_after(0.5):  # a listener is not hung up on
            await _rest(stream)

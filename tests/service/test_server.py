"""The server on a real socket: what a client without patience or manners sees."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Callable

import anyio
import httpx
import pytest
from starlette.types import Receive, Scope, Send

from pgready.core.errors import ExitCode, SettingsError
from pgready.service import protocol, server
from pgready.service.feed import Feed
from pgready.service.web import application
from service.samples import READY, Serving, entered


async def _say(port: int, text: str) -> str:
    """Everything that the server sends, until it closes, after *text*."""
    received = b""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(text.encode())
        with anyio.fail_after(10):
            async for data in stream:
                received += data
    return received.decode()


async def _request(port: int, method: str, path: str) -> tuple[str, str]:
    answer = await _say(port, f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition("\r\n\r\n")
    return head, body


@pytest.mark.parametrize("path", ["/live", "/ready", "/ready/", "/migrations", "/migrations/x", "/nothing"])
async def test_head_is_get_without_the_body(feed: Feed, serving: Serving, path: str) -> None:
    async with serving(application(feed)) as port:
        get, body = await _request(port, "GET", path)
        head, nothing = await _request(port, "HEAD", path)

    assert _without_date(head) == _without_date(get)
    assert (nothing, f"content-length: {len(body.encode())}" in head) == ("", True)


def _without_date(head: str) -> list[str]:
    return [line for line in head.lower().split("\r\n") if not line.startswith("date:")]


@pytest.mark.parametrize("path", ["/ready", "/ready/", "/readyz/"])
async def test_a_client_that_takes_redirects_for_success_is_not_fooled(
    feed: Feed, serving: Serving, path: str
) -> None:
    async with serving(application(feed)) as port:
        before, _ = await _request(port, "GET", path)
        feed.publish(READY)
        after, _ = await _request(port, "GET", path)

    assert before.startswith("HTTP/1.1 503 ")
    assert after.startswith("HTTP/1.1 200 ")


async def test_the_server_does_not_tell_its_make(feed: Feed, serving: Serving) -> None:
    async with serving(application(feed)) as port:
        head, _ = await _request(port, "GET", "/live")

    assert "uvicorn" not in head.lower()


async def test_a_connection_that_comes_before_serving_is_answered_later(feed: Feed) -> None:
    sockets = server.listen("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    async with await anyio.connect_tcp("127.0.0.1", port) as stream, anyio.create_task_group() as group:
        await stream.send(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        await group.start(server.serve, application(feed), sockets)
        answer = await stream.receive()
        group.cancel_scope.cancel()

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_cancelling_leaves_no_task_no_connection_and_a_free_port(feed: Feed, serving: Serving) -> None:
    before = asyncio.all_tasks()
    async with serving(application(feed)) as port:
        idle = await anyio.connect_tcp("127.0.0.1", port)
        await idle.send(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        await idle.receive()

    with pytest.raises(anyio.EndOfStream):
        await idle.receive()
    await idle.aclose()
    server.close(server.listen("127.0.0.1", port))
    assert asyncio.all_tasks() == before


async def test_draining_ends_a_long_poll_before_the_server_stops(feed: Feed, serving: Serving) -> None:
    statuses: list[int] = []

    async def poll(port: int) -> None:
        async with httpx.AsyncClient() as client:
            statuses.append((await client.get(f"http://127.0.0.1:{port}/ready?wait=60s")).status_code)

    async with anyio.create_task_group() as pollers, serving(_Noticing(application(feed))) as port:
        pollers.start_soon(poll, port)
        await _Noticing.arrived.wait()
        feed.publish(entered("draining"))

    assert statuses == [503]


class _Noticing:
    """Tells when a request has arrived."""

    arrived: anyio.Event

    def __init__(self, app: Callable[..., object]) -> None:
        self._app = app
        type(self).arrived = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        type(self).arrived.set()
        await self._app(scope, receive, send)  # type: ignore[misc]


async def test_an_answer_that_never_ends_is_cut_off_after_the_grace(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "GRACE_SECONDS", 0)
    caplog.set_level(logging.CRITICAL, "uvicorn.error")
    before = asyncio.all_tasks()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep_forever()

    app = _Noticing(endless)
    async with serving(app) as port:
        stream = await anyio.connect_tcp("127.0.0.1", port)
        await stream.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await app.arrived.wait()

    assert asyncio.all_tasks() == before
    await stream.aclose()


async def test_signal_handlers_are_left_alone(feed: Feed, serving: Serving) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with serving(application(feed)):
        during = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    assert during == before


@pytest.mark.parametrize(
    "text", ["", "GET /live HTTP/1.1\r\nHos", "POST /live HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"]
)
async def test_a_client_that_says_half_a_request_is_hung_up_on(
    feed: Feed, serving: Serving, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 0.05)
    async with serving(application(feed)) as port:
        answer = await _say(port, text)

    assert "200" not in answer


async def test_a_request_that_drips_in_is_hung_up_on_all_the_same(
    feed: Feed, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 0.05)
    async with serving(application(feed)) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)), anyio.fail_after(10):
            await stream.send(b"GET /live HTTP/1.1\r\n")
            while True:
                await stream.send(b"X: y\r\n")
                with anyio.move_on_after(0.01):
                    await stream.receive()


async def test_a_silent_connection_does_not_hold_up_a_long_poll(
    feed: Feed, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "IDLE_SECONDS", 0.05)
    async with serving(application(feed)) as port:
        head, _ = await _request(port, "GET", "/ready?wait=300ms")

    assert head.startswith("HTTP/1.1 503 ")


def test_port_0_takes_a_free_port_and_tells_it() -> None:
    sockets = server.listen("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    address = server.url(sockets[0])
    server.close(sockets)

    assert port > 0
    assert address == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_every_address_is_shown_as_localhost(host: str) -> None:
    sockets = server.listen(host, 0)
    addresses = {server.url(listener) for listener in sockets}
    server.close(sockets)

    assert addresses == {f"http://localhost:{sockets_port(addresses)}"}


def sockets_port(addresses: set[str]) -> str:
    return next(iter(addresses)).rpartition(":")[2]


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_host_is_listened_on(host: str) -> None:
    sockets = server.listen(host, 0)
    family, address = sockets[0].family, server.url(sockets[0])
    server.close(sockets)

    assert family == socket.AF_INET6
    assert address.startswith("http://[::1]:")


@pytest.mark.parametrize("host", ["::", ""])
@pytest.mark.parametrize("client", ["127.0.0.1", "::1"])
def test_listening_everywhere_takes_ipv4_and_ipv6(host: str, client: str) -> None:
    sockets = server.listen(host, 0)
    port = sockets[0].getsockname()[1]
    try:
        socket.create_connection((client, port), timeout=5).close()
    finally:
        server.close(sockets)


def test_a_port_in_use_is_exit_2_and_names_the_setting() -> None:
    sockets = server.listen("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    with pytest.raises(SettingsError) as refused:
        server.listen("127.0.0.1", port)
    server.close(sockets)

    assert refused.value.exit_code is ExitCode.USAGE
    assert f"127.0.0.1:{port}" in refused.value.what
    assert "PGREADY_PORT" in (refused.value.hint or "")


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_exit_2_and_names_the_setting(host: str) -> None:
    with pytest.raises(SettingsError) as refused:
        server.listen(host, 0)

    assert "PGREADY_HOST" in (refused.value.hint or "")


def test_a_machine_without_ipv6_still_listens_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    original = server._listener

    def without_ipv6(family: socket.AddressFamily, *rest: object, **options: bool) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return original(family, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(server, "_listener", without_ipv6)
    sockets = server.listen("", 0)
    server.close(sockets)

    assert [listener.family for listener in sockets] == [socket.AF_INET]

"""Probes that are answered in one step get what the long way would give, and nothing else takes it."""

from __future__ import annotations

import re

import anyio
import pytest
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from pgready.service import web
from pgready.service.feed import Feed
from pgready.service.probes import Probes
from pgready.service.protocol import IDLE_SECONDS
from pgready.service.web import application
from service.samples import FAILED, READY, Serving, entered

PATHS = [path for each in web.RESOURCES[:3] for path in each.paths]
KUBELET = b"Host: 10.0.0.7:8080\r\nUser-Agent: kube-probe/1.33\r\nAccept: */*\r\nConnection: close\r\n"
CURL = b"Host: localhost:8080\r\nUser-Agent: curl/8.14.1\r\nAccept: text/plain\r\n"
DATE = [(b"date", b"Tue, 24 Nov 2026 12:00:00 GMT")]


class _LongWay:
    """An application that the server does not know to have probes."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def _say(port: int, request: bytes) -> bytes:
    """The answer, without its date, and whether the server hung up after it."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(request)
        received = await stream.receive()
        while b"\r\n\r\n" not in received or not _is_whole(received, request):
            received += await stream.receive()
        with anyio.move_on_after(0.05) as patience:
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        closed = b"kept open" if patience.cancelled_caught else b"closed"
    return re.sub(rb"\r\ndate: [^\r]*", b"", received) + closed


def _is_whole(received: bytes, request: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    return request.startswith(b"HEAD") or (length is not None and len(body) == int(length[1]))


@pytest.mark.parametrize("event", [entered("migrating"), READY, FAILED], ids=["migrating", "ready", "failed"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("headers", [KUBELET, CURL], ids=["kubelet", "curl"])
async def test_the_short_way_says_what_the_long_way_says(
    feed: Feed, serving: Serving, event: object, method: bytes, headers: bytes
) -> None:
    feed.publish(event)  # type: ignore[arg-type]
    app = application(feed)
    async with serving(app) as short, serving(_LongWay(app)) as long:
        for path in PATHS:
            request = b"%s %s HTTP/1.1\r\n%s\r\n" % (method, path.encode(), headers)
            told = await _say(short, request)
            wanted = await _say(long, request)

            assert app.state.probes.told(request, []) is not None
            assert told == wanted


_PLAIN = b"GET /ready HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"", b"GET", _PLAIN, _PLAIN + b"\r\n" * 2, (_PLAIN + b"\r\n") * 2, b"\r\n" + _PLAIN + b"\r\n",
        b"GET /ready?verbose HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /ready/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /migrations HTTP/1.1\r\nHost: x\r\n\r\n", b"GET http://x/ready HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /ready HTTP/1.1\r\nHost: x\r\n\r\n", b"get /ready HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ready HTTP/1.0\r\nHost: x\r\n\r\n", b"GET  /ready HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ready HTTP/1.1\r\n\r\n", b"GET /ready HTTP/1.1\r\nAccept: */*\r\n\r\n",
        _PLAIN + b"Host: y\r\n\r\n", _PLAIN + b"Accept: a/b\r\nAccept: c/d\r\n\r\n",
        _PLAIN + b"Content-Length: 5\r\n\r\nhello", _PLAIN + b"Content-Length: 0\r\n\r\n",
        _PLAIN + b"Transfer-Encoding: chunked\r\n\r\n", _PLAIN + b"Expect: 100-continue\r\n\r\n",
        _PLAIN + b"Connection: upgrade\r\n\r\n", _PLAIN + b"Connection: close, te\r\n\r\n",
        _PLAIN + b"User-Agent: a\r\n b\r\n\r\n", _PLAIN + b"User-Agent : a\r\n\r\n",
        _PLAIN + b"User-Agent: \xff\r\n\r\n", _PLAIN + b"User-Agent: a\0b\r\n\r\n",
        _PLAIN.replace(b"\r\n", b"\n") + b"\n", _PLAIN + b"User-Agent: " + b"a" * 2000 + b"\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_not_whole_and_plain_goes_the_long_way(feed: Feed, request_bytes: bytes) -> None:
    probes: Probes = application(feed).state.probes

    assert probes.told(request_bytes, DATE) is None


def test_an_answer_lasts_until_the_next_event_and_the_next_second(feed: Feed) -> None:
    probes: Probes = application(feed).state.probes
    request = _PLAIN + b"\r\n"
    first = probes.told(request, DATE)
    again = probes.told(request, DATE)
    later = probes.told(request, [(b"date", b"later")])
    feed.publish(READY)
    ready = probes.told(request, DATE)

    assert first is not None and later is not None and ready is not None
    assert again is first
    assert b"\r\ndate: later\r\n" in later.answer
    assert (first.answer[:12], ready.answer[:12]) == (b"HTTP/1.1 503", b"HTTP/1.1 200")


def test_requests_that_are_all_different_are_not_all_kept(feed: Feed) -> None:
    probes: Probes = application(feed).state.probes
    for number in range(1000):
        probes.told(_PLAIN + b"User-Agent: %d\r\n\r\n" % number, DATE)

    assert len(probes._told) <= 64


async def test_both_ways_alternate_on_one_connection(feed: Feed, serving: Serving) -> None:
    statuses: list[bytes] = []
    async with serving(application(feed)) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        for path in (
            b"/ready",
            b"/migrations",
            b"/live",
            b"/nothing",
            b"/ready?verbose",
            b"/ready",
            b"/live",
        ):
            await stream.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            received = await stream.receive()
            while not _is_whole(received, b"GET"):
                received += await stream.receive()
            statuses.append(received[9:12])

    assert statuses == [b"503", b"200", b"200", b"404", b"503", b"503", b"200"]


async def test_a_connection_that_probes_is_kept_for_as_long_as_it_does(
    feed: Feed, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgready.service.protocol.IDLE_SECONDS", 0.2)
    async with serving(application(feed)) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        began = anyio.current_time()
        while anyio.current_time() - began < 0.6:
            await stream.send(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
        with pytest.raises(anyio.EndOfStream), anyio.fail_after(IDLE_SECONDS):
            await stream.receive()

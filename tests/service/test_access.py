"""Which requests are logged, and what of them."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from pgready import logs
from pgready.service import web
from pgready.service.access import PROBES, AccessLog
from pgready.service.feed import Feed
from pgready.service.web import application
from service.samples import Serving


class Log:
    """A real log, and its lines as values."""

    def __init__(self, level: str = "info") -> None:
        self._stream = io.StringIO()
        self._log = logs.configure("json", level, self._stream, environ={}, run_id="7f3a")

    def __call__(self) -> Any:
        return self._log

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def logged(anyio_backend: str, feed: Feed, log: Log) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(AccessLog(application(feed), log))
    async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as client:
        yield client


async def test_an_answer_is_logged_with_how_long_it_took(logged: httpx.AsyncClient, log: Log) -> None:
    await logged.get("/migrations")
    (line,) = log.lines

    assert {"timestamp", "duration_ms"} <= line.keys()
    assert (line["level"], line["event"], line["run_id"]) == ("info", "http.answered", "7f3a")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/migrations", 200)


def test_probes_are_the_routes_that_orchestrators_ask() -> None:
    probed = (web.live, web.ready, web.startup)

    assert {path for each in web.RESOURCES if each.endpoint in probed for path in each.paths} == PROBES


@pytest.mark.parametrize("path", [*sorted(PROBES), "/ready/", "/ready?wait=1ms"])
async def test_probes_are_not_logged(logged: httpx.AsyncClient, log: Log, path: str) -> None:
    await logged.get(path)

    assert log.lines == []


async def test_the_query_is_not_logged(logged: httpx.AsyncClient, log: Log) -> None:
    await logged.get("/migrations?state=hunter2")
    (line,) = log.lines

    assert line["status"] == 400
    assert "hunter2" not in json.dumps(line)


async def test_scrapes_are_logged_for_who_looks_closely(feed: Feed) -> None:
    lines = {}
    for level in ("info", "debug"):
        log = Log(level)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(AccessLog(application(feed), log))
        ) as client:
            await client.get("http://daemon/metrics")
        lines[level] = [line["event"] for line in log.lines]

    assert lines == {"info": [], "debug": ["http.answered"]}


@pytest.mark.parametrize("path", ["/a%0Ab", "/%1b[31mred", "/" + "x" * 9000, "/%ff"])
async def test_a_path_is_one_line_of_bounded_length(logged: httpx.AsyncClient, log: Log, path: str) -> None:
    await logged.get(path)
    (line,) = log.lines

    assert line["status"] == 404
    assert len(line["path"]) <= 200


async def test_an_application_that_breaks_is_logged_as_500(log: Log) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("hunter2")

    transport = httpx.ASGITransport(AccessLog(broken, log))
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(RuntimeError):
            await client.get("http://daemon/migrations")

    assert [line["status"] for line in log.lines] == [500]


async def test_what_the_server_says_of_a_broken_application_is_one_line(serving: Serving, log: Log) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("hunter2")

    log()  # configured, as the daemon does at its start
    async with serving(broken) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/migrations")
    (line,) = log.lines

    assert answer.status_code == 500
    assert (line["event"], line["logger"], line["run_id"]) == ("library.failed", "uvicorn.error", "7f3a")
    assert (line["exception"], "hunter2" in json.dumps(line)) == ("RuntimeError", False)

"""The helper for other people's applications."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pgready.asgi import ReadyMiddleware, making_ready
from pgready.core.errors import Unreachable
from pgready.core.status import Status

ROUTES = [Route(path, lambda _: PlainTextResponse("hello")) for path in ("/", "/live")]


def _app(make_ready: Callable[[], Awaitable[Status]], *, background: bool, **options: Any) -> Starlette:
    return Starlette(
        routes=options.pop("routes", ROUTES),
        lifespan=making_ready(make_ready, background=background, wrapping=options.pop("wrapping", None)),
        middleware=[Middleware(ReadyMiddleware, exempt=("/live",))],
    )


@asynccontextmanager
async def _started(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client of *app* within its lifespan, with the state that a server would copy to each request."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            yield client


async def _at_once() -> Status:
    return Status()


async def _never() -> Status:
    raise Unreachable("connection refused")


async def test_the_database_is_ready_before_the_application_starts() -> None:
    async with _started(_app(_at_once, background=False)) as client:
        response = await client.get("/")

    assert (response.status_code, response.text) == (200, "hello")


async def test_a_failure_keeps_the_application_from_starting() -> None:
    with pytest.raises(Unreachable):
        async with _started(_app(_never, background=False)):
            pytest.fail("it started")


async def test_the_applications_own_lifespan_follows_and_both_states_are_kept() -> None:
    order: list[str] = []

    async def make_ready() -> Status:
        order.append("migrated")
        return Status()

    @asynccontextmanager
    async def own(_: Any) -> AsyncIterator[dict[str, str]]:
        order.append("own")
        yield {"pool": "open"}
        order.append("closed")

    async def tell(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{request.state.pool} {request.state.pgready.status is not None}")

    app = _app(make_ready, background=False, wrapping=own, routes=[Route("/", tell)])
    async with _started(app) as client:
        text = (await client.get("/")).text

    assert order == ["migrated", "own", "closed"]
    assert text == "open True"


async def test_in_the_background_answers_are_503_until_ready_except_exempt_paths() -> None:
    release = anyio.Event()

    async def make_ready() -> Status:
        await release.wait()
        return Status()

    async with _started(_app(make_ready, background=True)) as client:
        before, live = await client.get("/"), await client.get("/live")
        release.set()
        await anyio.wait_all_tasks_blocked()
        after = await client.get("/")

    assert (before.status_code, before.headers["retry-after"]) == (503, "1")
    assert before.headers["content-type"] == "application/problem+json"
    assert (live.status_code, after.status_code) == (200, 200)


async def test_a_failure_in_the_background_is_logged_once_and_answers_stay_503(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR, "pgready")
    async with _started(_app(_never, background=True)) as client:
        await anyio.wait_all_tasks_blocked()
        response = await client.get("/")

    assert response.status_code == 503
    assert [record.getMessage() for record in caplog.records] == [
        "the database could not be made ready: connection refused"
    ]


async def test_stopping_the_application_cancels_the_migration_in_the_background() -> None:
    cancelled = anyio.Event()

    async def make_ready() -> Status:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()
        raise AssertionError

    async with _started(_app(make_ready, background=True)):
        await anyio.wait_all_tasks_blocked()

    assert cancelled.is_set()


async def test_a_websocket_is_closed_with_try_again_later_until_ready() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = _app(_never, background=True)
    async with app.router.lifespan_context(app) as state:
        await app({"type": "websocket", "path": "/", "state": state}, send, send)  # type: ignore[arg-type]

    assert sent == [{"type": "websocket.close", "code": 1013}]


async def test_the_middleware_without_the_lifespan_says_so() -> None:
    app = ReadyMiddleware(Starlette())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        with pytest.raises(RuntimeError, match=r"pgready\.lifespan"):
            await client.get("/")

"""Make the database ready when a Starlette or FastAPI application starts.

    app = Starlette(routes=routes, lifespan=pgready.lifespan())

An ASGI server answers nothing until the application's lifespan has started, health checks included. A
migration that outlasts the patience of a liveness probe is then killed in the middle, again and again.
Where migrations may be long, either run `pgready up` before the application (an init container), or
migrate in the background and answer 503 meanwhile:

    app = Starlette(
        routes=routes,
        lifespan=pgready.lifespan(background=True),
        middleware=[Middleware(pgready.ReadyMiddleware, exempt=("/live",))],
    )
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import anyio

from pgready.core.errors import PgreadyError
from pgready.core.status import Status

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
State = Mapping[str, Any]
Lifespan = Callable[[Any], AbstractAsyncContextManager[State]]
OwnLifespan = Callable[[Any], AbstractAsyncContextManager[State] | AbstractAsyncContextManager[None]]

_STATE_KEY = "pgready"
_log = logging.getLogger("pgready")


class Readiness:
    """What `request.state.pgready` holds: the Status once the database is ready, or why it is not."""

    def __init__(self) -> None:
        self.status: Status | None = None
        self.failure: PgreadyError | None = None

    @property
    def ready(self) -> bool:
        return self.status is not None


def lifespan(
    url: str | None = None,
    *,
    background: bool = False,
    wrapping: OwnLifespan | None = None,
    **settings: Any,
) -> Lifespan:
    """A lifespan that runs `pgready.migrate(url, **settings)`, then *wrapping*, the application's own.

    A failure keeps the application from starting. With *background* it starts at once: *wrapping* must
    not need the database yet, and a failure is logged and kept in `request.state.pgready.failure`.
    """

    async def make_ready() -> Status:
        from pgready.running.library import migrate  # asyncpg and the parser, only when they are needed

        return await migrate(url, **settings)

    return making_ready(make_ready, background=background, wrapping=wrapping)


def making_ready(
    make_ready: Callable[[], Awaitable[Status]], *, background: bool, wrapping: OwnLifespan | None
) -> Lifespan:
    """The lifespan that awaits *make_ready*, before *wrapping* starts or beside it."""
    around = _in_background if background else _first

    @asynccontextmanager
    async def run(app: Any) -> AsyncIterator[State]:
        readiness = Readiness()
        async with around(readiness, make_ready), _wrapped(wrapping, app) as own_state:
            yield {**(own_state or {}), _STATE_KEY: readiness}

    return run


def _wrapped(
    wrapping: OwnLifespan | None, app: Any
) -> AbstractAsyncContextManager[State] | AbstractAsyncContextManager[None]:
    return wrapping(app) if wrapping else nullcontext()


@asynccontextmanager
async def _first(readiness: Readiness, make_ready: Callable[[], Awaitable[Status]]) -> AsyncIterator[None]:
    readiness.status = await make_ready()
    yield


@asynccontextmanager
async def _in_background(
    readiness: Readiness, make_ready: Callable[[], Awaitable[Status]]
) -> AsyncIterator[None]:
    async def make_ready_or_log() -> None:
        try:
            readiness.status = await make_ready()
        except PgreadyError as error:
            readiness.failure = error
            _log.error("the database could not be made ready: %s", error)

    async with anyio.create_task_group() as group:
        group.start_soon(make_ready_or_log)
        yield
        group.cancel_scope.cancel()


class ReadyMiddleware:
    """Answers 503 with Retry-After until the database is ready. *exempt* paths always pass: liveness."""

    def __init__(self, app: Application, exempt: tuple[str, ...] = ()) -> None:
        self._app = app
        self._exempt = frozenset(exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in self._exempt or _readiness(scope).ready:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1013})  # try again later
        else:
            await _not_ready(send)


def _readiness(scope: Scope) -> Readiness:
    readiness = scope.get("state", {}).get(_STATE_KEY)
    if not isinstance(readiness, Readiness):
        raise RuntimeError("ReadyMiddleware needs the application's lifespan to be pgready.lifespan(...)")
    return readiness


_BODY = (
    b'{"type":"about:blank","title":"Service Unavailable","status":503,'
    b'"detail":"the database is not ready"}\n'
)


async def _not_ready(send: Send) -> None:
    headers = {
        b"content-type": b"application/problem+json",
        b"content-length": str(len(_BODY)).encode(),
        b"cache-control": b"no-store",
        b"retry-after": b"1",
    }
    await send({"type": "http.response.start", "status": 503, "headers": list(headers.items())})
    await send({"type": "http.response.body", "body": _BODY})

"""The HTTP interface: a table of resources over one Feed. docs/http.md is its reference.

1. Nothing here asks the database or waits for it; every answer is rendered from the feed's status. The one
   exception is /schema, which asks seldom (`inspector`).
2. A path answers the same with and without a trailing slash and never redirects (FIELD-NOTES 19).
3. HEAD equals GET; every other method is 405, but for `POST /retry`. Every answer carries `problems.HEADERS`.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pgready.core.planning import Flag, State
from pgready.service import checks, metrics, negotiation, page, schema, stream
from pgready.service.bodies import Bodies
from pgready.service.feed import Feed
from pgready.service.inspector import Inspector
from pgready.service.probes import Probes
from pgready.service.problems import (
    HTML,
    TEXT,
    BadRequest,
    answer,
    bad_request,
    broken,
    problem,
    refused,
)
from pgready.service.representations import Representations
from pgready.service.resources import Endpoint, Resource, face, media_type, representations
from pgready.service.retry import Retrying, retry

LONGEST_WAIT_SECONDS = 60.0
WAITER_LIMIT = 200
"""Long polls at once; who comes later is answered at once, as if it had not asked to wait."""

_RETRY = {"Retry-After": "1"}
_STATES = tuple(state.value for state in State)
_FLAGS = tuple(flag.value for flag in Flag)


async def live(request: Request) -> Response:
    """200 while the event loop turns."""
    return _live(media_type(request))


async def ready(request: Request) -> Response:
    """200 when ready, else 503; `verbose`, `exclude=`, `include=` and `wait=`."""
    feed = representations(request).feed
    excluded = negotiation.chosen("check", request.query_params.getlist("exclude"), checks.NAMES)
    included = negotiation.chosen("check", request.query_params.getlist("include"), checks.OPTIONAL)
    if "wait" in request.query_params:
        await _wait(request, feed, negotiation.seconds(request.query_params["wait"], LONGEST_WAIT_SECONDS))
    if excluded or included or "verbose" in request.query_params:
        excluded |= frozenset(checks.OPTIONAL) - included
        return _checked(feed, excluded, verbose="verbose" in request.query_params)
    return _readiness(representations(request), media_type(request), feed.status.ready)


async def startup(request: Request) -> Response:
    """200 once the first run has ended well, whatever came after."""
    found = representations(request)
    return _readiness(found, media_type(request), found.feed.started)


async def migrations(request: Request) -> Response:
    """The whole status; `state=` and `flag=` leave only the migrations that have one of them."""
    states = negotiation.chosen("state", request.query_params.getlist("state"), _STATES)
    flags = negotiation.chosen("flag", request.query_params.getlist("flag"), _FLAGS)
    wish = page.wished(request, states=states, flags=flags)
    kind = face(request)
    if kind == HTML:
        return await page.page(request, wish)
    return answer(representations(request).migrations(kind, states, flags), kind)


async def migration(request: Request) -> Response:
    """One migration."""
    kind, version = face(request), request.path_params["version"]
    if kind == HTML:
        return await page.page(request, page.wished(request, version=version))
    body = representations(request).migration(kind, version)
    if body is None:
        return problem(404, "no migration has this version; /migrations lists them")
    return answer(body, kind)


async def openapi(request: Request) -> Response:
    """The contract of the routes that there are."""
    from pgready.service import openapi  # 10 ms, and only where somebody asks for it

    return answer(openapi.encoded(request.app.state.resources))


# One line a route; docs/http.md has a row and a chapter for each, in this order.
RESOURCES: tuple[Resource, ...] = (
    Resource(("/live", "/livez", "/healthz"), live),
    Resource(("/ready", "/readyz"), ready),
    Resource(("/startup", "/startupz"), startup),
    Resource(("/migrations", "/"), migrations),
    Resource(("/migrations/{version:path}",), migration),
    Resource(("/events",), stream.stream),
    Resource(("/metrics",), metrics.metrics),
    Resource(("/openapi.json",), openapi),
    Resource(("/retry",), retry, "POST"),
    Resource(("/schema",), schema.schema),
    Resource(("/schema/{table:path}",), schema.table),
)


def application(
    feed: Feed,
    resources: tuple[Resource, ...] = RESOURCES,
    *,
    retrying: Retrying | None = None,
    shows_schema: bool = True,
) -> Starlette:
    """An ASGI application that renders *feed*. Without *retrying* there is nothing but reading; unless it
    *shows_schema* there is no /schema, and so nothing that asks the database."""
    absent: list[Endpoint] = [] if retrying else [retry]
    absent += [] if shows_schema else [schema.schema, schema.table]
    resources = tuple(resource for resource in resources if resource.endpoint not in absent)
    app = Starlette(
        routes=[
            Route(path, resource.endpoint, methods=[resource.method])
            for resource in resources
            for path in resource.paths
        ],
        middleware=[Middleware(_AnySlash)],
        exception_handlers={HTTPException: refused, BadRequest: bad_request, Exception: broken},
    )
    app.router.redirect_slashes = False
    app.state.representations = Representations(feed)
    app.state.probes = _probes(app.state.representations)
    app.state.bodies = Bodies()
    app.state.broadcast = stream.Broadcast(app.state.representations)
    app.state.retrying = retrying
    app.state.token_readers = anyio.CapacityLimiter(1)
    app.state.waiters = anyio.CapacityLimiter(WAITER_LIMIT)
    app.state.pages = page.Pages(feed, {path for resource in resources for path in resource.paths})
    app.state.inspector = Inspector()
    app.state.resources = resources
    app.state.paths = tuple(resource.shown[0] for resource in resources)
    return app


def _probes(found: Representations) -> Probes:
    """The answers of `live`, `ready` and `startup` to a request that says nothing but its path and kind."""
    answers: dict[Endpoint, Callable[[str], Response]] = {
        live: _live,
        ready: lambda kind: _readiness(found, kind, found.feed.status.ready),
        startup: lambda kind: _readiness(found, kind, found.feed.started),
    }
    probed = [resource for resource in RESOURCES if resource.endpoint in answers]
    return Probes(found.feed, {path: answers[each.endpoint] for each in probed for path in each.paths})


class _AnySlash:
    """Takes trailing slashes away, so that `/ready/` is `/ready`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


def _live(kind: str) -> Response:
    return answer(b"ok\n", TEXT) if kind == TEXT else answer(b'{"live":true}\n')


def _readiness(found: Representations, kind: str, well: bool) -> Response:
    body = found.readiness(kind)
    # Of many warnings it is large, and a probe must have it.
    return answer(body, kind, always=True) if well else answer(body, kind, 503, _RETRY, always=True)


def _checked(feed: Feed, excluded: frozenset[str], *, verbose: bool) -> Response:
    checked = checks.checks(feed)
    if not checks.passed(checked, excluded):
        return answer(checks.lines(checked, excluded, "readyz").encode(), TEXT, 503, _RETRY)
    return answer(checks.lines(checked, excluded, "readyz").encode() if verbose else b"ok\n", TEXT)


async def _wait(request: Request, feed: Feed, patience_seconds: float) -> None:
    waiters: anyio.CapacityLimiter = request.app.state.waiters
    waiter = object()
    try:
        waiters.acquire_on_behalf_of_nowait(waiter)
    except anyio.WouldBlock:
        return
    try:
        await feed.settled(patience_seconds)
    finally:
        waiters.release_on_behalf_of(waiter)

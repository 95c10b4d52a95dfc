"""A feed and clients of it: one that calls the application, one that speaks to a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp

from pgready.core.status import Status
from pgready.service import server
from pgready.service.feed import Feed
from pgready.service.probes import Probes
from pgready.service.web import application
from service.samples import NOW, Serving


@pytest.fixture
def feed() -> Feed:
    return Feed(Status(), now=lambda: NOW)


@pytest.fixture
async def client(anyio_backend: str, feed: Feed) -> AsyncIterator[httpx.AsyncClient]:
    """Calls the application directly, following no redirect."""
    transport = httpx.ASGITransport(application(feed))
    async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as client:
        yield client


@pytest.fixture
def serving() -> Serving:
    """`async with serving(app) as port`: a real server on a free port of 127.0.0.1."""

    @asynccontextmanager
    async def run(app: ASGIApp) -> AsyncIterator[int]:
        sockets = server.listen("127.0.0.1", 0)
        port = sockets[0].getsockname()[1]
        async with anyio.create_task_group() as group:
            await group.start(server.serve, app, sockets, _probes_of(app))
            yield port
            group.cancel_scope.cancel()

    return run


def _probes_of(app: ASGIApp) -> Probes | None:
    return app.state.probes if isinstance(app, Starlette) else None

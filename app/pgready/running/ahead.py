"""The first attempt to connect, made while the rest of the program is still being loaded.

A server takes ten milliseconds to start a backend and check a password, and a start with nothing to do is
mostly imports. So the connection comes first, and the two go on side by side. For the same reason this
module imports no more than connecting needs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from pgready.core.dsn import Dsn
from pgready.database.connect import CannotConnect, attempt_seconds, open_session
from pgready.database.session import Session
from pgready.running.host import application_name, host_name
from pgready.settings import Settings

FirstSession = Callable[[], Awaitable[Session]]
"""What the attempt came to; raises CannotConnect, as `open_session` does. Whoever asks owns the session,
and it can be asked once."""


class _Opening:
    """An attempt to connect that is under way."""

    def __init__(self) -> None:
        self._ended = anyio.Event()
        self._session: Session | None = None
        self._problem: CannotConnect | None = None

    async def session(self) -> Session:
        await self._ended.wait()
        if self._problem is not None:
            raise self._problem
        session, self._session = self._session, None
        assert session is not None, "asked once"
        return session

    async def attempt(self, dsn: Dsn, settings: Settings) -> None:
        try:
            self._session = await open_session(
                dsn,
                application_name=application_name(host_name()),
                vouched_pooler=settings.pooler == "session",
                timeout_seconds=attempt_seconds(dsn, settings.connect_timeout_seconds),
            )
        except CannotConnect as problem:
            self._problem = problem
        finally:
            self._ended.set()

    async def close(self) -> None:
        """Close a session that nobody asked for."""
        if self._session is not None:
            await self._session.close()


@asynccontextmanager
async def connecting(settings: Settings) -> AsyncIterator[FirstSession | None]:
    """Try to connect to the target of *settings* meanwhile; yields how to ask for the session, or None
    where there is no target yet, as with an embedded PostgreSQL."""
    if settings.target is None:
        yield None
        return
    opening = _Opening()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(opening.attempt, settings.target, settings)
            yield opening.session
            group.cancel_scope.cancel()
    finally:
        await opening.close()

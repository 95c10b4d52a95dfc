"""A session of pgready's own, for a test that drives it itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pgready.core.dsn import parse
from pgready.database.connect import open_session
from pgready.database.session import Session


@asynccontextmanager
async def session_at(url: str) -> AsyncIterator[Session]:
    """A session at *url*, closed at the end."""
    session = await open_session(parse(url), application_name="pgready test")
    try:
        yield session
    finally:
        await session.close()

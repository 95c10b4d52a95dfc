"""The library API: `await pgready.migrate(...)`, `await pgready.status(...)`."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pgready.core import status as statuses
from pgready.core.events import Event
from pgready.core.status import Status
from pgready.running import assemble
from pgready.settings import Settings, load, read_text_file


async def migrate(
    url: str | None = None,
    *,
    dir: str | Path | None = None,
    on_event: Callable[[Event], None] | None = None,
    **settings: object,
) -> Status:
    """Make the target ready and return its status.

    *url* and *dir* default to what the environment configures, as for the command line; *settings* are by
    their names there (`lock_timeout="5m"`). Raises PgreadyError, whose `exit_code` says what kind.
    """
    fold = _Fold(_load(url, dir, settings), on_event)
    async with assemble.located(fold.settings, fold.emit) as located:
        run = await assemble.prepare(located, fold.emit)
        await run.to_end()
    return fold.status


async def status(url: str | None = None, *, dir: str | Path | None = None, **settings: object) -> Status:
    """Where each migration stands in the target, and whether it is as the folder wants it (`ready`).

    Changes nothing, and runs no checks. A database that is not there yet has none of them applied. Raises
    PgreadyError.
    """
    fold = _Fold(_load(url, dir, settings), None)
    async with assemble.located(fold.settings, fold.emit) as located:
        run = await assemble.prepare(located, fold.emit, read_only=True)
        sight = await run.look_only(unmade=True)
    return statuses.looked(fold.status, datetime.now(UTC), sight.needs)


class _Fold:
    def __init__(self, settings: Settings, on_event: Callable[[Event], None] | None) -> None:
        self.settings = settings
        self._on_event = on_event
        self.status = statuses.initial(
            started_at=datetime.now(UTC),
            target=settings.target.masked if settings.target else None,
            namespace=settings.namespace,
            environment=settings.environment,
        )

    def emit(self, event: Event) -> None:
        self.status = statuses.advance(self.status, event, datetime.now(UTC))
        if self._on_event is not None:
            self._on_event(event)


def _load(url: str | None, dir: str | Path | None, settings: dict[str, object]) -> Settings:
    flags = {**settings, "database_url": url, "dir": None if dir is None else str(dir)}
    return load(flags, os.environ, read_text_file)

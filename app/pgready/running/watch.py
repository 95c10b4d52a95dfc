"""Looks over the shoulder of a statement that takes long: progress, and who blocks it.

One task a run, not one a migration. It uses a connection of its own, opened only when something has been
running for a while, and holds no transaction there (SAFETY 2).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import asyncpg

from pgready.core.events import Blocked, Event, OperationProgressed, StatementsRan, Unblocked
from pgready.core.model import LockHolder, Operation
from pgready.database.connect import CannotConnect
from pgready.database.lock import holder_of
from pgready.database.session import Session

if TYPE_CHECKING:
    from pgready.database.execute import Progress

TICK_SECONDS = 0.25
_TELL_AGAIN_SECONDS = 5.0


class Watcher:
    """`running` names the segment at work; `watch` looks at it every TICK_SECONDS until cancelled."""

    def __init__(self, open_session: Callable[[], Awaitable[Session]], emit: Callable[[Event], None]) -> None:
        self._open_session = open_session
        self._emit = emit
        self._session: Session | None = None
        self.version: str | None = None
        self._progress: Progress | None = None
        self._pid = 0
        self._since = 0.0
        self._told_statements = 0
        self._told_blocked = 0.0
        self._blocked_version: str | None = None
        self._told_operation: tuple[object, ...] = ()
        self.blockers: tuple[LockHolder, ...] = ()

    def begin(self, version: str, progress: Progress, pid: int) -> None:
        """From now on *progress* is of *version*, on the backend *pid*."""
        self.version, self._progress, self._pid = version, progress, pid
        self._since = anyio.current_time()
        self._told_statements = 0
        self._told_blocked = 0.0
        self._told_operation = ()
        self.blockers = ()

    def end(self) -> None:
        self._progress = None
        self.version = None

    async def watch(self) -> None:
        try:
            while True:
                await anyio.sleep(TICK_SECONDS)
                if self._progress is not None and anyio.current_time() - self._since >= TICK_SECONDS:
                    self._tell_progress(self._progress)
                    await self._look()
        finally:
            if self._session is not None:
                await self._session.close()

    def _tell_progress(self, progress: Progress) -> None:
        done = progress.completed
        if done != self._told_statements:
            self._told_statements = done
            self._emit(StatementsRan(self.version or "", done, progress.total))

    async def _look(self) -> None:
        from pgready.database import catalog, operations  # most runs are over before there is need of them

        try:
            if self._session is None or self._session.closed:
                self._session = await self._open_session()
            rows = await catalog.blockers(self._session, self._pid)
            operation = await operations.current(self._session, self._pid)
        except (CannotConnect, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return  # the watcher is a convenience: the run itself tells what is wrong with the server
        if self._progress is None:
            return
        if operation is not None:
            self._tell_operation(operation)
        if rows:
            self._tell_blockers(rows)
        elif self._blocked_version == self.version:
            self._blocked_version = None
            self._told_blocked = 0.0
            self._emit(Unblocked(self.version or ""))

    def _tell_operation(self, operation: Operation) -> None:
        percent = 100 * operation.done // operation.total if operation.total else operation.done
        told = operation.command, operation.phase, percent
        if told != self._told_operation:
            self._told_operation = told
            self._emit(OperationProgressed(self.version or "", operation))

    def _tell_blockers(self, rows: list[asyncpg.Record]) -> None:
        self.blockers = tuple(map(holder_of, rows))
        now = anyio.current_time()
        if now - self._told_blocked >= _TELL_AGAIN_SECONDS:
            self._told_blocked = now
            self._blocked_version = self.version
            self._emit(Blocked(self.version or "", rows[0]["waited_seconds"], self.blockers))

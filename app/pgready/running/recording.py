"""Changing by hand what a history says: `repair`, `baseline`, `adopt`, `eject`, `down`. The rules:

1. What is recorded is planned from a look, and again from a look under the migration lock.
2. It is committed in one fenced transaction, together with a row of the audit: who, when, why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from msgspec import Struct

from pgready.core.errors import LockNotObtained, PgreadyError, PoolerError
from pgready.core.events import Event, LockReleased, LockTaken, LockWaited
from pgready.database import audit, execute, lock
from pgready.database.refusals import OpeningRefused, StatementRefused
from pgready.database.session import Pooling, Session
from pgready.dialects.native import AUDIT
from pgready.running import reasons
from pgready.running.apply import BEGIN
from pgready.running.look import Sight
from pgready.running.runner import Run

_POLL_SECONDS = 0.25
_TELL_HOLDER_SECONDS = 5.0
_NOTHING_RECORDED = "nothing was recorded"


class Recording(Struct, frozen=True):
    """What is recorded: *statements* in one transaction, and *what* they say, a sentence each."""

    what: tuple[str, ...]
    statements: tuple[str, ...]


class Author(Struct, frozen=True):
    """Who records, doing what (*action*), in which history, and why: the audit's row."""

    action: str
    history: str
    recorded_by: str
    pgready_version: str
    reason: str | None = None

    def entry(self, what: str) -> str:
        """One INSERT into the audit."""
        return audit.entry(
            history=self.history,
            action=self.action,
            what=what,
            reason=self.reason,
            recorded_by=self.recorded_by,
            pgready_version=self.pgready_version,
        )


Planner = Callable[[Session, Sight], Awaitable[Recording]]
"""What to record where a look saw that; raises PgreadyError where it cannot be."""


async def record(
    run: Run,
    plan: Planner,
    author: Author,
    emit: Callable[[Event], None],
    *,
    patience_seconds: float,
    dry_run: bool,
) -> Recording:
    """Record what *plan* finds, or on a *dry_run* only say what that would be."""
    async with run.looking() as (session, sight):
        planned = await plan(session, sight)  # what cannot be is said without waiting for the lock
        if dry_run:
            return planned
        async with locked(session, sight.keys, patience_seconds, emit):
            under_lock = await run.look_again()
            planned = await plan(session, under_lock)
            await _commit(session, under_lock, planned, author)
    return planned


async def _commit(session: Session, sight: Sight, recording: Recording, author: Author) -> None:
    opening = [BEGIN, *lock.fence(session, sight.keys, 0)]
    create = () if AUDIT in sight.tables else (audit.CREATE,)
    entry = author.entry("\n".join(recording.what))
    try:
        await execute.run_plain(session, opening, [*create, *recording.statements, entry, "COMMIT"])
    except StatementRefused as refused:
        raise reasons.unexpected(refused.problem) from refused
    except OpeningRefused as refused:
        raise PgreadyError("the migration lock was lost", done=_NOTHING_RECORDED) from refused


@asynccontextmanager
async def locked(
    session: Session, keys: lock.LockKeys, patience_seconds: float, emit: Callable[[Event], None]
) -> AsyncIterator[None]:
    """Hold the migration lock meanwhile; should the block fail, closing the session is what frees it.

    Raises LockNotObtained naming the holder, and PoolerError where no session lock would hold.
    """
    if session.pooling not in (Pooling.DIRECT, Pooling.SESSION):
        raise PoolerError(
            f"{session.dsn.masked}: this is a pooler, and nothing proves that a lock holds through it",
            hint="give pgready a direct connection, or vouch for the pooler with PGREADY_POOLER=session",
            done=_NOTHING_RECORDED,
        )
    await _take(session, keys, patience_seconds, emit)
    yield
    await lock.release(session, keys)
    emit(LockReleased())


async def _take(
    session: Session, keys: lock.LockKeys, patience_seconds: float, emit: Callable[[Event], None]
) -> None:
    since = anyio.current_time()
    tell_at = 0.0
    while not await lock.try_take(session, keys):
        waited = anyio.current_time() - since
        holder = await lock.holder(session, keys)
        if waited >= tell_at:
            tell_at = waited + _TELL_HOLDER_SECONDS
            emit(LockWaited(holder, waited))
        if waited >= patience_seconds:
            raise LockNotObtained(
                f"the migration lock is held by another: {reasons.describe(holder)}",
                hint="wait for it and start again; PGREADY_LOCK_TIMEOUT sets the patience",
                done=_NOTHING_RECORDED,
            )
        await anyio.sleep(_POLL_SECONDS)
    emit(LockTaken(anyio.current_time() - since))
